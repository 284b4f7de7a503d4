//! The messages that wait for a `WebSocket`, and the tasks that wait for its client.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::{Budget, Charged};
use crate::client::Client;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::watchers::{Host, Watcher};
use crate::handler::websocket::message::Message;
use crate::lock::{Lock, LockGuard, rank};
use crate::sync::broken;
use crate::task_waker::TaskWaker;

/// The part of a [`WebSocket`](crate::WebSocket) that the server writes to.
pub(crate) struct Inbox {
    state: Lock<State, { rank::INBOX }>,
    budget: Arc<Budget>,
    /// The task that waits for a message.
    pub(super) reader: TaskWaker,
    /// The task that waits until the client has read.
    pub(super) writer: TaskWaker,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) queue: VecDeque<Message>,
    /// The cost of all messages in the queue.
    pub(super) backlog: usize,
    charged: Charged,
    pub(super) paused: bool,
    /// The reader was dropped: arriving messages are dropped too.
    pub(super) closed: bool,
    pub(super) end: Option<Disconnect>,
    /// The data messages whose end was dropped unread.
    pub(super) undelivered: u64,
}

impl Inbox {
    pub(crate) fn new(client: &Client) -> Self {
        let (state, budget) = (Lock::default(), Arc::clone(&client.context().budget));
        Self { state, budget, reader: TaskWaker::default(), writer: TaskWaker::default() }
    }

    /// Charges the budget for a changed backlog.
    pub(super) fn charge(&self, state: &mut State, client: &Client) {
        state.charged.update(state.backlog, &self.budget);
        client.note_inbox(state.backlog);
    }

    /// Puts a message in, and pauses the client if the backlog exceeds its limit.
    pub(crate) fn put(&self, client: &Client, message: Message) {
        broken!(WakesBeforeMessage, self.reader.wake());
        let mut state = self.state();
        if state.closed {
            state.undelivered += u64::from(message.ends_data());
            return;
        }
        state.backlog += message.cost();
        self.charge(&mut state, client);
        if state.backlog > client.config().max_handler_read_backlog {
            state.paused = true;
            broken!(PausesTooLate, {
                drop(state);
                state = self.state();
            });
            client.pause_by_queue();
        }
        state.queue.push_back(message);
        drop(state);
        broken!(WakesBeforeMessage, return);
        self.reader.wake();
    }

    /// Records the end of the connection and wakes both tasks.
    pub(crate) fn end(&self, client: &Client, end: Disconnect) {
        let dropped = {
            let mut state = self.state();
            // The queue may hold the memory for which the client was dropped.
            let queue = if matches!(end.cause, DisconnectCause::Budget) {
                let queue = state.discard();
                self.charge(&mut state, client);
                queue
            } else {
                VecDeque::new()
            };
            (state.end.replace(end), queue)
        };
        drop(dropped); // after the lock is released
        self.reader.wake();
        self.writer.wake();
    }

    /// Wakes the writer, because the client has read.
    pub(crate) fn drained(&self) {
        self.writer.wake();
    }

    /// Drops all messages, queued and arriving ones: the reader was dropped.
    pub(super) fn close(&self, client: &Client) {
        let dropped = {
            let mut state = self.state();
            state.closed = true;
            let queue = state.discard();
            self.charge(&mut state, client);
            queue
        };
        drop(dropped);
        client.resume_by_queue();
    }

    pub(super) fn state(&self) -> LockGuard<'_, State> {
        self.state.lock()
    }
}

impl Watcher for Inbox {
    fn notice(&self) {
        self.writer.wake();
    }
}

impl Host for Inbox {
    fn ended(&self, client: &Client, end: &Disconnect) {
        self.end(client, end.clone());
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.state.get_mut().charged.clear(&self.budget);
    }
}

impl State {
    /// Removes all messages. The caller drops them after it has released the lock.
    pub(super) fn discard(&mut self) -> VecDeque<Message> {
        (self.paused, self.backlog) = (false, 0);
        let queue = std::mem::take(&mut self.queue);
        self.undelivered += queue.iter().filter(|message| message.ends_data()).count() as u64;
        queue
    }
}
