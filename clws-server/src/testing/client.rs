//! A blocking client of a test server.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use clws_handshake::Version;
#[cfg(feature = "deflate")]
use clws_proto::DeflateParams;
use clws_proto::connection::{ConnectionError, State};
use clws_proto::{CloseCode, Connection, Event, SendError};

use crate::client::close::Close;
use crate::handler::piece::{OwnedPiece, OwnedPieceData};
use crate::handler::websocket::message::Message;
use crate::signal::Signal;
use crate::testing::error::{TestError, find};
use crate::testing::host::{UNFINISHED, finish};
use crate::testing::pipe::Pipe;
use crate::testing::wait::wait;

/// A connected client of a [`TestServer`](crate::testing::TestServer). Its methods block.
///
/// It reads only while [`receive`](Self::receive) or [`closed`](Self::closed) waits. A client that
/// does not call them is a slow client: first the pipe fills, then the client's outbox on the
/// server. It answers pings and close frames while it reads.
///
/// Dropping it ends the connection without a close frame
/// ([`DisconnectCause::Vanished`](crate::DisconnectCause::Vanished)).
pub struct TestClient {
    ws: Connection,
    stream: Pipe,
    subprotocol: Option<String>,
    headers: Vec<(String, String)>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateParams>,
    received: VecDeque<Message>,
    /// Raw bytes that are not written yet. They precede the queue of `ws`.
    raw: VecDeque<u8>,
    /// The server has ended its side.
    input_ended: bool,
    /// The server takes no more bytes.
    output_ended: bool,
    /// Given when the server has finished with the connection.
    served: Arc<Signal>,
    limit: Duration,
}

/// The result of an opening handshake.
pub(super) struct Opened {
    pub(super) ws: Connection,
    pub(super) subprotocol: Option<String>,
    pub(super) headers: Vec<(String, String)>,
    #[cfg(feature = "deflate")]
    pub(super) deflate: Option<DeflateParams>,
}

impl TestClient {
    /// A client after its handshake. `early` are bytes that came after the response.
    pub(super) fn new(
        opened: Opened,
        mut early: Vec<u8>,
        stream: Pipe,
        served: Arc<Signal>,
        limit: Duration,
    ) -> Self {
        let mut client = Self {
            ws: opened.ws,
            stream,
            subprotocol: opened.subprotocol,
            headers: opened.headers,
            #[cfg(feature = "deflate")]
            deflate: opened.deflate,
            received: VecDeque::new(),
            raw: VecDeque::new(),
            input_ended: false,
            output_ended: false,
            served,
            limit,
        };
        client.decode(&mut early);
        client
    }

