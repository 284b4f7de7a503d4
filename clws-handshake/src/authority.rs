//! The grammar `host [ ":" port ]` of RFC 3986, for `Host` headers, request targets and URLs.

use std::net::Ipv6Addr;

/// A valid host with an optional port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// A name, an IPv4 address, or an IP literal in brackets. Never empty.
    pub(crate) host: &'a str,
    /// The port. `None` if it is missing or empty.
    pub(crate) port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses `host`, `host:` or `host:port`. Rejects user information (RFC 9110 §4.2.4).
    ///
    /// Also rejects an empty host. RFC 9110 §4.2.1: "A recipient that processes such a URI
    /// reference MUST reject it as invalid".
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        // An IP literal contains colons, but only inside its brackets.
        let after_literal = text.rfind(']').map_or(0, |at| at + 1);
        let (host, port) = match text.get(after_literal..)?.find(':') {
            Some(colon) => {
                let (host, port) = text.split_at_checked(after_literal + colon)?;
                (host, parse_port(port.get(1..)?)?)
            }
            None => (text, None),
        };
        let is_valid = match host.strip_prefix('[') {
            Some(literal) => is_ip_literal(literal.strip_suffix(']')?),
            None => !host.is_empty() && is_reg_name(host),
        };
        is_valid.then_some(Self { host, port })
    }
}

/// RFC 3986 §3.2.3: `port = *DIGIT`. TCP has no port above 65535.
fn parse_port(port: &str) -> Option<Option<u16>> {
    if port.is_empty() {
        return Some(None);
    }
    let all_digits = port.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| port.parse().ok())?.map(Some)
}

/// RFC 3986 §3.2.2: `IP-literal = "[" ( IPv6address / IPvFuture  ) "]"`. Zones (RFC 6874) are
/// invalid here, because they have a meaning only on the client's machine.
fn is_ip_literal(literal: &str) -> bool {
    match literal.strip_prefix(['v', 'V']) {
        // IPvFuture = "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )
        Some(future) => future.split_once('.').is_some_and(|(version, address)| {
            !version.is_empty()
                && version.bytes().all(|byte| byte.is_ascii_hexdigit())
                && !address.is_empty()
                && address.bytes().all(|byte| byte == b':' || is_name_byte(byte))
        }),
        // `Ipv6Addr` accepts exactly the grammar of `IPv6address`.
        None => literal.parse::<Ipv6Addr>().is_ok(),
    }
}

/// RFC 3986 §3.2.2: `reg-name = *( unreserved / pct-encoded / sub-delims )`. It includes IPv4
/// addresses.
fn is_reg_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    while let Some(byte) = bytes.next() {
        let is_valid = match byte {
            // pct-encoded = "%" HEXDIG HEXDIG
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|byte| byte.is_ascii_hexdigit())),
            byte => is_name_byte(byte),
        };
        if !is_valid {
            return false;
        }
    }
    true
}

/// RFC 3986 §2.2 and §2.3: `unreserved` and `sub-delims`.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_host_and_port() {
        for (text, host, port) in [
            ("a", "a", None),
            ("a:", "a", None),
            ("a:0", "a", Some(0)),
            ("a:65535", "a", Some(65535)),
            ("a:0000000080", "a", Some(80)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("999.1.1.1", "999.1.1.1", None), // a name
            ("a_b-c.~d!$&'()*+,;=", "a_b-c.~d!$&'()*+,;=", None),
            ("%41%c3%BC:1", "%41%c3%BC", Some(1)),
            ("[::1]", "[::1]", None),
            ("[::1]:", "[::1]", None),
            ("[::ffff:1.2.3.4]:443", "[::ffff:1.2.3.4]", Some(443)),
            ("[2001:DB8::7]:443", "[2001:DB8::7]", Some(443)),
            ("[1:2:3:4:5:6:7:8]", "[1:2:3:4:5:6:7:8]", None),
            ("[1:2:3:4:5:6:7::]", "[1:2:3:4:5:6:7::]", None),
            ("[::2:3:4:5:6:7:8]", "[::2:3:4:5:6:7:8]", None),
            ("[1:2:3:4:5:6:1.2.3.4]", "[1:2:3:4:5:6:1.2.3.4]", None),
            ("[v1.a:b]", "[v1.a:b]", None),
            ("[V1F.x]:1", "[V1F.x]", Some(1)),
        ] {
            assert_eq!(Authority::parse(text), Some(Authority { host, port }), "{text}");
        }
    }

    #[test]
    fn rejects_invalid_authorities() {
        for bad in [
            "",
            ":",
            ":80",
            "a:b:c",
            "a::1",
            "a:b",
            "a:65536",
            "a:99999999",
            "a:+1",
            "a:-1",
            "a: 1",
            "a:1 ",
            "::1",
            "1::",
            "]:[",
            "[",
            "]",
            "[]",
            "[]:80",
            "[::1",
            "::1]",
            "[::1]a",
            "a[::1]",
            "[::1]]",
            "[[::1]]",
            "[::1]:x",
            "[::1]80",
            "[a]",
            "[1.2.3.4]",
            "[:::]",
            "[::12345]",
            "[1:2:3:4:5:6:7:8:9]",
            "[1:2:3:4:5:6:7::8]",
            "[1:2:3:4:5:6:7]",
            "[1::2::3]",
            "[:1::2]",
            "[1::2:]",
            "[::1.2.3]",
            "[::1.2.3.256]",
            "[::1.2.3.04]",
            "[::1.2.3.4:5]",
            "[1.2.3.4::]",
            "[1:2:3:4:5:6:7:1.2.3.4]",
            "[::+1]",
            "[ ::1]",
            "[fe80::1%eth0]",
            "[fe80::1%25eth0]",
            "[v]",
            "[v.a]",
            "[v1]",
            "[v1.]",
            "[vg.a]",
            "[v1.a%41]",
            "%",
            "%4",
            "%zz",
            "%4z",
            "a%",
            "a%zz:80",
            "u@a",
            "u:p@a",
            "a b",
            "a/b",
            "a?",
            "a#",
            "a\\b",
            "a\"b",
            "<a>",
            "{a}",
            "a|b",
            "a^b",
            "a`b",
            "é",
            "a\t",
            "a\0",
            "a:8\u{0660}",
        ] {
            assert_eq!(Authority::parse(bad), None, "{bad:?}");
        }
    }
}
