//! permessage-deflate, for those who negotiated on it: whose compressors they borrow, and what they keep.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use clws_proto::{CodecPool, DeflateConfig, DeflateParams};

/// Kinds of codecs that a thread keeps: one for the server's configuration, some for resources that have their own.
const KINDS: usize = 16;

thread_local! {
    /// The last used first.
    static CODECS: RefCell<Vec<(DeflateConfig, CodecPool)>> = const { RefCell::new(Vec::new()) };
}

/// The codecs of this thread, a shard's for instance, that compress in that way.
pub(crate) fn codecs(config: &DeflateConfig) -> CodecPool {
    let codecs = CODECS.try_with(|kinds| {
        let mut kinds = kinds.try_borrow_mut().ok()?;
        let codecs = match kinds.iter().position(|(kind, _)| kind == config) {
            Some(index) => kinds.remove(index).1,
            None => CodecPool::new(config),
        };
        kinds.insert(0, (*config, codecs.clone()));
        kinds.truncate(KINDS); // connections that have those that go keep them
        Some(codecs)
    });
    // A thread that ends has none any more.
    codecs.ok().flatten().unwrap_or_else(|| CodecPool::new(config))
}

/// Frees the compressors and decompressors that this thread keeps.
pub(crate) fn release_memory() {
    let kept = CODECS.try_with(RefCell::take);
    drop(kept);
}

/// Forgets the codecs of this thread.
#[cfg(test)]
pub(crate) fn clear() {
    CODECS.set(Vec::new());
}

/// Messages of so many octets are compressed before a lock is taken, for that takes its time.
pub(crate) const BIG: usize = 16 * 1024;

/// What a client negotiated on, and what it costs.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) params: DeflateParams,
    pub(crate) codecs: CodecPool,
    /// Octets that the receiver keeps of messages that have come.
    received: AtomicUsize,
}

impl Negotiated {
    pub(crate) const fn new(params: DeflateParams, codecs: CodecPool) -> Self {
        Self { params, codecs, received: AtomicUsize::new(0) }
    }

    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, octets: usize) {
        self.received.store(octets, Ordering::Relaxed);
    }
}
