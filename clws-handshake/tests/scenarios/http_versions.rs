//! HTTP versions: pages in every 1.x, handshakes from 1.1 on, and no other major version.

use crate::common::{HIXIE, HIXIE_BODY, RFC, head, refused, whole, with};
use clws_handshake::{Acceptance, HandshakeLimits, HttpRequest, HttpResponse, Reject};

fn page(lines: &[&str]) -> Result<(u8, String), Reject> {
    let head = head(lines);
    let request = HttpRequest::parse(&head, &HandshakeLimits::default())?;
    let answer = HttpResponse::text(200, "page").to_bytes(&request);
    assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\nConnection: close\r\n"));
    Ok((request.minor_version(), request.host().to_owned()))
}

#[test]
fn any_minor_version_can_request_a_page() {
    for minor in 0..=9 {
        let line = format!("GET / HTTP/1.{minor}");
        assert_eq!(page(&[&line, "Host: a"]), Ok((minor, "a".to_owned())));
    }
}

#[test]
fn host_is_required_from_1_1_on() {
    assert_eq!(page(&["GET / HTTP/1.0"]), Ok((0, String::new())));
    assert_eq!(page(&["GET http://b:1/ HTTP/1.0"]), Ok((0, "b:1".to_owned())));
    for line in ["GET / HTTP/1.1", "GET / HTTP/1.2", "GET http://b/ HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        assert_eq!(page(&[line]).unwrap_err().body(), "the Host header is missing", "{line}");
    }
    // A Host header must be valid in 1.0, too.
    for line in ["GET / HTTP/1.0", "GET http://b/ HTTP/1.0"] {
        assert_eq!(page(&[line, "Host: a:b"]).unwrap_err().body(), "the Host header is malformed");
        assert_eq!(page(&[line, "Host: a", "Host: a"]).unwrap_err().body(), "the Host header appears twice");
    }
}

#[test]
fn another_major_version_gets_505_before_other_errors() {
    for version in ["0.9", "0.0", "2.0", "2.1", "3.0", "9.9"] {
        let line = format!("GET / HTTP/{version}");
        for lines in [&[&line[..], "Host: a"][..], &[&line], &[&line, "Host: :", " folded"]] {
            let reject = page(lines).unwrap_err();
            assert_eq!(reject.status(), 505, "{lines:?}");
        }
    }
    // The preface of HTTP/2, RFC 9113 §3.4.
    assert_eq!(refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").status(), 505);
}

#[test]
fn malformed_versions_get_400() {
    for bad in [
        "",
        "HTTP",
        "HTTP/",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/01.1",
        "HTTP/1,1",
        "http/1.1",
        "Http/1.1",
        "HTTPS/1.1",
        "HTTP/x.y",
        "HTTP/1.1x",
        "HTTP/-1.1",
        "HTTP/1.\u{661}",
        "HTTP/1.1\t",
    ] {
        let reject = page(&[&format!("GET / {bad}"), "Host: a"]).unwrap_err();
        assert_eq!((reject.status(), reject.body()), (400, "the request line is malformed"), "{bad:?}");
    }
    // HTTP/0.9 had a request line of two words.
    assert_eq!(page(&["GET /"]).unwrap_err().status(), 400);
}

#[test]
fn a_handshake_needs_1_1_or_higher() {
    for minor in ["1", "2", "9"] {
        let bytes = with(RFC, "GET", &[&format!("GET /chat HTTP/1.{minor}")]);
        let response = whole(&bytes).unwrap().accept(&Acceptance::new()).unwrap().response;
        assert!(response.starts_with(b"HTTP/1.1 101 "));
        let hixie =
            [with(HIXIE, "GET", &[&format!("GET /demo HTTP/1.{minor}")]), HIXIE_BODY.to_vec()].concat();
        assert!(whole(&hixie).is_ok());
    }
    for lines in [RFC, HIXIE] {
        let reject = refused(&with(lines, "GET", &["GET /chat HTTP/1.0"]));
        assert_eq!(reject.status(), 400);
        assert!(reject.body().contains("HTTP/1.1 or higher"), "{reject}");
    }
    // A 1.0 request without a handshake gets the same refusal as one of 1.1.
    let plain = HttpRequest::parse(b"GET / HTTP/1.0\r\n\r\n", &HandshakeLimits::default()).unwrap();
    assert_eq!(plain.upgrade(&[], &HandshakeLimits::default()).unwrap_err(), Reject::upgrade_required());
}
