//! The side of a mailbox that events are put into.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use clws_handshake::Reject;
use clws_proto::{CloseCode, Payload, Piece, Text};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::watchers::{Host, gone_already};
use crate::drain::work::{Work, Works};
use crate::guard::discard;
use crate::handler::mailbox::event::{Event, MailboxClosed, resource_ended};
use crate::handler::mailbox::state::{AdmissionTicket, MAX_UNHANDLED_CONNECTS, MIN_SWEEP, Member, Shared};
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;
use crate::resource::{CloseTime, Resource};
use crate::sync::broken;

/// The side of a mailbox that events are put into. Cheap to clone.
///
/// It is a [`Resource`] to register, and a handle that sends the application's own messages.
pub struct MailboxSender<M> {
    shared: Arc<CloseOnDrop<M>>,
    has_openings: bool,
}

/// Closes the mailbox when the last [`MailboxSender`] is dropped.
struct CloseOnDrop<M>(Arc<Shared<M>>);

impl<M> MailboxSender<M> {
    pub(super) fn new(shared: Arc<Shared<M>>) -> Self {
        Self { shared: Arc::new(CloseOnDrop(shared)), has_openings: false }
    }
}

impl<M: Send + 'static> MailboxSender<M> {
    /// Delivers each handshake as an [`Event::Opening`], for a decision. Otherwise every client is
    /// accepted.
    #[must_use]
    pub fn openings(mut self) -> Self {
        self.has_openings = true;
        self
    }

    /// Appends a message of the application to the mailbox: `send-custom-message-to-resource`. It
    /// counts toward no limit.
    ///
    /// # Errors
    ///
    /// The mailbox is closed.
    pub fn send(&self, message: M) -> Result<(), MailboxClosed> {
        if self.put(Event::Message(message), None) { Ok(()) } else { Err(MailboxClosed) }
    }

    /// Closes the mailbox: it takes no more clients and messages. Queued events are still
    /// delivered, then the clients are closed with 1001.
    pub fn close(&self) {
        self.shared.0.close();
    }

    /// Whether the mailbox was closed, or its [`Mailbox`](crate::Mailbox) was dropped.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.0.state().closed
    }

    fn put(&self, event: Event<M>, client: Option<&Client>) -> bool {
        self.shared.0.put(event, client)
    }

    /// Puts a handshake in. Returns the decision if the mailbox is closed.
    fn put_opening(&self, opening: &Opening, decision: Decision) -> Result<(), Decision> {
        let shared = &*self.shared.0;
        let mut state = shared.state();
        if state.closed {
            return Err(decision);
        }
        let mut stale = VecDeque::new(); // dropped after the lock is released
        if state.openings >= state.sweep_at {
            let queue = std::mem::take(&mut state.queue);
            (stale, state.queue) = queue.into_iter().partition(Event::is_stale);
            let is_opening = |event: &&Event<M>| matches!(event, Event::Opening(..));
            state.openings = state.queue.iter().filter(is_opening).count();
            state.sweep_at = MIN_SWEEP.max(2 * state.openings);
        }
        state.openings += 1;
        state.is_idle = false;
        let was_empty = state.queue.is_empty();
        state.queue.push_back(Event::Opening(opening.clone(), decision));
        drop(state);
        drop(stale);
        if was_empty {
            shared.waker.wake();
        }
        Ok(())
    }

    /// Lets a drain of the server wait for this mailbox.
    pub(crate) fn make_known(&self, works: &Works) {
        let is_known = std::mem::replace(&mut self.shared.0.state().is_known, true);
        if !is_known {
            let work: Arc<dyn Work> = Arc::clone(&self.shared.0) as _;
            works.add(Arc::downgrade(&work));
        }
    }

    /// Accepts a client, at once or when enough earlier clients are handled.
    fn admit(&self) -> Result<Accept, Reject> {
        let mut state = self.shared.0.state();
        if state.closed {
            return Err(resource_ended());
        }
        if state.unhandled_connects < MAX_UNHANDLED_CONNECTS {
            return Ok(Accept::new());
        }
        let mut stale = VecDeque::new(); // dropped after the lock is released
        if state.pending_admissions.len() >= state.sweep_at {
            let pending_admissions = std::mem::take(&mut state.pending_admissions);
            (state.pending_admissions, stale) =
                pending_admissions.into_iter().partition(Decision::is_waiting);
            state.sweep_at = MIN_SWEEP.max(2 * state.pending_admissions.len());
        }
        let ticket = AdmissionTicket(Arc::downgrade(&self.shared.0));
        let (accept, decision) = Accept::later_with(Some(Box::new(ticket)));
        state.pending_admissions.push_back(decision);
        state.pending += 1;
        drop(state);
        drop(stale);
        Ok(accept)
    }
}

