//! The opening handshake in every version: parsing a request and writing the response.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench: criterion's macros, and panics on errors"
)]

mod common;

use std::hint::black_box;

use clws_handshake::{Acceptance, HandshakeLimits, HeadScanner, Origins, Status, parse};
use clws_proto::Version;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Additional headers of a browser.
const BROWSER: &str = "Pragma: no-cache\r\nCache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) \
    AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";

fn request(version: Version, more: &str) -> Vec<u8> {
    let head = format!("GET /echo HTTP/1.1\r\nHost: 127.0.0.1:12345\r\nConnection: Upgrade\r\n{more}");
    let rest = match version {
        Version::Hybi00 => "Upgrade: WebSocket\r\nOrigin: http://example.com\r\n\
             Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U"
            .to_owned(),
        version => {
            let origin = match version {
                Version::Hybi07 | Version::Hybi08 => "Sec-WebSocket-Origin",
                Version::Hixie75 | Version::Hybi00 | Version::Rfc6455 => "Origin",
            };
            format!(
                "Upgrade: websocket\r\n{origin}: http://example.com\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Sec-WebSocket-Version: {}\r\n\r\n",
                version.number()
            )
        }
    };
    (head + &rest).into_bytes()
}

fn handshake(c: &mut Criterion) {
    let limits = HandshakeLimits::default().hixie(true);
    for (kind, more) in [("plain", ""), ("browser", BROWSER)] {
        let mut group = c.benchmark_group(format!("handshake/{kind}"));
        for version in common::VERSIONS {
            let request = request(version, more);
            group.throughput(Throughput::Bytes(request.len() as u64));
            group.bench_function(BenchmarkId::new("parse", version), |b| {
                b.iter(|| match parse(black_box(&request), &limits).unwrap() {
                    Status::Complete(request) => assert_eq!(request.version(), version),
                    Status::Partial => panic!("the request is whole"),
                });
            });
            let origins = Origins::prefix(["http://example.com"]);
            group.bench_function(BenchmarkId::new("parse, check the origin, answer", version), |b| {
                b.iter(|| {
                    let Status::Complete(request) = parse(black_box(&request), &limits).unwrap() else {
                        panic!("the request is whole");
                    };
                    assert!(origins.allows(request.origin()));
                    request.accept(&Acceptance::new()).unwrap().response
                });
            });
        }
        group.finish();
    }

    // `HeadScanner` scans a head that arrives byte by byte once, not once per byte.
    let mut group = c.benchmark_group("handshake/find the end");
    for (kind, more) in
        [("plain", String::new()), ("8 KiB", format!("Cookie: {}\r\n", common::ascii(8 << 10)))]
    {
        let request = request(Version::Rfc6455, &more);
        group.throughput(Throughput::Bytes(request.len() as u64));
        for (cut, step) in [("whole", request.len()), ("byte by byte", 1)] {
            group.bench_function(BenchmarkId::new(cut, kind), |b| {
                b.iter(|| {
                    let mut scanner = HeadScanner::new();
                    let mut end = step;
                    while scanner.scan(black_box(&request[..end]), &limits).unwrap().is_partial() {
                        end += step;
                    }
                    assert_eq!(end, request.len());
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, handshake);
criterion_main!(benches);
