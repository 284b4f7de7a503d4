//! The application: a resource that records its calls. The first byte of each message is a command.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use clws_handshake::Reject;
use clws_proto::CloseCode;

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::outgoing::SendOptions;
use crate::resource::Resource;
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;
use crate::time::{now, virtual_clock};
use clws_proto::{Payload, Piece, SharedMessage, Text};

/// A data message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) is_text: bool,
    pub(super) bytes: Vec<u8>,
}

/// The calls of the application, and the messages that it sent.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) connected: u32,
    pub(super) delivered: Vec<Message>,
    /// The pieces of a message in progress.
    pieces: Option<Vec<u8>>,
    pub(super) ended: Option<(CloseCode, u64)>,
    /// Messages that were sent and accepted.
    pub(super) sent: Vec<Message>,
    /// The application closed or aborted the client.
    pub(super) closed: bool,
    pub(super) refused: bool,
    /// The application no longer pauses the client.
    pub(super) never_pauses: bool,
    client: Option<Client>,
    decision: Option<Decision>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct App(Arc<Mutex<Recorder>>);

impl App {
    pub(super) fn recorder<T>(&self, work: impl FnOnce(&mut Recorder) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }

    fn with_client(&self, work: impl FnOnce(&Client)) {
        let client = self.recorder(|recorder| recorder.client.clone());
        if let Some(client) = client {
            work(&client);
        }
    }

    #[cfg(feature = "deflate")]
    pub(super) fn client(&self) -> Option<Client> {
        self.recorder(|recorder| recorder.client.clone())
    }

    /// Sends a message or a ping by the method `how`.
    pub(super) fn send(&self, how: u8, len: usize) {
        self.with_client(|client| self.send_to(client, how, len));
    }

    fn send_to(&self, client: &Client, how: u8, len: usize) {
        let number = self.recorder(|recorder| recorder.sent.len());
        let text = super::padded(number.to_string(), len);
        let is_text = how & 1 == 0;
        let result = match how {
            0 => client.send_text(&text),
            1 => client.send_binary(text.as_bytes()),
            2 => client.send(text.clone()),
            3 => client.send(text.clone().into_bytes()),
            4 => client.send(SharedMessage::text(text.clone())),
            5 => client.send(SharedMessage::binary(text.clone().into_bytes())),
            6 => client.send_with(&text, SendOptions::new().frame_size(100)),
            _ => {
                let _ = client.ping(text.as_bytes());
                return;
            }
        };
        if result.is_ok() {
            self.recorder(|recorder| recorder.sent.push(Message { is_text, bytes: text.into_bytes() }));
        }
    }

    pub(super) fn pause(&self) {
        self.with_client(Client::pause);
    }

    pub(super) fn resume(&self) {
        self.with_client(Client::resume);
    }

    pub(super) fn close(&self, how: u8) {
        self.with_client(|client| self.close_client(client, how));
    }

    fn close_client(&self, client: &Client, how: u8) {
        let code = [1000, 1001, 1009, 3000, 4999, 1000, 1000, 1000][usize::from(how & 7)];
        client.close((CloseCode::new(code), "enough"));
        self.recorder(|recorder| recorder.closed = true);
    }

    pub(super) fn abort(&self) {
        self.with_client(Client::abort);
        self.recorder(|recorder| recorder.closed |= recorder.client.is_some());
    }

    pub(super) fn decide(&self, how: u8) {
        let Some(decision) = self.recorder(|recorder| recorder.decision.take()) else { return };
        match how {
            0 => drop(decision),
            1 => decision.reject(Reject::forbidden("no")),
            _ => decision.accept(Accept::new()),
        }
    }

    pub(super) fn release(&self) {
        let (client, decision) = self.recorder(|recorder| (recorder.client.take(), recorder.decision.take()));
        drop((client, decision));
    }

    fn message(&self, client: &Client, is_text: bool, bytes: &[u8]) {
        self.recorder(|recorder| {
            assert_eq!(recorder.connected, 1, "a message before connected, or after a second connected");
            assert!(recorder.ended.is_none(), "a message after disconnected");
            assert!(!recorder.refused && !recorder.closed, "a message from a refused or closed client");
            recorder.delivered.push(Message { is_text, bytes: bytes.to_vec() });
        });
        match bytes.first() {
            Some(b'e') => self.send_to(client, u8::from(!is_text), bytes.len()),
            Some(b'b') => self.send_to(client, 2, 40_000),
            Some(b'p') if !self.recorder(|recorder| recorder.never_pauses) => client.pause(),
            Some(b'q') => client.set_has_queue(),
            Some(b'c') => self.close_client(client, 0),
            Some(b'a') => {
                client.abort();
                self.recorder(|recorder| recorder.closed = true);
            }
            Some(b's') => virtual_clock::set(Some(now() + Duration::from_millis(2))),
            Some(b'l') => virtual_clock::set(Some(now() + Duration::from_secs(20))),
            _ => {}
        }
    }
}

impl Resource for App {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("later") => {
                let (accept, decision) = Accept::later();
                self.recorder(|recorder| recorder.decision = Some(decision));
                Ok(accept)
            }
            Some("no") => Err(Reject::forbidden("no")),
            _ => Ok(Accept::new()),
        }
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.recorder(|recorder| {
            recorder.connected += 1;
            recorder.client = Some(client.clone());
        });
        match client.query_string() {
            Some("refuse") => {
                self.recorder(|recorder| recorder.refused = true);
                Err(Close::new(CloseCode::POLICY, "full"))
            }
            Some("pause") if !self.recorder(|recorder| recorder.never_pauses) => {
                client.pause();
                Ok(())
            }
            Some("greet") => {
                self.send_to(client, 0, 10);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.message(client, true, text.as_bytes());
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.message(client, false, &payload);
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        let message = self.recorder(|recorder| {
            assert!(!recorder.refused && !recorder.closed, "a piece from a refused or closed client");
            assert_eq!(piece.first, recorder.pieces.is_none(), "the first piece");
            recorder.pieces.get_or_insert_default().extend(piece.bytes());
            if piece.last { recorder.pieces.take() } else { None }
        });
        if let Some(message) = message {
            assert!(message.len() > 20, "a short message in pieces");
            self.message(client, piece.is_text(), &message);
        }
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        assert!(!client.is_open());
        assert!(client.send_text("too late").is_err());
        self.recorder(|recorder| {
            assert!(recorder.ended.is_none(), "disconnected twice");
            recorder.ended = Some((end.code, end.undelivered));
        });
    }
}
