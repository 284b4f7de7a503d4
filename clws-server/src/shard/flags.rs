//! What a shard knows of a connection, in one byte: there is one for each connection, idle or not.

/// An edge told of input that was not read to its end.
pub(super) const READABLE: u8 = 1;
/// The socket took less than there was.
pub(super) const BLOCKED: u8 = 2;
/// The peer has ended its side: read on to the end.
pub(super) const HANGUP: u8 = 4;
/// Both directions of the connection have ended; noticed by reading, or, where that has stopped, by the session.
pub(super) const BROKEN: u8 = 8;
/// Its slot is in `Shard::unread`.
pub(super) const UNREAD: u8 = 16;
/// It is not read from because it holds much, and its slot is in `Relief`.
pub(super) const HELD_BACK: u8 = 32;
/// It may be read from though it holds much.
pub(super) const ALLOWED: u8 = 64;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags(u8);

impl Flags {
    #[inline]
    pub(super) const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flag: u8, yes: bool) {
        if yes {
            self.0 |= flag;
        } else {
            self.0 &= !flag;
        }
    }

    /// Sets a flag if that holds, and leaves it as it is otherwise.
    #[inline]
    pub(super) const fn insert_if(&mut self, flag: u8, yes: bool) {
        self.0 |= if yes { flag } else { 0 };
    }
}
