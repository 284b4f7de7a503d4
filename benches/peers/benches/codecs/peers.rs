//! The libraries, each on an in-memory stream.

use std::future::Future;
use std::hint::black_box;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use clws_proto::{Event, Limits, Receiver, Role, Sender, SharedMessage, Version};
use futures_util::{Sink, Stream};
use tokio_tungstenite::tungstenite;

use crate::memory::Memory;

/// The connection of one library.
pub(crate) trait Codec {
    /// Receives all messages of the stream and returns their number.
    fn decode(&mut self) -> usize;
    /// Sends the message `count` times and flushes.
    fn encode(&mut self, count: usize);
}

/// clws with a `SharedMessage`. It differs only in *encode*, where the other libraries also send
/// clones that share memory.
pub(crate) const SHARED: &str = "clws, SharedMessage";

/// All libraries, with this stream and this text to send.
pub(crate) fn all(memory: &Memory, text: &str) -> Vec<(&'static str, Box<dyn Codec>)> {
    vec![
        ("clws", Box::new(Clws::new(memory, text, false))),
        (SHARED, Box::new(Clws::new(memory, text, true))),
        ("tungstenite, 8 KiB buffer", Box::new(Tungstenite::new(memory, text, 8 << 10))),
        ("tungstenite", Box::new(Tungstenite::new(memory, text, 128 << 10))),
        ("fastwebsockets", Box::new(Fastwebsockets::new(memory, text))),
        ("tokio-websockets", Box::new(TokioWebsockets::new(memory, text))),
    ]
}

struct Clws {
    memory: Memory,
    text: String,
    shared: Option<SharedMessage>,
    read_buffer: Vec<u8>,
    receiver: Receiver,
    sender: Sender,
}

impl Clws {
    fn new(memory: &Memory, text: &str, shared: bool) -> Self {
        Self {
            memory: memory.clone(),
            text: text.to_owned(),
            shared: shared.then(|| SharedMessage::text(text)),
            read_buffer: vec![0; (1 << 20) + (8 << 10)], // as large as a shard's buffer for big messages
            receiver: Receiver::new(Version::Rfc6455, Role::Server, Limits::default()),
            sender: Sender::server(Version::Rfc6455),
        }
    }

    fn write(&mut self) {
        while self.sender.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let n = self.sender.io_slices(&mut slices);
            let written = self.memory.write_vectored(&slices[..n]).unwrap();
            self.sender.consume(written);
        }
    }
}

impl Codec for Clws {
    fn decode(&mut self) -> usize {
        let mut messages = 0;
        while let Ok(n) = self.memory.read(&mut self.read_buffer) {
            let mut events = self.receiver.receive(&mut self.read_buffer[..n]);
            while let Some(event) = events.next().unwrap() {
                black_box(event);
                messages += 1;
            }
        }
        messages
    }

    fn encode(&mut self, count: usize) {
        for _ in 0..count {
            match &self.shared {
                Some(message) => self.sender.shared(black_box(message)).unwrap(),
                None => self.sender.text(black_box(&self.text), None).unwrap(),
            }
        }
        self.write();
    }
}

struct Tungstenite {
    socket: tungstenite::WebSocket<Memory>,
    message: tungstenite::Message,
}

impl Tungstenite {
    fn new(memory: &Memory, text: &str, buffer: usize) -> Self {
        let config = tungstenite::protocol::WebSocketConfig::default().read_buffer_size(buffer);
        let role = tungstenite::protocol::Role::Server;
        let socket = tungstenite::WebSocket::from_raw_socket(memory.clone(), role, Some(config));
        Self { socket, message: tungstenite::Message::text(text) }
    }

    fn read(&mut self) -> Option<tungstenite::Message> {
        match self.socket.read() {
            Ok(message) => Some(message),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Codec for Tungstenite {
    fn decode(&mut self) -> usize {
        let mut messages = 0;
        while let Some(message) = self.read() {
            black_box(message);
            messages += 1;
        }
        messages
    }

    fn encode(&mut self, count: usize) {
        for _ in 0..count {
            self.socket.write(black_box(&self.message).clone()).unwrap();
        }
        self.socket.flush().unwrap();
    }
}

struct Fastwebsockets {
    socket: fastwebsockets::FragmentCollector<Memory>,
    text: String,
}

impl Fastwebsockets {
    fn new(memory: &Memory, text: &str) -> Self {
        let socket = fastwebsockets::WebSocket::after_handshake(memory.clone(), fastwebsockets::Role::Server);
        Self { socket: fastwebsockets::FragmentCollector::new(socket), text: text.to_owned() }
    }
}

impl Codec for Fastwebsockets {
    fn decode(&mut self) -> usize {
        let mut messages = 0;
        while let Some(frame) = poll(self.socket.read_frame()) {
            black_box(frame.unwrap());
            messages += 1;
        }
        messages
    }

    fn encode(&mut self, count: usize) {
        for _ in 0..count {
            let payload = fastwebsockets::Payload::Borrowed(black_box(self.text.as_bytes()));
            let frame = fastwebsockets::Frame::text(payload);
            poll(self.socket.write_frame(frame)).unwrap().unwrap();
        }
    }
}

struct TokioWebsockets {
    socket: tokio_websockets::WebSocketStream<Memory>,
    message: tokio_websockets::Message,
}

impl TokioWebsockets {
    fn new(memory: &Memory, text: &str) -> Self {
        let config = tokio_websockets::Config::default().frame_size(usize::MAX);
        let socket = tokio_websockets::ServerBuilder::new().config(config).serve(memory.clone());
        let message = tokio_websockets::Message::text(text.to_owned());
        Self { socket, message }
    }

    fn read(&mut self) -> Option<tokio_websockets::Message> {
        let mut cx = Context::from_waker(Waker::noop());
        match Pin::new(&mut self.socket).poll_next(&mut cx) {
            Poll::Ready(Some(message)) => Some(message.unwrap()),
            _ => None,
        }
    }

    fn flush(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(Pin::new(&mut self.socket).poll_flush(&mut cx).is_ready());
    }
}

impl Codec for TokioWebsockets {
    fn decode(&mut self) -> usize {
        let mut messages = 0;
        while let Some(message) = self.read() {
            black_box(message);
            messages += 1;
        }
        messages
    }

    fn encode(&mut self, count: usize) {
        for _ in 0..count {
            Pin::new(&mut self.socket).start_send(black_box(&self.message).clone()).unwrap();
        }
        self.flush();
    }
}

/// Polls a future once. A pending future is dropped while it waits for the first byte of a message.
fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}
