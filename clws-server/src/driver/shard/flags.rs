//! The flags that a shard has for each connection, in two bytes.

use crate::budget::Budget;
use crate::connection::Connection;

/// A set of the flags below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// An edge has reported input that is not read to its end.
    pub(super) const READABLE: u16 = 1;
    /// The socket took less than the output.
    pub(super) const BLOCKED: u16 = 2;
    /// The peer has ended its side: input is read to the end.
    pub(super) const HANGUP: u16 = 4;
    /// Both directions have ended. A read notices it, or the connection does if it is not read
    /// from.
    pub(super) const BROKEN: u16 = 8;
    /// The slot is in a queue of the shard.
    pub(super) const QUEUED: u16 = 16;
    /// The client has used up its last share.
    pub(super) const USED_SHARE: u16 = 32;
    /// Events of the last read are unread, so the next read is small.
    pub(super) const LEFT_SOME: u16 = 64;
    /// The share of writing is over, and the socket may take more.
    pub(super) const UNFLUSHED: u16 = 128;
    /// The connection is not read from because it holds much. The slot is in `Relief`.
    pub(super) const HELD_BACK: u16 = 256;
    /// The connection may be read from although it holds much.
    pub(super) const ALLOWED: u16 = 512;
    /// The connection was admitted only for its 503.
    pub(super) const REFUSED: u16 = 1024;
    /// Like `HELD_BACK`, and the peer has ended its side. The slot is in `Relief::gone`.
    pub(super) const GONE: u16 = 4096;
    /// The connection begins with a header of the PROXY protocol, which has not arrived.
    pub(super) const AWAITS_PROXY: u16 = 1 << 13;
    /// The client is in the shard's list.
    pub(super) const LISTED: u16 = 1 << 15;
    /// The connection is recorded: `Taps` has its recording.
    #[cfg(feature = "capture")]
    pub(super) const CAPTURED: u16 = 2048;

    #[inline]
    pub(super) const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flag: u16, on: bool) {
        if on { self.0 |= flag } else { self.0 &= !flag }
    }

    /// Whether the server's memory permits reads from a connection that wants input.
    #[inline]
    pub(super) fn admit_read(self, connection: &Connection, budget: &Budget) -> bool {
        self.has(Self::ALLOWED) || !self.holds_back(connection, budget)
    }

    /// Whether a connection holds much while memory is short. A broken connection is still read
    /// from, because that frees its memory.
    #[inline]
    pub(super) fn holds_back(self, connection: &Connection, budget: &Budget) -> bool {
        connection.is_held_back(budget) && !self.has(Self::BROKEN)
    }
}
