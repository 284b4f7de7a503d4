//! Compression: MB/s of the uncompressed message. `load` and `compare --deflate` report the compression ratios.
#![allow(missing_docs, clippy::unwrap_used, reason = "a bench: criterion's macros, and panics on errors")]

mod common;

use std::hint::black_box;
use std::time::Duration;

use clws_benches::text::{Kind, Lines};
use clws_proto::{
    CodecPool, DeflateConfig, DeflateParams, Event, Limits, Receiver, Role, Sender, SharedMessage, Version,
};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const KINDS: [(&str, Kind); 2] = [("JSON", Kind::Json), ("chat", Kind::Chat)];
const SIZES: [usize; 4] = [125, 1 << 10, 16 << 10, 256 << 10];
const LEVELS: [u8; 4] = [1, 4, 6, 9];
/// Without context takeover, and with context takeover and windows of 4 and of 32 KiB.
const CONTEXTS: [(&str, Option<u8>); 3] =
    [("by itself", None), ("takeover 12", Some(12)), ("takeover 15", Some(15))];
const OUTBOXES: usize = 1000;

/// Whether the bench runs as an unoptimised test, where one iteration is enough.
fn is_test() -> bool {
    std::env::args().any(|word| word == "--test") || !std::env::args().any(|word| word == "--bench")
}

/// Messages of this size. Together they exceed every window, so a repeated message gets no back
/// references.
fn messages(kind: Kind, size: usize) -> Vec<String> {
    let mut lines = Lines::new(kind, 42);
    let count = if is_test() { 1 } else { ((256 << 10) / size).max(4) };
    (0..count).map(|_| lines.message(size)).collect()
}

fn codecs(level: u8) -> CodecPool {
    CodecPool::new(&DeflateConfig::default().level(level).threshold(1))
}

/// The negotiated parameters: context takeover with this window, or none.
fn params(window: Option<u8>) -> DeflateParams {
    let bits = window.unwrap_or(15);
    DeflateParams::default()
        .server_max_window_bits(bits)
        .client_max_window_bits(bits)
        .server_no_context_takeover(window.is_none())
        .client_no_context_takeover(window.is_none())
}

fn sender(window: Option<u8>, codecs: &CodecPool) -> Sender {
    Sender::server(Version::Rfc6455).deflate(params(window), codecs)
}

/// Compresses one message per iteration.
fn compress(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    mut sender: Sender,
    messages: &[String],
) {
    let mut next = messages.iter().cycle();
    group.bench_function(id, |b| {
        b.iter(|| {
            sender.text(black_box(next.next().unwrap()), None).unwrap();
            common::write(&mut sender)
        });
    });
}

fn inflate(
    group: &mut BenchmarkGroup<'_, WallTime>,
    id: BenchmarkId,
    window: Option<u8>,
    codecs: &CodecPool,
    messages: &[String],
) {
    let mut sender = sender(window, codecs);
    // The first message has no back references, so the sequence can be repeated.
    let mut frames: Vec<_> = messages
        .iter()
        .map(|message| {
            sender.text(message, None).unwrap();
            common::take(&mut sender)
        })
        .collect();
    let mut receiver =
        Receiver::new(Version::Rfc6455, Role::Client, Limits::default()).deflate(params(window), codecs);
    let mut next = 0;
    group.bench_function(id, |b| {
        b.iter(|| {
            let frame = &mut frames[next % messages.len()];
            let due = messages[next % messages.len()].len();
            next += 1;
            let mut events = receiver.receive(black_box(frame));
            assert!(matches!(events.next().unwrap(), Some(Event::Text(text)) if text.len() == due));
            assert!(events.next().unwrap().is_none());
        });
    });
}

fn group<'a>(c: &'a mut Criterion, name: String, size: usize) -> BenchmarkGroup<'a, WallTime> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(size as u64));
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}

fn sizes(c: &mut Criterion) {
    for (name, kind) in KINDS {
        for size in SIZES {
            let messages = messages(kind, size);
            let codecs = codecs(4);
            let short = common::short(size);
            let mut group = group(c, format!("deflate/{name}"), size);
            for (context, window) in CONTEXTS {
                let id = BenchmarkId::new(format!("compress, {context}"), &short);
                compress(&mut group, id, sender(window, &codecs), &messages);
                let id = BenchmarkId::new(format!("inflate, {context}"), &short);
                inflate(&mut group, id, window, &codecs, &messages);
            }
            group.finish();
        }
    }
}

fn levels(c: &mut Criterion) {
    let messages = messages(Kind::Json, 16 << 10);
    let mut group = group(c, "deflate/levels, JSON of 16Ki".into(), 16 << 10);
    for level in LEVELS {
        let codecs = codecs(level);
        compress(&mut group, BenchmarkId::new("compress", level), sender(None, &codecs), &messages);
        inflate(&mut group, BenchmarkId::new("inflate", level), None, &codecs, &messages);
    }
    group.finish();
}

/// One message for all outboxes: compressed once without context takeover, else once per outbox.
fn shared(c: &mut Criterion) {
    let outboxes = if is_test() { 10 } else { OUTBOXES };
    let codecs = codecs(4);
    let mut group = c.benchmark_group(format!("deflate/{outboxes} outboxes"));
    group.throughput(Throughput::Elements(outboxes as u64));
    group.sample_size(10).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    for size in [1 << 10, 16 << 10] {
        let messages = messages(Kind::Json, size);
        let short = common::short(size);
        for (name, window) in [("shared", None), ("shared, takeover 12", Some(12))] {
            let mut senders: Vec<_> = (0..outboxes).map(|_| sender(window, &codecs)).collect();
            let mut next = messages.iter().cycle();
            group.bench_function(BenchmarkId::new(name, &short), |b| {
                b.iter(|| {
                    let message = SharedMessage::text(next.next().unwrap().as_str());
                    for sender in &mut senders {
                        sender.shared(&message).unwrap();
                        common::write(sender);
                    }
                    assert_eq!(message.encodings(), usize::from(window.is_none()));
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, sizes, levels, shared);
criterion_main!(benches);
