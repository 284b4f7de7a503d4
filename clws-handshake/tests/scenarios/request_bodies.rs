//! Whether a body follows a request (RFC 9112 §6). Errors here allow request smuggling.

use crate::common::head;
use clws_handshake::{HandshakeLimits, HttpRequest};

fn has_body(version: &str, lines: &[&str]) -> Result<bool, u16> {
    let first = format!("POST / HTTP/{version}");
    let head = head([&first[..], "Host: a"].iter().chain(lines));
    HttpRequest::parse(&head, &HandshakeLimits::default())
        .unwrap()
        .has_body()
        .map_err(|reject| reject.status())
}

#[test]
fn content_length_is_one_number() {
    for (lines, expected) in [
        (&[][..], Ok(false)),
        (&["Content-Length: 0"], Ok(false)),
        (&["Content-Length: 000"], Ok(false)),
        (&["Content-Length: 5"], Ok(true)),
        (&["Content-Length: 5", "content-length: 05"], Ok(true)),
        (&["Content-Length: 5, 5"], Ok(true)),
        // A length beyond any integer is valid.
        (&["Content-Length: 99999999999999999999999999"], Ok(true)),
        (&["Content-Length: 5", "Content-Length: 6"], Err(400)),
        (&["Content-Length: 5, 6"], Err(400)),
        (&["Content-Length: 0", "Content-Length: 5"], Err(400)),
        (&["Content-Length:"], Err(400)),
        (&["Content-Length: ,"], Err(400)),
        (&["Content-Length: 5,"], Err(400)),
        (&["Content-Length: +5"], Err(400)),
        (&["Content-Length: -5"], Err(400)),
        (&["Content-Length: 5 5"], Err(400)),
        (&["Content-Length: 0x5"], Err(400)),
        (&["Content-Length: 5.0"], Err(400)),
        (&["Content-Length: five"], Err(400)),
        (&["Content-Length: \u{665}"], Err(400)),
    ] {
        for version in ["1.0", "1.1"] {
            assert_eq!(has_body(version, lines), expected, "{lines:?}");
        }
    }
}

#[test]
fn transfer_encoding_is_chunked_alone() {
    for (lines, expected) in [
        (&["Transfer-Encoding: chunked"][..], Ok(true)),
        (&["Transfer-Encoding: , Chunked"], Ok(true)),
        (&["Transfer-Encoding: gzip, chunked"], Err(501)),
        (&["Transfer-Encoding: gzip", "Transfer-Encoding: chunked"], Err(501)),
        (&["Transfer-Encoding: chunked, gzip"], Err(400)),
        (&["Transfer-Encoding: chunked, chunked"], Err(400)),
        (&["Transfer-Encoding: chunked", "Transfer-Encoding: identity"], Err(400)),
        (&["Transfer-Encoding: identity"], Err(400)),
        (&["Transfer-Encoding: xchunked"], Err(400)),
        (&["Transfer-Encoding: chunked;a=b"], Err(400)),
        (&["Transfer-Encoding: \"chunked\""], Err(400)),
        (&["Transfer-Encoding:"], Err(400)),
        (&["Transfer-Encoding: \u{e4}"], Err(400)),
        (&["Transfer-Encoding: chunked", "Content-Length: 5"], Err(400)),
        (&["Content-Length: 0", "Transfer-Encoding: chunked"], Err(400)),
    ] {
        assert_eq!(has_body("1.1", lines), expected, "{lines:?}");
        assert_eq!(has_body("1.0", lines), Err(400), "{lines:?} in HTTP/1.0");
    }
}
