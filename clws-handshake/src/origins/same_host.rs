//! Whether an origin names the host that the request was sent to.

use std::net::{IpAddr, Ipv6Addr};

use crate::authority::Authority;

/// Whether the origin's host and port are those of the `Host` header.
///
/// Only `http` and `https` origins name a host of the network. Over TLS, the page must have come
/// over TLS too: anybody on the way can change a page that did not.
pub(super) fn is_same_host(origin: &str, host: &str, is_secure: bool) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let default_port = if scheme.eq_ignore_ascii_case("https") {
        443
    } else if scheme.eq_ignore_ascii_case("http") && !is_secure {
        80
    } else {
        return false;
    };
    // Some clients other than browsers add a slash.
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let (Some(page), Some(requested)) = (Authority::parse(authority), Authority::parse(host)) else {
        return false;
    };
    // A `Host` without a port means the default of the URL's scheme, which a server after a proxy
    // cannot know. A page from a default port connects to the default port of its own scheme.
    let port = page.port.unwrap_or(default_port);
    requested.port.unwrap_or(default_port) == port && is_same_name(page.host, requested.host)
}

/// Whether two hosts are the same. An IPv6 address has several forms. A name with a final dot is
/// another name, as in browsers.
fn is_same_name(one: &str, other: &str) -> bool {
    match (ip_literal(one), ip_literal(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    }
}

fn ip_literal(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[')?.strip_suffix(']')?;
    inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compares_host_and_port() {
        for (origin, host) in [
            ("http://a.example", "a.example"),
            ("https://a.example", "a.example"),
            ("http://a.example", "a.example:80"),
            ("https://a.example", "a.example:443"),
            ("https://a.example", "a.example:"),
            ("http://a.example:8080", "a.example:8080"),
            ("https://A.Example", "a.eXAMPLE"),
            ("http://a.example.", "a.example."),
            ("http://127.0.0.1:1", "127.0.0.1:1"),
            ("http://[::1]:1", "[::1]:1"),
            ("https://[2001:db8::1]", "[2001:DB8:0::1]"),
            ("http://[::ffff:7f00:1]", "[::ffff:127.0.0.1]"),
            ("HTTP://a.example/", "a.example"),
        ] {
            assert!(is_same_host(origin, host, false), "{origin} {host}");
        }
        for (origin, host) in [
            ("http://b.example", "a.example"),
            ("http://a.example.b.example", "a.example"),
            ("http://xa.example", "a.example"),
            ("http://a.example:8080", "a.example"),
            ("http://a.example", "a.example:8080"),
            ("http://a.example", "a.example:443"),
            ("https://a.example", "a.example:80"),
            ("http://a.example:81", "a.example:8081"),
            ("http://a.example.", "a.example"),
            ("http://a.example", "a.example."),
            ("http://a.example@b.example", "b.example"),
            ("http://b.example", "a@b.example"),
            ("http://a.example/path", "a.example"),
            ("http://a.example//", "a.example"),
            ("http://[::1]", "::1"),
            ("http://[::1]", "[::2]"),
            ("http://[::1]", "1"),
            ("chrome-extension://a.example", "a.example"),
            ("ws://a.example", "a.example"),
            ("file://", ""),
            ("http://", ""),
            ("null", "null"),
            ("null", "a.example"),
            ("", ""),
            ("a.example", "a.example"),
        ] {
            assert!(!is_same_host(origin, host, false), "{origin} {host}");
        }
    }

    #[test]
    fn over_tls_the_page_must_have_come_over_tls() {
        assert!(is_same_host("https://a.example", "a.example", true));
        assert!(is_same_host("https://a.example:8443", "a.example:8443", true));
        assert!(!is_same_host("http://a.example", "a.example", true));
        assert!(!is_same_host("http://a.example:443", "a.example:443", true));
    }
}
