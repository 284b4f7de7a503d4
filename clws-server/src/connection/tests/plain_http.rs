//! Requests that are no upgrade, and Flash's policy requests.

use super::*;
use clws_handshake::HttpResponse;

const GET: &[u8] = b"GET /page?a=b HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n";
const POLICY: &[u8] = b"<policy-file-request/>\0";

fn answer(harness: &mut Harness) -> String {
    assert!(harness.shut, "the connection closes after the answer");
    String::from_utf8(std::mem::take(&mut harness.out)).unwrap()
}

#[test]
fn passes_a_plain_request_to_the_hook() {
    for cut in [0, 10] {
        let mut harness = Harness::new(Config::default());
        harness.shared.resources.http(|request| {
            HttpResponse::text(200, format!("{} {} {:?}", request.method(), request.path(), request.query()))
        });
        harness.send(&GET[..cut]);
        harness.send(&GET[cut..]);
        let answer = answer(&mut harness);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nGET /page Some(\"a=b\")"), "{answer}");
        harness.expect_calls(&[]);
    }
}

#[test]
fn passes_every_method_to_the_hook_and_sends_no_body_for_head() {
    let mut harness = Harness::new(Config::default());
    harness.shared.resources.http(|request| HttpResponse::text(200, request.method().to_owned()));
    harness.send(b"HEAD / HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n");
    assert!(answer(&mut harness).ends_with("Content-Length: 4\r\n\r\n"));

    let mut harness = Harness::new(Config::default());
    harness.shared.resources.http(|request| HttpResponse::text(405, request.method().to_owned()));
    harness.send(b"POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 3\r\n\r\nabc");
    let answer = answer(&mut harness);
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("POST"), "{answer}");
}

#[test]
fn passes_no_other_request_to_the_hook() {
    for (bytes, status) in [
        (request(Version::Rfc6455, "/none"), 404),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.0\r\nHost: a:b\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n".to_vec(), 505),
        (b"GET / HTTP/1.0\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".to_vec(), 400),
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n".to_vec(), 405),
        (b"GET / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n".to_vec(), 417),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n".to_vec(), 400),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            400,
        ),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n".to_vec(), 501),
        (b"nonsense\r\n\r\n".to_vec(), 400),
    ] {
        let mut harness = Harness::new(Config::default());
        harness.shared.resources.http(|_| panic!("not called"));
        harness.send(&bytes);
        assert_eq!(harness.take_refusal_status(), status, "{}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn answers_every_http_1_x_version() {
    for head in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\nConnection: close\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        for cut in [0, 1, 2, 3, 10] {
            let mut harness = Harness::new(Config::default());
            harness.shared.resources.http(|_| HttpResponse::text(200, "here"));
            harness.send(&head.as_bytes()[..cut]);
            harness.send(&head.as_bytes()[cut..]);
            let answer = answer(&mut harness);
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{answer}");
            assert!(answer.ends_with("\r\n\r\nhere"), "{answer}");
        }
    }
}

#[test]
fn sends_no_body_when_it_refuses_a_head_request() {
    // Without a hook, for malformed requests, after the handshake timeout, and while the server
    // stops.
    for (sent, status) in [
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 426),
        ("HEAD / HTTP/1.1\r\nHost: :\r\n\r\n", 400),
        ("\r\nHEAD / HTTP/3.0\r\n\r\n", 505),
    ] {
        let mut harness = Harness::new(Config::default());
        harness.send(sent.as_bytes());
        let answer = answer(&mut harness);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
        assert!(
            answer.contains("\r\nContent-Length: ") && !answer.contains("\r\nContent-Length: 0\r\n"),
            "{answer}"
        );
    }
    for stop in [true, false] {
        let mut harness = Harness::new(Config::default());
        harness.send(b"HEAD / HTTP/1.1\r\n");
        if stop {
            let context = context(&harness.shared);
            harness.connection.stop(&context);
            harness.drive();
        } else {
            harness.advance(Config::default().handshake_timeout);
        }
        let answer = answer(&mut harness);
        let status = if stop { 503 } else { 408 };
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")) && answer.ends_with("\r\n\r\n"),
            "{answer}"
        );
    }
}

#[test]
fn answers_500_when_the_hook_panics() {
    let mut harness = Harness::new(Config::default());
    harness.shared.resources.http(|_| panic!("in the hook"));
    harness.send(GET);
    assert_eq!(harness.take_refusal_status(), 500);
}

#[test]
fn answers_a_policy_request_if_a_policy_is_configured() {
    let policy = Config::flash_policy("*", "*");
    for cut in [0, 1, 22] {
        let mut harness = Harness::new(Config::default().policy_file(policy.clone()));
        harness.send(&POLICY[..cut]);
        assert!(harness.out.is_empty());
        harness.send(&POLICY[cut..]);
        let answer = answer(&mut harness);
        assert!(answer.starts_with("<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy "), "{answer}");
        assert!(answer.ends_with("</cross-domain-policy>\0"), "{answer}");
    }
    let mut harness = Harness::new(Config::default().policy_file(policy));
    harness.send(b"<policy-file-requesT/>\0");
    assert_eq!(harness.take_refusal_status(), 400);
    let mut harness = Harness::new(Config::default());
    harness.send(POLICY);
    harness.send(b"\r\n\r\n");
    assert_eq!(harness.take_refusal_status(), 400);
}

#[test]
fn rejects_policies_that_would_break_the_file() {
    assert!(Config::flash_policy("\"/><evil", "*").is_none());
    assert!(Config::flash_policy("*", "1 2").is_none());
    assert!(Config::flash_policy("", "*").is_none());
    for domain in ["*.", "a.*", "**", "*example.com", "a b", "ü.de"] {
        assert!(Config::flash_policy(domain, "*").is_none(), "{domain}");
    }
    for ports in ["", ",", "0", "65536", "80,", "80-", "-80", "81-80", "1-2-3", "http", "80,*", "+80"] {
        assert!(Config::flash_policy("*", ports).is_none(), "{ports}");
    }
    for (domain, ports) in
        [("a.example", "80"), ("*.a.example", "80,443"), ("127.0.0.1", "1-65535"), ("[::1]", "80-80,1")]
    {
        assert!(Config::flash_policy(domain, ports).is_some(), "{domain} {ports}");
    }
}
