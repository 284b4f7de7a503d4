use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use clws_handshake::Reject;
use clws_proto::{CloseCode, Payload, Text};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::watchers::{Host, gone_already};
use crate::guard::discard;
use crate::handler::mailbox::state::{AdmissionTicket, Member, Shared, cost, gone, is_stale};
use crate::handler::mailbox::{Event, MAX_UNHANDLED_CONNECTS, MailboxClosed};
use crate::resource::Resource;
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;
use crate::sync::broken;

/// So many undecided openings are kept before those are thrown out that nobody waits for any more.
pub(super) const OPENINGS: usize = 64;

/// The side of a mailbox that events are put into: a [`Resource`] to be registered, and a handle to send it messages of
/// the application's own. Cheap to clone.
pub struct MailboxSender<M> {
    ends: Arc<CloseOnDrop<M>>,
    asks: bool,
}

/// Dropped with the last [`MailboxSender`].
struct CloseOnDrop<M>(Arc<Shared<M>>);

impl<M> MailboxSender<M> {
    pub(super) fn new(shared: Arc<Shared<M>>) -> Self {
        Self { ends: Arc::new(CloseOnDrop(shared)), asks: false }
    }
}

impl<M: Send + 'static> MailboxSender<M> {
    /// Asks the mailbox about each client, by [`Event::Opening`]; otherwise everybody is taken.
    #[must_use]
    pub fn with_openings(mut self) -> Self {
        self.asks = true;
        self
    }

    /// Puts a message of the application's own behind what is in the mailbox: `send-custom-message-to-resource`. It does
    /// not count for any limit.
    ///
    /// # Errors
    ///
    /// The mailbox is closed.
    pub fn send(&self, message: M) -> Result<(), MailboxClosed> {
        if self.put(Event::Message(message), None) { Ok(()) } else { Err(MailboxClosed) }
    }

    /// Closes the mailbox: no client and no message is taken any more, what is in it still comes out, and then its clients
    /// are closed with 1001.
    pub fn close(&self) {
        self.ends.0.close();
    }

    /// Whether it was closed, or nobody receives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ends.0.state().closed
    }

    fn put(&self, event: Event<M>, client: Option<&Client>) -> bool {
        self.ends.0.put(event, client)
    }

    /// Puts a decision in; gives it back where it is closed.
    fn put_opening(&self, opening: &Opening, decision: Decision) -> Result<(), Decision> {
        let shared = &*self.ends.0;
        let mut state = shared.state();
        if state.closed {
            return Err(decision);
        }
        let mut stale = Vec::new(); // dropped behind the lock
        if state.openings >= state.most_openings {
            let (gone, kept): (Vec<_>, VecDeque<_>) = {
                let queue = std::mem::take(&mut state.queue);
                let (gone, kept): (Vec<_>, Vec<_>) = queue.into_iter().partition(is_stale);
                (gone, kept.into())
            };
            (stale, state.queue) = (gone, kept);
            let is_opening = |event: &&Event<M>| matches!(event, Event::Opening(..));
            state.openings = state.queue.iter().filter(is_opening).count();
            state.most_openings = OPENINGS.max(2 * state.openings);
        }
        state.openings += 1;
        let was_empty = state.queue.is_empty();
        state.queue.push_back(Event::Opening(opening.clone(), decision));
        drop(state);
        drop(stale);
        if was_empty {
            shared.waker.wake();
        }
        Ok(())
    }

    /// Takes a client, at once or when there is room.
    fn admit(&self) -> Result<Accept, Reject> {
        let mut state = self.ends.0.state();
        if state.closed {
            return Err(gone());
        }
        if state.unhandled_connects < MAX_UNHANDLED_CONNECTS {
            return Ok(Accept::new());
        }
        let mut stale = VecDeque::new(); // dropped behind the lock
        if state.pending_admissions.len() >= state.most_openings {
            let pending_admissions = std::mem::take(&mut state.pending_admissions);
            (state.pending_admissions, stale) =
                pending_admissions.into_iter().partition(Decision::is_waiting);
            state.most_openings = OPENINGS.max(2 * state.pending_admissions.len());
        }
        let ticket = AdmissionTicket(Arc::downgrade(&self.ends.0));
        let (accept, decision) = Accept::later_with(Some(Box::new(ticket)));
        state.pending_admissions.push_back(decision);
        state.pending += 1;
        drop(state);
        drop(stale);
        Ok(accept)
    }
}

impl<M> Shared<M> {
    /// Puts an event in; false where it is closed.
    fn put(&self, mut event: Event<M>, client: Option<&Client>) -> bool {
        broken!(WakesBeforeMessage, self.waker.wake());
        let mut state = self.state();
        // Not dropped under the lock, though the caller holds the client too.
        let known = match (&mut event, client) {
            (Event::Disconnected(_, end), Some(client)) => {
                let member = state.clients.remove(&client.id());
                end.undelivered += member.as_ref().map_or(0, |member| member.undelivered);
                member
            }
            _ => None,
        };
        if state.closed && known.is_none() {
            if let (Event::Text(..) | Event::Binary(..), Some(client)) = (&event, client)
                && let Some(member) = state.clients.get_mut(&client.id())
            {
                member.undelivered += 1;
            }
            let debug = state.debug;
            drop(state);
            discard(debug, event); // a message of the application's, for instance
            return false;
        }
        let cost = cost(&event);
        state.backlog = state.backlog.saturating_add(cost);
        if let Some(client) = client {
            state.budget.get_or_insert_with(|| Arc::clone(&client.context().budget));
            state.limit = client.config().max_handler_read_backlog;
            state.debug = client.config().debug_on();
            match &event {
                Event::Connected(_) => {
                    state.unhandled_connects += 1;
                    state.clients.insert(client.id(), Member { client: client.clone(), undelivered: 0 });
                }
                Event::Text(..) | Event::Binary(..) | Event::Pong(..) if state.backlog > state.limit => {
                    state.paused.push(client.clone());
                    broken!(PausesTooLate, {
                        drop(state);
                        state = self.state();
                    });
                    client.pause_by_queue();
                }
                _ => {}
            }
        }
        state.charge();
        let was_empty = state.queue.is_empty();
        state.queue.push_back(event);
        drop(state);
        broken!(WakesBeforeMessage, return true);
        if was_empty {
            self.waker.wake();
        }
        true
    }
}

