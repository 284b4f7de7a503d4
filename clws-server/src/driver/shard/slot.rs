//! A connection of a shard, with its socket.

use crate::admission::ConnectionPermit;
use crate::budget::{Budget, Charged, HOLD_BACK_ABOVE};
use crate::connection::Connection;
use crate::connection::share::Share;
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::flags::Flags;
use crate::net::socket::Socket;
use crate::time::now;

pub(super) struct ConnectionSlot {
    pub(super) socket: Socket,
    pub(super) connection: Connection,
    pub(super) flags: Flags,
    pub(super) read_sizer: ReadSizer,
    /// The charge for the connection, without its client.
    pub(super) charged: Charged,
}

impl ConnectionSlot {
    /// Whether there is work that no event reports: unread input or events, or unfinished output.
    #[inline]
    pub(super) fn has_work(&self, budget: &Budget) -> bool {
        self.flags.has(Flags::UNFLUSHED)
            || self.connection.can_continue()
            || (self.flags.has(Flags::READABLE)
                && self.connection.wants_input()
                && self.flags.admit_read(&self.connection, budget))
    }

    /// Tells the connection whether input waits, while memory is short. Returns that too.
    pub(super) fn note_waiting_input(&mut self) -> bool {
        let waits = self.flags.has(Flags::READABLE) && self.connection.wants_input();
        self.connection.note_waiting_input(waits);
        waits
    }

    /// Whether the connection is not read from because memory is short.
    #[inline]
    pub(super) fn is_held_back(&self, budget: &Budget) -> bool {
        self.flags.holds_back(&self.connection, budget)
    }

    /// Whether the peer sends nothing more, and reading the rest frees memory: it completes a
    /// message in progress, or shows that the message never ends.
    pub(super) fn is_gone(&self) -> bool {
        self.flags.has(Flags::HANGUP) && self.connection.held_input() > HOLD_BACK_ABOVE
    }

    pub(super) fn permit(&self) -> ConnectionPermit {
        if self.flags.has(Flags::REFUSED) { ConnectionPermit::Refused } else { ConnectionPermit::Client }
    }

    /// The client's share of this turn.
    #[inline]
    pub(super) fn share(&self) -> Share {
        if self.flags.has(Flags::USED_SHARE) {
            Share::strict(now)
        } else if self.connection.is_compressed() {
            Share::started_now(now)
        } else {
            Share::new(now)
        }
    }
}
