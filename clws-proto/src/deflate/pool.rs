//! The pool of compressors and decompressors.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::deflate::compressor::Compressor;
use crate::deflate::config::DeflateConfig;
use crate::deflate::inflater::Inflater;

/// A pool of compressors and decompressors. A connection borrows one for the duration of a message.
///
/// A compressor takes about 380,000 bytes and most connections are idle, so no connection owns one.
/// A server makes one `CodecPool` per thread, or one for all threads, and passes it to the
/// connections that negotiated permessage-deflate. A clone is a handle to the same pool. Any thread
/// may send to such a connection: the pool is locked only to take or return a codec.
///
/// By default it keeps up to [8 compressors and 8 decompressors](Self::with_kept), because their
/// memory is expensive to allocate. A returned compressor keeps its connection's context. If that
/// connection soon sends again, the compressor need not read the context again.
///
/// ```
/// use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Sender, Version};
///
/// let codecs = CodecPool::new(&DeflateConfig::default());
/// let params = DeflateParams::default().server_no_context_takeover(true);
/// let mut sender = Sender::server(Version::Rfc6455).deflate(params, &codecs);
/// sender.text(&"la ".repeat(1000), None)?;
/// assert!(sender.queued() < 40);
/// # Ok::<(), clws_proto::SendError>(())
/// ```
#[derive(Clone)]
pub struct CodecPool(Arc<Inner>);

struct Inner {
    config: DeflateConfig,
    kept: usize,
    idle: Mutex<Idle>,
}

/// The codecs that are not in use, the most recently used last.
#[expect(clippy::vec_box, reason = "a connection borrows a codec and holds only a pointer")]
#[derive(Default)]
struct Idle {
    inflaters: Vec<Box<Inflater>>,
    compressors: Vec<Box<Compressor>>,
    /// The number of owners so far. It never restarts, because a reused number would mix up two
    /// connections' contexts.
    owners: u64,
}

impl CodecPool {
    /// Creates a pool that compresses as configured. It allocates nothing until the first message.
    #[must_use]
    pub fn new(config: &DeflateConfig) -> Self {
        Self::with_kept(config, 8)
    }

    /// Creates a pool that keeps another number of compressors and decompressors between messages.
    ///
    /// With context takeover, a higher number saves time if more than 8 connections send in turn.
    /// It costs the memory given at [`DeflateConfig`]. As an example, 64 connections each send 133
    /// bytes in turn. With a window of 15 bits, a message takes 45 microseconds with 8 compressors
    /// and 21 with 64. With a window of 12 bits, it takes 12 and 6 microseconds.
    #[must_use]
    pub fn with_kept(config: &DeflateConfig, kept: usize) -> Self {
        Self(Arc::new(Inner { config: config.in_range(), kept, idle: Mutex::default() }))
    }

    /// The compression settings.
    #[must_use]
    pub fn config(&self) -> &DeflateConfig {
        &self.0.config
    }

    /// Memory held by unused codecs, in bytes.
    #[must_use]
    pub fn held(&self) -> usize {
        let idle = self.idle();
        let inflaters = idle.inflaters.len() * Inflater::SIZE;
        inflaters + idle.compressors.iter().map(|compressor| compressor.size()).sum::<usize>()
    }

    /// An identity that no other connection has. It is never 0.
    pub(super) fn owner(&self) -> u64 {
        let mut idle = self.idle();
        idle.owners += 1;
        idle.owners
    }

    /// A decompressor at the start of a message that may refer to the bytes in `window`.
    pub(super) fn inflater(&self, window: &[u8]) -> Box<Inflater> {
        let reused = self.idle().inflaters.pop();
        let mut inflater = reused.unwrap_or_else(|| Box::new(Inflater::new()));
        inflater.begin(window);
        inflater
    }

    pub(super) fn return_inflater(&self, inflater: Box<Inflater>) {
        let mut idle = self.idle();
        if idle.inflaters.len() < self.0.kept {
            idle.inflaters.push(inflater);
        }
    }

    /// A compressor at the start of a message of `owner` that may refer to the bytes in `window`.
    /// Owner 0 has no context.
    pub(super) fn compressor(&self, bits: u8, owner: u64, window: &[u8]) -> Box<Compressor> {
        let mut idle = self.idle();
        let compressors = &mut idle.compressors;
        // Prefers the owner's compressor, then the most recently used one without an owner, then
        // the least recently used one.
        let found = compressors.iter().rposition(|compressor| compressor.is_for(bits, owner)).or_else(|| {
            let full = compressors.len() >= self.0.kept;
            compressors
                .iter()
                .rposition(|compressor| compressor.is_for(bits, 0))
                .or_else(|| compressors.iter().position(|compressor| full && compressor.bits() == bits))
        });
        let reused = found.map(|index| compressors.remove(index));
        drop(idle);
        let mut compressor = reused.unwrap_or_else(|| Box::new(Compressor::new(&self.0.config, bits)));
        compressor.begin(owner, window);
        compressor
    }

    pub(super) fn return_compressor(&self, mut compressor: Box<Compressor>) {
        if !compressor.is_usable() {
            return;
        }
        compressor.shrink_output();
        let mut idle = self.idle();
        idle.compressors.push(compressor);
        let surplus = (idle.compressors.len() > self.0.kept).then(|| idle.compressors.remove(0));
        drop(idle);
        drop(surplus);
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Omits the idle codecs: the caller's formatter would run while they are locked.
impl fmt::Debug for CodecPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecPool")
            .field("config", &self.0.config)
            .field("kept", &self.0.kept)
            .finish_non_exhaustive()
    }
}
