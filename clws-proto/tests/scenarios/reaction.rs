//! The reaction to each event, for programs that drive the halves of a connection themselves.

use crate::common::*;
use clws_proto::{CloseCode, CloseFrame, Event, ProtocolError, Reaction, Role, Sender, Version};

#[test]
fn only_pings_and_close_frames_need_an_answer() {
    let frame = CloseFrame { code: CloseCode::NORMAL, reason: "bye" };
    for (first, payload, expected) in [
        (FIN | TEXT, &b"?"[..], Reaction::Deliver),
        (FIN | BINARY, b"?", Reaction::Deliver),
        (FIN | PONG, b"?", Reaction::Deliver),
        (FIN | PING, b"?", Reaction::Pong(b"?")),
        (FIN | CLOSE, b"", Reaction::AnswerClose(None)),
        (FIN | CLOSE, b"\x03\xe8bye", Reaction::AnswerClose(Some(frame))),
    ] {
        let (mut receiver, mut wire) = (server(), to_server(first, payload));
        let mut events = receiver.receive(&mut wire);
        assert_eq!(events.next().unwrap().as_ref().map(Event::reaction), Some(expected));
    }
}

#[test]
fn a_sender_queues_what_each_reaction_demands() {
    let error = ProtocolError::InvalidUtf8;
    let frame = CloseFrame { code: CloseCode::new(4000), reason: "not echoed" };
    for version in Version::ALL {
        let sent = |reactions: &[Reaction<'_>]| {
            let mut sender = Sender::server(version);
            reactions.iter().for_each(|reaction| sender.react(reaction));
            events(version, Role::Client, &drain(&mut sender))
        };
        let close = |code: u16, reason: &str| {
            let body = version.has_close_codes().then(|| (code, reason.to_owned()));
            version.has_close_frame().then_some(Got::Close(body)).into_iter().collect::<Vec<_>>()
        };
        let failed = close(error.close_code(version).value(), &error.to_string());
        let pong: Vec<_> =
            version.has_control_frames().then(|| Got::Pong(b"?".to_vec())).into_iter().collect();

        assert_eq!(sent(&[Reaction::Deliver]), []);
        assert_eq!(sent(&[Reaction::Pong(b"?")]), pong);
        assert_eq!(sent(&[Reaction::AnswerClose(Some(frame))]), close(4000, ""));
        assert_eq!(sent(&[error.into()]), failed);
        assert_eq!(sent(&[error.into(), Reaction::AnswerClose(None), Reaction::Deliver]), failed);
        assert_eq!(sent(&[Reaction::AnswerClose(Some(frame)), error.into()]), close(4000, ""));
        assert_eq!(sent(&[error.into(), error.into()]), failed);
    }
}
