//! The state of a client's connection, in one atomic word.
//!
//! Three parts share the word. They change independently of each other:
//!
//! - [`Lifecycle`]: whether the resource knows the client, and whether the connection has ended.
//! - [`Ending`]: the progress of this side in ending the connection. It never goes back.
//! - Flags, each with its own pair of transitions.
//!
//! Most transitions are relaxed: the outbox's lock, or the wake-up that follows, orders them.

use crate::sync::{atomic::AtomicU16, atomic::Ordering};

// The bits of `Lifecycle`.
const CONNECTED: u16 = 1;
const DISCONNECTED: u16 = 1 << 1;

// The bits of `Ending`. Each step includes the bits of the steps before it, so a single `fetch_or`
// never goes back.
const CLOSING: u16 = 1 << 2;
const ABORTED: u16 = 1 << 3 | CLOSING;
const OVERDRAWN: u16 = 1 << 4 | ABORTED;

/// The application has closed the client itself: it gets no more events, only the end.
const SILENCED: u16 = 1 << 5;
/// A handler panicked on another thread. The close frame is queued.
const FAILED: u16 = 1 << 6;
/// A mailbox or a `WebSocket` asks to wait with the next event.
const PAUSED_BY_QUEUE: u16 = 1 << 7;
/// The application asks to wait with the next event.
const PAUSED_BY_APPLICATION: u16 = 1 << 8;
/// Events may have to wait on this side, so reads are small.
const HAS_QUEUE: u16 = 1 << 9;
/// A send returned `Sent::AboveHighWater`: the resource's `drained` is due.
const SLOW: u16 = 1 << 10;
/// The outbox is above the high-water mark: events wait for the next flush.
const CROWDED: u16 = 1 << 11;
/// A flush left the outbox above the high-water mark: events wait until half of the mark is
/// written.
const HELD: u16 = 1 << 12;
/// Queued data was dropped because the connection has ended.
const LOST: u16 = 1 << 13;
/// The context's table of watchers has an entry for the client.
const WATCHED: u16 = 1 << 14;
/// The client is, or was, in a group.
const MEMBER: u16 = 1 << 15;

/// The state of a client. Each method is one atomic operation.
#[derive(Debug, Default)]
pub(super) struct ClientState(AtomicU16);

/// Whether the resource knows the client, and whether the connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// The resource's `connected` has not returned.
    Opening,
    /// The resource has taken the client.
    Connected,
    /// The connection has ended, and the resource never took the client.
    Refused,
    /// The connection of a client that the resource took has ended.
    Disconnected,
}

/// The progress of this side in ending the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    /// Messages can be sent.
    Open,
    /// The closing handshake has begun, or nothing can be sent any more.
    Closing,
    /// The connection must be dropped at once.
    Aborted,
    /// The connection must be dropped at once, because too much memory is held for all clients.
    Overdrawn,
}

/// The treatment of a client's next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Deliver,
    /// It waits: the client is paused, or must read its answers first.
    Wait,
    /// The application has closed the client, and gets only its end.
    Discard,
}

/// The backlog that a flush has left, compared with the high-water mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backlog {
    /// At most half of the high-water mark is queued.
    Low,
    /// The same, and messages wait for room in the outbox: `drained` is not due.
    LowAndWaiting,
    Between,
    /// More than the high-water mark is queued.
    High,
}

impl ClientState {
    #[inline]
    fn has(&self, bits: u16) -> bool {
        self.0.load(Ordering::Relaxed) & bits != 0
    }

    #[inline]
    fn set(&self, bits: u16) {
        self.0.fetch_or(bits, Ordering::Relaxed);
    }

    /// Clears bits. Returns whether one of `asked` was set before.
    #[inline]
    fn clear(&self, bits: u16, asked: u16) -> bool {
        self.0.fetch_and(!bits, Ordering::Relaxed) & asked != 0
    }
}

/// The lifecycle.
impl ClientState {
    pub(super) fn connect(&self) {
        self.set(CONNECTED);
    }

