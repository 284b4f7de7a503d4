//! Limits on a handshake, and whether its input is complete.

/// Limits on a request head, and the switches for draft 0 and hixie-75.
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
    /// The maximum length of a head in bytes, from the first received byte to the end of the empty
    /// line. A longer head is refused with 431, or with 414 if the request line alone is longer.
    /// Default: 16 KiB. A handshake of RFC 6455 needs at least 135 bytes.
    pub max_head_bytes: usize,
    /// The maximum number of header lines. A head with more lines is refused with 431. Default:
    /// 100.
    pub max_headers: usize,
    /// Whether to accept draft 0 (hixie-76, hybi-00). If off, its clients get 426. Default: off,
    /// because its handshake predates later defences and no browser since 2011 needs it.
    pub hixie: bool,
    /// Whether to accept hixie-75, the draft before draft 0, which Chrome 4 and Safari 5.0.0 use.
    /// If off, its clients get 400. Default: off.
    ///
    /// This handshake has no challenge. The request does not prove that a WebSocket client wrote
    /// it, and the response does not prove that the server read it. An attacker can make other
    /// software send such a request. hixie-76 added keys because of such cross-protocol attacks.
    /// Enable hixie-75 only if you serve clients of that age, and restrict the origins.
    pub hixie_75: bool,
}

impl HandshakeLimits {
    /// Sets [`max_head_bytes`](Self#structfield.max_head_bytes).
    #[must_use]
    pub const fn max_head_bytes(mut self, bytes: usize) -> Self {
        self.max_head_bytes = bytes;
        self
    }

    /// Sets [`max_headers`](Self#structfield.max_headers).
    #[must_use]
    pub const fn max_headers(mut self, lines: usize) -> Self {
        self.max_headers = lines;
        self
    }

    /// Sets [`hixie`](Self#structfield.hixie).
    #[must_use]
    pub const fn hixie(mut self, on: bool) -> Self {
        self.hixie = on;
        self
    }

    /// Sets [`hixie_75`](Self#structfield.hixie_75).
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

/// Whether the input is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status<T> {
    /// The input is valid so far, but more bytes are needed.
    Partial,
    /// The input is complete.
    Complete(T),
}

impl<T> Status<T> {
    /// The value of complete input.
    #[must_use]
    pub fn complete(self) -> Option<T> {
        match self {
            Self::Partial => None,
            Self::Complete(value) => Some(value),
        }
    }

    /// Whether more bytes are needed.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        matches!(self, Self::Partial)
    }
}
