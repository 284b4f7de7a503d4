//! Queuing messages that may wait and may be dropped.

#[cfg(test)]
mod tests;

use crate::buffer::pool::BufferPool;
use crate::buffer::receipt::Fate;
use crate::error::SendError;
use crate::send::Sender;
use crate::send::backlog::DropCounts;
use crate::send::backlog::pending::Pending;
use crate::send::backlog::policy::{Action, SlowPolicy};

/// The bytes of messages that one write moves to the outbox at most, while many wait. A message may
/// be compressed to almost nothing, so the bytes in the outbox do not bound the work.
const MOST_MOVED: usize = 64 * 1024;

/// The state of the queue as its driver sees it, for one message.
#[derive(Clone, Copy, Debug)]
pub struct Admission {
    /// Messages that may be dropped wait while the outbox has more bytes. The same number must be
    /// used for all messages to one peer.
    pub room: usize,
    /// Nothing more may be queued: a message is refused or dropped unless it replaces others of at
    /// least its length.
    pub is_full: bool,
}

/// The result of [`Sender::queue`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Queued {
    /// The message is queued. It has replaced or displaced that many older messages.
    Yes {
        /// The older messages that were dropped.
        displaced: u64,
    },
    /// The message was dropped.
    Dropped,
    /// The message was refused, and the policy says whether the peer must be closed.
    Refused(SlowPolicy),
}

/// Messages that may be dropped.
impl Sender {
    /// Queues a message by its [`SlowPolicy`], or that of this sender.
    ///
    /// If the outbox has room, the message is encoded at once, as [`text`](Self::text) does it.
    /// Otherwise a message that may be dropped later waits, and all later messages wait behind it.
    /// [`consume`](Self::consume) moves waiting messages to the outbox. A close frame waits for
    /// them.
    ///
    /// While a message [waits](Self::must_wait), every message must be queued by this method: the
    /// others would overtake it. `buffers` gets what is dropped.
    ///
    /// ```
    /// use clws_proto::backlog::{Admission, Pending, Queued};
    /// use clws_proto::buffer::NoPool;
    /// use clws_proto::{Sender, SlowPolicy, Version};
    ///
    /// let mut sender = Sender::server(Version::Rfc6455);
    /// sender.set_policy(Some(SlowPolicy::drop_oldest().max_queued(100_000)));
    /// let admission = Admission { room: 64 * 1024, is_full: false };
    /// for _ in 0..1000 {
    ///     let _ = sender.queue(Pending::binary(&[0; 1000]), admission, &NoPool)?;
    /// }
    /// assert!(sender.queued() <= 100_000 + 1004 + 128);
    /// assert!(sender.drop_counts().dropped > 890);
    /// # Ok::<(), clws_proto::SendError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The errors of [`text`](Self::text), [`binary`](Self::binary) and [`ping`](Self::ping).
    pub fn queue(
        &mut self,
        message: Pending,
        admission: Admission,
        buffers: &dyn BufferPool,
    ) -> Result<Queued, SendError> {
        if let Err(error) = self.check_pending(&message) {
            message.release(Fate::Lost, buffers);
            return Err(error);
        }
        let policy = self.policy_for(&message);
        let queued = self.queued();
        if queued <= admission.room && !admission.is_full {
            self.encode_pending(message, buffers);
            return Ok(Queued::Yes { displaced: 0 });
        }
        let buffer = self.buffer();
        let len = message.len();
        let limit = policy.max_queued.max(admission.room);
        let fits = |after: usize| if admission.is_full { after + len <= queued } else { after <= limit };
        let drops_oldest = policy.action == Action::DropOldest;

        let backlog = buffer.backlog.get_or_insert_default();
        backlog.room = admission.room;
        let replaced = message.key.and_then(|key| backlog.keys.get(&key).copied());
        let replaced_len = replaced.and_then(|id| backlog.waiting.get(&id)).map_or(0, Pending::len);
        let mut after = queued - replaced_len;
        let is_droppable = |id: &u64| backlog.droppable.contains(id);
        let droppable = backlog.droppable_bytes
            - if replaced.as_ref().is_some_and(is_droppable) { replaced_len } else { 0 };
        if !fits(after - if drops_oldest { droppable } else { 0 }) {
            return Ok(match policy.action {
                Action::Refuse | Action::Close => {
                    message.release(Fate::Dropped, buffers);
                    Queued::Refused(policy)
                }
                Action::DropNewest | Action::DropOldest => {
                    message.release(Fate::Dropped, buffers);
                    self.counts().dropped += 1;
                    Queued::Dropped
                }
            });
        }
        let mut counts = DropCounts::default();
        if let Some(old) = replaced.and_then(|id| backlog.remove(id)) {
            counts.replaced += 1;
            buffer.waiting -= old.len();
            old.release(Fate::Dropped, buffers);
        }
        while !fits(after) {
            let oldest = backlog.droppable.first().copied();
            let Some(old) = oldest.and_then(|id| backlog.remove(id)) else { break };
            counts.dropped += 1;
            buffer.waiting -= old.len();
            after -= old.len();
            old.release(Fate::Dropped, buffers);
        }
        if drops_oldest || message.key.is_some() || buffer.waiting > 0 {
            buffer.waiting += len;
            backlog.push(message, drops_oldest);
        } else {
            self.encode_pending(message, buffers);
        }
        if counts != DropCounts::default() {
            let total = self.counts();
            total.dropped += counts.dropped;
            total.replaced += counts.replaced;
        }
        self.refill(buffers);
        Ok(Queued::Yes { displaced: counts.dropped + counts.replaced })
    }

