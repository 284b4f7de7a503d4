//! `Host` and the authorities of request targets: RFC 3986 §3.2, RFC 9112 §3.2.

use clws_handshake::client::{ClientRequest, RequestError};
use clws_handshake::{HandshakeLimits, HttpRequest, Version};
use proptest::prelude::*;

use crate::common::{HIXIE, HIXIE_BODY, RFC, head, refused, whole, with};

const GOOD: &[&str] = &[
    "a",
    "a:",
    "a:0",
    "a:80",
    "a:00080",
    "a:65535",
    "A.Example.",
    "127.0.0.1",
    "127.0.0.1:80",
    "256.256.256.256",
    "a_b",
    "xn--bcher-kva.example",
    "-",
    ".",
    "a..b",
    "a!$&'()*+,;=~",
    "%61%2F%00:1",
    "[::1]",
    "[::1]:",
    "[::1]:8080",
    "[::]",
    "[1:2:3:4:5:6:7:8]",
    "[::ffff:127.0.0.1]:1",
    "[v7.a:b]",
    "[vF.!$]:443",
];

const BAD: &[&str] = &[
    "",
    ":",
    ":80",
    "a:b:c",
    "a:b",
    "a:80:",
    "a:80:80",
    "]:[",
    "[",
    "]",
    "[]",
    "[]:80",
    "%zz",
    "%z",
    "%",
    "%4",
    "a%g1",
    "a:99999999",
    "a:65536",
    "a:18446744073709551696",
    "a:-1",
    "a:+1",
    "a:0x50",
    "a: 80",
    "a b",
    "a/b",
    "a/",
    "http://a",
    "u@a",
    "u:p@a",
    "@a",
    "a#b",
    "a?b",
    "a\\b",
    "\"a\"",
    "<a>",
    "a|b",
    "{a}",
    "a^b",
    "`a`",
    "a\u{e4}",
    "::1",
    "::1:80",
    "1::2",
    "[::1",
    "::1]",
    "[::1]a",
    "[::1]80",
    "a[::1]",
    "[[::1]]",
    "[::1]:a",
    "[::1]:99999",
    "[:::1]",
    "[::12345]",
    "[1:2:3:4:5:6:7:8:9]",
    "[::g]",
    "[a]",
    "[127.0.0.1]",
    "[::127.0.0.256]",
    "[fe80::1%eth0]",
    "[fe80::1%25eth0]",
    "[v.a]",
    "[v1]",
    "[v1.]",
    "[vg.a]",
    "[v1.a b]",
    "a, b",
    "a\tb",
];

#[test]
fn the_header_is_a_host_and_an_optional_port() {
    for good in GOOD {
        let bytes = with(RFC, "Host", &[&format!("Host: {good}")]);
        assert_eq!(whole(&bytes).unwrap().host(), *good);
        let hixie = [with(HIXIE, "Host", &[&format!("Host:{good}")]), HIXIE_BODY.to_vec()].concat();
        assert_eq!(whole(&hixie).unwrap().host(), *good);
    }
    for bad in BAD {
        for version in ["1.0", "1.1"] {
            let page = head([&format!("GET / HTTP/{version}"), &format!("Host: {bad}")]);
            let reject = HttpRequest::parse(&page, &HandshakeLimits::default()).unwrap_err();
            assert_eq!((reject.status(), reject.body()), (400, "the Host header is malformed"), "{bad:?}");
        }
        assert_eq!(refused(&with(RFC, "Host", &[&format!("Host: {bad}")])).status(), 400, "{bad:?}");
    }
    let mut raw = with(RFC, "Host", &["Host: ?"]);
    let at = raw.windows(7).position(|bytes| bytes == b"Host: ?").unwrap() + 6;
    raw[at] = 0xff;
    assert_eq!(refused(&raw).body(), "the Host header is malformed");
}

#[test]
fn an_absolute_target_wins_over_the_header() {
    for scheme in ["ws", "wss", "http", "HTTPS"] {
        for good in GOOD {
            let bytes = with(RFC, "GET", &[&format!("GET {scheme}://{good}/chat?x HTTP/1.1")]);
            let request = whole(&bytes).unwrap();
            assert_eq!((request.host(), request.path(), request.query()), (*good, "/chat", Some("x")));
        }
    }
    for bad in BAD.iter().filter(|bad| !bad.contains([' ', '\t', '/', '?'])) {
        assert_eq!(
            refused(&with(RFC, "GET", &[&format!("GET ws://{bad}/ HTTP/1.1")])).status(),
            400,
            "{bad}"
        );
    }
    // It does not replace a missing or invalid header.
    for lines in [&[][..], &["Host:"], &["Host: a", "Host: a"], &["Host: ]:["]] {
        let bytes = head(["GET http://a/ HTTP/1.1"].iter().chain(lines));
        assert_eq!(
            HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap_err().status(),
            400,
            "{lines:?}"
        );
    }
}

#[test]
fn connect_has_a_host_and_a_port_as_its_target() {
    let request = |target: &str| head([&format!("CONNECT {target} HTTP/1.1"), "Host: a"]);
    for good in ["a:80", "[::1]:443", "a.example:0"] {
        let bytes = request(good);
        let parsed = HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap();
        assert_eq!((parsed.host(), parsed.path(), parsed.query()), (good, good, None));
        assert_eq!(parsed.upgrade(&[], &HandshakeLimits::default()).unwrap_err().status(), 405);
    }
    for bad in
        ["a", "a:", "a:b", "a:99999", ":80", "/", "/chat", "*", "http://a:80", "u@a:80", "::1:80", "%zz:80"]
    {
        let bytes = request(bad);
        let reject = HttpRequest::parse(&bytes, &HandshakeLimits::default()).unwrap_err();
        assert_eq!(reject.body(), "the target of CONNECT is not a host and a port", "{bad}");
    }
}

#[test]
fn the_client_accepts_the_same_hosts_in_urls() {
    let build = |host: &str| {
        ClientRequest::new(Version::Rfc6455, &format!("ws://{host}/"))
            .build(&mut |bytes: &mut [u8]| bytes.fill(1))
    };
    for good in GOOD {
        let (bytes, _) = build(good).unwrap();
        assert!(whole(&bytes).is_ok(), "{good}");
    }
    for bad in BAD.iter().filter(|bad| !bad.contains(['/', '?'])) {
        assert_eq!(build(bad).map(|_| ()).unwrap_err(), RequestError::Url, "{bad:?}");
    }
    // An empty port is the default port of the scheme. Leading zeros are dropped.
    for (host, sent) in [("a:", "a"), ("a:0080", "a"), ("A:0081", "a:81")] {
        let (bytes, _) = build(host).unwrap();
        assert_eq!(whole(&bytes).unwrap().host(), sent);
    }
}

proptest! {
    /// The standard library parses the same grammar.
    #[test]
    fn ipv6_addresses_agree_with_the_standard_library(
        text in prop_oneof![
            "([0-9a-fA-F]{1,4}:){0,8}(:[0-9a-f]{1,4}){0,8}",
            "(0|1|ab|::|:|[0-9]{1,3}\\.){0,12}",
            "(::|1:){0,4}([0-9]{1,3}\\.){3}[0-9]{1,3}",
            "[0-9a-f:.]{0,40}",
        ]
    ) {
        let bytes = head(["GET / HTTP/1.1", &format!("Host: [{text}]")]);
        let expected = text.parse::<std::net::Ipv6Addr>().is_ok();
        prop_assert_eq!(HttpRequest::parse(&bytes, &HandshakeLimits::default()).is_ok(), expected);
    }
}
