//! The report of a poller about one socket.

/// The changes of one socket since its last report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    /// The key with which the socket was added.
    pub(crate) key: usize,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    /// The peer has ended its side, or the socket failed: read it to its end. Systems that do not
    /// report it set it with each `readable`.
    pub(crate) hangup: bool,
    /// Both directions have ended, by a reset or a complete close. Not every system reports it.
    pub(crate) broken: bool,
}
