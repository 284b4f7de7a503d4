//! Sending: a message into an outbox and out again, and one message for 1000 outboxes.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench: criterion's macros, and panics on errors")]

mod common;

use std::hint::black_box;
use std::num::NonZeroUsize;

use clws_proto::{Sender, SharedMessage, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const SIZES: [usize; 5] = [16, 125, 1 << 10, 16 << 10, 1 << 20];
const OUTBOXES: usize = 1000;

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
                    common::write(&mut sender)
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
                common::write(&mut sender)
            });
        });
        let mut client = Sender::client(Version::Rfc6455, || common::KEY);
        group.bench_function(BenchmarkId::new("client, masked", &name), |b| {
            b.iter(|| {
                client.binary(black_box(&message), None).unwrap();
                common::write(&mut client)
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
                common::write(&mut sender)
            });
        });
    }
    group.finish();
}

/// One message for 1000 outboxes: shared, and encoded separately for each.
fn shared(c: &mut Criterion) {
    let mut group = c.benchmark_group("1000 outboxes");
    group.throughput(Throughput::Elements(OUTBOXES as u64));
    let one = |_| Sender::server(Version::Rfc6455);
    let all = |n: usize| Sender::server(common::VERSIONS[n % 4]);
    for size in [16, 125, 1 << 10, 16 << 10] {
        let text = common::ascii(size);
        let name = common::short(size);
        let mut outboxes: Vec<_> = (0..OUTBOXES).map(one).collect();
        group.bench_function(BenchmarkId::new("shared", &name), |b| {
            b.iter(|| share(&mut outboxes, black_box(&text)));
        });
        group.bench_function(BenchmarkId::new("each by itself", &name), |b| {
            b.iter(|| outboxes.iter_mut().map(|outbox| each(outbox, black_box(&text))).sum::<usize>());
        });
        let mut outboxes: Vec<_> = (0..OUTBOXES).map(all).collect();
        group.bench_function(BenchmarkId::new("shared, all four drafts", &name), |b| {
            b.iter(|| share(&mut outboxes, black_box(&text)));
        });
    }
    group.finish();
}

fn share(outboxes: &mut [Sender], text: &str) -> usize {
    let message = SharedMessage::text(text);
    outboxes
        .iter_mut()
        .map(|outbox| {
            outbox.shared(&message).unwrap();
            common::write(outbox)
        })
        .sum()
}

fn each(outbox: &mut Sender, text: &str) -> usize {
    outbox.text(text, None).unwrap();
    common::write(outbox)
}

criterion_group!(benches, server, others, shared);
criterion_main!(benches);
