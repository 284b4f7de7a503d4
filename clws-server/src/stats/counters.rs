//! The counters of one shard, or of all other threads of a server.

use std::time::Duration;

use clws_handshake::Version;
use clws_proto::CloseCode;

use crate::stats::counter::Counter;
use crate::stats::histogram::AtomicHistogram;
use crate::stats::kinds::{
    CAUSES, CODES, DropReason, HandshakeOutcome, VERSIONS, cause_index, code_index, version_index,
};

/// The statuses of refusals that are counted separately: 300 to 599.
const STATUSES: usize = 300;
const FIRST_STATUS: u16 = 300;

/// One of this many reads is measured: the time of its messages.
const READS_PER_SAMPLE: u64 = 64;

/// A set of counters. The alignment keeps other data from its cache lines.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Counters {
    /// Several threads count. Otherwise only the thread of a shard does.
    is_shared: bool,
    // These change with each read or write.
    pub(super) reads: Counter,
    pub(super) read_bytes: Counter,
    pub(super) received: Counter,
    pub(super) sent: Counter,
    pub(super) written_bytes: Counter,
    pub(super) turn_time: AtomicHistogram,
    pub(super) handler_time: AtomicHistogram,
    pub(super) rtt: AtomicHistogram,
    // These change once for each connection.
    pub(super) opened: [Counter; VERSIONS.len()],
    pub(super) ended: [Counter; VERSIONS.len()],
    pub(super) outcomes: [Counter; HandshakeOutcome::ALL.len()],
    pub(super) rejected: [Counter; STATUSES],
    pub(super) closes: [[Counter; CODES.len()]; CAUSES.len()],
    pub(super) undelivered: Counter,
    // These change with each lost message.
    pub(super) dropped: [Counter; DropReason::ALL.len()],
    pub(super) discarded_bytes: Counter,
    /// Each set has the changes that its threads have made. Only the sum of all sets has a meaning.
    pub(super) queued_bytes: Counter,
}

impl Counters {
    /// Counters for the thread of a shard.
    pub(crate) fn for_shard() -> Box<Self> {
        Self::new(false)
    }

    /// Counters for all other threads.
    pub(crate) fn shared() -> Box<Self> {
        Self::new(true)
    }

    fn new(is_shared: bool) -> Box<Self> {
        Box::new(Self {
            is_shared,
            reads: Counter::new(),
            read_bytes: Counter::new(),
            received: Counter::new(),
            sent: Counter::new(),
            written_bytes: Counter::new(),
            turn_time: AtomicHistogram::new(),
            handler_time: AtomicHistogram::new(),
            rtt: AtomicHistogram::new(),
            opened: [const { Counter::new() }; VERSIONS.len()],
            ended: [const { Counter::new() }; VERSIONS.len()],
            outcomes: [const { Counter::new() }; HandshakeOutcome::ALL.len()],
            rejected: [const { Counter::new() }; STATUSES],
            closes: [const { [const { Counter::new() }; CODES.len()] }; CAUSES.len()],
            undelivered: Counter::new(),
            dropped: [const { Counter::new() }; DropReason::ALL.len()],
            discarded_bytes: Counter::new(),
            queued_bytes: Counter::new(),
        })
    }

    #[inline]
    fn add(&self, counter: &Counter, number: u64) {
        counter.add(number, self.is_shared);
    }

    fn add_at(&self, counters: &[Counter], index: usize, number: u64) {
        if let Some(counter) = counters.get(index) {
            self.add(counter, number);
        }
    }

    /// Bytes were read from a socket or stream.
    #[inline]
    pub(crate) fn note_read(&self, bytes: usize) {
        self.add(&self.read_bytes, bytes as u64);
    }

    /// Bytes were written to a socket or stream.
    #[inline]
    pub(crate) fn note_written(&self, bytes: usize) {
        if bytes > 0 {
            self.add(&self.written_bytes, bytes as u64);
        }
    }

    /// Whether to measure the time of the next messages. The driver asks once for each read.
    #[inline]
    pub(crate) fn takes_sample(&self) -> bool {
        let is_first = self.reads.get().is_multiple_of(READS_PER_SAMPLE);
        self.add(&self.reads, 1);
        is_first
    }

    /// Data messages were delivered to a resource.
    #[inline]
    pub(crate) fn note_received(&self, messages: u64) {
        self.add(&self.received, messages);
    }

    /// Data messages were queued, and are written now.
    #[inline]
    pub(crate) fn note_sent(&self, messages: u32) {
        if messages > 0 {
            self.add(&self.sent, u64::from(messages));
        }
    }

    /// That many messages of one read took that long together.
    #[cold]
    pub(crate) fn note_handlers(&self, time: Duration, messages: u64) {
        if let Ok(messages @ 1..) = u32::try_from(messages) {
            self.handler_time.record(time / messages, u64::from(messages), self.is_shared);
        }
    }

    /// An event loop turn took that long.
    pub(crate) fn note_turn(&self, time: Duration) {
        self.turn_time.record(time, 1, self.is_shared);
    }

    /// A client has answered a ping of the server after that time.
    pub(crate) fn note_rtt(&self, time: Duration) {
        self.rtt.record(time, 1, self.is_shared);
    }

    /// A handshake has ended, in any way but [`Rejected`](HandshakeOutcome::Rejected).
    #[cold]
    pub(crate) fn note_handshake(&self, outcome: HandshakeOutcome) {
        self.add_at(&self.outcomes, outcome as usize, 1);
    }

    /// A handshake was refused with that status.
    #[cold]
    pub(crate) fn note_rejected(&self, status: u16) {
        self.note_handshake(HandshakeOutcome::Rejected);
        // A status outside of the table counts as the nearest one in it.
        let index = usize::from(status.saturating_sub(FIRST_STATUS)).min(STATUSES - 1);
        self.add_at(&self.rejected, index, 1);
    }

    /// The refusals with each status.
    pub(super) fn rejected(&self) -> impl Iterator<Item = (u16, u64)> {
        (FIRST_STATUS..).zip(self.rejected.iter().map(Counter::get))
    }

    /// A client has connected.
    pub(crate) fn note_opened(&self, version: Version) {
        self.add_at(&self.opened, version_index(version), 1);
    }

    /// The connection of a client has ended. `cause` is the name of a
    /// [`DisconnectCause`](crate::DisconnectCause).
    pub(crate) fn note_ended(&self, version: Version, code: CloseCode, cause: &str, undelivered: u64) {
        self.add_at(&self.ended, version_index(version), 1);
        if let Some(codes) = self.closes.get(cause_index(cause)) {
            self.add_at(codes, code_index(code), 1);
        }
        self.add(&self.undelivered, undelivered);
    }

    /// Messages to clients were dropped or refused.
    #[cold]
    pub(crate) fn note_dropped(&self, reason: DropReason, messages: u64) {
        self.add_at(&self.dropped, reason as usize, messages);
    }

    /// The memory for the queue of a client has changed.
    #[cold]
    pub(crate) fn note_queued(&self, before: u64, after: u64) {
        self.add(&self.queued_bytes, after.wrapping_sub(before));
    }

    /// Queued bytes were not written, because the connection has ended.
    #[cold]
    pub(crate) fn note_discarded(&self, bytes: usize) {
        self.add(&self.discarded_bytes, bytes as u64);
    }
}
