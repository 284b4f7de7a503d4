//! What must be true, at each moment and at the end.

use clws_handshake::{Status, parse};
use clws_proto::{Event, ProtocolError, Receiver, Role};

use crate::connection::Stage;
use crate::connection::fuzzing::app::Message;
use crate::connection::fuzzing::harness::Harness;

/// More than a connection keeps beside the bytes of its peer's.
const STATE: usize = 2048;

/// A decompressor, and what compressed messages refer back to.
const INFLATER: usize = 100 * 1024;

/// What the connection was given, read by another receiver.
struct Given {
    messages: Vec<Message>,
    error: Option<ProtocolError>,
}

impl Harness {
    /// At a moment when there is nothing to do.
    pub(super) fn check(&mut self) {
        self.has_its_deadline();
        let came = self.wire.given.len();
        let held = self.connection.held_input();
        let most = self.shared.config().max_read_message_size.min(1100 * came) + 4 * came + STATE + INFLATER;
        assert!(held <= most, "{held} held for {came}");
        let got = &self.wire.peer.got;
        self.app.recorder(|recorder| {
            assert!(recorder.connected <= 1);
            assert!(recorder.sent.starts_with(got), "the peer gets other messages than were sent");
        });
    }

    /// The driver was told of each deadline, or of an earlier one.
    fn has_its_deadline(&mut self) {
        let next = self.next_deadline();
        let is_waiting = matches!(self.connection.stage, Stage::Handshake(_) | Stage::Closing(_));
        match self.connection.next_timeout() {
            Some(at) => {
                assert!(next.is_some_and(|next| next <= at), "nobody comes back at the deadline");
            }
            None => assert!(!is_waiting && !matches!(self.connection.stage, Stage::Closing(_))),
        }
        if let Stage::Open(open) = &self.connection.stage
            && (open.client.is_closing() || (open.client.buffered_amount() > 0 && open.client.is_connected()))
        {
            assert!(next.is_some(), "it waits for the peer without a deadline");
        }
    }

    /// All that the connection was given behind the request, as another receiver reads it.
    fn read_again(&self) -> Given {
        let caps = self.shared.config().caps();
        let Ok(Status::Complete(request)) = parse(&self.wire.given, &caps) else { panic!("it was accepted") };
        let (version, consumed) = (request.version(), request.consumed());
        let receiver = Receiver::new(version, Role::Server, self.shared.config().limits());
        #[cfg(feature = "deflate")]
        let receiver = match self.app.client().and_then(|client| client.deflate()) {
            Some(params) => {
                receiver.with_deflate(params, &clws_proto::CodecPool::new(&super::harness::deflate()))
            }
            None => receiver,
        };
        let mut receiver = receiver;
        let mut bytes = self.wire.given[consumed..].to_vec();
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

    /// When the connection is over.
    pub(super) fn check_end(mut self) {
        self.wire.peer.look();
        let told = self.armed();
        let (connected, refused) = self.app.recorder(|recorder| (recorder.connected, recorder.refused));
        assert_eq!(told.is_some(), connected == 1 && !refused, "it ends once, if it began");
        if let Some((_, undelivered)) = told {
            let given = self.read_again();
            let delivered = self.app.recorder(|recorder| std::mem::take(&mut recorder.delivered));
            // Invariant 1: "each message that was read is delivered once and in order, or counted".
            assert!(given.messages.starts_with(&delivered), "other messages than came, or in another order");
            let missing = (given.messages.len() - delivered.len()) as u64;
            match given.error {
                // Payloads that are discarded are not looked at, so what is wrong with them counts as a message.
                Some(
                    ProtocolError::InvalidUtf8
                    | ProtocolError::MessageTooBig { .. }
                    | ProtocolError::CloseBodyTooShort,
                ) => assert!(undelivered >= missing, "{undelivered} of {missing} counted"),
                #[cfg(feature = "deflate")]
                Some(ProtocolError::CorruptDeflate) => {
                    assert!(undelivered >= missing, "{undelivered} of {missing} counted");
                }
                _ => assert_eq!(undelivered, missing, "counted as undelivered"),
            }
        }
        let got = std::mem::take(&mut self.wire.peer.got);
        self.app.recorder(|recorder| assert!(recorder.sent.starts_with(&got)));
        assert_eq!(self.connection.held(), 0);
        self.app.let_go();
        let shared = std::sync::Arc::clone(&self.shared);
        drop(self);
        shared.budget().give_back();
        assert_eq!(shared.budget().used(), 0, "bytes are charged for that nobody holds");
        crate::time::virtual_clock::set(None);
    }
}