    /// Sends a message: a string as text, bytes as a binary message. Returns when all of it is in
    /// the pipe. The server may not have read it yet.
    ///
    /// # Errors
    ///
    /// [`TestError::Closed`] if the connection has ended, [`TestError::Send`] if this client cannot
    /// send the message, or [`TestError::Hang`] if the server does not read. After a hang, the rest
    /// of the message goes out with the next call.
    ///
    /// `send` does not read. A server that cannot send its answers stops reading, so receive the
    /// answers to large messages before sending more.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), TestError> {
        let sender = self.ws.sender();
        let queued = match message.into() {
            Message::Text(text) => sender.text(&text, None),
            Message::Binary(payload) => sender.binary(&payload, None),
            Message::Piece(OwnedPiece { data: OwnedPieceData::Text(text), .. }) => sender.text(&text, None),
            Message::Piece(OwnedPiece { data: OwnedPieceData::Binary(payload), .. }) => {
                sender.binary(&payload, None)
            }
            Message::Ping(payload) => sender.ping(&payload),
            Message::Pong(payload) => sender.pong(&payload),
        };
        self.write(queued)
    }

    /// Sends bytes as they are, for instance an invalid frame. They are not masked and not framed.
    ///
    /// # Errors
    ///
    /// [`TestError::Closed`] if the connection has ended, or [`TestError::Hang`] if the server does
    /// not read.
    pub fn send_raw(&mut self, bytes: &[u8]) -> Result<(), TestError> {
        self.write(Ok(()))?; // first what is queued
        self.raw.extend(bytes);
        self.write(Ok(()))
    }

    /// Begins the closing handshake. [`closed`](Self::closed) waits for its end. Messages that the
    /// server sends before its answer can still be received.
    ///
    /// # Errors
    ///
    /// [`TestError::Send`] if the code must not be sent or the reason has more than 123 bytes, and
    /// the errors of [`send`](Self::send).
    pub fn close(&mut self, close: impl Into<Close>) -> Result<(), TestError> {
        let close = close.into();
        let queued = self.ws.close(close.code, &close.reason);
        self.write(queued)
    }

    /// Waits for the next message. Pings and pongs of the server are messages too.
    ///
    /// # Errors
    ///
    /// [`TestError::Closed`] at the end of the connection, as for [`closed`](Self::closed). [`TestError::Protocol`] if the
    /// server sends something invalid. [`TestError::Hang`] if no message comes.
    pub fn receive(&mut self) -> Result<Message, TestError> {
        let next = wait(self.limit, |cx| {
            loop {
                if let Some(message) = self.received.pop_front() {
                    return Poll::Ready(Some(message));
                }
                match self.poll_step(cx) {
                    Poll::Ready(Step::Progress) => {}
                    Poll::Ready(Step::Over) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        next.ok_or_else(|| self.hang("a message"))?.ok_or_else(|| self.end())
    }

    /// Waits for the end of the connection, which either side may begin. Returns the server's close
    /// code and reason, 1005 for a close frame without a code, or 1006 if no close frame came.
    /// Messages that were not received are dropped.
    ///
    /// The server has finished with the client when this returns:
    /// [`ServerHandle::clients`](crate::ServerHandle::clients) no longer counts it, and an inline
    /// [`Resource::disconnected`](crate::Resource::disconnected) has returned. A listener, a mailbox
    /// or an async function may still handle the end. Await
    /// [`call(|_| ())`](crate::ResourceListenerHandle::call) of a listener to wait for it.
    ///
    /// # Errors
    ///
    /// [`TestError::Protocol`] or [`TestError::Hang`], as for [`receive`](Self::receive).
    pub fn closed(&mut self) -> Result<Close, TestError> {
        let end = self.end();
        self.received.clear();
        match end {
            TestError::Closed(close) => Ok(close),
            error => Err(error),
        }
    }

    /// Sets the time after which a wait of this client has failed. It begins as the
    /// [limit of the server](crate::testing::TestServer::hang_limit).
    pub const fn set_hang_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The value of a header in the response to the handshake. The first of several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The version of the connection.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.ws.version()
    }

    /// The agreed parameters of permessage-deflate. `None` if messages are not compressed.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub const fn deflate(&self) -> Option<DeflateParams> {
        self.deflate
    }
}

/// The result of a step of a client.
enum Step {
    /// Bytes were read, or their end.
    Progress,
    /// The connection is closed, and nothing is left to write.
    Over,
}

impl TestClient {
    /// Writes everything that is queued.
    fn write(&mut self, queued: Result<(), SendError>) -> Result<(), TestError> {
        if let Err(error) = queued {
            return Err(if self.ws.state() == State::Closed { self.end() } else { error.into() });
        }
        let written = wait(self.limit, |cx| self.poll_write(cx));
        written.ok_or_else(|| self.hang("the server to read, which may wait until this client receives"))?;
        if self.output_ended { Err(self.end()) } else { Ok(()) }
    }

    /// Reads to the end of the connection and waits until the server has finished with it. Returns
    /// the end. Messages are kept.
    fn end(&mut self) -> TestError {
        let over = wait(self.limit, |cx| {
            loop {
                match self.poll_step(cx) {
                    Poll::Ready(Step::Progress) => {}
                    Poll::Ready(Step::Over) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        });
        if over.is_none() {
            return self.hang("the end of the connection");
        }
        if !finish(&mut self.stream, &self.served, self.limit) {
            return self.hang(UNFINISHED);
        }
        match self.ws.end() {
            Some(Ok(Some(frame))) => TestError::Closed(Close::new(frame.code, frame.reason)),
            Some(Ok(None)) => TestError::Closed(CloseCode::NO_STATUS.into()),
            Some(Err(ConnectionError::Protocol(error))) => TestError::Protocol(error),
            _ => TestError::Closed(CloseCode::ABNORMAL.into()),
        }
    }

    const fn hang(&self, waited_for: &'static str) -> TestError {
        TestError::Hang { waited_for, limit: self.limit }
    }

    /// Writes what the server takes, and reads once.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let written = self.poll_write(cx);
        if self.ws.state() == State::Closed && written.is_ready() {
            return Poll::Ready(Step::Over);
        }
        if self.input_ended {
            return Poll::Pending; // until the last bytes are written
        }
        let mut buffer = [0; 16 * 1024];
        let Poll::Ready(read) = self.stream.poll_read(cx, &mut buffer) else { return Poll::Pending };
        match read {
            Ok(count @ 1..) => self.decode(buffer.get_mut(..count).unwrap_or_default()),
            _ => {
                self.input_ended = true;
                self.ws.end_of_input();
            }
        }
        Poll::Ready(Step::Progress)
    }

    /// Writes raw bytes, then the queue. Ready when all is written, or nothing more can be.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.output_ended && !self.raw.is_empty() {
            match self.stream.poll_write(cx, self.raw.as_slices().0) {
                Poll::Ready(Ok(count @ 1..)) => drop(self.raw.drain(..count)),
                Poll::Ready(_) => self.output_ended = true,
                Poll::Pending => return Poll::Pending,
            }
        }
        if self.output_ended {
            return Poll::Ready(());
        }
        let stream = &mut self.stream;
        let written = self.ws.transmit(|slices| {
            let first = slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| slice);
            match stream.poll_write(cx, first) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
            }
        });
        match written {
            Ok(true) if self.ws.wants_shutdown() => self.stream.end(cx),
            Ok(true) => {}
            Ok(false) => return Poll::Pending,
            Err(_) => self.output_ended = true,
        }
        Poll::Ready(())
    }

    /// Takes the messages from bytes of the server.
    fn decode(&mut self, bytes: &mut [u8]) {
        let mut events = self.ws.receive(bytes);
        while let Some((event, _)) = events.next() {
            self.received.push_back(match event {
                Event::Text(text) => Message::Text(text.into_bytestring()),
                Event::Binary(payload) => Message::Binary(payload.into_bytes()),
                Event::Ping(payload) => Message::Ping(payload.into_bytes()),
                Event::Pong(payload) => Message::Pong(payload.into_bytes()),
                _ => continue, // the connection has answered the close frame
            });
        }
    }
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClient").field("ws", &self.ws).finish_non_exhaustive()
    }
}
