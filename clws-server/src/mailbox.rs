use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use clws_handshake::Reject;
use clws_proto::{CloseCode, Payload, Text};
use futures::Stream;
use futures::task::AtomicWaker;

use crate::{Accept, Client, Decision, Disconnect, ListenerGone, Opening, Refuse, Resource};

/// What a message costs in a mailbox beside its own octets.
pub(crate) const EACH: usize = 64;

/// Makes a mailbox: a resource whose events are collected, and the stream that they come out of, for people who write
/// their own loop. ([`Listener`](crate::Listener) is such a loop.)
///
/// `M` is the type of the messages that the application itself sends to the mailbox; `()` where there are none.
///
/// ```
/// use clws_server::{Event, Origins, Server, mailbox};
/// use futures::StreamExt;
///
/// async fn echo(server: &Server) -> Result<(), Box<dyn std::error::Error>> {
///     let (resource, mut events) = mailbox::<()>();
///     server.register("/echo", Origins::any(), resource)?;
///     while let Some(event) = events.next().await {
///         if let Event::Text(client, text) = event {
///             let _ = client.send_text_owned(text);
///         }
///     }
///     Ok(())
/// }
/// ```
#[must_use]
pub fn mailbox<M: Send + 'static>() -> (MailboxSender<M>, Mailbox<M>) {
    let shared = Arc::new(Shared { state: Mutex::default(), waker: AtomicWaker::new() });
    let sender = MailboxSender { ends: Arc::new(Ends(Arc::clone(&shared))), asks: false };
    (sender, Mailbox { shared, batch: VecDeque::new(), handled: 0, report_at: 0 })
}

/// What comes to a mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<M> {
    /// A client is to be decided on; only with [`MailboxSender::with_openings`].
    Opening(Opening, Decision),
    /// A client is there.
    Connected(Client),
    /// A text message came.
    Text(Client, String),
    /// A binary message came.
    Binary(Client, Bytes),
    /// A pong came.
    Pong(Client, Bytes),
    /// A client that read slowly has read: see [`Resource::drained`].
    Drained(Client),
    /// A client is gone; nothing comes from it any more.
    Disconnected(Client, Disconnect),
    /// A message of the application's own.
    Message(M),
}

/// The side of a mailbox that events are put into: a [`Resource`] to be registered, and a handle to send it messages of
/// the application's own. Cheap to clone.
pub struct MailboxSender<M> {
    ends: Arc<Ends<M>>,
    asks: bool,
}

/// The side of a mailbox that events come out of, in order: a [`Stream`].
///
/// When more than [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog) octets of messages
/// wait in it, each client that sends another is not read from until less than half of it waits; others go on.
///
/// The stream ends when the mailbox is [closed](MailboxSender::close) and empty, or nobody holds a [`MailboxSender`] any
/// more. When it has ended, or is dropped, its clients are closed with 1001 and no new ones are taken.
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
    /// Taken out together, so that senders and receiver seldom meet at the lock.
    batch: VecDeque<Event<M>>,
    /// Octets that were handed out and that the senders do not know of.
    handled: usize,
    /// From so many on they are told.
    report_at: usize,
}

/// Dropped with the last [`MailboxSender`].
struct Ends<M>(Arc<Shared<M>>);

struct Shared<M> {
    state: Mutex<State<M>>,
    waker: AtomicWaker,
}

struct State<M> {
    queue: VecDeque<Event<M>>,
    /// Octets that were put in and are not known to be handled.
    backlog: usize,
    /// Clients that are not read from.
    paused: Vec<Client>,
    clients: HashMap<usize, Client>,
    /// Nothing more is taken.
    closed: bool,
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            backlog: 0,
            paused: Vec::new(),
            clients: HashMap::new(),
            closed: false,
        }
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
    pub fn send(&self, message: M) -> Result<(), ListenerGone> {
        if self.put(Event::Message(message), None) { Ok(()) } else { Err(ListenerGone) }
    }

    /// Closes the mailbox: nothing more is taken, what is in it still comes out, and then its clients are closed with
    /// 1001.
    pub fn close(&self) {
        self.ends.0.close();
    }

    /// Whether it was closed, or nobody receives any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.ends.0.state().closed
    }

    /// Puts an event in; false where it is closed.
    fn put(&self, event: Event<M>, client: Option<&Client>) -> bool {
        let shared = &*self.ends.0;
        let mut state = shared.state();
        if state.closed {
            return false;
        }
        match (&event, client) {
            (Event::Connected(_), Some(client)) => {
                state.clients.insert(client.id(), client.clone());
            }
            (Event::Disconnected(..), Some(client)) => {
                state.clients.remove(&client.id());
            }
            _ => {}
        }
        let cost = cost(&event);
        state.backlog = state.backlog.saturating_add(cost);
        if let Some(client) = client
            && cost > 0
            && state.backlog > client.config().max_handler_read_backlog
        {
            client.pause();
            state.paused.push(client.clone());
        }
        let was_empty = state.queue.is_empty();
        state.queue.push_back(event);
        drop(state);
        if was_empty {
            shared.waker.wake();
        }
        true
    }
}

