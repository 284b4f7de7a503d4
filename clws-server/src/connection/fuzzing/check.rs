//! The invariants that hold whenever the connection is idle, and at its end.

use clws_handshake::{HeadScanner, Status, parse};
use clws_proto::{Event, ProtocolError, Receiver, Role};

use crate::connection::Stage;
use crate::connection::fuzzing::app::Message;
use crate::connection::fuzzing::harness::Harness;

/// An upper bound of a connection's state, without the input of its peer.
const STATE: usize = 2048;

/// An upper bound of a decompressor and its window.
const INFLATER: usize = 100 * 1024;

/// The connection's input, as read by another receiver.
struct Given {
    messages: Vec<Message>,
    error: Option<ProtocolError>,
}

impl Harness {
    /// Checks an idle connection.
    pub(super) fn check(&mut self) {
        self.check_deadline();
        let received = self.wire.given.len();
        let held = self.connection.held_input();
        let max =
            self.shared.config().max_read_message_size.min(1100 * received) + 4 * received + STATE + INFLATER;
        assert!(held <= max, "{held} bytes are held for {received} bytes of input");
        let got = &self.wire.peer.got;
        self.app.recorder(|recorder| {
            assert!(recorder.connected <= 1);
            assert!(
                recorder.sent.starts_with(got),
                "the peer received a message that was not sent, or in another order"
            );
        });
    }

    /// Checks that the driver has the connection's deadline or an earlier one.
    fn check_deadline(&mut self) {
        let next = self.next_deadline();
        let is_waiting = matches!(self.connection.stage, Stage::Handshake(_) | Stage::Closing(_));
        match self.connection.next_timeout() {
            Some(at) => {
                assert!(next.is_some_and(|next| next <= at), "the driver does not have the deadline");
            }
            None => assert!(!is_waiting && !matches!(self.connection.stage, Stage::Closing(_))),
        }
        if let Stage::Open(open) = &self.connection.stage
            && (open.client.is_closing() || (open.client.buffered_amount() > 0 && open.client.is_connected()))
        {
            assert!(next.is_some(), "the connection waits for the peer without a deadline");
        }
    }

    /// Reads the input after the request with another receiver.
    fn read_input(&self) -> Given {
        let limits = self.shared.config().handshake_limits();
        let mut given = &self.wire.given[..];
        let (version, consumed) = loop {
            if let Ok(Status::Complete(request)) = parse(given, &limits) {
                break (request.version(), request.consumed());
            }
            // A request for a page, after which the connection was kept alive.
            let Ok(Status::Complete(page)) = HeadScanner::new().scan(given, &limits) else {
                panic!("an accepted request does not parse")
            };
            given = &given[page..];
        };
        let receiver = Receiver::new(version, Role::Server, self.shared.config().limits());
        #[cfg(feature = "deflate")]
        let receiver = match self.app.client().and_then(|client| client.deflate()) {
            Some(params) => receiver.deflate(params, &clws_proto::CodecPool::new(&super::harness::deflate())),
            None => receiver,
        };
        let mut receiver = receiver;
        let mut bytes = given[consumed..].to_vec();
        let mut events = receiver.receive(&mut bytes);
        let mut given = Given { messages: Vec::new(), error: None };
        loop {
            match events.next() {
                Ok(None) => return given,
                Ok(Some(Event::Text(text))) => {
                    given.messages.push(Message { is_text: true, bytes: text.into_string().into_bytes() });
                }
                Ok(Some(Event::Binary(payload))) => {
                    given.messages.push(Message { is_text: false, bytes: payload.into_vec() });
                }
                Ok(Some(_)) => {}
                Err(error) => given.error = Some(error),
            }
        }
    }

    /// Checks a connection that is over.
    pub(super) fn check_end(mut self) {
        self.wire.peer.check_read();
        let end = self.disconnect();
        let (connected, refused) = self.app.recorder(|recorder| (recorder.connected, recorder.refused));
        assert_eq!(
            end.is_some(),
            connected == 1 && !refused,
            "disconnected must follow connected, unless the client was refused"
        );
        if let Some((_, undelivered)) = end {
            let given = self.read_input();
            let delivered = self.app.recorder(|recorder| std::mem::take(&mut recorder.delivered));
            // Invariant 1: "each message that was read is delivered once and in order, or counted".
            assert!(
                given.messages.starts_with(&delivered),
                "the delivered messages are not the first messages of the input"
            );
            let missing = (given.messages.len() - delivered.len()) as u64;
            match given.error {
                // Discarded payloads are not validated, so an invalid payload counts as a message.
                Some(
                    ProtocolError::InvalidUtf8
                    | ProtocolError::MessageTooBig { .. }
                    | ProtocolError::CloseBodyTooShort,
                ) => assert!(undelivered >= missing, "{undelivered} of {missing} counted as undelivered"),
                #[cfg(feature = "deflate")]
                Some(ProtocolError::CorruptDeflate) => {
                    assert!(undelivered >= missing, "{undelivered} of {missing} counted as undelivered");
                }
                _ => assert_eq!(undelivered, missing, "messages counted as undelivered"),
            }
        }
        let got = std::mem::take(&mut self.wire.peer.got);
        self.app.recorder(|recorder| assert!(recorder.sent.starts_with(&got)));
        assert_eq!(self.connection.held(), 0);
        self.app.release();
        let shared = std::sync::Arc::clone(&self.shared);
        drop(self);
        shared.budget().give_back();
        assert_eq!(shared.budget().used(), 0, "bytes are charged that are not held");
        crate::time::virtual_clock::set(None);
    }
}
