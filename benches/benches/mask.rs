//! Unmasking, against a plain copy of as many octets (what memory allows) and an octet-wise loop.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench: criterion's macros, and failing loudly")]

mod common;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for size in [1, 7, 16, 125, 1 << 10, 16 << 10, 1 << 20, 16 << 20] {
        let source = common::octets(size);
        let mut payload = source.clone();
        let name = common::short(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("clws", &name), |b| {
            b.iter(|| clws_proto::apply_mask(black_box(common::KEY), 0, black_box(&mut payload)));
        });
        #[cfg(feature = "peers")]
        group.bench_function(BenchmarkId::new("fastwebsockets", &name), |b| {
            b.iter(|| fastwebsockets::unmask(black_box(&mut payload), black_box(common::KEY)));
        });
        group.bench_function(BenchmarkId::new("copy", &name), |b| {
            b.iter(|| black_box(&mut payload).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

/// Any alignment of the payload and any position in the key cost the same.
fn alignments(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask/alignment");
    let mut payload = common::octets(1024 + 64);
    group.throughput(Throughput::Bytes(1024));
    for lead in [0, 1, 2, 3, 4, 8, 31] {
        group.bench_function(BenchmarkId::new("lead", lead), |b| {
            b.iter(|| {
                clws_proto::apply_mask(black_box(common::KEY), 0, black_box(&mut payload[lead..][..1024]));
            });
        });
    }
    for offset in 1..4 {
        group.bench_function(BenchmarkId::new("offset", offset), |b| {
            b.iter(|| {
                clws_proto::apply_mask(black_box(common::KEY), offset, black_box(&mut payload[..1024]));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sizes, alignments);
criterion_main!(benches);
