//! Sending: a message into an outbox and out again.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench: criterion's macros, and panics on errors")]

mod common;

use std::hint::black_box;
use std::io::IoSlice;
use std::num::NonZeroUsize;

use clws_proto::{Sender, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 5] = [16, 125, 1 << 10, 16 << 10, 1 << 20];

fn server(c: &mut Criterion) {
    for version in common::VERSIONS {
        let mut group = c.benchmark_group(format!("encode/{version}"));
        for size in SIZES {
            let text = common::ascii(size);
            let mut sender = Sender::server(version);
            group.throughput(Throughput::Bytes(size as u64));
            group.bench_function(BenchmarkId::new("text", common::short(size)), |b| {
                b.iter(|| {
                    sender.text(black_box(&text), None).unwrap();
                    write(&mut sender)
                });
            });
        }
        group.finish();
    }
}

fn others(c: &mut Criterion) {
    let mut group = c.benchmark_group("encode/binary");
    for size in SIZES {
        let message = common::bytes(size);
        let name = common::short(size);
        group.throughput(Throughput::Bytes(size as u64));
        let mut sender = Sender::server(Version::Rfc6455);
        let quarter = NonZeroUsize::new(size.div_ceil(4));
        group.bench_function(BenchmarkId::new("in four frames", &name), |b| {
            b.iter(|| {
                sender.binary(black_box(&message), quarter).unwrap();
                write(&mut sender)
            });
        });
        let mut client = Sender::client(Version::Rfc6455, || common::KEY);
        group.bench_function(BenchmarkId::new("client, masked", &name), |b| {
            b.iter(|| {
                client.binary(black_box(&message), None).unwrap();
                write(&mut client)
            });
        });
    }
    group.finish();

    let mut group = c.benchmark_group("encode/64 for one write");
    group.throughput(Throughput::Elements(64));
    for size in [16, 125, 1 << 10] {
        let text = common::ascii(size);
        let mut sender = Sender::server(Version::Rfc6455);
        group.bench_function(BenchmarkId::new("text", common::short(size)), |b| {
            b.iter(|| {
                for _ in 0..64 {
                    sender.text(black_box(&text), None).unwrap();
                }
                write(&mut sender)
            });
        });
    }
    group.finish();
}

/// Writes the whole outbox with vectored writes. Returns the number of bytes.
fn write(sender: &mut Sender) -> usize {
    let mut bytes = 0;
    while sender.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        let n = sender.io_slices(&mut slices);
        let written = black_box(&slices[..n]).iter().map(|slice| slice.len()).sum();
        sender.consume(written);
        bytes += written;
    }
    bytes
}

criterion_group!(benches, server, others);
criterion_main!(benches);
