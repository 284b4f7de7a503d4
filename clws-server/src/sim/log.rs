//! The invariants, and what is written down of each connection to see whether they hold.

use std::fmt;

use crate::client::disconnect::Disconnect;
use crate::sim::script::Kind;
use crate::sim::trace;

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    /// What was read is delivered, once and in order, or counted as undelivered.
    Delivery,
    /// The same after the server has begun to stop.
    DeliveryInStop,
    /// While messages are unread, nothing more is read.
    Unread,
    /// After the application has closed a client it hears no more messages of it.
    Silence,
    /// An inline handler's answers are never too many for its client.
    Answers,
    /// A deadline has no effect where what it waits for was there in time.
    Deadlines,
    /// The same of the time in which a client is to read: it has no effect where there was room to write again.
    WriteDeadlines,
    /// Causes and codes tell what happened.
    Causes,
    /// What is sent to a client arrives in the order of the sends, and before the close frame.
    Order,
    /// The end is told once, and last.
    CloseOnDrop,
    /// Nothing is held when all is over.
    Leaks,
    /// Nothing waits when nothing more happens.
    Stuck,
    /// No client takes much of its shard's time at once.
    Fairness,
    /// What a client gets from the server is right.
    Peer,
    /// Nothing panics but what is told to.
    Panics,
}

/// An invariant that does not hold.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) check: Check,
    pub(super) conn: u32,
    pub(super) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conn {
            trace::NOBODY => write!(f, "{:?}: {}", self.check, self.text),
            conn => write!(f, "{:?}: #{conn}: {}", self.check, self.text),
        }
    }
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Log {
    // Of the client.
    pub(super) kind: Option<Kind>,
    pub(super) connected: u64,
    /// Nobody listened when it came.
    pub(super) refused: bool,
    /// Where its request ends in what it writes, and when that had arrived at the server.
    pub(super) request_end: u64,
    pub(super) request_arrived: Option<u64>,
    /// Where each of its messages ends.
    pub(super) ends: Vec<u64>,
    /// The same of its close frame; the code in it where the client was the first to close.
    pub(super) close_end: Option<u64>,
    pub(super) close_arrived: Option<u64>,
    pub(super) close_code: Option<u16>,
    pub(super) ends_itself: bool,
    pub(super) broke_protocol: bool,
    /// How its request was answered.
    pub(super) status: Option<u16>,
    /// It has got the server's close frame, which was written then.
    pub(super) got_close: Option<u64>,
    /// How many of the messages in `sent` it has got.
    pub(super) received: usize,

    // Of the server.
    /// Messages that were queued for it, in order.
    pub(super) sent: Vec<u32>,
    /// Somebody else than its own handler has sent to it.
    pub(super) foreign: bool,
    /// What its resource was told: that it is there, how many messages, that it is gone.
    pub(super) opened: u32,
    pub(super) handed: u32,
    pub(super) ended: u32,
    pub(super) end: Option<(Disconnect, u64)>,
    pub(super) ended_in_stop: bool,
    /// The same of the application behind it, where that is a task.
    pub(super) app_opened: u32,
    pub(super) told: u32,
    pub(super) app_ended: u32,
    /// Why the application need not hear of all messages: it wants to.
    pub(super) silenced: Option<&'static str>,
    /// It was closed or aborted by a call on its handle.
    pub(super) hushed: bool,
    /// Its resource did not want it, or panicked over it, and so hears nothing more.
    pub(super) unwanted: bool,
    pub(super) aborted: bool,
    pub(super) panicked: bool,
    pub(super) cancelled: bool,
    /// A decision that it may come was made in time.
    pub(super) is_wanted: bool,
}

impl Log {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// The number of messages that lie before that offset.
    pub(super) fn complete(&self, offset: u64) -> u32 {
        u32::try_from(self.ends.partition_point(|end| *end <= offset)).unwrap_or(u32::MAX)
    }
}
