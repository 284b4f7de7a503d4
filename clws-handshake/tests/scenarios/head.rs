//! `HEAD`, and statuses whose responses have no content: RFC 9110 §9.3.2, §15.3.5, §15.3.6,
//! §15.4.5.

use crate::common::{RFC, head, refused, with};
use clws_handshake::{HandshakeLimits, HttpRequest, HttpResponse, Reject};

/// A response, split at its empty line.
fn parts(answer: &[u8]) -> (String, String) {
    let text = String::from_utf8(answer.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (format!("{head}\r\n"), body.to_owned())
}

fn answer(response: &HttpResponse, method: &str) -> (String, String) {
    let head = head([&format!("{method} / HTTP/1.1"), "Host: a"]);
    let request = HttpRequest::parse(&head, &HandshakeLimits::default()).unwrap();
    let whole = response.to_bytes(&request);
    let (head, body) = response.clone().into_parts(&request);
    assert_eq!([&head[..], &*body].concat(), whole);
    parts(&whole)
}

#[test]
fn a_refusal_of_head_has_no_body() {
    for reject in [
        Reject::bad_request("why"),
        Reject::not_found(),
        Reject::upgrade_required(),
        Reject::unavailable(Some(1)),
        Reject::unauthorized("Bearer", "who"),
        Reject::custom(408, "ü"),
    ] {
        let (head, body) = parts(&reject.response());
        assert!(!body.is_empty());
        for received in ["HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", "HEAD ", "\r\n\r\nHEAD /x", "HEAD \0"] {
            assert_eq!(
                parts(&reject.response_to(received.as_bytes())),
                (head.clone(), String::new()),
                "{received}"
            );
        }
        for received in
            ["", "HEAD", "GET / HTTP/1.1\r\n", "head /", "HEADER / HTTP/1.1", "\nHEAD /", "\x16\x03"]
        {
            assert_eq!(reject.response_to(received.as_bytes()), reject.response(), "{received}");
        }
    }
}

#[test]
fn head_gets_the_same_refusals_as_get() {
    for line in ["HEAD / HTTP/1.1", "GET / HTTP/1.1"] {
        assert_eq!(refused(&head([line, "Host: a"])), Reject::upgrade_required());
    }
    // A handshake with HEAD is not a request for a page.
    assert_eq!(refused(&with(RFC, "GET", &["HEAD /chat HTTP/1.1"])), Reject::method_not_allowed());
}

#[test]
fn every_response_to_head_ends_at_its_empty_line() {
    for status in (200..600).filter(|status| !matches!(status, 204 | 205 | 304)) {
        let response = HttpResponse::text(status, "content");
        let (head, body) = answer(&response, "HEAD");
        assert!(head.contains("\r\nContent-Length: 7\r\n") && body.is_empty(), "{head}");
        assert_eq!(answer(&response, "GET"), (head, "content".to_owned()));
    }
}

#[test]
fn statuses_without_content_have_none() {
    for method in ["GET", "HEAD", "POST"] {
        for status in [204, 304] {
            let (head, body) = answer(&HttpResponse::html("not to be seen"), method);
            assert!(head.contains("Content-Length") && body.is_empty() == (method == "HEAD"));
            let (head, body) = answer(&HttpResponse::text(status, "not to be seen"), method);
            assert!(!head.contains("Content-Length") && !head.contains("Content-Type"), "{head}");
            assert_eq!(body, "");
        }
        let (head, body) = answer(&HttpResponse::text(205, "not to be seen"), method);
        assert_eq!(
            (&*head, &*body),
            ("HTTP/1.1 205 Reset Content\r\nConnection: close\r\nContent-Length: 0\r\n", "")
        );
    }
    for interim in [0, 100, 101, 103, 199] {
        assert_eq!(HttpResponse::new(interim).status(), 500);
    }
}

#[test]
fn required_headers_are_present() {
    let (head, _) = answer(&HttpResponse::method_not_allowed("GET, HEAD"), "POST");
    assert!(head.starts_with("HTTP/1.1 405 ") && head.contains("\r\nAllow: GET, HEAD\r\n"), "{head}");
    let (head, _) = answer(&HttpResponse::method_not_allowed("GET\r\nX: y"), "POST");
    assert!(head.contains("\r\nAllow: \r\n") && !head.contains("X: y"), "{head}");
    for response in [HttpResponse::new(426), HttpResponse::from(Reject::upgrade_required())] {
        let (head, _) = answer(&response, "GET");
        assert!(head.contains("\r\nConnection: Upgrade, close\r\n"), "{head}");
        assert_eq!(
            head.matches("\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13, 8, 7\r\n").count(),
            1,
            "{head}"
        );
    }
}
