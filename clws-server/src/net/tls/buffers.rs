//! The buffers that the TLS sessions of one thread share. An idle session holds none.

/// The most plaintext bytes of one record (RFC 8446 §5.1: 2^14).
pub(super) const MAX_PLAINTEXT: usize = 16 * 1024;

/// The most bytes of one record that a peer may send (RFC 5246 §6.2.3: 2^14 + 2048, and the header).
pub(super) const MAX_RECORD: usize = MAX_PLAINTEXT + 2048 + 5;

/// The buffers of one thread, empty before their first use.
#[derive(Debug, Default)]
pub(crate) struct TlsBuffers {
    /// Ciphertext that was read, after the part that its session held.
    incoming: Vec<u8>,
    /// Records to write.
    pub(crate) outgoing: Vec<u8>,
    /// Plaintext of a record that lies in several slices.
    pub(super) gathered: Vec<u8>,
}

impl TlsBuffers {
    pub(crate) const fn new() -> Self {
        Self { incoming: Vec::new(), outgoing: Vec::new(), gathered: Vec::new() }
    }

    /// A buffer for ciphertext that is discarded.
    pub(crate) fn space(&mut self, size: usize) -> &mut [u8] {
        self.incoming(&[], size)
    }

    /// A buffer for `held`, and space after it for a read of at least one record. Together they
    /// have `size` bytes, or more if much is held.
    pub(super) fn incoming(&mut self, held: &[u8], size: usize) -> &mut [u8] {
        let size = size.max(held.len() + MAX_RECORD);
        if self.incoming.len() < size {
            self.incoming.resize(size, 0);
        }
        let incoming = self.incoming.get_mut(..size).unwrap_or_default();
        if let Some(front) = incoming.get_mut(..held.len()) {
            front.copy_from_slice(held);
        }
        incoming
    }
}
