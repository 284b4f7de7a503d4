/// What a request head may cost, and whether draft 0 and hixie-75 are spoken: the limits every reader in this crate takes.
///
/// ```
/// use clws_handshake::HandshakeLimits;
///
/// let limits = HandshakeLimits::default().max_head_bytes(8 * 1024).hixie(true);
/// assert_eq!(limits.max_headers, 100);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeLimits {
    /// The longest head in bytes, from the first byte that comes to the end of the empty line. A longer one is answered
    /// with 431, or with 414 if the request line alone is longer. Default: 16 KiB. Under 135 bytes no handshake of RFC 6455
    /// fits.
    pub max_head_bytes: usize,
    /// The most header lines a head may have. More are answered with 431. Default: 100.
    pub max_headers: usize,
    /// Whether draft 0 (hixie-76, hybi-00) is spoken. While it is off its clients get 426. Default: off,
    /// because its handshake is older than any defence that came after it and no browser since 2011 needs it.
    pub hixie: bool,
    /// Whether hixie-75 is spoken, the draft before that one, which Chrome 4 and Safari 5.0.0 speak. While it is off its
    /// clients get 400. Default: off.
    ///
    /// Its handshake has no challenge. Nothing in the request proves that a WebSocket client wrote it, and nothing in the
    /// answer proves that the server has read it, so a server can be made to answer a request that other software was
    /// led to send: hixie-76 added the keys because of such cross-protocol attacks. Turn it on only where clients of
    /// that age are served, with a rule for origins.
    pub hixie_75: bool,
}

impl HandshakeLimits {
    /// These limits with another [`max_head_bytes`](Self::max_head_bytes).
    #[must_use]
    pub const fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// These limits with another [`max_headers`](Self::max_headers).
    #[must_use]
    pub const fn max_headers(mut self, lines: usize) -> Self {
        self.max_headers = lines;
        self
    }

    /// These limits with draft 0 on or off.
    #[must_use]
    pub const fn hixie(mut self, on: bool) -> Self {
        self.hixie = on;
        self
    }

    /// These limits with hixie-75 on or off.
    #[must_use]
    pub const fn hixie_75(mut self, on: bool) -> Self {
        self.hixie_75 = on;
        self
    }
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { max_head_bytes: 16 * 1024, max_headers: 100, hixie: false, hixie_75: false }
    }
}

/// Whether enough bytes have come: the two good outcomes of reading a stream that is still arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status<T> {
    /// Nothing is wrong so far, but more bytes must come.
    Partial,
    /// All of it is here.
    Complete(T),
}

impl<T> Status<T> {
    /// The value, if all of it is here.
    #[must_use]
    pub fn complete(self) -> Option<T> {
        match self {
            Self::Partial => None,
            Self::Complete(value) => Some(value),
        }
    }

    /// Whether more bytes must come.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        matches!(self, Self::Partial)
    }
}
