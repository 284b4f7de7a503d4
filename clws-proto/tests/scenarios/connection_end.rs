//! How a `Connection` ends with its stream, and how it writes.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};

use crate::common::connection::*;
use crate::common::*;
use clws_proto::connection::State;
use clws_proto::{CloseCode, ConnectionError, Role, SendError, Version};

const UNEXPECTED: ConnectionError = ConnectionError::UnexpectedEnd;

#[test]
fn an_end_between_messages_closes_only_without_codes() {
    for (version, role) in all() {
        for is_closing in [false, true] {
            let mut ws = connection(version, role);
            let wire = from_peer(version, role, |peer| peer.text("last", None).unwrap());
            assert_eq!(receive(&mut ws, &wire), [text("last")]);
            ws.sender().text("answer", None).unwrap();
            if is_closing {
                ws.close(CloseCode::NORMAL, "").unwrap();
            }
            ws.end_of_input();
            let expected = if version.is_hixie() { Ok(None) } else { Err(UNEXPECTED) };
            assert_eq!((ws.state(), ws.end()), (State::Closed, Some(expected)), "{version} {role:?}");
            assert!(!ws.wants_read());
            assert_eq!(ws.sender().text("late", None), Err(SendError::Closed));

            assert!(!ws.wants_shutdown());
            assert_eq!(sent(&mut ws)[0], text("answer"), "the peer may still read");
            assert!(ws.wants_shutdown());
            assert_eq!(receive(&mut ws, &wire), []);
        }
    }
}

#[test]
fn an_end_within_a_message_is_unexpected() {
    for (version, role) in all() {
        let wire = from_peer(version, role, |peer| peer.text("Hello", None).unwrap());
        for cut in 1..wire.len() {
            let mut ws = connection(version, role);
            assert_eq!(receive(&mut ws, &wire[..cut]), []);
            assert_eq!((ws.state(), ws.end()), (State::Open, None));
            ws.end_of_input();
            assert_eq!((ws.state(), ws.end()), (State::Closed, Some(Err(UNEXPECTED))));
            assert_eq!(ws.receiver().held(), 0, "what was cut off is freed");
            ws.end_of_input();
            assert_eq!(ws.end(), Some(Err(UNEXPECTED)));
        }
    }
    assert_eq!(UNEXPECTED.close_code(Version::Rfc6455), CloseCode::ABNORMAL);
}

#[test]
fn an_end_after_the_close_frame_changes_nothing() {
    for (version, role) in all().filter(|(version, _)| version.has_close_frame()) {
        let mut ws = connection(version, role);
        let wire = from_peer(version, role, |peer| peer.close(CloseCode::NORMAL, "").unwrap());
        assert!(matches!(receive(&mut ws, &wire)[..], [Got::Close(_)]));
        let end = format!("{:?}", ws.end());
        ws.end_of_input();
        assert_eq!(format!("{:?}", ws.end()), end);
        assert!(matches!(ws.end(), Some(Ok(_))));
        assert!(matches!(sent(&mut ws)[..], [Got::Close(_)]), "the answer still goes out");
    }
}

#[test]
fn an_end_waits_for_unread_events() {
    for (version, role) in all() {
        let mut ws = connection(version, role);
        let mut wire = from_peer(version, role, |peer| {
            peer.text("one", None).unwrap();
            peer.text("two", None).unwrap();
        });
        drop(ws.receive(&mut wire));
        ws.end_of_input();
        assert_eq!((ws.state(), ws.end()), (State::Open, None));
        assert!(!ws.wants_read());

        let mut events = ws.receive(&mut []);
        for message in ["one", "two"] {
            let (event, sender) = events.next().unwrap();
            assert_eq!(owned(event), text(message));
            sender.text(message, None).unwrap(); // the peer may have ended its own side only
        }
        drop(events);
        let expected = if version.is_hixie() { Ok(None) } else { Err(UNEXPECTED) };
        assert_eq!((ws.state(), ws.end()), (State::Closed, Some(expected)));
        assert_eq!(sent(&mut ws), [text("one"), text("two")]);
        assert_eq!(ws.sender().text("late", None), Err(SendError::Closed));
    }
}

