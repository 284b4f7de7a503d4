//! The cost of UTF-8 validation: decoding text and binary of the same size, and validation alone.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench: criterion's macros, and panics on errors"
)]

mod common;

use std::hint::black_box;

use clws_proto::{Event, Limits, Receiver, Role, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// A key that leaves the payload unchanged, so that it is valid text after each unmasking in place.
const PLAIN: [u8; 4] = [0; 4];

fn utf8(c: &mut Criterion) {
    for (kind, make) in [("ascii", common::ascii as fn(usize) -> String), ("mixed", common::mixed)] {
        let mut group = c.benchmark_group(format!("utf8/{kind}"));
        for size in [16, 125, 16 << 10, 1 << 20] {
            let text = make(size);
            let name = common::short(size);
            group.throughput(Throughput::Bytes(text.len() as u64));
            let mut wire = common::client_text(Version::Rfc6455, &text, PLAIN);
            group.bench_function(BenchmarkId::new("decode text", &name), |b| {
                b.iter(|| decode(&mut wire, usize::MAX));
            });
            group.bench_function(BenchmarkId::new("decode text in pieces of 1000", &name), |b| {
                b.iter(|| decode(&mut wire, 1000));
            });
            let mut wire = common::client_binary(text.as_bytes(), None);
            group.bench_function(BenchmarkId::new("decode binary", &name), |b| {
                b.iter(|| decode(&mut wire, usize::MAX));
            });
            group.bench_function(BenchmarkId::new("simdutf8", &name), |b| {
                b.iter(|| simdutf8::basic::from_utf8(black_box(text.as_bytes())).is_ok());
            });
            group.bench_function(BenchmarkId::new("std", &name), |b| {
                b.iter(|| std::str::from_utf8(black_box(text.as_bytes())).is_ok());
            });
        }
        group.finish();
    }
}

/// Receives one message in pieces of this size.
fn decode(wire: &mut [u8], piece: usize) -> usize {
    let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
    let mut bytes = 0;
    for part in wire.chunks_mut(piece) {
        let mut events = receiver.receive(black_box(part));
        while let Some(event) = events.next().unwrap() {
            bytes += match event {
                Event::Text(text) => text.len(),
                Event::Binary(payload) => payload.len(),
                other => panic!("{other:?}"),
            };
        }
    }
    assert!(bytes > 0);
    bytes
}

criterion_group!(benches, utf8);
criterion_main!(benches);
