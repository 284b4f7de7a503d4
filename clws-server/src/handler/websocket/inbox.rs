//! The messages that wait for a `WebSocket`, and the tasks that wait for its client.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::budget::{Budget, Charged};
use crate::client::Client;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::watchers::{Host, Watcher};
use crate::drain::work::Work;
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
    /// The server drains: the client is closed when the reader has taken all messages.
    pub(super) is_draining: bool,
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
            let messages = u64::from(message.ends_data());
            state.undelivered += messages;
            client.note_undelivered(messages);
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
                let queue = state.discard(client);
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

    /// The server drains: the client is closed when the reader has taken all messages. Returns
    /// false if there is no reader.
    pub(crate) fn drain(&self) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        state.is_draining = true;
        drop(state);
        self.reader.wake();
        true
    }

    /// Drops all messages, queued and arriving ones: the reader was dropped.
    pub(super) fn close(&self, client: &Client) {
        let dropped = {
            let mut state = self.state();
            state.closed = true;
            let queue = state.discard(client);
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

/// A drain waits until the task of the handler has ended, which removes the inbox from the table.
impl Work for Inbox {
    fn is_idle(&self) -> bool {
        false
    }

    fn unhandled(&self) -> u64 {
        self.state().messages()
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
    pub(super) fn discard(&mut self, client: &Client) -> VecDeque<Message> {
        (self.paused, self.backlog) = (false, 0);
        let messages = self.messages();
        self.undelivered += messages;
        client.note_undelivered(messages);
        std::mem::take(&mut self.queue)
    }

    /// The data messages in the queue.
    fn messages(&self) -> u64 {
        self.queue.iter().filter(|message| message.ends_data()).count() as u64
    }
}
