use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use bytestring::ByteString;
use clws_proto::CloseCode;
use futures::stream::FusedStream;
use futures::{Sink, Stream};

use crate::budget::{Budget, Charged};
use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::outcome::SendError;
use crate::client::outgoing::Outgoing;
use crate::client::watchers::{Host, Watcher};
use crate::handler::mailbox::MESSAGE_OVERHEAD;
use crate::handler::poll_budget::PollBudget;
use crate::lock::{Lock, LockGuard, rank};
use crate::sync::broken;
use crate::task_waker::TaskWaker;

/// One client, as an async function sees it: see [`async_handler`](crate::async_handler).
///
/// It is a [`Stream`] of [`Message`]s and a [`Sink`] for them. All its futures are cancel-safe: a [`next`](Self::next) that
/// is dropped loses no message, a [`send`](Self::send) that is dropped has sent its message or has not.
///
/// Messages wait here until they are asked for; with more than
/// [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog) octets of them the client is not read
/// from, and then it is not noticed either that it ends its side. So a function that never reads does well to
/// [split](Self::split) the socket and to drop its reader: then what comes is read and dropped. Dropping it (both halves, where it was [split](Self::split)) closes with 1000, or with 1011 where the function
/// panicked.
pub struct WebSocket {
    ends: Arc<CloseOnDrop>,
    /// The end was told.
    ended: bool,
    budget: PollBudget,
}

/// The half of a [`WebSocket`] that messages come from. When it is dropped, what still comes is dropped too.
pub struct WebSocketReader(WebSocket);

/// The half of a [`WebSocket`] that messages go to.
pub struct WebSocketWriter(WebSocket);

/// A message of a [`WebSocket`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Text.
    Text(ByteString),
    /// Octets; never in draft 0 and hixie-75.
    Binary(Bytes),
    /// A ping to be sent. None ever comes: the server answers pings itself.
    Ping(Bytes),
    /// A pong that came, or one to be sent that answers nothing.
    Pong(Bytes),
}

/// Messages that an empty queue keeps room for.
const KEEP: usize = 16;

/// What the server's side and the function's share.
pub(crate) struct Inbox {
    state: Lock<State, { rank::INBOX }>,
    budget: Arc<Budget>,
    reader: TaskWaker,
    writer: TaskWaker,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Message>,
    backlog: usize,
    charged: Charged,
    paused: bool,
    /// Nobody reads any more.
    closed: bool,
    end: Option<Disconnect>,
    /// Data messages that came and were not taken.
    undelivered: u64,
}

/// Closes the connection when nothing holds it any more.
struct CloseOnDrop {
    client: Client,
    inbox: Arc<Inbox>,
}

impl WebSocket {
    pub(crate) fn new(client: Client, inbox: Arc<Inbox>) -> Self {
        Self { ends: Arc::new(CloseOnDrop { client, inbox }), ended: false, budget: PollBudget::default() }
    }

    /// The next message; `None` when the connection is over: [`disconnect`](Self::disconnect) tells how it ended.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_next_message(cx)).await
    }

    /// Sends a message. It waits as long as more than
    /// [`write_high_water`](crate::Config#structfield.write_high_water) octets wait for the client; it does not wait for the
    /// message to be written.
    ///
    /// # Errors
    ///
    /// Those of [`Client::send`].
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        let mut message = Some(message.into());
        poll_fn(|cx| {
            if self.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(message.take().map_or(Ok(()), |message| self.ends.queue(message)))
        })
        .await
    }

    /// Begins the closing handshake. Messages that have come and were not taken are dropped:
    /// [`Disconnect::undelivered`](crate::Disconnect) counts them. [`next`](Self::next) waits for the end of the connection and
    /// gives `None`. It always closes, as [`Client::close`] does.
    pub fn close(&mut self, close: impl Into<Close>) {
        self.client().close(close);
    }

    /// The client, for everything that needs no waiting.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.ends.client
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn disconnect(&self) -> Option<Disconnect> {
        let state = self.ends.inbox.state();
        let mut end = state.end.clone()?;
        end.undelivered += state.undelivered;
        Some(end)
    }

    /// A half to read from and a half to write to, for two tasks.
    #[must_use]
    pub fn split(self) -> (WebSocketReader, WebSocketWriter) {
        let writer = Self { ends: Arc::clone(&self.ends), ended: false, budget: PollBudget::default() };
        (WebSocketReader(self), WebSocketWriter(writer))
    }
}

