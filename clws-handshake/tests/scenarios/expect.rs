//! `Expect` (RFC 9110 §10.1.1), and 100 before 101 (§7.8).

use crate::common::{HIXIE, HIXIE_BODY, RFC, head, hixie_on, plus, refused, whole, with};
use clws_handshake::{Acceptance, CONTINUE, HandshakeLimits, HttpRequest, Status, parse};

#[test]
fn an_upgrade_that_expects_100_gets_it_before_101() {
    for good in
        ["100-continue", "100-Continue", " 100-CONTINUE\t", "100-continue, 100-continue", ", 100-continue,"]
    {
        let expect = format!("Expect: {good}");
        for (lines, body) in [(RFC, &b""[..]), (HIXIE, HIXIE_BODY)] {
            let plain = [head(lines), body.to_vec()].concat();
            let plain = whole(&plain).unwrap().accept(&Acceptance::new()).unwrap().response;
            let bytes = [plus(lines, &[&expect]), body.to_vec()].concat();
            let accepted = whole(&bytes).unwrap().accept(&Acceptance::new()).unwrap();
            assert_eq!(accepted.response.strip_prefix(CONTINUE), Some(&plain[..]), "{good}");
            assert_eq!(accepted.consumed, bytes.len());
        }
    }
    assert_eq!(CONTINUE, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn draft_0_reports_the_expectation_before_its_body_arrives() {
    let bytes = plus(HIXIE, &["Expect: 100-continue"]);
    assert!(matches!(parse(&bytes, &hixie_on()), Ok(Status::Partial)));
    assert!(HttpRequest::parse(&bytes, &hixie_on()).unwrap().expects_continue());
}

#[test]
fn an_empty_expectation_is_ignored() {
    for none in [&[][..], &["Expect:"], &["Expect: , ,"]] {
        let bytes = plus(RFC, none);
        assert!(
            whole(&bytes).unwrap().accept(&Acceptance::new()).unwrap().response.starts_with(b"HTTP/1.1 101 ")
        );
    }
}

#[test]
fn a_refusal_comes_without_100() {
    let reject = refused(&plus(&["GET / HTTP/1.1", "Host: a"], &["Expect: 100-continue"]));
    assert!(reject.response().starts_with(b"HTTP/1.1 426 "));
}

#[test]
fn other_expectations_get_417() {
    for bad in [
        "200-ok",
        "100-continue=1",
        "100-continue;a=b",
        "100",
        "\"100-continue\"",
        "100-continue, x",
        "x, 100-continue",
    ] {
        let line = format!("Expect: {bad}");
        assert_eq!(refused(&plus(RFC, &[&line])).status(), 417, "{bad}");
        let page = head(["POST / HTTP/1.1", "Host: a", &line]);
        assert_eq!(
            HttpRequest::parse(&page, &HandshakeLimits::default()).unwrap_err().status(),
            417,
            "{bad}"
        );
    }
    assert_eq!(refused(&plus(RFC, &["Expect: 100-continue", "Expect: x"])).status(), 417);
    let mut raw = plus(RFC, &["Expect: ?"]);
    let at = raw.iter().rposition(|&byte| byte == b'?').unwrap();
    raw[at] = 0xff;
    assert_eq!(refused(&raw).status(), 417);
}

#[test]
fn http_1_0_has_no_expectations() {
    for value in ["100-continue", "x"] {
        let page = with(&["GET / HTTP/1.0", "Expect: ?"], "Expect", &[&format!("Expect: {value}")]);
        assert!(!HttpRequest::parse(&page, &HandshakeLimits::default()).unwrap().expects_continue());
    }
}