/// What an event counts for the backlog.
fn cost<M>(event: &Event<M>) -> usize {
    match event {
        Event::Text(_, text) => text.len() + EACH,
        Event::Binary(_, payload) | Event::Pong(_, payload) => payload.len() + EACH,
        _ => 0,
    }
}

impl<M: Send + 'static> Resource for MailboxSender<M> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if !self.asks {
            return if self.is_closed() { Err(gone()) } else { Ok(Accept::new()) };
        }
        let (accept, decision) = Accept::later();
        // A decision that is dropped here says 500 with a line in the log, but nobody has failed.
        match self.put_opening(opening, decision) {
            Ok(()) => Ok(accept),
            Err(decision) => {
                decision.reject(gone());
                Ok(accept)
            }
        }
    }

    fn connected(&self, client: &Client) -> Result<(), Refuse> {
        let taken = self.put(Event::Connected(client.clone()), Some(client));
        if taken { Ok(()) } else { Err(Refuse::new(CloseCode::GOING_AWAY, "")) }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.put(Event::Text(client.clone(), text.into_string()), Some(client));
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

impl<M: Send + 'static> MailboxSender<M> {
    fn put_opening(&self, opening: &Opening, decision: Decision) -> Result<(), Decision> {
        let shared = &*self.ends.0;
        let mut state = shared.state();
        if state.closed {
            return Err(decision);
        }
        let was_empty = state.queue.is_empty();
        state.queue.push_back(Event::Opening(opening.clone(), decision));
        drop(state);
        if was_empty {
            shared.waker.wake();
        }
        Ok(())
    }
}

fn gone() -> Reject {
    Reject::custom(503, "this resource has ended")
}

impl<M> Stream for Mailbox<M> {
    type Item = Event<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        let this = &mut *self;
        let mut closed = false;
        if this.batch.is_empty() || this.handled > this.report_at {
            this.shared.waker.register(cx.waker());
            closed = this.report();
        }
        let Some(event) = this.batch.pop_front() else {
            if !closed {
                return Poll::Pending;
            }
            this.shared.end();
            return Poll::Ready(None);
        };
        this.handled += cost(&event);
        Poll::Ready(Some(event))
    }
}

impl<M> Unpin for Mailbox<M> {}

impl<M> Mailbox<M> {
    /// Tells the senders what was handled, resumes them where that is enough, and takes what they have put in; whether it is
    /// closed.
    fn report(&mut self) -> bool {
        let mut state = self.shared.state();
        state.backlog = state.backlog.saturating_sub(std::mem::take(&mut self.handled));
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut state.queue);
        }
        let limit = state.paused.first().map(|client| client.config().max_handler_read_backlog);
        self.report_at = limit.unwrap_or(EACH << 10) / 4;
        let paused = match limit {
            Some(limit) if state.backlog <= limit / 2 => std::mem::take(&mut state.paused),
            _ => Vec::new(),
        };
        let closed = state.closed;
        drop(state);
        for client in paused {
            client.resume();
        }
        closed
    }
}

impl<M> Shared<M> {
    fn state(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.state().closed = true;
        self.waker.wake();
    }

    /// Nobody receives any more.
    fn end(&self) {
        let (queue, clients) = {
            let mut state = self.state();
            state.closed = true;
            state.paused.clear();
            (std::mem::take(&mut state.queue), std::mem::take(&mut state.clients))
        };
        for event in queue {
            if let Event::Opening(_, decision) = event {
                decision.reject(gone());
            }
        }
        for client in clients.into_values() {
            // One that is closing already goes on with that; either ends its pause.
            let _ = client.close(CloseCode::GOING_AWAY, "");
        }
    }
}

impl<M> Drop for Ends<M> {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        for event in self.batch.drain(..) {
            if let Event::Opening(_, decision) = event {
                decision.reject(gone());
            }
        }
        self.shared.end();
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

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
