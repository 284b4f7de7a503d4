//! The report of a poller about one socket.

/// What became of one socket since it was last reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The key it was added with.
    pub(crate) key: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, or the socket failed: read on to its end.
    pub(crate) hangup: bool,
    /// Both directions have ended: reset, or closed altogether. Not told on every system.
    pub(crate) broken: bool,
}
