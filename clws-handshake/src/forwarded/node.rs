//! The identifier of a client or proxy, RFC 7239 §6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `node = nodename [ ":" node-port ]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// An address, and its port unless that is absent or hidden.
    Address(IpAddr, Option<u16>),
    /// `unknown`, or an identifier that begins with `_`.
    Unknown,
}

impl Node {
    /// Parses the value of `for`. An IPv6 address is in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, rest)) => {
                let address: Ipv6Addr = address.parse().ok()?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                return Some(Self::Address(IpAddr::V6(address).to_canonical(), parse_port(port)?));
            }
            None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
        };
        let port = parse_port(port)?;
        if name.eq_ignore_ascii_case("unknown") || is_obfuscated(name) {
            return Some(Self::Unknown);
        }
        let address: Ipv4Addr = name.parse().ok()?;
        Some(Self::Address(address.into(), port))
    }

    /// Parses an entry of `X-Forwarded-For`, which has no specification. Most proxies write IPv6
    /// addresses without brackets.
    pub(super) fn parse_loose(text: &str) -> Option<Self> {
        match text.parse::<Ipv6Addr>() {
            Ok(address) => Some(Self::Address(IpAddr::V6(address).to_canonical(), None)),
            Err(_) => Self::parse(text),
        }
    }
}

/// `node-port = port / obfport`. Returns `None` for any other text, and `None` inside if there is no
/// number.
fn parse_port(text: Option<&str>) -> Option<Option<u16>> {
    match text {
        None => Some(None),
        Some(text) if is_obfuscated(text) => Some(None),
        // port = 1*5DIGIT
        Some(text) if (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().ok().map(Some)
        }
        Some(_) => None,
    }
}

/// `obfnode = "_" 1*( ALPHA / DIGIT / "." / "_" / "-")`
fn is_obfuscated(text: &str) -> bool {
    text.strip_prefix('_').is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str, port: Option<u16>) -> Option<Node> {
        Some(Node::Address(text.parse().unwrap(), port))
    }

    #[test]
    fn parses_nodes() {
        for (text, node) in [
            ("1.2.3.4", address("1.2.3.4", None)),
            ("1.2.3.4:0", address("1.2.3.4", Some(0))),
            ("1.2.3.4:00080", address("1.2.3.4", Some(80))),
            ("[::1]", address("::1", None)),
            ("[2001:DB8::1]:65535", address("2001:db8::1", Some(65535))),
            ("[::1]:_p", address("::1", None)),
            ("[::ffff:1.2.3.4]", address("1.2.3.4", None)),
            ("unknown", Some(Node::Unknown)),
            ("Unknown:1", Some(Node::Unknown)),
            ("_a.b_c-D9", Some(Node::Unknown)),
            ("__:__", Some(Node::Unknown)),
        ] {
            assert_eq!(Node::parse(text), node, "{text}");
            assert_eq!(Node::parse_loose(text), node, "{text}");
        }
    }

    #[test]
    fn refuses_other_text() {
        for text in [
            "",
            ":",
            "1.2.3.4:",
            "1.2.3.4:65536",
            "1.2.3.4:123456",
            "1.2.3.4:+1",
            "1.2.3.4:_",
            "1.2.3",
            "01.2.3.4",
            "1.2.3.4 ",
            "a.example",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]:",
            "[1.2.3.4]",
            "[fe80::1%eth0]",
            "[]",
            "_",
            "_a b",
            "_é",
            "unknown1",
            "localhost",
        ] {
            assert_eq!(Node::parse(text), None, "{text}");
            assert_eq!(Node::parse_loose(text), None, "{text}");
        }
        assert_eq!(Node::parse("::1"), None);
        assert_eq!(Node::parse_loose("::1"), address("::1", None));
    }
}
