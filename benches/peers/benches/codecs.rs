//! The codecs of several libraries without socket and executor: messages from and to an in-memory
//! stream.
//!
//! All check masks, UTF-8 and limits. Most libraries have no codec without a stream, so every
//! library gets a stream and copies out of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench: criterion's macros, and panics on errors"
)]

#[path = "../../benches/common/mod.rs"]
mod common;
#[path = "codecs/memory.rs"]
mod memory;
#[path = "codecs/peers.rs"]
mod peers;

use std::time::Duration;

use clws_proto::{Sender, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use memory::Memory;
use peers::Codec;

/// The number of messages per iteration, with the message sizes.
const SIZES: [(usize, &[usize]); 2] =
    [(1, &[16, 125, 1 << 10, 16 << 10, 64 << 10, 1 << 20]), (64, &[16, 125, 1 << 10])];

/// Runs `work` with every library and every size. `work` receives the number of messages; `writes`
/// says whether it sends them.
fn each(c: &mut Criterion, what: &str, writes: bool, work: fn(&mut dyn Codec, usize)) {
    for (count, sizes) in SIZES {
        let mut group = c.benchmark_group(format!("codecs/{what} {count}"));
        group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
        group.throughput(Throughput::Elements(count as u64));
        for &size in sizes {
            let text = common::ascii(size);
            let wire = common::client_text(Version::Rfc6455, &text, [7, 77, 177, 27]).repeat(count);
            let mut sender = Sender::server(Version::Rfc6455);
            sender.text(&text, None).unwrap();
            let expected = if writes { sender.queued() * count } else { 0 };
            let names = peers::all(&Memory::new(Vec::new()), "").into_iter().map(|(name, _)| name);
            for name in names.filter(|name| *name != peers::SHARED || what == "encode") {
                let memory = Memory::new(wire.clone());
                let mut all = peers::all(&memory, &text);
                let (_, codec) = all.iter_mut().find(|(other, _)| *other == name).unwrap();
                group.bench_function(BenchmarkId::new(name, common::short(size)), |b| {
                    b.iter(|| {
                        work(codec.as_mut(), count);
                        assert_eq!(memory.rewind(), expected);
                    });
                });
            }
        }
        group.finish();
    }
}

fn decode(c: &mut Criterion) {
    each(c, "decode", false, |codec, count| assert_eq!(codec.decode(), count));
}

fn encode(c: &mut Criterion) {
    each(c, "encode", true, |codec, count| codec.encode(count));
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
