//! A `WebSocket` and its halves as streams and sinks.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::FusedStream;
use futures::{Sink, Stream};

use crate::client::outcome::SendError;
use crate::handler::websocket::message::Message;
use crate::handler::websocket::{WebSocket, WebSocketReader, WebSocketWriter};

impl Stream for WebSocket {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.poll_next_message(cx)
    }
}

/// The server writes queued messages without a flush. The methods wait as follows:
///
/// - `poll_ready` waits as [`send`](WebSocket::send) does, until at most
///   [`write_high_water`](crate::Config#structfield.write_high_water) bytes are queued for the
///   client. It fails with [`SendError::Closed`] if nothing can be sent any more.
/// - `poll_flush` waits until nothing is [buffered](crate::Client::buffered_amount) for the client:
///   the system has taken all of it. It fails with [`SendError::Closed`] if the connection ended
///   before, and some of the data was dropped.
/// - `poll_close` closes with 1000, unless the client is closing already, and waits for the closing
///   handshake. The client's close frame has then arrived, and the system has taken all queued
///   data, our close frame included. It fails with [`SendError::Closed`] if the client sent no
///   close frame, or some data was dropped. The client has
///   [`close_timeout`](crate::Config#structfield.close_timeout) to answer.
///
/// The results stay the same after the end. [`disconnect`](WebSocket::disconnect) has the cause.
impl Sink<Message> for WebSocket {
    type Error = SendError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let room = self.poll_room(cx);
        room.map(|()| if self.client().is_open() { Ok(()) } else { Err(SendError::Closed) })
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SendError> {
        self.shared.queue(message)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let written = self.shared.poll_written(cx);
        self.renewed_by(written)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        let closed = self.shared.poll_closed(cx);
        self.renewed_by(closed)
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

/// The sink of the [`WebSocket`].
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