    /// Whether the next message must be queued by [`queue`](Self::queue): a message waits, or the
    /// sender has a policy.
    #[must_use]
    pub fn must_wait(&self) -> bool {
        self.is_waiting() || self.policy().is_some()
    }

    /// Whether a message waits for room in the outbox.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.buffer.as_ref().is_some_and(|buffer| buffer.waiting > 0)
    }

    /// The policy for messages without a policy of their own.
    #[must_use]
    pub fn policy(&self) -> Option<SlowPolicy> {
        self.extras.as_ref()?.policy
    }

    /// Sets the policy for messages without a policy of their own. Messages that wait already keep
    /// theirs.
    pub fn set_policy(&mut self, policy: Option<SlowPolicy>) {
        if policy != self.policy() {
            self.extras.get_or_insert_default().policy = policy;
        }
    }

    /// The messages that were dropped or replaced so far.
    #[must_use]
    pub fn drop_counts(&self) -> DropCounts {
        self.extras.as_ref().map(|extras| extras.drops).unwrap_or_default()
    }

    /// Control frames are not dropped: a ping is a barrier.
    fn policy_for(&self, message: &Pending) -> SlowPolicy {
        let policy = if message.is_control() { None } else { message.policy.or(self.policy()) };
        policy.unwrap_or(SlowPolicy::refuse())
    }

    fn counts(&mut self) -> &mut DropCounts {
        &mut self.extras.get_or_insert_default().drops
    }

    pub(super) fn is_close_waiting(&self) -> bool {
        let backlog = self.buffer.as_ref().and_then(|buffer| buffer.backlog.as_ref());
        backlog.is_some_and(|backlog| backlog.close.is_some())
    }

    /// Lets the close frame follow the messages that wait.
    pub(super) fn let_close_wait(&mut self, body: &[u8]) {
        self.buffer().backlog.get_or_insert_default().close = Some(body.into());
    }

    /// Removes written bytes, settles receipts, and moves waiting messages to the outbox.
    #[cold]
    pub(super) fn consume_before_backlog(&mut self, written: usize, buffers: &dyn BufferPool) {
        let Some(buffer) = &mut self.buffer else { return };
        let written = written.min(buffer.outbox.queued());
        buffer.outbox.consume(written, buffers);
        if let Some(backlog) = &mut buffer.backlog {
            backlog.receipts.note_written(written, buffers);
        }
        if buffer.floor > 0 {
            self.lower_floor(written);
        }
        self.refill(buffers);
    }

    /// Moves waiting messages to the outbox while it has room. Afterwards either none waits, or
    /// more than the room is queued in all.
    fn refill(&mut self, buffers: &dyn BufferPool) {
        let mut moved = 0;
        while let Some(buffer) = &mut self.buffer
            && let Some(backlog) = &mut buffer.backlog
            && let Some(first) = backlog.first()
        {
            let is_enough = moved >= MOST_MOVED && buffer.waiting > backlog.room;
            if buffer.outbox.queued() > backlog.room || is_enough {
                return;
            }
            let Some(message) = backlog.remove(first) else { return };
            buffer.waiting -= message.len();
            moved += message.len();
            self.encode_pending(message, buffers);
        }
        let Some(backlog) = self.buffer.as_mut().and_then(|buffer| buffer.backlog.as_mut()) else { return };
        if let Some(body) = backlog.close.take() {
            self.append_close(&body);
        }
        if let Some(buffer) = &mut self.buffer
            && buffer.backlog.as_ref().is_some_and(|backlog| backlog.receipts.is_empty())
        {
            buffer.backlog = None;
        }
    }
}
