//! Unmasking, compared with a plain copy of the same size (the limit set by memory).
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench: criterion's macros, and panics on errors")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

fn sizes(c: &mut Criterion) {
    let mut group = c.benchmark_group("mask");
    for size in [1, 7, 16, 125, 1 << 10, 16 << 10, 1 << 20, 16 << 20] {
        let source = common::bytes(size);
        let mut payload = source.clone();
        let name = common::short(size);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("clws", &name), |b| {
            b.iter(|| clws_proto::apply_mask(black_box(common::KEY), 0, black_box(&mut payload)));
        });
        group.bench_function(BenchmarkId::new("copy", &name), |b| {
            b.iter(|| black_box(&mut payload).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

/// Unmasking at every alignment, compared with a copy to the same place, and at every position in
/// the key.
fn alignments(c: &mut Criterion) {
    for size in [16, 125, 1 << 10, 16 << 10] {
        let mut group = c.benchmark_group(format!("mask/alignment {}", common::short(size)));
        group.warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(800));
        group.throughput(Throughput::Bytes(size as u64));
        let source = common::bytes(size);
        let mut payload = common::bytes(size + 64);
        // The allocation starts anywhere, so alignments are relative to the first cache line that
        // begins in it.
        let line = payload.as_ptr().align_offset(64);
        for lead in (0..8).chain([16, 31]).map(|lead| (line + lead) % 64) {
            let name = (lead + 64 - line) % 64;
            group.bench_function(BenchmarkId::new("clws", name), |b| {
                let payload = &mut payload[lead..][..size];
                b.iter(|| clws_proto::apply_mask(black_box(common::KEY), 0, black_box(&mut *payload)));
            });
            group.bench_function(BenchmarkId::new("copy", name), |b| {
                let payload = &mut payload[lead..][..size];
                b.iter(|| black_box(&mut *payload).copy_from_slice(black_box(&source)));
            });
        }
        for offset in 1..4 {
            group.bench_function(BenchmarkId::new("clws, in the key at", offset), |b| {
                let payload = &mut payload[line % 64..][..size];
                b.iter(|| clws_proto::apply_mask(black_box(common::KEY), offset, black_box(&mut *payload)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, sizes, alignments);
criterion_main!(benches);