    /// Ends the connection.
    ///
    /// It is sequentially consistent with [`join_group`](Self::join_group). If both run at the same
    /// time, at least one of them sees the other, so the client does not stay in the group.
    pub(super) fn disconnect(&self) {
        self.0.fetch_or(DISCONNECTED, Ordering::SeqCst);
    }

    pub(super) fn lifecycle(&self) -> Lifecycle {
        match self.0.load(Ordering::SeqCst) & (CONNECTED | DISCONNECTED) {
            0 => Lifecycle::Opening,
            CONNECTED => Lifecycle::Connected,
            DISCONNECTED => Lifecycle::Refused,
            _ => Lifecycle::Disconnected,
        }
    }
}

/// The ending.
impl ClientState {
    pub(super) fn begin_closing(&self) {
        self.set(CLOSING);
    }

    /// Asks for the connection to be dropped. The application gets no more events.
    pub(super) fn abort(&self) {
        self.set(ABORTED | SILENCED);
    }

    pub(super) fn overdraw(&self) {
        self.set(OVERDRAWN);
    }

    #[inline]
    pub(super) fn ending(&self) -> Ending {
        let state = self.0.load(Ordering::Relaxed);
        match state & OVERDRAWN {
            0 => Ending::Open,
            CLOSING => Ending::Closing,
            ABORTED => Ending::Aborted,
            _ => Ending::Overdrawn,
        }
    }

    pub(super) fn silence(&self) {
        self.set(SILENCED);
    }

    pub(super) fn is_silenced(&self) -> bool {
        self.has(SILENCED)
    }

    pub(super) fn fail(&self) {
        self.0.fetch_or(FAILED, Ordering::Release);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.0.load(Ordering::Acquire) & FAILED != 0
    }
}

/// Whether events are delivered.
impl ClientState {
    #[inline]
    pub(super) fn disposition(&self) -> Disposition {
        let waits = PAUSED_BY_QUEUE | PAUSED_BY_APPLICATION | CROWDED;
        match self.0.load(Ordering::Relaxed) & (waits | SILENCED) {
            0 => Disposition::Deliver,
            state if state & SILENCED != 0 => Disposition::Discard,
            _ => Disposition::Wait,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.has(PAUSED_BY_QUEUE | PAUSED_BY_APPLICATION)
    }

    pub(super) fn pause_by_queue(&self) {
        self.set(PAUSED_BY_QUEUE);
    }

    /// Returns whether this ended a pause of the queue.
    pub(super) fn resume_by_queue(&self) -> bool {
        self.clear(PAUSED_BY_QUEUE, PAUSED_BY_QUEUE)
    }

    pub(super) fn pause_by_application(&self) {
        self.set(PAUSED_BY_APPLICATION | HAS_QUEUE);
    }

    /// Returns whether this ended a pause of the application.
    pub(super) fn resume_by_application(&self) -> bool {
        self.clear(PAUSED_BY_APPLICATION, PAUSED_BY_APPLICATION)
    }

    pub(super) fn set_has_queue(&self) {
        self.set(HAS_QUEUE);
    }

    #[inline]
    pub(super) fn has_queue(&self) -> bool {
        self.has(HAS_QUEUE)
    }
}

/// The backlog of the outbox. These transitions happen under the outbox's lock.
impl ClientState {
    /// Records that a send has left more than the high-water mark.
    #[inline]
    pub(super) fn set_crowded(&self) {
        self.set(SLOW | CROWDED);
    }

    /// Records that a sender waits for the resource's `drained`.
    pub(super) fn set_slow(&self) {
        self.set(SLOW);
    }

    /// Whether a flush changes anything.
    #[inline]
    pub(super) fn is_flush_of_interest(&self) -> bool {
        self.has(SLOW | CROWDED | WATCHED)
    }

