//! Ending a client's connection from this side: closing, refusing, aborting.

use clws_proto::CloseCode;

use crate::client::Client;
use crate::client::deferred_drops::DeferredDrops;
use crate::client::state::{Backlog, Ending};
use crate::guard::{Fields, Nowhere, Scope, log};
use crate::sync::broken;
use crate::wake::WakeBatch;

/// The code and the reason to close a connection with.
///
/// [`Client::close`] and similar methods take anything that converts into it: a code, or a code
/// with a reason. As the error of [`Resource::connected`](crate::Resource::connected) it refuses a
/// client: CLWS's `client-connection-rejected`.
///
/// ```
/// use clws_server::{Client, Close, CloseCode};
///
/// fn end(client: &Client) {
///     client.close(CloseCode::NORMAL);
///     client.close((CloseCode::GOING_AWAY, "see you")); // no effect: it is closing already
///     client.close(Close::new(CloseCode::POLICY, "too late"));
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The close code.
    pub code: CloseCode,
    /// The reason, which may be empty.
    pub reason: Box<str>,
}

impl Close {
    /// A close with a code and a reason.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<Box<str>>) -> Self {
        Self { code, reason: reason.into() }
    }
}

impl Default for Close {
    /// 1008, policy, without a reason.
    fn default() -> Self {
        Self::new(CloseCode::POLICY, "")
    }
}

impl From<CloseCode> for Close {
    fn from(code: CloseCode) -> Self {
        Self::new(code, "")
    }
}

impl<R: Into<Box<str>>> From<(CloseCode, R)> for Close {
    fn from((code, reason): (CloseCode, R)) -> Self {
        Self::new(code, reason)
    }
}

/// The result of queuing a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseOutcome {
    /// The client was closing before.
    Already,
    WithCode,
    /// The code must not be sent.
    WithoutCode,
}

/// Closes several clients, as [`Client::close`] closes one.
pub fn close_all<'a>(clients: impl IntoIterator<Item = &'a Client>, close: impl Into<Close>) {
    let close = close.into();
    let mut batch = WakeBatch::default();
    let mut without_code = false;
    for client in clients {
        without_code |= client.close_and_wake(&close, Some(&mut batch)) == CloseOutcome::WithoutCode;
    }
    drop(batch);
    if without_code {
        warn_of(close.code, &Nowhere);
    }
}

/// Logs a close code of the application that must not be sent. No lock may be held.
#[cold]
fn warn_of(code: CloseCode, scope: &impl Scope) {
    let (Fields { id, peer, client, resource, version }, code) = (Fields::of(scope), code.value());
    log(|| {
        tracing::warn!(
            id,
            peer,
            client,
            resource,
            version,
            code,
            "close code {code} must not be sent (RFC 6455 §7.4): the close frame has none"
        );
    });
}

impl Client {
    /// Begins the closing handshake: `write-to-client-close`. Queued messages still go out.
    ///
    /// From now on nothing is delivered from this client, and nothing can be sent to it. A client
    /// that does not answer within [`close_timeout`](crate::Config#structfield.close_timeout) is
    /// dropped. If the client is closing already, its close frame stays as it is. Hixie-75 has no
    /// closing handshake: our side of the connection is shut down when the queue is written, and
    /// the client answers by ending its side.
    ///
    /// It always closes. A reason of over 123 bytes is truncated at the end of a character. A code
    /// that must not be sent (RFC 6455 §7.4), such as 1005, 1006 or 2000, is logged as a warning,
    /// and the close frame then has neither code nor reason. A code that the client's version lacks
    /// becomes the [nearest one](CloseCode::nearest_in); draft 0 has neither codes nor reasons.
    pub fn close(&self, close: impl Into<Close>) {
        let close = close.into();
        if self.close_and_wake(&close, None) == CloseOutcome::WithoutCode {
            warn_of(close.code, self);
        }
    }

    /// Drops the connection at once, without a closing handshake. Queued messages are lost.
    pub fn abort(&self) {
        self.0.state.abort();
        self.abandon();
        self.0.wake_target.wake();
    }

