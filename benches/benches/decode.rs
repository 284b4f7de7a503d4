//! Receiving messages of several sizes in every version: whole, in two reads, in fragments and
//! pipelined; and the cost of UTF-8 validation.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench: criterion's macros, and panics on errors"
)]

mod common;

use std::hint::black_box;
use std::num::NonZeroUsize;

use clws_benches::random::SplitMix;
use clws_proto::{Event, Limits, Receiver, Role, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 5] = [16, 125, 1 << 10, 16 << 10, 1 << 20];

fn whole(c: &mut Criterion) {
    for version in common::VERSIONS {
        let mut group = c.benchmark_group(format!("decode/{version}"));
        for size in SIZES {
            group.throughput(Throughput::Bytes(size as u64));
            let mut wire = common::client_text(version, &common::ascii(size), common::KEY);
            let mut receiver = receiver(version);
            group.bench_function(BenchmarkId::new("text", common::short(size)), |b| {
                b.iter(|| assert_eq!(receive(&mut receiver, black_box(&mut wire)), 1));
            });
        }
        group.finish();
    }
}

fn binary(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode/binary");
    for size in SIZES {
        group.throughput(Throughput::Bytes(size as u64));
        let name = common::short(size);
        let mut receiver = receiver(Version::Rfc6455);
        let mut wire = common::client_binary(&common::bytes(size), None);
        group.bench_function(BenchmarkId::new("whole", &name), |b| {
            b.iter(|| assert_eq!(receive(&mut receiver, black_box(&mut wire)), 1));
        });
        let half = wire.len() / 2;
        group.bench_function(BenchmarkId::new("in two reads", &name), |b| {
            b.iter(|| {
                assert_eq!(receive(&mut receiver, black_box(&mut wire[..half])), 0);
                assert_eq!(receive(&mut receiver, black_box(&mut wire[half..])), 1);
            });
        });
        // Random cuts, 4 KiB apart on average, like reads from a busy socket.
        let cuts = cuts(wire.len());
        group.bench_function(BenchmarkId::new("in random reads", &name), |b| {
            b.iter(|| {
                let messages: usize = cuts
                    .windows(2)
                    .map(|cut| receive(&mut receiver, black_box(&mut wire[cut[0]..cut[1]])))
                    .sum();
                assert_eq!(messages, 1);
            });
        });
        let mut wire = common::client_binary(&common::bytes(size), NonZeroUsize::new(size.div_ceil(4)));
        group.bench_function(BenchmarkId::new("in four fragments", &name), |b| {
            b.iter(|| assert_eq!(receive(&mut receiver, black_box(&mut wire)), 1));
        });
    }
    group.finish();
}

/// 64 messages in one read.
fn pipelined(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode/64 in one read");
    group.throughput(Throughput::Elements(64));
    for size in [16, 125, 1 << 10] {
        for version in [Version::Rfc6455, Version::Hybi00] {
            let mut wire = common::client_text(version, &common::ascii(size), common::KEY).repeat(64);
            let mut receiver = receiver(version);
            group.bench_function(BenchmarkId::new(format!("text {version}"), common::short(size)), |b| {
                b.iter(|| assert_eq!(receive(&mut receiver, black_box(&mut wire)), 64));
            });
        }
    }
    group.finish();
}

/// Text and binary of the same content, and validation alone.
fn utf8(c: &mut Criterion) {
    // This key leaves the payload unchanged, so that it is valid text after each unmasking in place.
    let key = [0; 4];
    for (kind, make) in [("ascii", common::ascii as fn(usize) -> String), ("mixed", common::mixed)] {
        let mut group = c.benchmark_group(format!("utf8/{kind}"));
        for size in [16, 125, 16 << 10, 1 << 20] {
            let text = make(size);
            let name = common::short(size);
            group.throughput(Throughput::Bytes(text.len() as u64));
            let mut wire = common::client_text(Version::Rfc6455, &text, key);
            let mut receiver = receiver(Version::Rfc6455);
            for (id, piece) in [("decode text", usize::MAX), ("decode text in pieces of 1000", 1000)] {
                group.bench_function(BenchmarkId::new(id, &name), |b| {
                    b.iter(|| {
                        let pieces = black_box(&mut wire).chunks_mut(piece);
                        assert_eq!(pieces.map(|read| receive(&mut receiver, read)).sum::<usize>(), 1);
                    });
                });
            }
            let mut wire = common::client_binary(text.as_bytes(), None);
            group.bench_function(BenchmarkId::new("decode binary", &name), |b| {
                b.iter(|| assert_eq!(receive(&mut receiver, black_box(&mut wire)), 1));
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

fn cuts(len: usize) -> Vec<usize> {
    let (mut cuts, mut at, mut random) = (vec![0], 0, SplitMix(1));
    while at < len {
        at = len.min(at + 1 + random.below(8 << 10));
        cuts.push(at);
    }
    cuts
}

fn receiver(version: Version) -> Receiver {
    Receiver::new(version, Role::Server, Limits::default())
}

/// Consumes every event and returns the number of messages.
fn receive(receiver: &mut Receiver, read: &mut [u8]) -> usize {
    let mut messages = 0;
    let mut events = receiver.receive(read);
    while let Some(event) = events.next().unwrap() {
        messages += 1;
        match event {
            Event::Text(text) => _ = black_box(text.len()),
            Event::Binary(payload) => _ = black_box(payload.len()),
            other => panic!("{other:?}"),
        }
    }
    messages
}

criterion_group!(benches, whole, binary, pipelined, utf8);
criterion_main!(benches);