#[test]
fn hixie_75_closes_by_ending_its_side_of_the_stream() {
    for role in ROLES {
        let mut ws = connection(Version::Hixie75, role);
        ws.sender().text("last", None).unwrap();
        assert!(!ws.wants_shutdown());
        ws.close(CloseCode::NORMAL, "left out").unwrap();
        assert_eq!(ws.state(), State::Closing);
        assert!(!ws.wants_shutdown(), "a message is still queued");
        assert_eq!(transmit(&mut ws), b"\x00last\xff");
        assert!(ws.wants_shutdown() && ws.wants_read());

        assert_eq!(receive(&mut ws, b"\xff\x00\x00in flight\xff"), [text("in flight")]);
        ws.end_of_input();
        assert_eq!((ws.state(), ws.end(), ws.queued()), (State::Closed, Some(Ok(None)), 0));
    }
}

#[test]
fn draft_0_closes_with_ff_00_in_both_directions() {
    for role in ROLES {
        let mut ws = connection(Version::Hybi00, role);
        assert_eq!(receive(&mut ws, b"\x00hi\xff\xff\x00\x00late\xff"), [text("hi"), Got::Close(None)]);
        assert_eq!(transmit(&mut ws), b"\xff\x00");
        assert_eq!(ws.end(), Some(Ok(None)));

        let mut ws = connection(Version::Hybi00, role);
        ws.close(CloseCode::NORMAL, "left out").unwrap();
        assert_eq!(transmit(&mut ws), b"\xff\x00");
        assert_eq!((ws.state(), ws.wants_shutdown()), (State::Closing, false));
        assert_eq!(receive(&mut ws, b"\xff\x00"), [Got::Close(None)]);
        assert_eq!((ws.state(), ws.wants_shutdown()), (State::Closed, true));
    }
}

#[test]
fn two_connections_talk_and_close() {
    for version in Version::ALL {
        for closing in ROLES {
            let mut peers = ROLES.map(|role| connection(version, role));
            peers[1].sender().text("question", None).unwrap();
            let mut streams = [VecDeque::new(), VecDeque::new()]; // of the bytes to each
            let mut seen = Vec::new();
            while peers.iter().any(|ws| ws.state() != State::Closed || ws.wants_write()) {
                for at in [0, 1] {
                    let wire = transmit(&mut peers[at]);
                    streams[1 - at].extend(wire);
                    let arrived: Vec<u8> = streams[at].drain(..).collect();
                    let ended = arrived.is_empty() && peers[1 - at].wants_shutdown();
                    seen.extend(receive(&mut peers[at], &arrived));
                    if ended {
                        peers[at].end_of_input();
                    }
                    if peers[at].role() == closing && seen == [text("question")] {
                        let _ = peers[at].close(CloseCode::NORMAL, ""); // once
                    }
                }
            }
            assert_eq!(seen[0], text("question"));
            for ws in &peers {
                let code = ws.end().unwrap().unwrap().map(|frame| frame.code);
                assert_eq!(code, version.has_close_codes().then_some(CloseCode::NORMAL), "{version}");
            }
        }
    }
}

#[test]
fn transmit_continues_where_the_writer_stopped() {
    let mut ws = connection(Version::Rfc6455, Role::Server);
    ws.sender().text("Hello", None).unwrap();
    let (mut results, mut written) = (
        VecDeque::from([
            Ok(1),
            Err(ErrorKind::Interrupted),
            Ok(2),
            Err(ErrorKind::WouldBlock),
            Ok(0),
            Err(ErrorKind::BrokenPipe),
        ]),
        Vec::new(),
    );
    let mut write = |slices: &[io::IoSlice<'_>]| -> io::Result<usize> {
        let all = join(slices);
        let count = results.pop_front().unwrap_or(Ok(all.len()))?;
        written.extend_from_slice(&all[..count]);
        Ok(count)
    };
    assert!(!ws.transmit(&mut write).unwrap());
    assert_eq!(ws.queued(), 4);
    assert_eq!(ws.transmit(&mut write).unwrap_err().kind(), ErrorKind::WriteZero);
    assert_eq!(ws.transmit(&mut write).unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(ws.transmit(&mut write).unwrap());
    assert!(ws.transmit(&mut write).unwrap(), "nothing is left to write");
    assert_eq!(written, b"\x81\x05Hello");
}

#[test]
fn transmit_writes_more_than_fits_in_one_vectored_write() {
    let message = clws_proto::SharedMessage::binary(vec![1; 5000]);
    let mut ws = connection(Version::Rfc6455, Role::Server);
    for _ in 0..100 {
        ws.sender().shared(&message).unwrap();
    }
    assert_eq!(sent(&mut ws), vec![Got::Binary(vec![1; 5000]); 100]);
}