impl<M> Shared<M> {
    /// Puts an event in. Returns whether the mailbox took it.
    fn put(&self, mut event: Event<M>, client: Option<&Client>) -> bool {
        broken!(WakesBeforeMessage, self.waker.wake());
        let mut state = self.state();
        // Dropped after the lock is released: the drop of a client can run code of the application.
        let known = match (&mut event, client) {
            (Event::Disconnected(_, end), Some(client)) => {
                let member = state.clients.remove(&client.id());
                end.undelivered += member.as_ref().map_or(0, |member| member.undelivered);
                member
            }
            _ => None,
        };
        if state.closed && known.is_none() {
            if event.ends_data()
                && let Some(client) = client
                && let Some(member) = state.clients.get_mut(&client.id())
            {
                member.undelivered += 1;
                client.note_undelivered(1);
            }
            let debug = state.debug;
            drop(state);
            discard(debug, &client.cloned(), event); // it may be a message of the application
            return false;
        }
        state.backlog = state.backlog.saturating_add(event.cost());
        if let Some(client) = client {
            state.budget.get_or_insert_with(|| Arc::clone(&client.context().budget));
            state.limit = client.config().max_handler_read_backlog;
            state.debug = client.config().debug_on();
            match &event {
                Event::Connected(_) => {
                    state.unhandled_connects += 1;
                    state.clients.insert(client.id(), Member { client: client.clone(), undelivered: 0 });
                }
                Event::Text(..) | Event::Binary(..) | Event::Piece(..) | Event::Pong(..)
                    if state.backlog > state.limit =>
                {
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
        state.is_idle = false;
        state.messages += usize::from(event.ends_data());
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

/// Delivers the end of a client that a resource around the mailbox has refused.
impl<M: Send + 'static> Host for Shared<M> {
    fn ended(&self, client: &Client, end: &Disconnect) {
        self.put(Event::Disconnected(client.clone(), end.clone()), Some(client));
    }
}

impl<M: Send + 'static> Resource for MailboxSender<M> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if !self.has_openings {
            return self.admit();
        }
        let (accept, decision) = Accept::later();
        if let Err(decision) = self.put_opening(opening, decision) {
            decision.reject(resource_ended());
        }
        Ok(accept)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.is_disconnected() {
            return Err(gone_already());
        }
        let host: Arc<dyn Host> = Arc::clone(&self.shared.0) as _;
        client.hand_to(&host);
        self.make_known(&client.context().shared.drain.works);
        let taken = self.put(Event::Connected(client.clone()), Some(client));
        if taken { Ok(()) } else { Err(Close::new(CloseCode::GOING_AWAY, "")) }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.put(Event::Text(client.clone(), text.into_bytestring()), Some(client));
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.put(Event::Binary(client.clone(), payload.into_bytes()), Some(client));
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        self.put(Event::Piece(client.clone(), piece.into()), Some(client));
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        self.put(Event::Pong(client.clone(), payload.into_bytes()), Some(client));
    }

    fn drained(&self, client: &Client) {
        self.put(Event::Drained(client.clone()), Some(client));
    }

    fn draining(&self, client: &Client) -> CloseTime {
        // A closed mailbox closes its clients itself.
        let is_taken = self.put(Event::Draining(client.clone()), Some(client));
        if is_taken { CloseTime::Later } else { CloseTime::Now }
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
        Self { shared: Arc::clone(&self.shared), has_openings: self.has_openings }
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

    /// Returns handshakes that wait because too many clients are unhandled.
    fn handshakes(sender: &MailboxSender<()>, count: usize) -> Vec<Accept> {
        sender.shared.0.state().unhandled_connects = MAX_UNHANDLED_CONNECTS;
        (0..count).map(|_| sender.admit().unwrap()).collect()
    }

    fn is_admitted(handshake: &Accept) -> bool {
        matches!(handshake.pending.as_ref().unwrap().take(), Some(Ok(_)))
    }

    fn poll(mailbox: &mut crate::handler::mailbox::Mailbox<()>) {
        let mut context = std::task::Context::from_waker(noop_waker_ref());
        assert!(mailbox.next().poll_unpin(&mut context).is_pending());
    }

    #[test]
    fn stale_handshakes_do_not_delay_others() {
        let (sender, mut mailbox) = mailbox();
        let stale = handshakes(&sender, 5 * MAX_UNHANDLED_CONNECTS);
        let live = handshakes(&sender, 3);
        drop(stale);
        poll(&mut mailbox);
        assert!(live.iter().all(is_admitted));
    }

    #[test]
    fn admitted_handshakes_without_a_client_do_not_delay_others() {
        for takes in [false, true] {
            let (sender, mut mailbox) = mailbox::<()>();
            let mut failing = handshakes(&sender, 5 * MAX_UNHANDLED_CONNECTS);
            let live = handshakes(&sender, 3);
            let (woken, count) = futures_waker();
            let mut context = std::task::Context::from_waker(&woken);
            assert!(mailbox.next().poll_unpin(&mut context).is_pending());
            for round in 1..=5 {
                assert!(failing[..MAX_UNHANDLED_CONNECTS].iter().all(|one| !takes || is_admitted(one)));
                let before = count.load(std::sync::atomic::Ordering::Relaxed);
                failing.drain(..MAX_UNHANDLED_CONNECTS);
                assert!(count.load(std::sync::atomic::Ordering::Relaxed) > before, "round {round}");
                assert!(mailbox.next().poll_unpin(&mut context).is_pending());
            }
            assert!(live.iter().all(is_admitted));
        }
    }

    #[test]
    fn admits_a_limited_number_of_handshakes_at_once() {
        let (sender, mut mailbox) = mailbox::<()>();
        let all = handshakes(&sender, 2 * MAX_UNHANDLED_CONNECTS);
        poll(&mut mailbox);
        assert_eq!(all.iter().filter(|one| is_admitted(one)).count(), MAX_UNHANDLED_CONNECTS);
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
