//! Invalid requests and frames over real sockets. Each gets the right answer. The other tests check
//! the rules one by one; these check that answers arrive, and that connections end.

use std::io::Write;

use crate::ALLOCATOR;
use crate::common::hostile::{assert_closed_with, while_memory_is_bounded};
use crate::common::read_to_end;
use crate::common::wire::{BINARY, CLOSE, PING, TEXT, Wire, frame, raw_frame, request};
use clws_server::Config;

/// The memory for all clients of a test, which come one after another.
const MEMORY: usize = 4 << 20;

const MAX_MESSAGE: usize = 100_000;

in_both_modes_in_own_process!(
    invalid_requests_get_their_status,
    invalid_frames_get_their_close_code,
    a_half_closed_connection_gets_its_answers_and_ends,
);

/// A request without the header lines that start with `name`.
fn without(name: &str) -> String {
    let request = request("/");
    request.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect()
}

fn invalid_requests_get_their_status(config: Config) {
    let hixie = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n";
    let hixie_76 = |key: &str| {
        format!(
            "{hixie}Origin: http://a\r\nSec-WebSocket-Key1: {key}\r\nSec-WebSocket-Key2: 1 2\r\n\r\n^n:ds[4U"
        )
    };
    let cases = [
        (request("/").replace("GET", "POST"), 405, "\r\nAllow: GET\r\n"),
        (request("/").replace("GET", "HEAD"), 405, "\r\nAllow: GET\r\n"),
        ("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 426, "\r\nUpgrade: websocket\r\n"),
        (request("/").replace("n: 13", "n: 9"), 426, "\r\nSec-WebSocket-Version: 13, 8, 7\r\n"),
        (request("/").replace("HTTP/1.1", "HTTP/1.0"), 400, ""),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into(), 505, ""),
        (request("/").replace("\r\n\r\n", "\r\nExpect: 200-ok\r\n\r\n"), 417, ""),
        (request("/no/such/resource"), 404, ""),
        (request("/#fragment"), 400, ""),
        (request("/").replace("\r\n\r\n", "\r\nX: a\0b\r\n\r\n"), 400, ""),
        (without("Host"), 400, ""),
        (without("Connection"), 400, ""),
        (without("Sec-WebSocket-Key"), 400, ""),
        (hixie_76("4@146546xW%0l15"), 400, ""),
        (hixie_76("1 0  1"), 400, ""),
        (format!("{hixie}\r\n"), 400, ""),
        ("G".repeat(20_000), 400, ""),
    ];
    while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
        for (request, status, header) in &cases {
            let mut stream = server.tcp();
            let _ = stream.write_all(request.as_bytes()); // the server may refuse it before its end
            let (answer, is_ended) = read_to_end(&mut stream);
            assert!(is_ended, "the connection was reset: {request}");
            let answer = String::from_utf8(answer).unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let head = format!("{head}\r\n");
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
            let connection = head.split("\r\nConnection: ").nth(1).unwrap().lines().next().unwrap();
            assert!(connection.ends_with("close") && head.contains(header), "{request}: {answer}");
            let length = head.split("\r\nContent-Length: ").nth(1).unwrap().lines().next().unwrap();
            let length: usize = length.parse().unwrap();
            let expected = if request.starts_with("HEAD") { 0 } else { length };
            assert!(length > 0 && body.len() == expected, "{request}: {answer}");
        }
    });
}

/// The header of a frame, and its first bytes.
fn declared(first: u8, length: u64) -> Vec<u8> {
    [&[first, 0xFF][..], &length.to_be_bytes(), b"mask", b"some of it"].concat()
}

fn invalid_frames_get_their_close_code(config: Config) {
    let half = vec![0; MAX_MESSAGE / 2 + 1];
    let cases = [
        ("a length of 2^62", declared(0x82, 1 << 62), Some(1009)),
        ("a length of 2^62 of text", declared(0x81, 1 << 62), Some(1009)),
        ("a length over the limit", declared(0x82, MAX_MESSAGE as u64 + 1), Some(1009)),
        ("a length of 2^64 - 1", declared(0x82, u64::MAX), Some(1002)),
        ("a ping of 2^62 bytes", declared(0x89, 1 << 62), Some(1002)),
        ("two fragments", [raw_frame(BINARY, &half), raw_frame(0x80, &half)].concat(), Some(1009)),
        ("200,000 fragments", [raw_frame(TEXT, b""), raw_frame(0, b"").repeat(200_000)].concat(), Some(1008)),
        ("an unmasked frame", b"\x81\x01x".to_vec(), Some(1002)),
        ("RSV1 without compression", raw_frame(0xC1, b"x"), Some(1002)),
        ("a fragmented ping", raw_frame(PING, b"x"), Some(1002)),
        ("text that is not UTF-8", frame(TEXT, b"ok \xFF"), Some(1007)),
        ("text in progress", frame(TEXT, &[0xFF; 1000])[..50].to_vec(), Some(1007)),
        ("a close frame of one byte", frame(CLOSE, b"\x03"), Some(1002)),
        (
            "a close frame, then more",
            [raw_frame(0x88, b"\x0B\xB8"), frame(TEXT, b"x").repeat(100)].concat(),
            Some(3000),
        ),
        ("an empty close frame", frame(CLOSE, b""), None),
        ("garbage", vec![0xFF; 4096], Some(1002)),
    ];
    // The reads after the fault are small, so many fragments suffice to exceed the limit.
    let config = config.max_read_message_size(MAX_MESSAGE).max_fragments(1000);
    while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
        for (name, bytes, code) in &cases {
            assert_closed_with(Wire::connect(server, "/"), name, bytes, *code);
        }
    });
}

fn a_half_closed_connection_gets_its_answers_and_ends(config: Config) {
    let request = request("/").into_bytes();
    let [message, large] = [frame(TEXT, b"hello"), frame(BINARY, &[7; 50_000])];
    while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
        for (sent, answer) in [
            (&b""[..], &b""[..]),
            (&request[..40], b""),
            (&request, b""),
            (&[&request[..], &message].concat(), b"\x81\x05hello"),
            (&[&request[..], &message, &message[..3]].concat(), b"\x81\x05hello"),
            (&[&request[..], &message, &large[..20_000]].concat(), b"\x81\x05hello"),
            (&[&request[..], &message, &raw_frame(TEXT, b"fragment")].concat(), b"\x81\x05hello"),
        ] {
            let mut stream = server.tcp();
            stream.write_all(sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let (got, is_ended) = read_to_end(&mut stream);
            assert!(is_ended && got.ends_with(answer), "{sent:?}: {}", String::from_utf8_lossy(&got));
            assert_eq!(got.starts_with(b"HTTP/1.1 101 "), sent.len() >= request.len());
        }
    });
}
