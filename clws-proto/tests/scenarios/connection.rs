//! The reactions of a `Connection`, in both roles and in every version.

use crate::common::connection::*;
use crate::common::*;
use clws_proto::buffer::NoPool;
use clws_proto::connection::State;
use clws_proto::{CloseCode, CloseFrame, ConnectionError, Limits, ProtocolError, SendError, Version};

fn with_control_frames() -> impl Iterator<Item = (Version, clws_proto::Role)> {
    all().filter(|(version, _)| version.has_control_frames())
}

fn with_close_frame() -> impl Iterator<Item = (Version, clws_proto::Role)> {
    all().filter(|(version, _)| version.has_close_frame())
}

#[test]
fn delivers_messages_and_sends_nothing_for_them() {
    for (version, role) in all() {
        let mut ws = connection(version, role);
        assert_eq!((ws.version(), ws.role(), ws.state()), (version, role, State::Open));
        let wire = from_peer(version, role, |peer| {
            peer.text("Hello", None).unwrap();
            if version.has_control_frames() {
                peer.binary(b"\x00\xff", None).unwrap();
                peer.pong(b"unasked").unwrap();
            }
        });
        let mut expected = vec![text("Hello")];
        if version.has_control_frames() {
            expected.extend([Got::Binary(vec![0, 0xFF]), Got::Pong(b"unasked".into())]);
        }
        assert_eq!(receive(&mut ws, &wire), expected);
        assert!(ws.state() == State::Open && ws.wants_read() && !ws.wants_write());
        assert_eq!(ws.end(), None);
    }
}

#[test]
fn answers_each_ping() {
    for (version, role) in with_control_frames() {
        let mut ws = connection(version, role);
        let wire = from_peer(version, role, |peer| {
            peer.ping(b"one").unwrap();
            peer.ping(b"").unwrap();
        });
        assert_eq!(receive(&mut ws, &wire), [Got::Ping(b"one".into()), Got::Ping(vec![])]);
        assert_eq!(sent(&mut ws), [Got::Pong(b"one".into()), Got::Pong(vec![])]);
    }
}

#[test]
fn queues_the_pong_before_the_application_answers() {
    let mut ws = connection(Version::Rfc6455, clws_proto::Role::Server);
    let mut wire = from_peer(Version::Rfc6455, ws.role(), |peer| peer.ping(b"?").unwrap());
    let mut events = ws.receive(&mut wire);
    let (_, sender) = events.next().unwrap();
    sender.text("later", None).unwrap();
    assert!(events.next().is_none());
    drop(events);
    assert_eq!(sent(&mut ws), [Got::Pong(b"?".into()), text("later")]);
}

#[test]
fn echoes_a_close_frame_once_and_discards_what_follows() {
    for (version, role) in with_close_frame() {
        let mut ws = connection(version, role);
        let close = from_peer(version, role, |peer| peer.close(CloseCode::GOING_AWAY, "bye").unwrap());
        let late = from_peer(version, role, |peer| peer.text("late", None).unwrap());
        let frame = CloseFrame { code: CloseCode::GOING_AWAY, reason: "bye" };
        let frame = version.has_close_codes().then_some(frame);

        let wire = [&close[..], &late, &close].concat();
        let expected = Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned())));
        assert_eq!(receive(&mut ws, &wire), [expected]);
        assert_eq!((ws.state(), ws.end()), (State::Closed, Some(Ok(frame))));
        assert!(!ws.wants_read() && ws.wants_write() && !ws.wants_shutdown());

        assert_eq!(receive(&mut ws, &wire), []);
        assert_eq!(sent(&mut ws), [Got::Close(frame.map(|frame| (frame.code.value(), String::new())))]);
        assert!(ws.wants_shutdown());
        assert_eq!(ws.sender().text("late", None), Err(SendError::Closed));
        assert_eq!(ws.close(CloseCode::NORMAL, ""), Err(SendError::Closed));
    }
}

#[test]
fn echoes_a_close_frame_without_a_code() {
    for (version, role) in with_close_frame() {
        let mut ws = connection(version, role);
        let close = from_peer(version, role, clws_proto::Sender::close_without_code);
        assert_eq!(receive(&mut ws, &close), [Got::Close(None)]);
        assert_eq!(sent(&mut ws), [Got::Close(None)]);
        assert_eq!(ws.end(), Some(Ok(None)));
    }
}

