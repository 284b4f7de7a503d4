//! Arbitrary bytes as a header of the PROXY protocol, and as the client's part of the headers that
//! proxies append to. No client can change what a trusted proxy reports.
#![no_main]

use std::net::IpAddr;

use clws_handshake::{
    Forwarded, ForwardedClient, ForwardedHeader, HandshakeLimits, HttpRequest, ProxyHeader, Status,
};
use clws_handshake_fuzz::Input;
use libfuzzer_sys::fuzz_target;

/// The client's address in the proxy's report.
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7));

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => check_header(input.rest()),
        // Each form that a proxy writes, with and without quotes.
        1 => check_report(ForwardedHeader::Forwarded, "Forwarded", "for=203.0.113.7", input.rest()),
        _ => check_report(ForwardedHeader::XForwardedFor, "X-Forwarded-For", "203.0.113.7", input.rest()),
    }
    check_report(ForwardedHeader::Forwarded, "Forwarded", "for=\"203.0.113.7:80\";proto=https", data);
});

/// The result does not depend on how the header is split, and nothing after the header is read.
fn check_header(bytes: &[u8]) {
    let mut result = Ok(Status::Partial);
    for end in 0..=bytes.len() {
        let next = ProxyHeader::parse(&bytes[..end]);
        match &result {
            Ok(Status::Partial) => {}
            // A malformed header may also be too long, or lack a byte of its signature later.
            Err(_) => assert!(next.is_err(), "valid again after {end} bytes"),
            done => assert_eq!(&next, done, "changed after {end} bytes"),
        }
        if let Ok(Status::Complete(header)) = &next {
            assert!(header.len <= end && header.len <= ProxyHeader::MAX_LEN);
        }
        if matches!(next, Ok(Status::Partial)) {
            assert!(end < ProxyHeader::MAX_LEN, "{end} bytes, and still no end");
        }
        result = next;
    }
}

/// A proxy appends its report as a new line, or to the client's own line. The client is then the
/// reported one, or the request is refused.
fn check_report(header: ForwardedHeader, name: &str, report: &str, forged: &[u8]) {
    // With the end of a line, the client writes other headers, which no proxy appends to.
    if forged.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return;
    }
    let line = [name.as_bytes(), b": "].concat();
    let new_line = [&line[..], forged, b"\r\n", &line, report.as_bytes()].concat();
    if let Some(found) = read(header, &new_line) {
        assert_eq!(address(found.expect("the proxy's line is valid")), Some(CLIENT));
    }
    let same_line = [&line[..], forged, b", ", report.as_bytes()].concat();
    if let Some(Some(found)) = read(header, &same_line) {
        assert_eq!(address(found), Some(CLIENT));
    }
}

/// The report in these header lines. `Some(None)` if it is refused, and `None` if the lines are no
/// valid headers.
fn read(header: ForwardedHeader, lines: &[u8]) -> Option<Option<Forwarded>> {
    let head = [b"GET / HTTP/1.1\r\nHost: a\r\n", lines, b"\r\n\r\n"].concat();
    let request = HttpRequest::parse(&head, &HandshakeLimits::default()).ok()?;
    Some(header.read(&request.headers(), |address| address.is_loopback()).ok())
}

fn address(found: Forwarded) -> Option<IpAddr> {
    match found.client {
        ForwardedClient::Address(address, _) => Some(address),
        _ => None,
    }
}
