//! Sends to clients that read slowly: messages that wait, are dropped, or close the client.

use clws_proto::backlog::{Admission, DropCounts, Pending, Queued};
use clws_proto::{CloseCode, SlowPolicy};

use crate::buffer_pool;
use crate::client::Client;
use crate::client::close::CloseOutcome;
use crate::client::deferred_drops::DeferredDrops;
use crate::client::outcome::{SendError, Sent};
use crate::client::treatment::Treatment;
use crate::stats::kinds::DropReason;
use crate::sync::broken;
use crate::wake::WakeBatch;

impl Client {
    /// Sets what happens to messages for this client while it reads slowly. `None`, the default,
    /// returns to the rules without a policy: a send fails with [`SendError::Full`], and a message
    /// to many closes the client.
    ///
    /// The policy holds for later messages. A [group](crate::Group::set_slow_policy) or a single
    /// [send](crate::SendOptions::slow_policy) may have another one.
    ///
    /// ```
    /// use clws_server::{Client, Close, Resource, SlowPolicy};
    ///
    /// struct Ticker;
    ///
    /// impl Resource for Ticker {
    ///     fn connected(&self, client: &Client) -> Result<(), Close> {
    ///         client.set_slow_policy(Some(SlowPolicy::drop_oldest()));
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn set_slow_policy(&self, policy: Option<SlowPolicy>) {
        self.outbox().set_policy(policy);
    }

    /// The policy that [`set_slow_policy`](Self::set_slow_policy) set.
    #[must_use]
    pub fn slow_policy(&self) -> Option<SlowPolicy> {
        self.outbox().policy()
    }

    /// The number of messages that this client missed because a [`SlowPolicy`] dropped them.
    /// Messages that were [replaced](Self::replaced) or refused do not count.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.outbox().drop_counts().dropped
    }

    /// The number of messages that this client missed because a newer message with the same
    /// [key](crate::SendOptions::coalesce) replaced them.
    #[must_use]
    pub fn replaced(&self) -> u64 {
        self.outbox().drop_counts().replaced
    }

    /// Queues a message that may have to wait, and that others may be dropped for.
    #[cold]
    pub(super) fn queue_pending(
        &self,
        message: Pending,
        treatment: Treatment<'_>,
        batch: Option<&mut WakeBatch>,
    ) -> Result<Sent, SendError> {
        let context = &*self.0.context;
        let message = message.key(treatment.key).policy(treatment.policy);
        let drops = DeferredDrops::new(self); // dropped after the lock
        let (was, queued, is_above, before, after) = {
            let mut outbox = self.outbox();
            let (was, before) = (outbox.queued(), outbox.drop_counts());
            broken!(StaleOutbox, {
                drop(outbox);
                outbox = self.outbox();
            });
            if was == 0 {
                buffer_pool::lend(&mut outbox);
            }
            let is_full = was > context.write_backlog && self.is_backlog_full(was);
            let admission = Admission { room: context.write_backlog, is_full };
            let queued = outbox.queue(message, admission, &drops);
            buffer_pool::take_back(&mut outbox); // unless something is queued
            let is_above = outbox.queued() > context.high_water;
            match queued {
                // Under the lock: a flush that sees the message sees this too.
                Ok(Queued::Yes { .. }) if is_above => self.0.state.set_crowded(),
                Ok(Queued::Dropped) => self.0.state.set_slow(),
                _ => {}
            }
            self.charge(&mut outbox);
            (was, queued, is_above, before, outbox.drop_counts())
        };
        self.note_missed(&queued, before, after);
        match treatment.many {
            Some(many) => drops.leave_to(many),
            None => drop(drops),
        }
        let is_first = was == 0;
        match (queued?, batch) {
            (Queued::Yes { displaced }, batch) => {
                if let Some(many) = treatment.many {
                    many.displaced.set(many.displaced.get() + displaced);
                }
                match batch {
                    Some(batch) => {
                        if is_first {
                            batch.add(&self.0.wake_target);
                        }
                        context.relieve_with(batch, &self.0.wake_target);
                    }
                    None => {
                        if is_first {
                            self.0.wake_target.wake();
                        }
                        context.relieve(&self.0.wake_target);
                    }
                }
                Ok(if is_above { Sent::AboveHighWater } else { Sent::Queued })
            }
            (Queued::Dropped, _) => Ok(Sent::Dropped),
            (Queued::Refused(policy), None) => {
                if policy.closes()
                    && self.queue_close(CloseCode::TRY_AGAIN_LATER, "") != CloseOutcome::Already
                {
                    self.0.wake_target.wake();
                }
                Err(SendError::Full)
            }
            (Queued::Refused(_), Some(_)) => Err(SendError::Full),
        }
    }

    /// Ends a client that missed a message to many, unless its policy permits that.
    ///
    /// A client without room for the message is closed with 1013: otherwise it would miss the
    /// message without knowing. If the server has no room, the client is dropped.
    #[cold]
    pub(crate) fn miss_one_of_many(&self, policy: Option<SlowPolicy>, batch: &mut WakeBatch) {
        let closes = match policy.or_else(|| self.slow_policy()) {
            Some(policy) => policy.closes(),
            // The queue may have shrunk since, so it does not tell which limit was reached.
            None if !self.0.context.budget.is_exhausted() => true,
            None if self.buffered_amount() > self.config().max_write_backlog => true,
            None => {
                self.0.state.overdraw();
                return batch.add(&self.0.wake_target);
            }
        };
        if closes && self.queue_close(CloseCode::TRY_AGAIN_LATER, "") != CloseOutcome::Already {
            batch.add(&self.0.wake_target);
        }
    }

    /// Counts the messages that the client does not get.
    fn note_missed(
        &self,
        queued: &Result<Queued, clws_proto::SendError>,
        before: DropCounts,
        after: DropCounts,
    ) {
        let mut dropped = after.dropped - before.dropped;
        match queued {
            Err(error) => self.note_refused((*error).into()),
            Ok(Queued::Refused(_)) => self.note_refused(SendError::Full),
            Ok(Queued::Dropped) => {
                dropped -= 1;
                self.counters_of_this_thread().note_dropped(DropReason::Newest, 1);
            }
            Ok(Queued::Yes { .. }) => {}
        }
        let replaced = after.replaced - before.replaced;
        for (reason, count) in [(DropReason::Oldest, dropped), (DropReason::Replaced, replaced)] {
            if count > 0 {
                self.counters_of_this_thread().note_dropped(reason, count);
            }
        }
    }
}
