//! What the server's own parts do with a client.

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::{Arc, OnceLock};

use clws_handshake::RequestHead;
use clws_proto::{CloseCode, Reaction};

use crate::buffer_pool;
use crate::client::context::ClientContext;
use crate::client::deferred_drops::DeferredDrops;
use crate::client::short_peer::ShortPeer;
use crate::client::watchers::Host;
use crate::client::{
    ABORTED, CLOSING, CONNECTED, CROWDED, Client, ClientExtras, DISCONNECTED, FAILED, HELD, Inner, LOST,
    MEMBER, OVERDRAWN, PAUSED, QUEUED, SILENCED, SLOW, WATCHED,
};
#[cfg(feature = "deflate")]
use crate::codecs::Negotiated;
use crate::config::Config;
use crate::config::address::Peer;
use crate::guard::log;
use crate::lock::Lock;
use crate::resource::{Close, Disconnect};
use crate::sync::broken;
use crate::sync::{atomic::AtomicU16, atomic::AtomicUsize, atomic::Ordering};
use crate::time::now;
use crate::wake::WakeTarget;

/// What is to become of a client's next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    Deliver,
    /// It waits: the application has enough of the client's messages, or the client has enough of the answers.
    Wait,
    /// The application has closed the client: only its end is of interest.
    Discard,
}

/// What became of a close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseOutcome {
    /// The client was closing before.
    Already,
    WithCode,
    /// The code must not be sent.
    WithoutCode,
}

/// The application has closed with a code that must not be sent. No lock may be held.
#[cold]
pub(super) fn warn_of(code: CloseCode) {
    log(|| {
        let code = code.value();
        tracing::warn!(code, "close code {code} must not be sent (RFC 6455 §7.4): the close frame has none");
    });
}

/// The parts of a new [`Client`].
pub(crate) struct NewClient {
    pub(crate) sender: clws_proto::Sender,
    pub(crate) context: Arc<ClientContext>,
    pub(crate) wake_target: WakeTarget,
    pub(crate) head: RequestHead,
    pub(crate) peer: Peer,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) data: Option<Box<dyn Any + Send + Sync>>,
    #[cfg(feature = "deflate")]
    pub(crate) negotiated: Option<Negotiated>,
    /// The client gets a place for the data of a resource adaptor.
    pub(crate) has_adapter_data: bool,
}

/// Slices for one write: enough for most outboxes, and for one with many small messages that others have too.
const FEW: usize = 16;
pub(super) const MANY: usize = 64;

impl Client {
    pub(crate) fn new(new: NewClient) -> Self {
        let NewClient { sender, context, wake_target, head, peer, .. } = new;
        let since = now().saturating_duration_since(context.started);
        let connected = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let version = sender.version();
        let (outbox, state) = (Lock::new(sender), AtomicU16::new(0));
        let (short, long) = (ShortPeer::new(peer), Some(peer));
        let extras = ClientExtras {
            subprotocol: new.subprotocol,
            data: new.data, // `Inner` guards its drop
            peer: long.filter(|_| short.long().is_none()),
            #[cfg(feature = "deflate")]
            negotiated: new.negotiated,
            adapter_data: OnceLock::new(),
            inbox: AtomicUsize::new(0),
        };
        let extras = (new.has_adapter_data || !extras.is_empty()).then(|| Box::new(extras));
        Self(Arc::new(Inner {
            outbox,
            wake_target,
            context,
            head,
            extras,
            connected,
            peer: short,
            version,
            state,
        }))
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.0.context.config
    }

    #[inline]
    pub(crate) fn context(&self) -> &Arc<ClientContext> {
        &self.0.context
    }

