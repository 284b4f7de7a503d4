//! One message for 1000 outboxes: shared, and encoded separately for each.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench: criterion's macros, and panics on errors")]

mod common;

use std::hint::black_box;
use std::io::IoSlice;

use clws_proto::{Sender, SharedMessage, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const OUTBOXES: usize = 1000;

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
            write(outbox)
        })
        .sum()
}

fn each(outbox: &mut Sender, text: &str) -> usize {
    outbox.text(text, None).unwrap();
    write(outbox)
}

/// Writes the outbox with one vectored write. Then gives the outbox's buffer back, as a
/// server does for idle clients.
fn write(outbox: &mut Sender) -> usize {
    let mut slices = [IoSlice::new(&[]); 4];
    let n = outbox.io_slices(&mut slices);
    let written = black_box(&slices[..n]).iter().map(|slice| slice.len()).sum();
    outbox.consume(written);
    written
}

criterion_group!(benches, shared);
criterion_main!(benches);
