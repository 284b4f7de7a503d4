use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use clws_handshake::Reject;
use clws_proto::{CloseCode, Payload, Text};
use futures::Stream;
use futures::stream::FusedStream;
use futures::task::AtomicWaker;

use crate::websocket::shrink;
use crate::{Accept, Client, Decision, Disconnect, Opening, Refuse, Resource};

/// What a message costs in a mailbox beside its own octets, at least.
pub(crate) const EACH: usize = 64;

/// So many clients may come before the first of them is handled; more wait with their handshakes.
const NEWCOMERS: usize = 1024;

/// So many undecided openings are kept before those are thrown out that nobody waits for any more.
const OPENINGS: usize = 64;

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
    (sender, Mailbox { shared, batch: VecDeque::new(), handled: 0, report_at: 0, ended: false })
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
/// wait in it, each client that sends another is not read from until no more than half of it waits; others go on.
///
/// When it is [closed](MailboxSender::close), or nobody holds a [`MailboxSender`] any more, what is in it still comes out; then
/// its clients are closed with 1001, and it ends when the last of them has been told of as
/// [`Disconnected`](Event::Disconnected), which takes as long as they read what was queued for them. When it is dropped, its clients are closed with 1001 too.
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
    /// Taken out together, so that senders and receiver seldom meet at the lock.
    batch: VecDeque<Event<M>>,
    /// Octets that were handed out and that the senders do not know of.
    handled: usize,
    /// From so many on they are told.
    report_at: usize,
    ended: bool,
}

/// The mailbox is closed, or the listener behind it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed")]
pub struct MailboxClosed;

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
    /// What it may be.
    limit: usize,
    /// Clients that are not read from.
    paused: Vec<Client>,
    /// Clients in the queue that have just come, and more that wait until those are handled.
    newcomers: usize,
    doors: Vec<Decision>,
    /// Openings in the queue, and from which number on it is looked through for those that nobody waits for.
    openings: usize,
    most_openings: usize,
    clients: HashMap<usize, Client>,
    /// Nothing more is taken, but that clients are gone.
    closed: bool,
    /// Its clients were closed.
    told: bool,
}

impl<M> Default for State<M> {
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            backlog: 0,
            limit: usize::MAX,
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

    /// Puts an event in; false where it is closed.
    fn put(&self, event: Event<M>, client: Option<&Client>) -> bool {
        let shared = &*self.ends.0;
        let mut state = shared.state();
        let known = match (&event, client) {
            (Event::Disconnected(..), Some(client)) => state.clients.remove(&client.id()).is_some(),
            _ => false,
        };
        if state.closed && !known {
            return false;
        }
        let cost = cost(&event);
        state.backlog = state.backlog.saturating_add(cost);
        if let Some(client) = client {
            state.limit = client.config().max_handler_read_backlog;
            match &event {
                Event::Connected(_) => {
                    state.newcomers += 1;
                    state.clients.insert(client.id(), client.clone());
                }
                Event::Text(..) | Event::Binary(..) | Event::Pong(..) if state.backlog > state.limit => {
                    client.pause();
                    state.paused.push(client.clone());
                }
                _ => {}
            }
        }
        let was_empty = state.queue.is_empty();
        state.queue.push_back(event);
        drop(state);
        if was_empty {
            shared.waker.wake();
        }
        true
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
        if state.newcomers < NEWCOMERS {
            return Ok(Accept::new());
        }
        if state.doors.len() >= state.most_openings {
            state.doors.retain(Decision::is_waiting);
            state.most_openings = OPENINGS.max(2 * state.doors.len());
        }
        let (accept, decision) = Accept::later();
        state.doors.push(decision);
        Ok(accept)
    }
}

/// Whether it is an opening that nobody waits for.
fn is_stale<M>(event: &Event<M>) -> bool {
    matches!(event, Event::Opening(_, decision) if !decision.is_waiting())
}

