use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use clws_handshake::Reject;
use futures::task::AtomicWaker;

use super::sender::OPENINGS;
use super::{EACH, Event, leave};
use crate::budget::{Budget, Charged};
use crate::{Client, Decision};

/// What a mailbox and those who put something in share.
pub(super) struct Shared<M> {
    state: Mutex<State<M>>,
    pub(super) waker: AtomicWaker,
}

pub(super) struct State<M> {
    pub(super) queue: VecDeque<Event<M>>,
    /// Octets that were put in and are not known to be handled.
    pub(super) backlog: usize,
    /// What it may be.
    pub(super) limit: usize,
    /// The server of the first client is charged for the backlog.
    pub(super) budget: Option<Arc<Budget>>,
    charged: Charged,
    /// Clients that are not read from.
    pub(super) paused: Vec<Client>,
    /// Clients in the queue that have just come, and more that wait until those are handled.
    pub(super) newcomers: usize,
    pub(super) doors: Vec<Decision>,
    /// Openings in the queue, and from which number on it is looked through for those that nobody waits for.
    pub(super) openings: usize,
    pub(super) most_openings: usize,
    pub(super) clients: HashMap<usize, Client>,
    /// Nothing more is taken, but that clients are gone.
    pub(super) closed: bool,
    /// Its clients were closed.
    pub(super) told: bool,
}

impl<M> Default for Shared<M> {
    fn default() -> Self {
        Self { state: Mutex::default(), waker: AtomicWaker::new() }
    }
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            backlog: 0,
            limit: usize::MAX,
            budget: None,
            charged: Charged::default(),
            paused: Vec::new(),
            newcomers: 0,
            doors: Vec::new(),
            openings: 0,
            most_openings: OPENINGS,
            clients: HashMap::new(),
            closed: false,
            told: false,
        }
    }
}

impl<M> State<M> {
    /// Charges the server for the backlog, which has changed.
    pub(super) fn charge(&mut self) {
        if let Some(budget) = &self.budget {
            self.charged.update(self.backlog, budget);
        }
    }
}

impl<M> Shared<M> {
    pub(super) fn state(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        self.state().closed = true;
        self.waker.wake();
    }

    /// Nobody receives any more.
    pub(super) fn end(&self) {
        // All of it is dropped outside of the lock: the last of a client's handles may hold the last sender.
        let (queue, clients, doors, _paused) = {
            let mut state = self.state();
            state.closed = true;
            state.backlog = 0;
            state.charge();
            let (clients, paused) = (std::mem::take(&mut state.clients), std::mem::take(&mut state.paused));
            (std::mem::take(&mut state.queue), clients, std::mem::take(&mut state.doors), paused)
        };
        let undecided = queue.into_iter().filter_map(|event| match event {
            Event::Opening(_, decision) => Some(decision),
            _ => None,
        });
        for decision in undecided.chain(doors) {
            decision.reject(gone());
        }
        for client in clients.values() {
            leave(client);
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
    octets.saturating_add(EACH.max(size_of::<Event<M>>()))
}

pub(super) fn gone() -> Reject {
    Reject::custom(503, "this resource has ended")
}