    fn close_and_wake(&self, close: &Close, batch: Option<&mut WakeBatch>) -> CloseOutcome {
        let outcome = self.queue_close(close.code, &close.reason);
        // Before the wake-up, so that the woken driver discards the waiting events.
        broken!(WakesBeforeSilence, self.0.wake_target.wake());
        self.0.state.silence();
        broken!(WakesBeforeSilence, return outcome);
        match batch {
            Some(batch) => batch.add(&self.0.wake_target),
            None => self.0.wake_target.wake(),
        }
        outcome
    }

    /// Begins the closing handshake for the server. Messages that have arrived are still delivered.
    /// A client that is closing already is left alone.
    pub(crate) fn begin_close(&self, code: CloseCode, reason: &str) {
        if self.queue_close(code, reason) != CloseOutcome::Already {
            // The time for the client's answer begins now, even if data is queued before the close
            // frame.
            self.0.wake_target.wake();
        }
    }

    /// Closes the client because the server drains, if a resource has put that off.
    pub(crate) fn close_for_drain(&self) {
        if let Some(plan) = self.0.context.shared.drain.plan() {
            self.begin_close(plan.code, &plan.reason);
        }
    }

    /// Counts messages that no handler gets, although the resource has taken them.
    pub(crate) fn note_undelivered(&self, messages: u64) {
        self.counters_of_this_thread().note_undelivered(messages);
        self.0.context.shared.drain.counts.note_undelivered(messages);
    }

    /// Queues the close frame, unless there is one. The caller wakes the driver.
    ///
    /// It always closes: a reason that is too long is truncated, and a code that must not be sent
    /// is left out.
    pub(crate) fn queue_close(&self, code: CloseCode, reason: &str) -> CloseOutcome {
        self.0.state.begin_closing();
        let mut outbox = self.outbox();
        if outbox.close_sent() {
            return CloseOutcome::Already;
        }
        if outbox.close(code, reason).is_ok() {
            return CloseOutcome::WithCode;
        }
        outbox.close_without_code();
        CloseOutcome::WithoutCode
    }

    /// Closes a client that its resource refuses. The application gets no events of this client.
    /// The caller wakes the driver.
    pub(crate) fn refuse(&self, close: &Close) {
        self.0.state.silence();
        if self.queue_close(close.code, &close.reason) == CloseOutcome::WithoutCode {
            warn_of(close.code, self);
        }
    }

    /// Closes the client because a handler on another thread panicked.
    pub(crate) fn fail(&self) {
        self.queue_close(CloseCode::INTERNAL, "");
        self.0.state.fail();
        self.wake();
    }

    /// Refuses further sends. The queue still goes out.
    pub(crate) fn seal(&self) {
        self.0.state.begin_closing();
        self.outbox().seal();
    }

    /// Frees the queue of a connection that has ended.
    pub(crate) fn abandon(&self) {
        self.0.state.begin_closing();
        let drops = DeferredDrops::new(self); // dropped after the lock
        let mut outbox = self.outbox();
        if outbox.queued() > 0 {
            self.0.state.lose();
            let counters = self.counters_of_this_thread();
            counters.note_discarded(outbox.queued());
            counters.note_sent(outbox.take_message_count());
        }
        outbox.abandon_with(&drops);
        // Nothing is queued any more, so unread messages need not wait for it.
        self.0.state.note_backlog(Backlog::Low);
        self.charge(&mut outbox);
        drop(outbox);
        broken!(AbandonsInSilence, return);
        self.notify_watchers();
    }

    /// Whether this side has begun to close.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.0.state.ending() >= Ending::Closing
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.0.state.ending() >= Ending::Aborted
    }

    /// Whether the client must be dropped because too much memory is held.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.0.state.ending() == Ending::Overdrawn
    }

    /// Whether the application has closed the client.
    pub(crate) fn is_silenced(&self) -> bool {
        self.0.state.is_silenced()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.state.has_failed()
    }
}
