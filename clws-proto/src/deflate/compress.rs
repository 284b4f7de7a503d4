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
    /// The name of this connection among the codecs' users; 0 without takeover.
    owner: u64,
    threshold: usize,
    bits: u8,
}

impl Deflation {
    pub(crate) fn new(role: Role, params: DeflateParams, codecs: &CodecPool) -> Self {
        let (bits, takeover) = params.sent_by(role);
        // An empty message gets no smaller. And no zlib has a window of 8 bits: who insists gets all messages as they are.
        let threshold = if bits < MIN_BITS { usize::MAX } else { codecs.config().threshold.max(1) };
        let owner = if takeover { codecs.owner() } else { 0 };
        Self { codecs: codecs.clone(), history: History::new(bits, takeover), owner, threshold, bits }
    }

    /// Whether a message of that length is to be compressed.
    pub(crate) const fn wants(&self, len: usize) -> bool {
        len >= self.threshold
    }

    /// Whether messages refer back to earlier ones, so that this connection's octets are of use to no other.
    pub(crate) const fn has_context(&self) -> bool {
        self.history.is_kept()
    }

    /// Octets of the context.
    pub(crate) const fn context_size(&self) -> usize {
        self.history.capacity()
    }

    /// Gives `send` the octets to send for a message; `false` if it is better to send it as it is.
    pub(crate) fn compress(&mut self, payload: &[u8], send: impl FnOnce(&[u8])) -> bool {
        // RFC 7692 §7.2.1: "If the "agreed parameters" contain the "server_no_context_takeover" extension parameter, the
        // server MUST start compressing each new message with an empty LZ77 sliding window." The history is empty then.
        let mut compressor = self.codecs.compressor(self.bits, self.owner, self.history.window());
        // A message that gets no smaller goes out as it is. With takeover though it goes compressed, for the next ones to
        // refer back to: the first of many small ones is never smaller.
        let allowance = if self.has_context() { payload.len() / 64 + 64 } else { 0 };
        let sent = compressor.compress(payload, payload.len() + allowance).map(send).is_some();
        if sent {
            self.history.push(payload);
        } else {
            compressor.forget(); // the peer will not see what it has seen
        }
        self.codecs.put_compressor(compressor);
        sent
    }

    /// The same for a message without context, to be kept; `None` if it does not get smaller.
    pub(crate) fn compress_for_all<T>(&self, payload: &[u8], make: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let mut compressor = self.codecs.compressor(self.bits, 0, &[]);
        let made = compressor.compress(payload, payload.len()).map(make);
        self.codecs.put_compressor(compressor);
        made
    }

    /// The class of windows that this connection's messages belong to.
    pub(crate) const fn bits(&self) -> u8 {
        self.bits
    }
}
