//! The events that a recorder sends to its writer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::capture::recording::Side;
use crate::signal::Signal;

/// An event of a recording.
#[derive(Debug)]
pub(super) struct Event {
    /// The number of the recording.
    pub(super) id: usize,
    pub(super) at: Instant,
    /// Bytes of the client and of the server before this event that did not fit into the queue.
    pub(super) missing: [u32; 2],
    pub(super) content: EventContent,
}

#[derive(Debug)]
pub(super) enum EventContent {
    Start(Start),
    Bytes(Side, Box<[u8]>),
    /// The end of a side, or a reset by it.
    End(Side),
    Reset(Side),
    /// The driver has dropped the connection.
    Dropped,
    /// A limit is reached: the recording ends before the connection.
    Over,
    /// Write everything, then give the signal.
    Flush(Arc<Signal>),
}

/// The beginning of a recording.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) note: String,
}

impl EventContent {
    /// Bytes that count for the limit of the queue.
    pub(super) fn queued(&self) -> usize {
        match self {
            Self::Bytes(_, bytes) => bytes.len() + size_of::<Event>(),
            _ => 0,
        }
    }
}