impl WebSocket {
    fn poll_next_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.budget.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let next = self.ends.poll_next(cx);
        self.ended = matches!(next, Poll::Ready(None));
        self.renewed_by(next)
    }

    /// Ready when the client has read enough to be sent more.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let ready = self.ends.poll_room(cx);
        self.renewed_by(ready)
    }

    /// A task that waits lets others have their turn.
    fn renewed_by<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        if poll.is_pending() {
            self.budget.renew();
        }
        poll
    }
}

impl WebSocketReader {
    /// As [`WebSocket::next`].
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }

    /// The client, for everything that needs no waiting.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.0.client()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn disconnect(&self) -> Option<Disconnect> {
        self.0.disconnect()
    }
}

impl Drop for WebSocketReader {
    fn drop(&mut self) {
        self.0.ends.inbox.close(&self.0.ends.client);
    }
}

impl WebSocketWriter {
    /// As [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// As there.
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        self.0.send(message).await
    }

    /// As [`WebSocket::close`].
    pub fn close(&mut self, close: impl Into<Close>) {
        self.0.close(close);
    }

    /// The client, for everything that needs no waiting.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.0.client()
    }

    /// How the connection ended, once it has.
    #[must_use]
    pub fn disconnect(&self) -> Option<Disconnect> {
        self.0.disconnect()
    }
}

impl CloseOnDrop {
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inbox.reader.register(cx.waker());
        let mut state = self.inbox.state();
        if self.client.is_silenced() {
            let dropped = state.discard();
            self.inbox.charge(&mut state, &self.client);
            let ended = state.end.is_some() || state.closed;
            drop(state);
            drop(dropped);
            return if ended { Poll::Ready(None) } else { Poll::Pending };
        }
        let Some(message) = state.queue.pop_front() else {
            return if state.end.is_some() || state.closed { Poll::Ready(None) } else { Poll::Pending };
        };
        state.backlog -= message.cost();
        self.inbox.charge(&mut state, &self.client);
        shrink(&mut state.queue);
        let resume = state.paused && state.backlog <= self.client.config().max_handler_read_backlog / 2;
        if resume {
            state.paused = false;
        }
        drop(state);
        if resume {
            self.client.resume_by_queue();
        }
        Poll::Ready(Some(message))
    }

    /// Ready when the client has read enough to be sent more, or cannot be sent to any more.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inbox.writer.register(cx.waker());
        if !self.client.is_slow() {
            return Poll::Ready(());
        }
        // `drained` tells when it has read, but nothing when it is closed.
        let watcher = self.watcher();
        self.client.watch(&watcher);
        if self.client.is_slow() {
            return Poll::Pending;
        }
        self.client.unwatch(&watcher);
        Poll::Ready(())
    }

    /// Ready when all that was queued is written, or lost.
    fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.inbox.writer.register(cx.waker());
        self.client.written(|| self.watcher()).map_or(Poll::Pending, Poll::Ready)
    }

    /// Closes, unless that was done. Ready when the connection is over and all that was queued is written, or lost.
    fn poll_over(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if !self.client.is_silenced() {
            self.client.close(CloseCode::NORMAL); // or it is closing already
        }
        self.inbox.writer.register(cx.waker());
        let is_clean = self.inbox.state().end.as_ref().map(Disconnect::is_clean);
        match is_clean {
            None => Poll::Pending,
            Some(false) => Poll::Ready(Err(SendError::Closed)),
            // The answer to the client's close frame, and what was queued before it, may still be on its way.
            Some(true) => self.poll_written(cx),
        }
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        Arc::clone(&self.inbox) as _
    }

    fn queue<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        self.client.send(message).map(drop)
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let code = if std::thread::panicking() { CloseCode::INTERNAL } else { CloseCode::NORMAL };
        self.inbox.close(&self.client);
        self.client.close(code); // or it is closing already
        self.client.unwatch(&self.watcher());
    }
}

impl Inbox {
    pub(crate) fn new(client: &Client) -> Self {
        let (state, budget) = (Lock::default(), Arc::clone(&client.context().budget));
        Self { state, budget, reader: TaskWaker::default(), writer: TaskWaker::default() }
    }

    /// Charges the server for the backlog, which has changed.
    fn charge(&self, state: &mut State, client: &Client) {
        state.charged.update(state.backlog, &self.budget);
        client.note_inbox(state.backlog);
    }

