//! The copy of a head that outlives the handshake: small, exact, and equal to the request.

use crate::common::{RFC, plus, whole, with};
use clws_handshake::RequestHead;

#[test]
fn the_copy_equals_the_request() {
    let mut bytes = plus(RFC, &["Cookie:\ta=b \t", "cookie: c", "Empty:", "X-Raw: ?"]);
    let raw = bytes.iter().rposition(|&byte| byte == b'?').unwrap();
    bytes[raw] = 0xff;
    let request = whole(&bytes).unwrap();
    let head = request.to_head(true);
    assert_eq!((head.path(), head.query(), head.host()), ("/chat", None, "server.example.com"));
    assert_eq!(head.origin(), Some("http://example.com"));
    assert_eq!(head.header("COOKIE"), Some("a=b"));
    assert_eq!(head.header("empty"), Some(""));
    assert_eq!(head.header("x-raw"), None);
    assert_eq!(head.headers().get_bytes("x-raw"), Some(&b"\xff"[..]));
    assert!(head.headers().iter_bytes().eq(request.headers().iter_bytes()));
    // The flag, the target, an empty host line, and each line without optional whitespace.
    let lines: usize = request.headers().iter_bytes().map(|(name, value)| name.len() + value.len() + 2).sum();
    assert_eq!(head.memory(), 1 + "/chat\n\n".len() + lines);
    assert!(head.memory() < bytes.len());
    let debug = format!("{head:?}");
    assert!(debug.contains("/chat") && debug.contains("a=b"), "{debug}");
}

#[test]
fn without_headers_only_target_and_host_are_kept() {
    let bytes = with(RFC, "GET", &["GET /chat?a=b?c HTTP/1.1"]);
    let head = whole(&bytes).unwrap().to_head(false);
    assert_eq!((head.path(), head.query(), head.host()), ("/chat", Some("a=b?c"), "server.example.com"));
    assert_eq!((head.origin(), head.header("Host"), head.headers().is_empty()), (None, None, true));
    assert_eq!(head.memory(), 1 + "/chat?a=b?c\nserver.example.com\n".len());
}

#[test]
fn the_host_of_an_absolute_target_is_kept_with_the_header() {
    let bytes = with(RFC, "GET", &["GET wss://other:1?q HTTP/1.1"]);
    for keep in [true, false] {
        let head = whole(&bytes).unwrap().to_head(keep);
        assert_eq!((head.path(), head.query(), head.host()), ("/", Some("q"), "other:1"));
        assert_eq!(head.header("host"), keep.then_some("server.example.com"));
    }
}

#[test]
fn the_copy_is_small_and_can_be_empty() {
    assert!(size_of::<RequestHead>() <= 24 && size_of::<Option<RequestHead>>() == size_of::<RequestHead>());
    let empty = RequestHead::default();
    assert_eq!((empty.path(), empty.query(), empty.host(), empty.origin()), ("", None, "", None));
    assert_eq!((empty.headers().iter().count(), empty.memory()), (0, 0));
}

#[test]
fn a_limit_keeps_all_lines_of_a_name_or_none() {
    let long = format!("Cookie: {}", "c".repeat(500));
    let bytes = plus(RFC, &["X-A: 1", &long, "x-a: 2", "X-B: 3", "cookie: short", "X-C:"]);
    let request = whole(&bytes).unwrap();
    let all: usize = request.headers().iter_bytes().map(|(name, value)| name.len() + value.len() + 2).sum();
    for limit in [all, all + 1, usize::MAX] {
        assert_eq!(request.to_head_within(limit), request.to_head(true));
        assert!(!request.to_head_within(limit).is_truncated());
    }

    // One of the cookie lines does not fit, so none of them is kept.
    let head = request.to_head_within(all - 100);
    assert!(head.is_truncated());
    assert_eq!(
        (head.header("Cookie"), head.headers().get_all("X-A").collect::<Vec<_>>()),
        (None, vec!["1", "2"])
    );
    let expected = request.headers().iter_bytes().filter(|(name, _)| !name.eq_ignore_ascii_case("cookie"));
    assert!(head.headers().iter_bytes().eq(expected));
    assert_eq!((head.path(), head.host()), ("/chat", "server.example.com"));

    // The origin has priority over earlier lines. The host is always kept.
    let origin = "Originhttp://example.com".len() + 2;
    for limit in 0..=all {
        let head = request.to_head_within(limit);
        let size: usize = head.headers().iter_bytes().map(|(name, value)| name.len() + value.len() + 2).sum();
        assert!(size <= limit && head.host() == "server.example.com" && head.path() == "/chat");
        assert_eq!(head.origin(), (limit >= origin).then_some("http://example.com"), "{limit}");
        assert_eq!(head.headers().get_all("x-a").count() % 2, 0);
        assert_eq!(head.is_truncated(), limit < all);
    }
    assert_eq!(request.to_head_within(0), request.to_head(false));
}