/// A client that was put in, and refused by a resource around the mailbox.
impl<M: Send + 'static> Host for Shared<M> {
    fn ended(&self, client: &Client, end: &Disconnect) {
        self.put(Event::Disconnected(client.clone(), end.clone()), Some(client));
    }
}

impl<M: Send + 'static> Resource for MailboxSender<M> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if !self.asks {
            return self.admit();
        }
        let (accept, decision) = Accept::later();
        if let Err(decision) = self.put_opening(opening, decision) {
            decision.reject(gone());
        }
        Ok(accept)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.is_disconnected() {
            return Err(gone_already());
        }
        let host: Arc<dyn Host> = Arc::clone(&self.ends.0) as _;
        client.hand_to(&host);
        let taken = self.put(Event::Connected(client.clone()), Some(client));
        if taken { Ok(()) } else { Err(Close::new(CloseCode::GOING_AWAY, "")) }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.put(Event::Text(client.clone(), text.into_bytestring()), Some(client));
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.put(Event::Binary(client.clone(), payload.into_bytes()), Some(client));
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        self.put(Event::Pong(client.clone(), payload.into_bytes()), Some(client));
    }

    fn drained(&self, client: &Client) {
        self.put(Event::Drained(client.clone()), Some(client));
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        self.put(Event::Disconnected(client.clone(), end.clone()), Some(client));
    }
}

impl<M> Drop for CloseOnDrop<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<M> Clone for MailboxSender<M> {
    fn clone(&self) -> Self {
        Self { ends: Arc::clone(&self.ends), asks: self.asks }
    }
}

impl<M> fmt::Debug for MailboxSender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MailboxSender").finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "test code")]
mod tests {
    use futures::task::noop_waker_ref;
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::handler::mailbox::mailbox;

    /// Handshakes, of which a mailbox lets in `MAX_UNHANDLED_CONNECTS` at once, for so many clients are not handled yet.
    fn handshakes(sender: &MailboxSender<()>, count: usize) -> Vec<Accept> {
        sender.ends.0.state().unhandled_connects = MAX_UNHANDLED_CONNECTS;
        (0..count).map(|_| sender.admit().unwrap()).collect()
    }

    fn is_let_in(handshake: &Accept) -> bool {
        matches!(handshake.pending.as_ref().unwrap().take(), Some(Ok(_)))
    }

    /// Nothing comes out of the mailbox; whether its task is to be woken for more.
    fn poll(mailbox: &mut crate::handler::mailbox::Mailbox<()>) {
        let mut context = std::task::Context::from_waker(noop_waker_ref());
        assert!(mailbox.next().poll_unpin(&mut context).is_pending());
    }

    #[test]
    fn the_dead_keep_nobody_waiting() {
        let (sender, mut mailbox) = mailbox();
        let dead = handshakes(&sender, 5 * MAX_UNHANDLED_CONNECTS);
        let live = handshakes(&sender, 3);
        drop(dead);
        poll(&mut mailbox);
        assert!(live.iter().all(is_let_in));
    }

    /// They are let in and bring no client: they are gone by then, or refused by a resource around the mailbox.
    #[test]
    fn nor_do_those_that_come_to_nothing() {
        for takes in [false, true] {
            let (sender, mut mailbox) = mailbox::<()>();
            let mut nothing = handshakes(&sender, 5 * MAX_UNHANDLED_CONNECTS);
            let live = handshakes(&sender, 3);
            let (woken, count) = futures_waker();
            let mut context = std::task::Context::from_waker(&woken);
            assert!(mailbox.next().poll_unpin(&mut context).is_pending());
            for round in 1..=5 {
                assert!(nothing[..MAX_UNHANDLED_CONNECTS].iter().all(|one| !takes || is_let_in(one)));
                let before = count.load(std::sync::atomic::Ordering::Relaxed);
                nothing.drain(..MAX_UNHANDLED_CONNECTS);
                assert!(count.load(std::sync::atomic::Ordering::Relaxed) > before, "round {round}");
                assert!(mailbox.next().poll_unpin(&mut context).is_pending());
            }
            assert!(live.iter().all(is_let_in));
        }
    }

    /// No more are let in than one by one handled.
    #[test]
    fn the_others_wait_for_those_that_are_let_in() {
        let (sender, mut mailbox) = mailbox::<()>();
        let all = handshakes(&sender, 2 * MAX_UNHANDLED_CONNECTS);
        poll(&mut mailbox);
        assert_eq!(all.iter().filter(|one| is_let_in(one)).count(), MAX_UNHANDLED_CONNECTS);
    }

    fn futures_waker() -> (std::task::Waker, Arc<std::sync::atomic::AtomicUsize>) {
        struct Count(Arc<std::sync::atomic::AtomicUsize>);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let count = Arc::default();
        (Arc::new(Count(Arc::clone(&count))).into(), count)
    }
}