    /// Records the backlog after a flush. Returns whether the resource's `drained` is due.
    pub(super) fn note_backlog(&self, backlog: Backlog) -> bool {
        match backlog {
            Backlog::Low => return self.clear(SLOW | CROWDED | HELD, SLOW),
            Backlog::LowAndWaiting => drop(self.clear(CROWDED | HELD, 0)),
            Backlog::High => self.set(HELD),
            Backlog::Between if !self.has(HELD) => drop(self.clear(CROWDED, 0)),
            Backlog::Between => {}
        }
        false
    }

    pub(super) fn lose(&self) {
        self.set(LOST);
    }

    pub(super) fn has_lost(&self) -> bool {
        self.has(LOST)
    }
}

/// Entries in tables of the context.
impl ClientState {
    pub(super) fn watch(&self) {
        self.set(WATCHED);
    }

    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.has(WATCHED)
    }

    pub(super) fn unwatch(&self) {
        self.clear(WATCHED, 0);
    }

    /// See [`disconnect`](Self::disconnect).
    pub(super) fn join_group(&self) {
        self.0.fetch_or(MEMBER, Ordering::SeqCst);
    }

    pub(super) fn is_member(&self) -> bool {
        self.0.load(Ordering::SeqCst) & MEMBER != 0
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn an_ending_never_goes_back() {
        let state = ClientState::default();
        assert_eq!(state.ending(), Ending::Open);
        state.begin_closing();
        assert_eq!(state.ending(), Ending::Closing);
        state.overdraw();
        assert_eq!(state.ending(), Ending::Overdrawn);
        state.abort();
        state.begin_closing();
        assert_eq!(state.ending(), Ending::Overdrawn);
        assert!(state.is_silenced());
    }

    #[test]
    fn a_lifecycle_tells_whether_the_client_was_taken() {
        let (taken, refused) = (ClientState::default(), ClientState::default());
        assert_eq!(taken.lifecycle(), Lifecycle::Opening);
        taken.connect();
        assert_eq!(taken.lifecycle(), Lifecycle::Connected);
        taken.disconnect();
        refused.disconnect();
        assert_eq!((taken.lifecycle(), refused.lifecycle()), (Lifecycle::Disconnected, Lifecycle::Refused));
    }

    #[test]
    fn both_pauses_must_end() {
        let state = ClientState::default();
        assert!(!state.resume_by_application() && !state.resume_by_queue());
        state.pause_by_application();
        state.pause_by_application();
        state.pause_by_queue();
        assert!(state.resume_by_queue());
        assert_eq!(state.disposition(), Disposition::Wait);
        state.pause_by_queue();
        assert!(state.resume_by_application());
        assert!(state.is_paused());
        state.silence();
        assert_eq!(state.disposition(), Disposition::Discard);
    }

    #[test]
    fn a_crowded_client_waits_for_half_of_the_mark_once_a_flush_was_not_enough() {
        let state = ClientState::default();
        state.set_crowded();
        assert!(!state.note_backlog(Backlog::Between));
        assert_eq!(state.disposition(), Disposition::Deliver);
        state.set_crowded();
        assert!(!state.note_backlog(Backlog::High) && !state.note_backlog(Backlog::Between));
        assert_eq!(state.disposition(), Disposition::Wait);
        assert!(state.note_backlog(Backlog::Low), "`drained` is due once");
        assert!(!state.note_backlog(Backlog::Low));
        assert_eq!(state.disposition(), Disposition::Deliver);
    }

    /// Each part has bits that no other part has.
    #[test]
    fn parts_share_no_bit() {
        let parts =
            [CONNECTED, DISCONNECTED, OVERDRAWN, SILENCED, FAILED, PAUSED_BY_QUEUE, PAUSED_BY_APPLICATION]
                .into_iter()
                .chain([HAS_QUEUE, SLOW, CROWDED, HELD, LOST, WATCHED, MEMBER]);
        let sum: u32 = parts.clone().map(u32::from).sum();
        assert_eq!(sum, u32::from(parts.fold(0, |all, part| all | part)));
    }
}
