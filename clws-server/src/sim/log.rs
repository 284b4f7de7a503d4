//! The invariants, and the record of each connection that they are checked against.

use std::fmt;

use crate::client::disconnect::Disconnect;
use crate::client::receipt::Written;
use crate::sim::script::Kind;
use crate::sim::trace;

/// An invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    /// Each message that was read is delivered once and in order, or counted as undelivered.
    Delivery,
    /// [`Self::Delivery`], after the server began to stop.
    DeliveryInStop,
    /// While messages are unread, nothing more is read from the socket.
    Unread,
    /// After the application closed a client, it receives no more messages from the client. A
    /// client that is dropped for its silence was silent long enough.
    Silence,
    /// An inline handler's answers always fit in its client's outbox.
    Answers,
    /// A deadline has no effect if the awaited input arrived in time.
    Deadlines,
    /// The write deadline has no effect if the socket had space again in time.
    WriteDeadlines,
    /// Disconnect causes and codes match the actual events.
    Causes,
    /// Messages arrive at the client in the order of the sends, and before the close frame.
    Order,
    /// `connected` comes first and once, `disconnected` last and once.
    Lifecycle,
    /// Nothing is held at the end of the run.
    Leaks,
    /// Nothing waits once nothing more can happen.
    Stuck,
    /// No client takes more than its share of its shard's turn.
    Fairness,
    /// The server's output is correct for the client.
    Peer,
    /// Nothing panics except handlers that were asked to.
    Panics,
}

/// A broken invariant.
#[derive(Debug)]
pub(super) struct Violation {
    pub(super) check: Check,
    pub(super) conn: u32,
    pub(super) text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.conn {
            trace::NO_CONN => write!(f, "{:?}: {}", self.check, self.text),
            conn => write!(f, "{:?}: #{conn}: {}", self.check, self.text),
        }
    }
}

/// The record of a connection.
#[derive(Debug, Default)]
pub(super) struct Log {
    // The client's side.
    pub(super) kind: Option<Kind>,
    pub(super) connected: u64,
    /// No socket was listening when the client connected.
    pub(super) refused: bool,
    /// The end offset of the client's request, and the time at which the server had all of it.
    pub(super) request_end: u64,
    pub(super) request_arrived: Option<u64>,
    /// The end offset of each message.
    pub(super) ends: Vec<u64>,
    /// The end offset of the close frame, its time of arrival, and its code if the client closed
    /// first.
    pub(super) close_end: Option<u64>,
    pub(super) close_arrived: Option<u64>,
    pub(super) close_code: Option<u16>,
    pub(super) ended_by_client: bool,
    /// The client sends and reads nothing more, and has not ended its side.
    pub(super) vanished: bool,
    pub(super) broke_protocol: bool,
    /// The status of the handshake's answer.
    pub(super) status: Option<u16>,
    /// When the server wrote the close frame that the client has received.
    pub(super) received_close: Option<u64>,
    /// Number of messages in `sent` that the client has received.
    pub(super) received: usize,

    // The server's side.
    /// Messages queued for the client, in order.
    pub(super) sent: Vec<u32>,
    /// Those of `sent` that may still be dropped.
    pub(super) droppable: Vec<(u32, Written)>,
    /// Not only its own inline handler has sent to the client.
    pub(super) sent_by_others: bool,
    /// Calls of the resource: `connected`, the next expected message, `disconnected`.
    pub(super) opened: u32,
    pub(super) opened_at: u64,
    pub(super) handed: u32,
    pub(super) handed_at: u64,
    pub(super) ended: u32,
    pub(super) end: Option<(Disconnect, u64)>,
    pub(super) ended_in_stop: bool,
    /// The same for the application task that reads the resource's queue.
    pub(super) app_opened: u32,
    pub(super) handled: u32,
    pub(super) app_ended: u32,
    /// A drain has told the resource of the client's close.
    pub(super) draining: bool,
    /// Why the application may miss messages: it asked for that.
    pub(super) silenced: Option<&'static str>,
    /// The application closed or aborted the client through its handle.
    pub(super) closed_by_app: bool,
    /// The resource refused the client or panicked in `connected`, so it gets no more calls.
    pub(super) rejected: bool,
    pub(super) aborted: bool,
    pub(super) panicked: bool,
    pub(super) cancelled: bool,
    /// The application accepted the client in time.
    pub(super) accepted_in_time: bool,
}

impl Log {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind: Some(kind), ..Self::default() }
    }

    /// The number of messages that end at or before `offset`.
    pub(super) fn complete(&self, offset: u64) -> u32 {
        u32::try_from(self.ends.partition_point(|end| *end <= offset)).unwrap_or(u32::MAX)
    }
}
