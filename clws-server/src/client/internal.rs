//! What the server's own parts do with a client.

use std::any::Any;
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use clws_handshake::Head;
use clws_proto::{CloseCode, CloseFrame};

use super::short_peer::ShortPeer;
use super::{
    ABORTED, CLOSING, CONNECTED, Client, FAILED, HUSHED, Inner, LEFT, MEMBER, PAUSED, QUEUED, Rare, SLOW,
};
#[cfg(feature = "deflate")]
use crate::deflate::Agreed;
use crate::pool::{self, Pool};
use crate::registry::Entry;
use crate::resource::Accept;
use crate::server::Shared;
use crate::session::Context;
use crate::time::now;
use crate::{Config, Peer, SendError};

/// Slices for one write: enough for most outboxes, and for one with many small messages that others have too.
const FEW: usize = 16;
const MANY: usize = 64;

impl Client {
    pub(crate) fn new(
        sender: clws_proto::Sender,
        entry: Arc<Entry>,
        head: Head,
        accept: Accept,
        peer: Peer,
        context: &Context<'_>,
    ) -> Self {
        let (home, shared) = (context.place.to_home(), Arc::clone(context.shared));
        let since = now().saturating_duration_since(shared.started);
        let connected = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let version = sender.version();
        let (outbox, state) = (Mutex::new(sender), AtomicU16::new(0));
        let (short, long) = (ShortPeer::new(peer), Some(peer));
        let rare = Rare {
            subprotocol: accept.subprotocol,
            data: accept.data,
            peer: long.filter(|_| short.long().is_none()),
            #[cfg(feature = "deflate")]
            agreed: accept.agreed,
            slot: OnceLock::new(),
            inbox: AtomicUsize::new(0),
        };
        let rare = (accept.has_slot || !rare.is_empty()).then(|| Box::new(rare));
        Self(Arc::new(Inner {
            outbox,
            home,
            entry,
            shared,
            head,
            rare,
            connected,
            peer: short,
            version,
            state,
        }))
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.0.shared.config
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// What tells it from every other client, as long as it is held.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    #[inline]
    pub(crate) fn entry(&self) -> &Entry {
        &self.0.entry
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn agreed(&self) -> Option<&Agreed> {
        self.0.rare.as_ref()?.agreed.as_ref()
    }

    /// Keeps something for the adaptor that stands behind its resource, once; false where there is no place for it,
    /// `Accept::has_slot` not being set.
    pub(crate) fn set_slot(&self, value: impl Any + Send + Sync) -> bool {
        self.0.rare.as_ref().is_some_and(|rare| rare.slot.set(Box::new(value)).is_ok())
    }

    pub(crate) fn slot<T: Any>(&self) -> Option<&T> {
        self.0.rare.as_ref()?.slot.get()?.downcast_ref()
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

    pub(crate) fn is_aborted(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & ABORTED != 0
    }

    /// Nothing more is read from it, as long as it is not closing, until it is resumed. To be called on its own home, by
    /// what its messages are handed to.
    pub(crate) fn pause(&self) {
        self.0.state.fetch_or(PAUSED, Ordering::Relaxed);
    }

    pub(crate) fn resume(&self) {
        if self.0.state.fetch_and(!PAUSED, Ordering::Relaxed) & PAUSED != 0 {
            self.0.home.touch();
        }
    }

    /// Its messages are going to be queued for a handler that runs elsewhere, which may pause it.
    pub(crate) fn set_queued_for(&self) {
        self.0.state.fetch_or(QUEUED, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn is_queued_for(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & QUEUED != 0
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & (PAUSED | CLOSING) == PAUSED
    }

    /// Whether it had more queued than the high-water mark and has read so much that it is fine again; told once.
    #[inline]
    pub(crate) fn has_drained(&self) -> bool {
        if self.0.state.load(Ordering::Relaxed) & SLOW == 0 {
            return false;
        }
        // Under the lock, as it was set: a send that comes in between sets it again.
        let outbox = self.outbox();
        let drained = outbox.queued() <= self.config().high_water() / 2;
        if drained {
            self.0.state.fetch_and(!SLOW, Ordering::Relaxed);
        }
        drained
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
        self.0.state.fetch_or(LEFT, Ordering::SeqCst);
        if self.0.state.load(Ordering::SeqCst) & MEMBER != 0 {
            self.0.shared.memberships.leave_all(self);
        }
    }

    /// Whether its connection has ended.
    pub(crate) fn has_left(&self) -> bool {
        self.0.state.load(Ordering::SeqCst) & LEFT != 0
    }

    pub(crate) fn answer_ping(&self, payload: &[u8]) {
        let was = {
            let mut outbox = self.outbox();
            let was = outbox.queued();
            if was == 0 {
                pool::lend(&mut outbox);
            }
            outbox.answer_ping(payload);
            was
        };
        if was == 0 {
            self.0.home.touch();
        }
    }

    pub(crate) fn answer_close(&self, frame: Option<&CloseFrame<'_>>) {
        self.outbox().answer_close(frame);
    }

    /// Begins the closing handshake. Messages that have come before are still of interest.
    pub(crate) fn begin_close(&self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        self.outbox().close(code, reason)?;
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        // Even with more queued before it: the time for the client's answer begins now.
        self.0.home.touch();
        Ok(())
    }

    /// Whether the application has closed it itself.
    pub(crate) fn is_hushed(&self) -> bool {
        self.0.state.load(Ordering::Relaxed) & HUSHED != 0
    }

    /// Nothing can be sent any more; what is queued still goes out.
    pub(crate) fn close_quietly(&self, code: CloseCode, reason: &str) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        let mut outbox = self.outbox();
        if outbox.close(code, reason).is_err() {
            // A code or a reason that cannot be sent; without them it always can.
            outbox.close_without_code();
        }
    }

    /// A handler that runs elsewhere has panicked over it.
    pub(crate) fn fail(&self) {
        self.close_quietly(CloseCode::INTERNAL, "");
        self.0.state.fetch_or(FAILED, Ordering::Release);
        self.touch();
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.0.state.load(Ordering::Acquire) & FAILED != 0
    }

    /// Tells its home of what was queued quietly.
    pub(crate) fn touch(&self) {
        self.0.home.touch();
    }

    /// Nothing can be sent from now on; what is queued still goes out.
    pub(crate) fn seal(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        self.outbox().seal();
    }

    /// The connection is gone; frees what is queued.
    pub(crate) fn abandon(&self) {
        self.0.state.fetch_or(CLOSING, Ordering::Relaxed);
        let mut outbox = self.outbox();
        outbox.abandon();
        self.charge(&mut outbox);
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
        let mut outbox = self.outbox();
        let flushed = flush(&mut outbox, write);
        self.charge(&mut outbox);
        flushed
    }
}

/// Writes what is queued, as far as the socket takes it; whether all of it went.
fn flush(
    outbox: &mut clws_proto::Sender,
    write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
) -> io::Result<bool> {
    while outbox.queued() > 0 {
        let (offered, result) = offer(outbox, write);
        match result {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                outbox.consume_with(written, &Pool);
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
    pool::take_back(outbox);
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
