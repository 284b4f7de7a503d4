//! Requests and helpers that several tests use.
#![allow(dead_code, reason = "each test uses some of these")]
#![allow(clippy::panic, reason = "outside of #[test] functions clippy does not see that this is a test")]

use clws_handshake::{HandshakeLimits, Reject, Request, Status, parse};

pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The request of RFC 6455 §1.3 without its subprotocols.
pub(crate) const RFC: &[&str] = &[
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Origin: http://example.com",
    "Sec-WebSocket-Version: 13",
];

/// The request of hixie-76 §1.2, without the 8 bytes after the head.
pub(crate) const HIXIE: &[&str] = &[
    "GET /demo HTTP/1.1",
    "Host: example.com",
    "Connection: Upgrade",
    "Sec-WebSocket-Key2: 12998 5 Y3 1  .P00",
    "Sec-WebSocket-Protocol: sample",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5",
    "Origin: http://example.com",
];

pub(crate) const HIXIE_BODY: &[u8] = b"^n:ds[4U";

/// The request of hixie-75, with the line order of its client section.
pub(crate) const HIXIE_75: &[&str] = &[
    "GET /demo HTTP/1.1",
    "Upgrade: WebSocket",
    "Connection: Upgrade",
    "Host: example.com",
    "Origin: http://example.com",
    "WebSocket-Protocol: sample",
];

/// A head with these lines.
pub(crate) fn head<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Vec<u8> {
    let mut head: String = lines.into_iter().map(|line| format!("{}\r\n", line.as_ref())).collect();
    head.push_str("\r\n");
    head.into_bytes()
}

/// A head in which the lines that start with `name`, in any case, are replaced.
pub(crate) fn with(lines: &[&str], name: &str, replacement: &[&str]) -> Vec<u8> {
    let mut done = false;
    let mut out = Vec::new();
    for line in lines {
        let same = line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        if !same {
            out.push(*line);
        } else if !done {
            done = true;
            out.extend_from_slice(replacement);
        }
    }
    assert!(done, "no line starts with {name}");
    head(out)
}

/// A head with additional lines at its end.
pub(crate) fn plus(lines: &[&str], more: &[&str]) -> Vec<u8> {
    head(lines.iter().chain(more))
}

/// Limits that enable draft 0 and hixie-75.
pub(crate) fn hixie_on() -> HandshakeLimits {
    HandshakeLimits::default().hixie(true).hixie_75(true)
}

/// The handshake in these bytes, which must be complete.
pub(crate) fn whole(bytes: &[u8]) -> Result<Request<'_>, Reject> {
    match parse(bytes, &hixie_on())? {
        Status::Complete(request) => Ok(request),
        Status::Partial => panic!("partial: {}", String::from_utf8_lossy(bytes)),
    }
}

/// The refusal of these bytes.
#[track_caller]
pub(crate) fn refused(bytes: &[u8]) -> Reject {
    match parse(bytes, &hixie_on()) {
        Err(reject) => reject,
        Ok(got) => panic!("accepted as {got:?}: {}", String::from_utf8_lossy(bytes)),
    }
}
