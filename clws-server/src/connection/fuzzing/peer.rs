//! The peer: its sent bytes, which the network delivers in parts, and its received bytes.

use clws_handshake::client::{ClientRequest, Pending};
use clws_handshake::{HandshakeLimits, Status, Version};
use clws_proto::{CloseCode, Event, Limits, Receiver, Role, Sender};

use crate::connection::fuzzing::app::Message;

pub(super) struct Peer {
    version: Version,
    sender: Sender,
    request: Vec<u8>,
    pending: Pending,
    /// The bytes sent, and the number of them that have arrived at the server.
    pub(super) wire: Vec<u8>,
    pub(super) arrived: usize,
    /// The peer has ended its side.
    pub(super) ended: bool,
    /// The bytes read, and the number of them that were checked.
    pub(super) read: Vec<u8>,
    checked: usize,
    receiver: Option<Receiver>,
    number: u32,
    /// The peer keeps to the protocol. False after it has sent bytes from the fuzzer.
    is_honest: bool,
    /// The messages received from the server.
    pub(super) got: Vec<Message>,
    pub(super) got_close: bool,
    /// The handshake was refused.
    pub(super) refused: bool,
}

impl Peer {
    pub(super) fn new(version: Version, query: &str, #[cfg(feature = "deflate")] deflate: bool) -> Self {
        let url = format!("ws://server/{query}");
        let request = ClientRequest::new(version, &url).origin("http://here");
        #[cfg(feature = "deflate")]
        let config = super::harness::deflate();
        #[cfg(feature = "deflate")]
        let request = if deflate { request.deflate(&config) } else { request };
        let (request, pending) = request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap();
        Self {
            version,
            sender: Sender::client(version, || [1, 2, 3, 4]),
            request,
            pending,
            wire: Vec::new(),
            arrived: 0,
            ended: false,
            read: Vec::new(),
            checked: 0,
            receiver: None,
            number: 0,
            is_honest: true,
            got: Vec::new(),
            got_close: false,
            refused: false,
        }
    }

    /// Sends the request, a part of it, or something else.
    pub(super) fn send_request(&mut self, how: u8) {
        if self.ended {
            return;
        }
        self.is_honest &= how < 5 && self.wire.is_empty();
        let request = match how {
            5 => &self.request[..self.request.len() / 2],
            6 => b"GET /page HTTP/1.1\r\nHost: a\r\n\r\n",
            7 => b"<policy-file-request/>\0",
            _ => &self.request[..],
        };
        self.wire.extend_from_slice(request);
    }

    fn send(&mut self, write: impl FnOnce(&mut Sender)) {
        if !self.ended {
            write(&mut self.sender);
            self.sender.write_to(&mut self.wire).unwrap();
        }
    }

    /// Sends a message with a command for the application.
    pub(super) fn send_message(&mut self, command: u8, len: usize, how: u8) {
        self.number += 1;
        let command = char::from(b"eeeebpcaslq.........."[usize::from(command) % 21]);
        let text = super::padded(format!("{command}{}", self.number), len);
        let frame_size = std::num::NonZeroUsize::new(usize::from(how >> 1) * 50);
        self.send(|sender| {
            let _ = match how & 1 {
                0 => sender.text(&text, frame_size),
                _ => sender.binary(text.as_bytes(), frame_size),
            };
        });
    }

    pub(super) fn send_control(&mut self, how: u8, len: usize) {
        self.send(|sender| {
            let _ = match how & 1 {
                0 => sender.ping(&[b'p'; 125][..len]),
                _ => sender.pong(&[b'p'; 125][..len]),
            };
        });
    }

    pub(super) fn send_close(&mut self, how: u8) {
        self.send(|sender| match how {
            0 => sender.close_without_code(),
            how => drop(sender.close(CloseCode::new(999 + u16::from(how)), "goodbye")),
        });
    }

    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.is_honest = false;
            self.wire.extend_from_slice(bytes);
        }
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Checks that the bytes read are valid output of a server.
    pub(super) fn check_read(&mut self) {
        if self.receiver.is_none() && !self.refused {
            let limits = HandshakeLimits::default();
            if self.read.starts_with(b"HTTP/1.1 10") {
                self.open(&limits);
            } else if self.read.len() > 12 {
                self.refused = true;
            }
        }
        let Some(receiver) = &mut self.receiver else { return };
        let mut new = self.read[self.checked..].to_vec();
        self.checked = self.read.len();
        let mut events = receiver.receive(&mut new);
        while let Some(event) = events.next().expect("the server sends valid frames") {
            assert!(!self.got_close, "a frame after a close frame");
            match event {
                Event::Text(text) => {
                    self.got.push(Message { is_text: true, bytes: text.into_string().into_bytes() });
                }
                Event::Binary(payload) => {
                    self.got.push(Message { is_text: false, bytes: payload.into_vec() });
                }
                Event::Close(_) => self.got_close = true,
                _ => {}
            }
        }
    }

    fn open(&mut self, limits: &HandshakeLimits) {
        let open = match self.pending.check(&self.read, limits) {
            Ok(Status::Partial) => return,
            Ok(Status::Complete(open)) => open,
            // The answer to a request that the peer did not make.
            Err(error) => {
                assert!(!self.is_honest, "{error}");
                self.refused = true;
                return;
            }
        };
        self.checked = open.consumed;
        let receiver = Receiver::new(self.version, Role::Client, Limits::default());
        #[cfg(feature = "deflate")]
        let receiver = match open.deflate {
            Some(params) => {
                let codecs = clws_proto::CodecPool::new(&super::harness::deflate());
                // Messages sent before the answer are not compressed, which is always allowed.
                let sender = std::mem::replace(&mut self.sender, Sender::server(self.version));
                self.sender = sender.deflate(params, &codecs);
                receiver.deflate(params, &codecs)
            }
            None => receiver,
        };
        self.receiver = Some(receiver);
    }
}
