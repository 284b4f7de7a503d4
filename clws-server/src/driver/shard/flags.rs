//! What a shard knows of a connection, in two bytes: there is one for each connection, idle or not.

use crate::budget::Budget;
use crate::connection::Connection;

/// A set of the flags below.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// An edge told of input that was not read to its end.
    pub(super) const READABLE: u16 = 1;
    /// The socket took less than there was.
    pub(super) const BLOCKED: u16 = 2;
    /// The peer has ended its side: read on to the end.
    pub(super) const HANGUP: u16 = 4;
    /// Both directions of the connection have ended; noticed by reading, or, where that has stopped, by the connection.
    pub(super) const BROKEN: u16 = 8;
    /// Its slot is in a queue of the shard.
    pub(super) const QUEUED: u16 = 16;
    /// It has used up its last share.
    pub(super) const GREEDY: u16 = 32;
    /// Events of its last read wait, so that the next read is to be small.
    pub(super) const LEFT_SOME: u16 = 64;
    /// The socket may take more, but its share of writing is over.
    pub(super) const UNFLUSHED: u16 = 128;
    /// It is not read from because it holds much, and its slot is in `Relief`.
    pub(super) const HELD_BACK: u16 = 256;
    /// It may be read from though it holds much.
    pub(super) const ALLOWED: u16 = 512;
    /// It was admitted only to be told that the server is full.
    pub(super) const REFUSED: u16 = 1024;

    #[inline]
    pub(super) const fn has(self, flag: u16) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flag: u16, on: bool) {
        if on { self.0 |= flag } else { self.0 &= !flag }
    }

    /// Whether a connection that wants input may be read from, as far as the server's memory is concerned.
    #[inline]
    pub(super) fn admit_read(self, connection: &Connection, budget: &Budget) -> bool {
        self.has(Self::ALLOWED) || !self.holds_back(connection, budget)
    }

    /// Whether a connection holds much while memory is short. A broken one is still read from: that frees what it holds.
    #[inline]
    pub(super) fn holds_back(self, connection: &Connection, budget: &Budget) -> bool {
        connection.is_held_back(budget) && !self.has(Self::BROKEN)
    }
}
