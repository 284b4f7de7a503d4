//! One client as an async function sees it: a stream and a sink of messages.

pub(crate) mod inbox;
pub(crate) mod message;
mod shared;
mod streams;

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::outcome::SendError;
use crate::client::outgoing::Outgoing;
use crate::handler::poll_budget::PollBudget;
use crate::handler::websocket::inbox::Inbox;
use crate::handler::websocket::message::Message;
use crate::handler::websocket::shared::CloseOnDrop;

/// One client in an async function: see [`async_handler`](crate::async_handler).
///
/// It is a [`Stream`](futures::Stream) of [`Message`]s and a [`Sink`](futures::Sink) for them. All
/// its futures are cancel-safe: a dropped [`next`](Self::next) loses no message, and a dropped
/// [`send`](Self::send) has sent its message completely or not at all.
///
/// Unread messages are queued here. Above
/// [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog) the client is
/// not read from, and the end of its side goes unnoticed. A function that never reads should
/// [split](Self::split) the socket and drop the reader: arriving messages are then read and
/// dropped.
///
/// If the resource [streams messages](crate::ResourceConfig::stream_messages), long messages come as
/// [`Message::Piece`]s. The limit applies to the pieces, so a function that writes an upload to a
/// slow disk pauses its client. A piece has at most about 64 KiB.
///
/// Dropping the socket, or both halves, closes with 1000, or with 1011 if the function panicked.
pub struct WebSocket {
    shared: Arc<CloseOnDrop>,
    /// [`next`](Self::next) has returned `None`.
    ended: bool,
    budget: PollBudget,
}

/// The receiving half of a [`WebSocket`]. After it is dropped, arriving messages are dropped too.
pub struct WebSocketReader(WebSocket);

/// The sending half of a [`WebSocket`].
pub struct WebSocketWriter(WebSocket);

impl WebSocket {
    pub(crate) fn new(client: Client, inbox: Arc<Inbox>) -> Self {
        Self { shared: Arc::new(CloseOnDrop { client, inbox }), ended: false, budget: PollBudget::default() }
    }

    /// Receives the next message. Returns `None` when the connection has ended;
    /// [`disconnect`](Self::disconnect) has the cause.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| self.poll_next_message(cx)).await
    }

    /// Sends a message. First waits until at most
    /// [`write_high_water`](crate::Config#structfield.write_high_water) bytes are queued for the
    /// client. It does not wait until the message is written.
    ///
    /// # Errors
    ///
    /// The errors of [`Client::send`].
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        let mut message = Some(message.into());
        poll_fn(|cx| {
            if self.poll_room(cx).is_pending() {
                return Poll::Pending;
            }
            Poll::Ready(message.take().map_or(Ok(()), |message| self.shared.queue(message)))
        })
        .await
    }

    /// Begins the closing handshake. Unread messages are dropped, and
    /// [`Disconnect::undelivered`](crate::Disconnect) counts them. [`next`](Self::next) then waits
    /// for the end of the connection and returns `None`. It always closes, as [`Client::close`]
    /// does.
    pub fn close(&mut self, close: impl Into<Close>) {
        self.client().close(close);
    }

    /// The client, for everything that does not wait.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// The cause of the end; `None` while the connection is open.
    #[must_use]
    pub fn disconnect(&self) -> Option<Disconnect> {
        let state = self.shared.inbox.state();
        let mut end = state.end.clone()?;
        end.undelivered += state.undelivered;
        Some(end)
    }

    /// Splits the socket into a reader and a writer, for two tasks.
    #[must_use]
    pub fn split(self) -> (WebSocketReader, WebSocketWriter) {
        let writer = Self { shared: Arc::clone(&self.shared), ended: false, budget: PollBudget::default() };
        (WebSocketReader(self), WebSocketWriter(writer))
    }
}

impl WebSocket {
    fn poll_next_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        if self.budget.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let next = self.shared.poll_next(cx);
        self.ended = matches!(next, Poll::Ready(None));
        self.renewed_by(next)
    }

    /// Ready when the client has read enough for another send.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.budget.poll(cx).is_pending() {
            return Poll::Pending;
        }
        let ready = self.shared.poll_room(cx);
        self.renewed_by(ready)
    }

    /// Restores the budget of a task that waits: other tasks can run.
    fn renewed_by<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        if poll.is_pending() {
            self.budget.renew();
        }
        poll
    }
}

impl WebSocketReader {
    /// [`WebSocket::next`].
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await
    }

    /// The client, for everything that does not wait.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.0.client()
    }

    /// The cause of the end; `None` while the connection is open.
    #[must_use]
    pub fn disconnect(&self) -> Option<Disconnect> {
        self.0.disconnect()
    }
}

impl Drop for WebSocketReader {
    fn drop(&mut self) {
        self.0.shared.inbox.close(&self.0.shared.client);
    }
}

impl WebSocketWriter {
    /// [`WebSocket::send`].
    ///
    /// # Errors
    ///
    /// The errors of [`WebSocket::send`].
    pub async fn send<'a>(&mut self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        self.0.send(message).await
    }

    /// [`WebSocket::close`].
    pub fn close(&mut self, close: impl Into<Close>) {
        self.0.close(close);
    }

    /// The client, for everything that does not wait.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.0.client()
    }

    /// The cause of the end; `None` while the connection is open.
    #[must_use]
    pub fn disconnect(&self) -> Option<Disconnect> {
        self.0.disconnect()
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