    /// Puts in what came from the client, and pauses it where that is too much.
    pub(crate) fn put(&self, client: &Client, message: Message) {
        broken!(WakesBeforeMessage, self.reader.wake());
        let mut state = self.state();
        if state.closed {
            state.undelivered += u64::from(message.is_data());
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

    /// The connection is over.
    pub(crate) fn end(&self, client: &Client, end: Disconnect) {
        let dropped = {
            let mut state = self.state();
            // What waits here may be what it was dropped for.
            let queue = if matches!(end.cause, DisconnectCause::Budget) {
                let queue = state.discard();
                self.charge(&mut state, client);
                queue
            } else {
                VecDeque::new()
            };
            (state.end.replace(end), queue)
        };
        drop(dropped); // outside of the lock
        self.reader.wake();
        self.writer.wake();
    }

    /// The client has read.
    pub(crate) fn drained(&self) {
        self.writer.wake();
    }

    /// Nobody reads any more: what comes is dropped.
    fn close(&self, client: &Client) {
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

    fn state(&self) -> LockGuard<'_, State> {
        self.state.lock()
    }
}

/// A task waits for the client to read what it was sent.
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

/// Frees what a burst has made of a queue, once it is empty: idle clients hold little.
pub(crate) fn shrink<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEEP {
        *queue = VecDeque::new();
    }
}

impl State {
    /// Drops all messages, behind the lock: the queue is for the caller to drop.
    fn discard(&mut self) -> VecDeque<Message> {
        (self.paused, self.backlog) = (false, 0);
        let queue = std::mem::take(&mut self.queue);
        self.undelivered += queue.iter().filter(|message| message.is_data()).count() as u64;
        queue
    }
}

impl Message {
    const fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    /// What it counts for the backlog.
    fn cost(&self) -> usize {
        let octets = match self {
            Self::Text(text) => text.len(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload.len(),
        };
        octets.saturating_add(MESSAGE_OVERHEAD)
    }
}

impl Stream for WebSocket {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_next_message(cx)
    }
}

/// The server writes on its own, at once, so nothing has to be flushed; these wait:
///
/// - `poll_ready` as [`send`](WebSocket::send) does, until no more than
///   [`write_high_water`](crate::Config#structfield.write_high_water) bytes wait for the client. It fails with
///   [`SendError::Closed`] where nothing can be sent any more.
/// - `poll_flush` until nothing is [buffered](Client::buffered_amount) for the client, whoever has sent it: all of it was
///   given to the system. It fails with [`SendError::Closed`] where the connection ended before that, and some of it was
///   dropped.
/// - `poll_close` closes with 1000, unless the client is closing already, and waits until the closing handshake is over: the
///   client's close frame has come, and all that was queued, our close frame the last of it, was given to the system. It fails
///   with [`SendError::Closed`] where the connection ended without the client's close frame, or some of it was dropped.
///   A client has [`close_timeout`](crate::Config#structfield.close_timeout) to answer, so it ends.
///
/// They go on failing, or succeeding, once the connection is over. [`disconnect`](WebSocket::disconnect) tells how it ended.
impl Sink<Message> for WebSocket {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let room = self.poll_room(cx);
        room.map(|()| if self.client().is_open() { Ok(()) } else { Err(SendError::Closed) })
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.ends.queue(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let written = self.ends.poll_written(cx);
        self.renewed_by(written)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let over = self.ends.poll_over(cx);
        self.renewed_by(over)
    }
}

impl FusedStream for WebSocket {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl FusedStream for WebSocketReader {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}

impl Stream for WebSocketReader {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.0.poll_next_message(cx)
    }
}

/// As that of [`WebSocket`].
impl Sink<Message> for WebSocketWriter {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.0).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        Pin::new(&mut self.0).start_send(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<ByteString> for Message {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(payload: Bytes) -> Self {
        Self::Binary(payload)
    }
}

impl From<Vec<u8>> for Message {
    fn from(payload: Vec<u8>) -> Self {
        Self::Binary(payload.into())
    }
}

impl From<Message> for Outgoing<'_> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => text.into(),
            Message::Binary(payload) => payload.into(),
            Message::Ping(payload) => Outgoing::ping(payload),
            Message::Pong(payload) => Outgoing::pong(payload),
        }
    }
}

macro_rules! debug {
    ($($name:ident $(.$field:tt)?),*) => {
        $(impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name)).field("client", self.client()).finish_non_exhaustive()
            }
        })*
    };
}

debug!(WebSocket, WebSocketReader, WebSocketWriter);