#[test]
fn delivers_messages_after_its_own_close_until_the_peer_answers() {
    for (version, role) in with_close_frame() {
        let mut ws = connection(version, role);
        ws.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!((ws.state(), ws.end()), (State::Closing, None));
        assert!(ws.wants_read() && ws.wants_write() && !ws.wants_shutdown());
        let code = version.has_close_codes().then(|| (1000, String::new()));
        assert_eq!(sent(&mut ws), [Got::Close(code.clone())]);

        let message = from_peer(version, role, |peer| peer.text("in flight", None).unwrap());
        assert_eq!(receive(&mut ws, &message), [text("in flight")]);
        assert_eq!(ws.sender().text("late", None), Err(SendError::Closed));
        if version.has_control_frames() {
            let ping = from_peer(version, role, |peer| peer.ping(b"?").unwrap());
            assert_eq!(receive(&mut ws, &ping), [Got::Ping(b"?".into())]);
        }
        assert_eq!(ws.state(), State::Closing);

        let answer = from_peer(version, role, |peer| peer.close(CloseCode::NORMAL, "").unwrap());
        assert_eq!(receive(&mut ws, &answer), [Got::Close(code)]);
        assert_eq!((ws.state(), ws.queued()), (State::Closed, 0), "neither a pong nor a second close frame");
        assert!(ws.wants_shutdown());
    }
}

/// Protocol violations, with their close codes in drafts 7 and 8 and in RFC 6455.
fn faults(role: clws_proto::Role) -> Vec<(Vec<u8>, ProtocolError, [u16; 3])> {
    let mask = if role == clws_proto::Role::Server { ProtocolError::Unmasked } else { ProtocolError::Masked };
    vec![
        (frame(FIN | TEXT, b"x", peer_of(role)), mask, [1002; 3]),
        (frame(FIN | 0x3, b"", role), ProtocolError::ReservedOpcode(3), [1002; 3]),
        (frame(FIN | RSV1 | TEXT, b"x", role), ProtocolError::ReservedBits, [1002; 3]),
        (frame(FIN | CONTINUATION, b"x", role), ProtocolError::UnexpectedContinuation, [1002; 3]),
        (frame(PING, b"", role), ProtocolError::FragmentedControl, [1002; 3]),
        (frame(FIN | TEXT, b"\xff", role), ProtocolError::InvalidUtf8, [1003, 1007, 1007]),
        (frame(FIN | CLOSE, b"\x03", role), ProtocolError::CloseBodyTooShort, [1002; 3]),
        (frame(FIN | CLOSE, b"\x03\xee", role), ProtocolError::InvalidCloseCode(1006), [1002; 3]),
        (header(FIN | BINARY, 101, role), ProtocolError::FrameTooBig { limit: 100 }, [1004, 1009, 1009]),
    ]
}

#[test]
fn fails_with_the_close_code_of_the_error() {
    for (version, code_of) in HYBI.into_iter().zip([0, 1, 2]) {
        for role in ROLES {
            for (fault, error, codes) in faults(role) {
                let mut ws = connection_with(version, role, Limits::default().max_frame_size(100));
                let message = from_peer(version, role, |peer| peer.text("before", None).unwrap());
                assert_eq!(receive(&mut ws, &[&message[..], &fault, &message].concat()), [text("before")]);
                let failure = ConnectionError::Protocol(error);
                assert_eq!((ws.state(), ws.end()), (State::Closed, Some(Err(failure))), "{version} {role:?}");
                assert_eq!(failure.close_code(version).value(), codes[code_of]);

                assert_eq!(receive(&mut ws, &message), []);
                assert_eq!(ws.sender().text("late", None), Err(SendError::Closed));
                assert_eq!(sent(&mut ws), [Got::Close(Some((codes[code_of], error.to_string())))]);
                ws.end_of_input();
                assert_eq!(ws.end(), Some(Err(failure)), "the first error counts");
                assert!(ws.wants_shutdown());
            }
        }
    }
}

#[test]
fn fails_without_a_code_in_draft_0_and_hixie_75() {
    for role in ROLES {
        for (version, close) in [(Version::Hybi00, &[Got::Close(None)][..]), (Version::Hixie75, &[])] {
            for fault in [&b"\x00too long\xff"[..], b"\x80\x09", b"\x01too long"] {
                let mut ws = connection_with(version, role, Limits::default().max_frame_size(7));
                assert_eq!(receive(&mut ws, fault), []);
                assert!(matches!(ws.end(), Some(Err(ConnectionError::Protocol(_)))), "{:?}", ws.end());
                assert_eq!(sent(&mut ws), close);
                assert!(ws.wants_shutdown());
                assert_eq!(ws.sender().text("late", None), Err(SendError::Closed));
            }
        }
    }
}