/// What an event counts for the backlog.
fn cost<M>(event: &Event<M>) -> usize {
    let octets = match event {
        Event::Text(_, text) => text.len(),
        Event::Binary(_, payload) | Event::Pong(_, payload) => payload.len(),
        Event::Drained(_) => 0,
        // The application's own; and those of which there is at most one a client.
        Event::Message(_) | Event::Opening(..) | Event::Connected(_) | Event::Disconnected(..) => return 0,
    };
    octets.saturating_add(EACH.max(size_of::<Event<M>>()))
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

fn gone() -> Reject {
    Reject::custom(503, "this resource has ended")
}

impl<M> Stream for Mailbox<M> {
    type Item = Event<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        let this = &mut *self;
        loop {
            let mut next = Next::Wait;
            if this.batch.is_empty() || this.handled > this.report_at {
                this.shared.waker.register(cx.waker());
                next = this.report();
            }
            if let Some(event) = this.batch.pop_front() {
                let event = match event {
                    Event::Opening(_, decision) if !decision.is_waiting() => continue,
                    Event::Opening(_, decision) if this.shared.state().closed => {
                        decision.reject(gone());
                        continue;
                    }
                    event => event,
                };
                this.handled += cost(&event);
                return Poll::Ready(Some(event));
            }
            match next {
                Next::Wait => return Poll::Pending,
                Next::Close(clients) => clients.iter().for_each(leave),
                Next::End => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<M> FusedStream for Mailbox<M> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<M> Unpin for Mailbox<M> {}

/// What a mailbox that is empty does next.
enum Next {
    /// Wait for events.
    Wait,
    /// It is closed: close its clients, and wait until they are gone.
    Close(Vec<Client>),
    End,
}

/// Ends a client's connection. One that is closing already goes on with that; either ends its pause.
fn leave(client: &Client) {
    let _ = client.begin_close(CloseCode::GOING_AWAY, "");
}

impl<M> Mailbox<M> {
    /// Tells the senders what was handled, resumes them where that is enough, and takes what they have put in.
    fn report(&mut self) -> Next {
        let mut state = self.shared.state();
        state.backlog = state.backlog.saturating_sub(std::mem::take(&mut self.handled));
        let mut doors = Vec::new();
        if self.batch.is_empty() {
            shrink(&mut self.batch);
            std::mem::swap(&mut self.batch, &mut state.queue);
            (state.openings, state.newcomers) = (0, 0);
            let opened = state.doors.len().min(NEWCOMERS);
            doors = state.doors.drain(..opened).collect();
        }
        self.report_at = state.limit / 4;
        let resumes = state.backlog <= state.limit / 2;
        let paused = if resumes { std::mem::take(&mut state.paused) } else { Vec::new() };
        let mut left = Vec::new();
        if state.closed && self.batch.is_empty() {
            // A resource around this one may have refused a client that it had handed in, so that no word of its end comes.
            let gone: Vec<_> =
                state.clients.values().filter(|client| client.has_left()).map(Client::id).collect();
            left.extend(gone.iter().filter_map(|id| state.clients.remove(id)));
        }
        let next = if !state.closed || !self.batch.is_empty() {
            Next::Wait
        } else if state.clients.is_empty() {
            Next::End
        } else if std::mem::replace(&mut state.told, true) {
            Next::Wait
        } else {
            Next::Close(state.clients.values().cloned().collect())
        };
        let closed = state.closed;
        drop(state);
        drop(left);
        for client in paused {
            client.resume();
        }
        for decision in doors {
            decision.decide(if closed { Err(gone()) } else { Ok(Accept::new()) });
        }
        next
    }
}

impl<M> Mailbox<M> {
    /// Where its clients were closed and it waits for their ends: how long they have to answer.
    pub(crate) fn leaving(&self) -> Option<Duration> {
        let state = self.shared.state();
        let client = state.clients.values().next().filter(|_| state.told)?;
        Some(client.config().close_timeout)
    }

    /// Drops those who are left.
    pub(crate) fn abort_clients(&self) {
        let clients: Vec<_> = self.shared.state().clients.values().cloned().collect();
        clients.iter().for_each(Client::abort);
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
        // All of it is dropped outside of the lock: the last of a client's handles may hold the last sender.
        let (queue, clients, doors, _paused) = {
            let mut state = self.state();
            state.closed = true;
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