    /// What tells it from every other client, as long as it is held.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        self.0.extras.as_ref()?.negotiated.as_ref()
    }

    /// Keeps something for the adaptor that stands behind its resource, once; false where there is no place for it,
    /// `Accept::has_adapter_data` not being set.
    pub(crate) fn set_adapter_data(&self, value: impl Any + Send + Sync) -> bool {
        self.0.extras.as_ref().is_some_and(|extras| extras.adapter_data.set(Box::new(value)).is_ok())
    }

    pub(crate) fn adapter_data<T: Any>(&self) -> Option<&T> {
        self.0.extras.as_ref()?.adapter_data.get()?.downcast_ref()
    }

    /// Whether this side has begun to close.
    #[inline]
    pub(crate) fn is_closing(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & CLOSING != 0
    }

    pub(crate) fn set_connected(&self) {
        self.0.state.fetch_or(CONNECTED, Ordering::Relaxed);
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & CONNECTED != 0
    }

    /// It is to be dropped at once because too much memory is held. Its home is to be told.
    pub(super) fn overdraw(&self) {
        self.0.state.fetch_or(CLOSING | ABORTED | OVERDRAWN, Ordering::Relaxed);
    }

    /// Whether it is aborted for the sake of memory.
    pub(crate) fn is_overdrawn(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & OVERDRAWN != 0
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & ABORTED != 0
    }

    /// Its events wait until it is resumed. To be called on its own home, by what its messages are handed to.
    pub(crate) fn pause(&self) {
        self.0.state.fetch_or(PAUSED, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        if self.0.state.fetch_and(!PAUSED, Ordering::Relaxed) & PAUSED != 0 {
            broken!(ResumesWithoutWake, return);
            self.0.wake_target.wake();
        }
    }

    /// Its messages are going to be queued for a handler that runs elsewhere, which may pause it.
    pub(crate) fn set_queued_for(&self) {
        self.0.state.fetch_or(QUEUED, Ordering::Relaxed);
    }

    /// The same, to be called in `connected`: the host is told of the client's end where the resource around it refuses the
    /// client nevertheless.
    pub(crate) fn hand_to(&self, host: &Arc<dyn Host>) {
        self.set_queued_for();
        self.0.context.hosts.add(self, host);
        // A resource may hand on a client that it has taken before, or that has ended: nothing would remove the host.
        if self.is_connected() || self.is_disconnected() {
            self.0.context.hosts.remove(self, host);
        }
    }

    /// Its resource has taken it, and will be told of its end.
    pub(crate) fn forget_hosts(&self) {
        if self.is_queued_for() {
            drop(self.0.context.hosts.take(self));
        }
    }

    /// It was refused, and has ended.
    pub(crate) fn tell_hosts(&self, end: &Disconnect) {
        if self.is_queued_for() {
            for host in self.0.context.hosts.take(self) {
                broken!(RefusesInSilence, continue);
                host.ended(self, end);
            }
        }
    }

    #[inline]
    pub(crate) fn is_queued_for(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & QUEUED != 0
    }

    /// What is to become of its next event.
    #[inline]
    pub(crate) fn disposition(&self) -> Disposition {
        match self.0.state.load(Ordering::Relaxed) & (PAUSED | CROWDED | SILENCED) {
            0 => Disposition::Deliver,
            state if state & SILENCED != 0 => Disposition::Discard,
            _ => Disposition::Wait,
        }
    }

    /// Whether its pings are answered though its messages [wait](Disposition::Wait): the client has enough of the answers, but the
    /// application has not enough of the messages.
    pub(crate) fn hears_pings(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & PAUSED == 0
    }

    /// Takes note that it was flushed: its events may go on when it has no more than the high-water mark queued, or, where it
    /// had after an earlier flush, no more than half of that.
    ///
    /// Those that [watch](Self::watch) the client are told where all is written or the client is closed.
    ///
    /// Returns whether it is fine again after a send said [`Sent::AboveHighWater`](crate::Sent::AboveHighWater), once.
    #[inline]
    pub(crate) fn note_flushed(&self) -> bool {
        if self.0.state.load(Ordering::Relaxed) & (SLOW | CROWDED | WATCHED) == 0 {
            return false;
        }
        // Under the lock, as they were set: a send that comes in between sets them again.
        let outbox = self.outbox();
        let (queued, mark) = (outbox.queued(), self.config().high_water());
        let mut is_fine = false;
        if queued <= mark / 2 {
            is_fine = self.0.state.fetch_and(!(SLOW | CROWDED | HELD), Ordering::Relaxed) & SLOW != 0;
        } else if queued > mark {
            self.0.state.fetch_or(HELD, Ordering::Relaxed);
        } else if self.0.state.load(Ordering::Relaxed) & HELD == 0 {
            self.0.state.fetch_and(!CROWDED, Ordering::Relaxed);
        }
        let is_of_interest = queued == 0 || outbox.close_sent();
        drop(outbox);
        if is_of_interest {
            self.tell_watchers();
        }
        is_fine
    }

    /// Whether so much is queued that a sender had better wait for the resource's `drained`. Not when it is closed: what is
    /// queued then may never go, and `disconnected` has been called or will be.
    pub(crate) fn is_slow(&self) -> bool {
        let outbox = self.outbox();
        let slow = !outbox.close_sent() && outbox.queued() > self.config().high_water();
        if slow {
            self.0.state.fetch_or(SLOW, Ordering::Relaxed);
        }
        slow
    }

    /// It is in a group, which is to be told when it goes.
    pub(crate) fn set_member(&self) {
        self.0.state.fetch_or(MEMBER, Ordering::SeqCst);
    }

    /// It is gone: leaves its groups, and can join none any more.
    pub(crate) fn leave_groups(&self) {
        self.0.state.fetch_or(DISCONNECTED, Ordering::SeqCst);
        if self.0.state.load(Ordering::SeqCst) & MEMBER != 0 {
            self.0.context.memberships.leave_all(self);
        }
    }

    /// Whether its connection has ended.
    pub(crate) fn is_disconnected(&self) -> bool {
        self.0.state.load(Ordering::SeqCst) & DISCONNECTED != 0
    }

    /// Queues what the client is owed. Only a pong wakes its wake_target: whoever reacts to an end flushes anyway.
    pub(crate) fn react(&self, reaction: &Reaction<'_>) {
        if let Reaction::Deliver = reaction {
            return; // without the lock
        }
        if let Reaction::Fail(_) = reaction {
            self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        }
        let is_pong = matches!(reaction, Reaction::Pong(_));
        let mut outbox = self.outbox();
        let was_empty = is_pong && outbox.queued() == 0;
        if was_empty {
            buffer_pool::lend(&mut outbox);
        }
        outbox.react(reaction);
        drop(outbox);
        if was_empty {
            self.0.wake_target.wake();
        }
    }

    /// Begins the closing handshake. Messages that have come before are still of interest. A client that is closing already
    /// goes on with that.
    pub(crate) fn begin_close(&self, code: CloseCode, reason: &str) {
        if self.queue_close(code, reason) != CloseOutcome::Already {
            // Even with more queued before it: the time for the client's answer begins now.
            self.0.wake_target.wake();
        }
    }

    /// Queues the close frame, unless there is one. The caller tells its home.
    ///
    /// It always closes: a reason that is too long is cut off, and a code that must not be sent is left out.
    pub(crate) fn queue_close(&self, code: CloseCode, reason: &str) -> CloseOutcome {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
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

    /// The application hears nothing more from it, but that it is gone.
    pub(crate) fn set_silenced(&self) {
        self.0.state.fetch_or(SILENCED, Ordering::Relaxed);
    }

    /// Whether the application has closed it itself.
    pub(crate) fn is_silenced(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & SILENCED != 0
    }

    /// The resource refuses it: the application hears nothing more from it. The caller tells its home.
    pub(crate) fn refuse(&self, refuse: &Close) {
        self.set_silenced();
        if self.queue_close(refuse.code, &refuse.reason) == CloseOutcome::WithoutCode {
            warn_of(refuse.code);
        }
    }

    /// A handler that runs elsewhere has panicked over it.
    pub(crate) fn fail(&self) {
        self.queue_close(CloseCode::INTERNAL, "");
        self.0.state.fetch_or(FAILED, Ordering::Release);
        self.wake();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.state.load(Ordering::Acquire) & FAILED != 0
    }

    /// Tells its home of what was queued quietly.
    pub(crate) fn wake(&self) {
        self.0.wake_target.wake();
    }

    /// Nothing can be sent from now on; what is queued still goes out.
    pub(crate) fn seal(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        self.outbox().seal();
    }

    /// The connection is gone; frees what is queued.
    pub(crate) fn abandon(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        let drops = DeferredDrops::new(self.config()); // dropped after the lock
        let mut outbox = self.outbox();
        if outbox.queued() > 0 {
            self.0.state.fetch_or(LOST, Ordering::Relaxed);
        }
        outbox.abandon_with(&drops);
        self.charge(&mut outbox);
        drop(outbox);
        broken!(AbandonsInSilence, return);
        self.tell_watchers();
    }

    /// Whether its outbox holds a buffer, which it then has no more.
    #[cfg(test)]
    pub(crate) fn has_buffer(&self) -> bool {
        self.outbox().take_buffer().is_some()
    }

    /// Writes what is queued, as far as the socket takes it; whether all of it went.
    pub(crate) fn flush(
        &self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        // A socket is written to under the lock. A stream is code of the application.
        if let WakeTarget::Stream(_) = self.0.wake_target {
            return self.flush_copied(write);
        }
        let drops = DeferredDrops::new(self.config()); // dropped after the lock
        let mut outbox = self.outbox();
        let flushed = flush(&mut outbox, &drops, write);
        self.charge(&mut outbox);
        flushed
    }
}

/// Writes what is queued, as far as the socket takes it; whether all of it went.
fn flush(
    outbox: &mut clws_proto::Sender,
    drops: &DeferredDrops<'_>,
    write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<bool> {
    while outbox.queued() > 0 {
        let (offered, result) = offer(outbox, write);
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                outbox.consume_with(written, drops);
                // The socket is full, and will say when it is not.
                if written < offered {
                    return Ok(false);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer_pool::take_back(outbox);
    Ok(true)
}

/// Offers what is queued to a vectored write: how much, and the result.
fn offer(
    outbox: &clws_proto::Sender,
    write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> (usize, io::Result<usize>) {
    let most = outbox.slices();
    if most <= FEW { offer_in::<FEW>(outbox, write) } else { offer_in::<MANY>(outbox, write) }
}

fn offer_in<const SLICES: usize>(
    outbox: &clws_proto::Sender,
    write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> (usize, io::Result<usize>) {
    let mut slices = [IoSlice::new(&[]); SLICES];
    let filled = outbox.io_slices(&mut slices);
    let slices = slices.get(..filled).unwrap_or_default();
    (slices.iter().map(|slice| slice.len()).sum(), write(slices))
}
