//! The state that a mailbox and its senders share.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use clws_proto::CloseCode;

use crate::budget::{Budget, Charged};
use crate::client::Client;
use crate::client::id::ClientId;
use crate::drain::work::Work;
use crate::guard::DebugOn;
use crate::handler::mailbox::event::{Event, discard_all, resource_ended};
use crate::lock::{Lock, LockGuard, rank};
use crate::resource::decision::Decision;
use crate::resource::pending::Ticket;
use crate::sync::broken;
use crate::sync::{atomic::AtomicUsize, atomic::Ordering};
use crate::task_waker::TaskWaker;

/// The most clients that connect before the mailbox handles the first of them. Further clients wait
/// in their handshakes.
pub(super) const MAX_UNHANDLED_CONNECTS: usize = 1024;

/// The fewest undecided handshakes at which stale ones are removed.
pub(super) const MIN_SWEEP: usize = 64;

pub(super) struct Shared<M> {
    state: Lock<State<M>, { rank::MAILBOX }>,
    pub(super) waker: TaskWaker,
    /// The data messages that the mailbox has taken and not delivered.
    pub(super) taken: Box<Taken>,
}

/// A count on a separate cache line, because only the reader of the mailbox changes it.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Taken(pub(super) AtomicUsize);

pub(super) struct State<M> {
    pub(super) queue: VecDeque<Event<M>>,
    /// The data messages in the queue.
    pub(super) messages: usize,
    /// Nothing is queued, and nothing is being handled.
    pub(super) is_idle: bool,
    /// The mailbox is among the handlers that a drain of the server waits for.
    pub(super) is_known: bool,
    /// The cost of all events that were put in and are not reported as handled.
    pub(super) backlog: usize,
    /// The backlog above which clients are paused.
    pub(super) limit: usize,
    /// Whether a panic in the drop of an undelivered message ends the process.
    pub(super) debug: DebugOn,
    /// The budget that is charged for the backlog: that of the first client's server.
    pub(super) budget: Option<Arc<Budget>>,
    charged: Charged,
    /// The clients that are not read from until the backlog has shrunk.
    pub(super) paused: Vec<Client>,
    /// The clients whose `Connected` event is in the queue.
    pub(super) unhandled_connects: usize,
    /// The handshakes that wait until those clients are handled.
    pub(super) pending_admissions: VecDeque<Decision>,
    /// The handshakes that are in `pending_admissions`, or were admitted from there and have not
    /// ended.
    pub(super) pending: usize,
    /// The `Opening` events in the queue.
    pub(super) openings: usize,
    /// The number of handshakes at which stale ones are removed next.
    pub(super) sweep_at: usize,
    pub(super) clients: HashMap<ClientId, Member>,
    /// No more events are taken, except the ends of known clients.
    pub(super) closed: bool,
    /// The clients were closed because the mailbox is closed.
    pub(super) clients_closed: bool,
}

/// A client whose `Connected` event was put in.
pub(super) struct Member {
    pub(super) client: Client,
    /// The data messages that arrived when the mailbox was closed.
    pub(super) undelivered: u64,
}

impl<M> Default for Shared<M> {
    fn default() -> Self {
        Self { state: Lock::default(), waker: TaskWaker::default(), taken: Box::default() }
    }
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            messages: 0,
            is_idle: true,
            is_known: false,
            backlog: 0,
            limit: usize::MAX,
            debug: DebugOn::default(),
            budget: None,
            charged: Charged::default(),
            paused: Vec::new(),
            unhandled_connects: 0,
            pending_admissions: VecDeque::new(),
            pending: 0,
            openings: 0,
            sweep_at: MIN_SWEEP,
            clients: HashMap::new(),
            closed: false,
            clients_closed: false,
        }
    }
}

impl<M> State<M> {
    /// Takes the handshakes to admit next, and the stale ones in front of them.
    pub(super) fn take_pending_admissions(&mut self) -> (Vec<Decision>, Vec<Decision>) {
        let (mut admitted, mut stale) = (Vec::new(), Vec::new());
        while admitted.len() < MAX_UNHANDLED_CONNECTS
            && let Some(decision) = self.pending_admissions.pop_front()
        {
            if decision.is_waiting() { admitted.push(decision) } else { stale.push(decision) }
        }
        (admitted, stale)
    }

    /// The clients, in no order. Tests sort them, because the simulation must be repeatable.
    pub(super) fn clients(&self) -> Vec<Client> {
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests sort them"))]
        let mut clients: Vec<_> = self.clients.values().map(|member| member.client.clone()).collect();
        #[cfg(test)]
        clients.sort_by_key(Client::remote_port);
        clients
    }

    /// Charges the budget for a changed backlog.
    pub(super) fn charge(&mut self) {
        if let Some(budget) = &self.budget {
            self.charged.update(self.backlog, budget);
        }
    }
}

/// The ticket of a handshake in [`State::pending_admissions`]. Its drop wakes the mailbox.
///
/// An admitted handshake may bring no client, because it has ended or another resource refused it.
/// Then no event makes the mailbox admit the next handshakes.
pub(super) struct AdmissionTicket<M>(pub(super) Weak<Shared<M>>);

impl<M: Send> Ticket for AdmissionTicket<M> {}

impl<M> Drop for AdmissionTicket<M> {
    fn drop(&mut self) {
        let Some(shared) = self.0.upgrade() else { return };
        let admits_more = {
            let mut state = shared.state();
            state.pending = state.pending.saturating_sub(1);
            let admitted = state.pending.saturating_sub(state.pending_admissions.len());
            !state.pending_admissions.is_empty()
                && state.queue.is_empty()
                && admitted <= MAX_UNHANDLED_CONNECTS / 2
        };
        if admits_more {
            shared.waker.wake();
        }
    }
}

impl<M: Send> Work for Shared<M> {
    fn is_idle(&self) -> bool {
        self.state().is_idle
    }

    fn unhandled(&self) -> u64 {
        let state = self.state();
        (state.messages + self.taken.0.load(Ordering::Relaxed)) as u64
    }
}

impl<M> Shared<M> {
    pub(super) fn state(&self) -> LockGuard<'_, State<M>> {
        self.state.lock()
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        broken!(ClosesWithoutWake, return);
        self.waker.wake();
    }

    /// Discards everything, because the [`Mailbox`](crate::Mailbox) was dropped.
    pub(super) fn end(&self) {
        // All of it is dropped outside the lock: the last handle of a client may hold the last
        // sender.
        let (queue, clients, pending_admissions, paused, debug) = {
            let mut state = self.state();
            state.closed = true;
            (state.backlog, state.messages, state.is_idle) = (0, 0, true);
            state.charge();
            let (clients, paused) = (state.clients(), std::mem::take(&mut state.paused));
            state.clients.clear(); // `clients` keeps them alive
            (
                std::mem::take(&mut state.queue),
                clients,
                std::mem::take(&mut state.pending_admissions),
                paused,
                state.debug,
            )
        };
        discard_all(queue, debug);
        for decision in pending_admissions {
            decision.reject(resource_ended());
        }
        clients.iter().for_each(close_going_away);
        for client in paused {
            client.resume_by_queue();
        }
    }
}

/// Closes a client with 1001 and ends its pause. A client that is closing already continues to
/// close.
pub(super) fn close_going_away(client: &Client) {
    client.begin_close(CloseCode::GOING_AWAY, "");
}
