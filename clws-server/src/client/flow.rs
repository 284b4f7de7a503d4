//! When a client's events are delivered, and when they wait.

use crate::client::Client;
use crate::client::state::{Backlog, Disposition};
use crate::sync::broken;

impl Client {
    /// Stops reading from the client, until [`resume`](Self::resume) is called. Its messages
    /// wait. Those that still wait when the connection breaks or the server stops are counted in
    /// [`Disconnect::undelivered`](crate::Disconnect) after `close_timeout`.
    ///
    /// This can be called from any thread. After a call in an inline handler, the current message
    /// is the last one. After a call from another thread, messages that are being delivered at that
    /// moment still arrive. Messages that are already in a mailbox or a
    /// [`WebSocket`](crate::WebSocket) can still be taken out.
    ///
    /// While a client is paused:
    ///
    /// - Pings of the client are not answered, and pongs are not delivered. A peer that sends pings
    ///   may give up.
    /// - Messages can be sent to it, and [`close`](Self::close) and [`abort`](Self::abort) work as
    ///   always.
    /// - The server may stop: unread messages then wait until the deadline of the closing
    ///   handshake.
    /// - The end of the client's side is not noticed. A machine that has vanished is found by TCP
    ///   keepalive ([`tcp_keepalive`](crate::Config#structfield.tcp_keepalive)).
    ///
    /// Pauses do not nest: after several calls one [`resume`](Self::resume) is enough. A mailbox
    /// that pauses a client on its own does not end this pause when it resumes the client, and
    /// `resume` does not end the mailbox's.
    pub fn pause(&self) {
        self.0.state.pause_by_application();
        self.note_held();
    }

    /// Reads from the client again after a [`pause`](Self::pause), from any thread. It has no
    /// effect on a client that is not paused.
    pub fn resume(&self) {
        if self.0.state.resume_by_application() {
            self.wake_resumed();
        }
    }

    /// Pauses the client because its queue is full. Call it on the thread that delivers the
    /// client's events.
    pub(crate) fn pause_by_queue(&self) {
        self.0.state.pause_by_queue();
        self.note_held();
    }

    pub(crate) fn resume_by_queue(&self) {
        if self.0.state.resume_by_queue() {
            self.wake_resumed();
        }
    }

    /// Records that the client's events wait, so that its next input does not look like a burst.
    pub(crate) fn note_held(&self) {
        if let Some(rates) = self.rates() {
            rates.hold();
        }
    }

    fn wake_resumed(&self) {
        broken!(ResumesWithoutWake, return);
        if let Some(rates) = self.rates() {
            rates.resume();
        }
        self.0.wake_target.wake();
    }

    /// Whether a queue or the application asks to wait with the next event.
    pub(crate) fn is_paused(&self) -> bool {
        self.0.state.is_paused()
    }

    /// Records that the client's messages go to a queue from now on. The queue may pause the
    /// client.
    pub(crate) fn set_has_queue(&self) {
        self.0.state.set_has_queue();
    }

    #[inline]
    pub(crate) fn has_queue(&self) -> bool {
        self.0.state.has_queue()
    }

    /// Whether the client's next event is delivered, waits or is discarded.
    #[inline]
    pub(crate) fn disposition(&self) -> Disposition {
        self.0.state.disposition()
    }

    /// Whether the client's pings are answered while its messages [wait](Disposition::Wait). They
    /// are if the application is ready for messages, and only the client has not read its answers.
    pub(crate) fn hears_pings(&self) -> bool {
        !self.0.state.is_paused()
    }

    /// Records that the outbox was flushed. The client's events continue when at most the
    /// high-water mark is queued, or at most half of the mark if an earlier flush left more than
    /// the mark.
    ///
    /// Notifies [watchers](Self::watch) when everything is written or the client is closed.
    ///
    /// Returns whether the resource's `drained` is due: true once after
    /// [`Sent::AboveHighWater`](crate::Sent::AboveHighWater) or [`Sent::Dropped`](crate::Sent).
    #[inline]
    pub(crate) fn note_flushed(&self) -> bool {
        if !self.0.state.is_flush_of_interest() {
            return false;
        }
        // Under the lock, because sends set these bits under it: a later send sets them again.
        let outbox = self.outbox();
        let (queued, mark) = (outbox.queued(), self.config().high_water());
        let is_drained = self.0.state.note_backlog(if queued <= mark / 2 {
            if outbox.is_waiting() { Backlog::LowAndWaiting } else { Backlog::Low }
        } else if queued > mark {
            Backlog::High
        } else {
            Backlog::Between
        });
        let is_of_interest = queued == 0 || outbox.close_sent();
        drop(outbox);
        if is_of_interest {
            self.notify_watchers();
        }
        is_drained
    }

    /// Whether a sender should wait for the resource's `drained`. Returns false once the client is
    /// closed: its queue may never be written, and `drained` is never called.
    pub(crate) fn is_slow(&self) -> bool {
        let outbox = self.outbox();
        let slow = !outbox.close_sent() && outbox.queued() > self.config().high_water();
        if slow {
            self.0.state.set_slow();
        }
        slow
    }
}