#[test]
fn sends_no_second_close_frame_when_it_fails_while_closing() {
    for (version, role) in with_control_frames() {
        let mut ws = connection(version, role);
        ws.close(CloseCode::GOING_AWAY, "first").unwrap();
        assert_eq!(receive(&mut ws, &frame(FIN | 0x3, b"", role)), []);
        assert_eq!(sent(&mut ws), [Got::Close(Some((1001, "first".to_owned())))]);
        assert_eq!(ws.end(), Some(Err(ProtocolError::ReservedOpcode(3).into())));
    }
}

#[test]
fn continues_with_unread_events_after_the_iteration_was_dropped() {
    for (version, role) in all() {
        let mut wire = from_peer(version, role, |peer| {
            peer.text("one", None).unwrap();
            peer.text("two", None).unwrap();
            if version.has_control_frames() {
                peer.ping(b"?").unwrap();
            }
            peer.text("three", None).unwrap();
            let _ = peer.close(CloseCode::NORMAL, "");
        });
        let mut ws = connection(version, role);
        drop(ws.receive(&mut wire));
        assert!(!ws.wants_read() && ws.state() == State::Open);
        ws.end_of_input(); // takes effect after the events that came before it

        let mut seen = Vec::new();
        loop {
            let event = ws.receive(&mut []).next().map(|(event, _)| owned(event));
            let Some(event) = event else { break };
            seen.push(event);
            let has_ponged = seen.iter().any(|got| matches!(got, Got::Ping(_) | Got::Close(_)));
            assert_eq!(ws.wants_write(), has_ponged, "only a pulled event is reacted to");
        }
        let mut expected = vec![text("one"), text("two"), text("three")];
        if version.has_control_frames() {
            expected.insert(2, Got::Ping(b"?".into()));
        }
        if version.has_close_frame() {
            expected.push(Got::Close(version.has_close_codes().then(|| (1000, String::new()))));
        }
        assert_eq!(seen, expected, "{version} {role:?}");
        assert_eq!(ws.state(), State::Closed);
        assert!(matches!(ws.end(), Some(Ok(_))), "{:?}", ws.end());
    }
}

#[test]
fn a_buffer_that_is_given_is_kept_by_a_large_message() {
    let (version, role) = (Version::Rfc6455, clws_proto::Role::Server);
    let payload = vec![7; 20_000];
    let wire = from_peer(version, role, |peer| {
        peer.binary(&payload, None).unwrap();
    });
    let mut ws = connection(version, role);
    let mut buffer = wire.clone();
    let mut events = ws.receive_owned(&mut buffer, 0..wire.len(), &NoPool);
    let Some((clws_proto::Event::Binary(received), sender)) = events.next() else { panic!("no message") };
    assert_eq!(received, payload);
    sender.forward_binary(received).unwrap();
    assert!(events.next().is_none());
    drop(events);
    assert!(buffer.is_empty(), "the message has its buffer");
    assert_eq!(sent(&mut ws), [Got::Binary(payload.clone())]);

    let mut events = ws.receive_with(&mut buffer, &NoPool);
    assert!(events.next().is_none());
    drop(events);
    let (mut receiver, mut sender) = ws.split();
    assert_eq!(feed(&mut receiver, &wire), [Got::Binary(payload)]);
    sender.ping(b"still open").unwrap();
}

#[cfg(feature = "deflate")]
#[test]
fn compresses_and_inflates_as_negotiated() {
    use clws_proto::{CodecPool, DeflateConfig, DeflateParams};

    let codecs = CodecPool::new(&DeflateConfig::default());
    let with = |version, role| connection(version, role).deflate(DeflateParams::default(), &codecs);
    for version in Version::ALL {
        let [mut server, mut client] = ROLES.map(|role| with(version, role));
        for _ in 0..2 {
            client.sender().text(&"la ".repeat(1000), None).unwrap();
            let wire = transmit(&mut client);
            assert_eq!(wire.len() < 100, version.has_extensions(), "{version}: {}", wire.len());
            assert_eq!(receive(&mut server, &wire), [text(&"la ".repeat(1000))]);
            std::mem::swap(&mut server, &mut client);
        }
        assert_eq!((server.state(), client.state()), (State::Open, State::Open));
    }
}
