use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::deflate::compressor::Compressor;
use crate::deflate::config::DeflateConfig;
use crate::deflate::inflater::Inflater;

/// The compressors and decompressors of many connections: each borrows one for the time of a message.
///
/// A compressor has some 380,000 octets and a connection is idle most of the time, so none belongs to a connection: a
/// server makes one `CodecPool` for each of its threads (or one for all) and gives it to the connections that negotiated
/// permessage-deflate. It is a handle: a clone is the same `CodecPool`. Any thread may send to such a connection; the shelf
/// is locked only to take and to put back.
///
/// It keeps up to [8 of each](Self::with_kept) between messages, for their memory is expensive to get. A compressor that
/// is put back stays ready for the connection that used it, so that one with context takeover that sends again soon does
/// without reading its context anew.
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
    shelf: Mutex<Shelf>,
}

/// What nobody uses now, the last used last.
#[expect(clippy::vec_box, reason = "they are lent to connections, for which a pointer is to suffice")]
#[derive(Default)]
struct Shelf {
    inflaters: Vec<Box<Inflater>>,
    compressors: Vec<Box<Compressor>>,
    /// How many owners have a name. It never begins again: a name given twice would mix up two connections' contexts.
    owners: u64,
}

impl CodecPool {
    /// CodecPool that compress as configured; it allocates nothing until a message comes.
    #[must_use]
    pub fn new(config: &DeflateConfig) -> Self {
        Self::with_kept(config, 8)
    }

    /// The same, with another number of compressors and of decompressors to keep between messages.
    ///
    /// With context takeover a higher one saves time where more than 8 connections send in turn, and costs what
    /// [`DeflateConfig`] says for each: of 64 that each sent 133 octets in turn, a message took 45 microseconds with 8
    /// compressors and 21 with 64 for a window of 15 bits, 12 and 6 for one of 12.
    #[must_use]
    pub fn with_kept(config: &DeflateConfig, kept: usize) -> Self {
        Self(Arc::new(Inner { config: config.in_range(), kept, shelf: Mutex::default() }))
    }

    /// How they compress.
    #[must_use]
    pub fn config(&self) -> &DeflateConfig {
        &self.0.config
    }

    /// Octets of memory that wait for the next message.
    #[must_use]
    pub fn held(&self) -> usize {
        let shelf = self.shelf();
        let inflaters = shelf.inflaters.len() * Inflater::SIZE;
        inflaters + shelf.compressors.iter().map(|compressor| compressor.size()).sum::<usize>()
    }

    /// A name that no other connection has; never 0.
    pub(super) fn owner(&self) -> u64 {
        let mut shelf = self.shelf();
        shelf.owners += 1;
        shelf.owners
    }

    /// A decompressor at the start of a message that may refer back to these octets.
    pub(super) fn inflater(&self, window: &[u8]) -> Box<Inflater> {
        let shelved = self.shelf().inflaters.pop();
        let mut inflater = shelved.unwrap_or_else(|| Box::new(Inflater::new()));
        inflater.begin(window);
        inflater
    }

    pub(super) fn put_inflater(&self, inflater: Box<Inflater>) {
        let mut shelf = self.shelf();
        if shelf.inflaters.len() < self.0.kept {
            shelf.inflaters.push(inflater);
        }
    }

    /// A compressor with a window of so many bits at the start of a message; `owner` and `window` say whose message, and
    /// what it may refer back to. Owner 0 is nobody.
    pub(super) fn compressor(&self, bits: u8, owner: u64, window: &[u8]) -> Box<Compressor> {
        let mut shelf = self.shelf();
        let compressors = &mut shelf.compressors;
        // The owner's own, else the one that was used last and is nobody's, else the one that its owner left longest.
        let found = compressors.iter().rposition(|one| one.is_for(bits, owner)).or_else(|| {
            let full = compressors.len() >= self.0.kept;
            compressors
                .iter()
                .rposition(|one| one.is_for(bits, 0))
                .or_else(|| compressors.iter().position(|one| full && one.bits() == bits))
        });
        let shelved = found.map(|index| compressors.remove(index));
        drop(shelf);
        let mut compressor = shelved.unwrap_or_else(|| Box::new(Compressor::new(&self.0.config, bits)));
        compressor.begin(owner, window);
        compressor
    }

    pub(super) fn put_compressor(&self, mut compressor: Box<Compressor>) {
        if !compressor.is_sound() {
            return;
        }
        compressor.trim();
        let mut shelf = self.shelf();
        shelf.compressors.push(compressor);
        let surplus = (shelf.compressors.len() > self.0.kept).then(|| shelf.compressors.remove(0));
        drop(shelf);
        drop(surplus);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Without the shelf: its lock would be held while a formatter of the caller's runs.
impl fmt::Debug for CodecPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecPool")
            .field("config", &self.0.config)
            .field("kept", &self.0.kept)
            .finish_non_exhaustive()
    }
}
