//! The compressors that the clients of one thread share, for permessage-deflate.

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use clws_proto::{CodecPool, DeflateConfig, DeflateParams};

/// The number of pools that a thread keeps: one for the config of the server, the others for
/// resources that override it.
const MAX_POOLS: usize = 16;

thread_local! {
    /// The pools, the most recently used first.
    static CODECS: RefCell<Vec<(DeflateConfig, CodecPool)>> = const { RefCell::new(Vec::new()) };
}

/// The pool of this thread for a configuration.
pub(crate) fn codecs(config: &DeflateConfig) -> CodecPool {
    let codecs = CODECS.try_with(|pools| {
        let mut pools = pools.try_borrow_mut().ok()?;
        let codecs = match pools.iter().position(|(key, _)| key == config) {
            Some(index) => pools.remove(index).1,
            None => CodecPool::new(config),
        };
        pools.insert(0, (*config, codecs.clone()));
        pools.truncate(MAX_POOLS); // connections keep a removed pool as long as they use it
        Some(codecs)
    });
    // A thread that ends may have dropped its pools.
    codecs.ok().flatten().unwrap_or_else(|| CodecPool::new(config))
}

/// Frees the compressors and decompressors of this thread.
pub(crate) fn release_memory() {
    let kept = CODECS.try_with(RefCell::take);
    drop(kept);
}

/// Forgets the pools of this thread.
#[cfg(test)]
pub(crate) fn clear() {
    CODECS.set(Vec::new());
}

/// The size from which messages are compressed before a lock is taken, because compression takes
/// long.
pub(crate) const COMPRESS_UNLOCKED_FROM: usize = 16 * 1024;

/// The parameters that a client negotiated, and the memory that it holds for them.
#[derive(Debug)]
pub(crate) struct Negotiated {
    pub(crate) params: DeflateParams,
    pub(crate) codecs: CodecPool,
    /// The bytes that the receiver keeps of earlier messages.
    received: AtomicUsize,
}

impl Negotiated {
    pub(crate) const fn new(params: DeflateParams, codecs: CodecPool) -> Self {
        Self { params, codecs, received: AtomicUsize::new(0) }
    }

    pub(crate) fn received(&self) -> usize {
        self.received.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self, bytes: usize) {
        self.received.store(bytes, Ordering::Relaxed);
    }
}
