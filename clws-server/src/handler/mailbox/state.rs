use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use clws_handshake::Reject;

use crate::budget::{Budget, Charged};
use crate::client::Client;
use crate::client::id::ClientId;
use crate::guard::{DebugOn, discard};
use crate::handler::mailbox::sender::OPENINGS;
use crate::handler::mailbox::{Event, MAX_UNHANDLED_CONNECTS, MESSAGE_OVERHEAD, leave};
use crate::lock::{Lock, LockGuard, rank};
use crate::resource::decision::Decision;
use crate::resource::pending::Ticket;
use crate::sync::broken;
use crate::task_waker::TaskWaker;

/// What a mailbox and those who put something in share.
pub(super) struct Shared<M> {
    state: Lock<State<M>, { rank::MAILBOX }>,
    pub(super) waker: TaskWaker,
}

pub(super) struct State<M> {
    pub(super) queue: VecDeque<Event<M>>,
    /// Octets that were put in and are not known to be handled.
    pub(super) backlog: usize,
    /// What it may be.
    pub(super) limit: usize,
    /// Whether what the application sent and nobody receives may end the process by its drop.
    pub(super) debug: DebugOn,
    /// The server of the first client is charged for the backlog.
    pub(super) budget: Option<Arc<Budget>>,
    charged: Charged,
    /// Clients that are not read from.
    pub(super) paused: Vec<Client>,
    /// Clients in the queue that have just come, and more that wait until those are handled.
    pub(super) unhandled_connects: usize,
    pub(super) pending_admissions: VecDeque<Decision>,
    /// How many handshakes wait in `pending_admissions`, or were let in from there and are not done.
    pub(super) pending: usize,
    /// Openings in the queue, and from which number on it is looked through for those that nobody waits for.
    pub(super) openings: usize,
    pub(super) most_openings: usize,
    pub(super) clients: HashMap<ClientId, Member>,
    /// Nothing more is taken, but that clients are gone.
    pub(super) closed: bool,
    /// Its clients were closed.
    pub(super) told: bool,
}

/// A client that the mailbox knows.
pub(super) struct Member {
    pub(super) client: Client,
    /// Data messages that came when the mailbox took no more.
    pub(super) undelivered: u64,
}

impl<M> Default for Shared<M> {
    fn default() -> Self {
        Self { state: Lock::default(), waker: TaskWaker::default() }
    }
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
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
            most_openings: OPENINGS,
            clients: HashMap::new(),
            closed: false,
            told: false,
        }
    }
}

impl<M> State<M> {
    /// Takes out those that are let in next, and those in front of them that nobody waits for any more.
    pub(super) fn take_pending_admissions(&mut self) -> (Vec<Decision>, Vec<Decision>) {
        let (mut opened, mut gone) = (Vec::new(), Vec::new());
        while opened.len() < MAX_UNHANDLED_CONNECTS
            && let Some(decision) = self.pending_admissions.pop_front()
        {
            if decision.is_waiting() { opened.push(decision) } else { gone.push(decision) }
        }
        (opened, gone)
    }

    /// Its clients, in no order; the simulation has one of its own, to be able to repeat itself.
    pub(super) fn clients(&self) -> Vec<Client> {
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests sort them"))]
        let mut clients: Vec<_> = self.clients.values().map(|member| member.client.clone()).collect();
        #[cfg(test)]
        clients.sort_by_key(Client::remote_port);
        clients
    }

    /// Charges the server for the backlog, which has changed.
    pub(super) fn charge(&mut self) {
        if let Some(budget) = &self.budget {
            self.charged.update(self.backlog, budget);
        }
    }
}

/// That of a handshake in [`State::pending_admissions`]. Others wait behind those that were let in: if these bring no client to the
/// mailbox, as they are gone or refused elsewhere, nothing else tells it to let in the next.
pub(super) struct AdmissionTicket<M>(pub(super) Weak<Shared<M>>);

impl<M: Send> Ticket for AdmissionTicket<M> {}

impl<M> Drop for AdmissionTicket<M> {
    fn drop(&mut self) {
        let Some(shared) = self.0.upgrade() else { return };
        let is_next = {
            let mut state = shared.state();
            state.pending = state.pending.saturating_sub(1);
            let let_in = state.pending.saturating_sub(state.pending_admissions.len());
            !state.pending_admissions.is_empty()
                && state.queue.is_empty()
                && let_in <= MAX_UNHANDLED_CONNECTS / 2
        };
        if is_next {
            shared.waker.wake();
        }
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

    /// Nobody receives any more.
    pub(super) fn end(&self) {
        // All of it is dropped outside of the lock: the last of a client's handles may hold the last sender.
        let (queue, clients, pending_admissions, paused, debug) = {
            let mut state = self.state();
            state.closed = true;
            state.backlog = 0;
            state.charge();
            let (clients, paused) = (state.clients(), std::mem::take(&mut state.paused));
            state.clients.clear(); // `clients` holds them
            (
                std::mem::take(&mut state.queue),
                clients,
                std::mem::take(&mut state.pending_admissions),
                paused,
                state.debug,
            )
        };
        refuse(queue, debug);
        for decision in pending_admissions {
            decision.reject(gone());
        }
        clients.iter().for_each(leave);
        for client in paused {
            client.resume_by_queue();
        }
    }
}

/// Drops events that nobody receives, each by itself: messages of the application may panic.
pub(super) fn refuse<M>(events: VecDeque<Event<M>>, debug: DebugOn) {
    for event in events {
        match event {
            Event::Opening(_, decision) => decision.reject(gone()),
            event => discard(debug, event),
        }
    }
}

/// Whether it is an opening that nobody waits for.
pub(super) fn is_stale<M>(event: &Event<M>) -> bool {
    matches!(event, Event::Opening(_, decision) if !decision.is_waiting())
}

/// What an event counts for the backlog.
pub(super) fn cost<M>(event: &Event<M>) -> usize {
    let octets = match event {
        Event::Text(_, text) => text.len(),
        Event::Binary(_, payload) | Event::Pong(_, payload) => payload.len(),
        Event::Drained(_) => 0,
        // The application's own; and those of which there is at most one a client.
        Event::Message(_) | Event::Opening(..) | Event::Connected(_) | Event::Disconnected(..) => return 0,
    };
    octets.saturating_add(MESSAGE_OVERHEAD.max(size_of::<Event<M>>()))
}

pub(super) fn gone() -> Reject {
    Reject::custom(503, "this resource has ended")
}
