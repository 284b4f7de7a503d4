//! Compression of sent messages.

use crate::deflate::MIN_BITS;
use crate::deflate::params::DeflateParams;
use crate::deflate::pool::CodecPool;
use crate::deflate::window::History;
use crate::version::Role;

/// The sending half of the extension.
#[derive(Debug)]
pub(crate) struct Deflation {
    codecs: CodecPool,
    history: History,
    /// The identity of this connection in the pool. 0 without context takeover.
    owner: u64,
    threshold: usize,
    bits: u8,
}

impl Deflation {
    pub(crate) fn new(role: Role, params: DeflateParams, codecs: &CodecPool) -> Self {
        let (bits, takeover) = params.sent_by(role);
        // An empty message does not get smaller. zlib has no window of 8 bits, so with that window
        // all messages are sent uncompressed.
        let threshold = if bits < MIN_BITS { usize::MAX } else { codecs.config().threshold.max(1) };
        let owner = if takeover { codecs.owner() } else { 0 };
        Self { codecs: codecs.clone(), history: History::new(bits, takeover), owner, threshold, bits }
    }

    /// Whether a message of `len` bytes is to be compressed.
    pub(crate) const fn should_compress(&self, len: usize) -> bool {
        len >= self.threshold
    }

    /// Whether messages refer to earlier ones. Then the compressed bytes are of no use to another
    /// connection.
    pub(crate) const fn has_context(&self) -> bool {
        self.history.is_kept()
    }

    /// Memory held by the context, in bytes.
    pub(crate) const fn context_size(&self) -> usize {
        self.history.capacity()
    }

    /// Passes the compressed message to `send`. Returns `false` if the message should be sent
    /// uncompressed.
    pub(crate) fn compress(&mut self, payload: &[u8], send: impl FnOnce(&[u8])) -> bool {
        // RFC 7692 §7.2.1: "If the "agreed parameters" contain the "server_no_context_takeover"
        // extension parameter, the server MUST start compressing each new message with an empty
        // LZ77 sliding window." The history is empty in that case.
        let mut compressor = self.codecs.compressor(self.bits, self.owner, self.history.window());
        // A message that does not get smaller is sent uncompressed. With context takeover it is
        // sent compressed, so that later messages can refer to it: the first of many small messages
        // never gets smaller.
        let allowance = if self.has_context() { payload.len() / 64 + 64 } else { 0 };
        let sent = compressor.compress(payload, payload.len() + allowance).map(send).is_some();
        if sent {
            self.history.push(payload);
        } else {
            compressor.drop_context(); // the peer does not get this message
        }
        self.codecs.return_compressor(compressor);
        sent
    }

    /// Compresses a message without a context. `None` if it does not get smaller.
    pub(crate) fn compress_shared<T>(&self, payload: &[u8], make: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut compressor = self.codecs.compressor(self.bits, 0, &[]);
        let made = compressor.compress(payload, payload.len()).map(make);
        self.codecs.return_compressor(compressor);
        made
    }

    /// The window size, in bits.
    pub(crate) const fn bits(&self) -> u8 {
        self.bits
    }
}
