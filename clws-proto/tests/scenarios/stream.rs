//! Long messages in pieces: the division of each kind of message, and the memory it takes.

use clws_proto::connection::{Connection, State};
use clws_proto::{Event, Limits, PieceData, ProtocolError, Receiver, Role, Version};

use crate::common::*;

fn piece(text: bool, bytes: &[u8], first: bool, last: bool) -> Got {
    Got::Piece(text, bytes.to_vec(), first, last)
}

fn streaming(above: usize) -> Receiver {
    server().stream_messages(above)
}

#[test]
fn only_long_messages_are_in_pieces() {
    let mut receiver = streaming(3);
    let bytes = [to_server(FIN | TEXT, b"abc"), to_server(FIN | TEXT, b"abcd"), to_server(FIN | BINARY, b"")];
    let expected = [text("abc"), piece(true, b"abcd", true, true), Got::Binary(Vec::new())];
    assert_eq!(feed(&mut receiver, &bytes.concat()), expected);
    let empty = to_server(FIN | TEXT, b"");
    assert_eq!(feed(&mut streaming(0), &empty), [text("")]);
}

#[test]
fn each_read_is_a_piece_in_its_buffer() {
    let mut receiver = streaming(0);
    let frame = to_server(FIN | BINARY, b"abcdefghi");
    let (mut read, mut rest) = (frame[..10].to_vec(), frame[10..].to_vec());
    for (read, expected, last) in [(&mut read, &b"abcd"[..], false), (&mut rest, b"efghi", true)] {
        let range = read.as_ptr_range();
        let mut events = receiver.receive(read);
        let Ok(Some(Event::Piece(piece))) = events.next() else { panic!("no piece") };
        assert_eq!((piece.bytes(), piece.first, piece.last), (expected, !last, last));
        assert!(range.contains(&piece.bytes().as_ptr()), "not copied");
        assert!(events.next().unwrap().is_none());
    }
    assert_eq!(receiver.held(), 0);
}

#[test]
fn a_cut_character_comes_with_the_next_read() {
    let mut receiver = streaming(0);
    let frame = to_server(FIN | TEXT, "a😀b".as_bytes());
    assert_eq!(feed(&mut receiver, &frame[..9]), [piece(true, b"a", true, false)]);
    assert_eq!(
        feed(&mut receiver, &frame[9..]),
        [piece(true, "😀".as_bytes(), false, false), piece(true, b"b", false, true)]
    );
}

#[test]
fn fragments_of_a_short_message_are_held_until_it_is_long() {
    let mut receiver = streaming(4);
    assert_eq!(feed(&mut receiver, &to_server(TEXT, b"ab")), []);
    assert_eq!(feed(&mut receiver, &to_server(FIN | PING, b"?")), [Got::Ping(b"?".to_vec())]);
    assert_eq!(
        feed(&mut receiver, &to_server(CONTINUATION, b"cde")),
        [piece(true, b"ab", true, false), piece(true, b"cde", false, false)]
    );
    assert_eq!(feed(&mut receiver, &to_server(FIN | PONG, b"!")), [Got::Pong(b"!".to_vec())]);
    assert_eq!(feed(&mut receiver, &to_server(CONTINUATION, b"")), []);
    assert_eq!(feed(&mut receiver, &to_server(FIN | CONTINUATION, b"")), [piece(true, b"", false, true)]);
    assert_eq!(feed(&mut receiver, &to_server(FIN | TEXT, b"next")), [text("next")]);
}

#[test]
fn errors_come_at_once_and_leave_the_message_without_a_last_piece() {
    let long = Limits::default().max_message_size(10).max_frame_size(8).max_fragments(2);
    let too_big = to_server(BINARY, b"123456");
    let cases = [
        (to_server(TEXT, b"ab\xff"), 1, ProtocolError::InvalidUtf8),
        (header(FIN | CONTINUATION, 5, Role::Server), 0, ProtocolError::MessageTooBig { limit: 10 }),
        (header(FIN | CONTINUATION, 9, Role::Server), 0, ProtocolError::FrameTooBig { limit: 8 }),
        (to_server(FIN | BINARY, b""), 0, ProtocolError::ExpectedContinuation),
        (
            [to_server(CONTINUATION, b""), to_server(FIN | CONTINUATION, b"")].concat(),
            0,
            ProtocolError::TooManyFragments { limit: 2 },
        ),
    ];
    for (bytes, alone, error) in cases {
        let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, long).stream_messages(0);
        if alone == 0 {
            assert_eq!(feed(&mut receiver, &too_big), [piece(false, b"123456", true, false)]);
        }
        assert_eq!(feed(&mut receiver, &bytes), [Got::Failed(error)]);
        assert!(receiver.is_finished() && receiver.held() == 0);
    }
    // A text that ends within a character.
    let mut receiver = streaming(0);
    assert_eq!(feed(&mut receiver, &to_server(TEXT, b"a\xf0\x9f")), [piece(true, b"a", true, false)]);
    let end = to_server(FIN | CONTINUATION, b"");
    assert_eq!(feed(&mut receiver, &end), [Got::Failed(ProtocolError::InvalidUtf8)]);
}

#[test]
fn a_frame_of_a_gibibyte_holds_a_header() {
    const LEN: usize = 1 << 30;
    for version in HYBI {
        let limits = Limits::default().max_frame_size(LEN).max_message_size(LEN);
        let mut receiver = Receiver::new(version, Role::Client, limits).stream_messages(64 * 1024);
        let mut received = 0;
        let mut read = header(FIN | BINARY, LEN as u64, Role::Client);
        read.resize(1 << 20, 7);
        while received < LEN {
            let count = read.len().min(LEN - received);
            let mut events = receiver.receive(&mut read[..count]);
            while let Some(event) = events.next().unwrap() {
                let Event::Piece(piece) = event else { panic!("{event:?}") };
                received += piece.bytes().len();
                assert_eq!(piece.last, received == LEN);
            }
            drop(events);
            assert!(receiver.held() < 512, "{}", receiver.held());
            assert!(receiver.spare_capacity(&clws_proto::buffer::NoPool).is_none());
            read.resize(1 << 20, 7);
        }
    }
}

#[test]
fn the_reader_may_stop_between_pieces() {
    let mut receiver = streaming(0);
    let mut read = [to_server(TEXT, b"ab"), to_server(FIN | CONTINUATION, b"cd")].concat();
    let mut events = receiver.receive(&mut read);
    assert_eq!(pull(&mut events), Some(piece(true, b"ab", true, false)));
    drop(events);
    assert!(receiver.has_unread() && receiver.is_in_message() && !receiver.is_close_next());
    assert_eq!(feed(&mut receiver, b""), [piece(true, b"cd", false, true)]);
    assert!(!receiver.has_unread());
}

#[test]
fn a_message_without_its_last_piece_is_undelivered() {
    for (end, undelivered) in [(FIN | CONTINUATION, 1), (CONTINUATION, 0)] {
        let mut receiver = streaming(0);
        let mut read = [to_server(BINARY, b"ab"), to_server(end, b"cd")].concat();
        let mut events = receiver.receive(&mut read);
        assert!(pull(&mut events).is_some());
        drop(events);
        assert_eq!(receiver.discard(), undelivered);
    }
}

#[test]
fn hixie_versions_replace_invalid_text_as_in_whole_messages() {
    let bytes = b"a\xe2\x82b\xf0\x9f\x98\x80\x80c\xe2";
    let expected = String::from_utf8_lossy(bytes).into_owned();
    for version in [Version::Hixie75, Version::Hybi00] {
        let wire = [&[0][..], bytes, &[0xFF], b"\0next\xFF"].concat();
        for cut in 0..=wire.len() {
            let mut receiver = receiver(version, Role::Server).stream_messages(4);
            let mut found = feed(&mut receiver, &wire[..cut]);
            found.extend(feed(&mut receiver, &wire[cut..]));
            let (joined, _) = join_pieces(found, None);
            assert_eq!(joined, [text(&expected), text("next")], "cut at {cut}");
        }
        let mut receiver = receiver(version, Role::Server).stream_messages(4);
        let found: Vec<_> = wire.iter().flat_map(|byte| feed(&mut receiver, &[*byte])).collect();
        assert!(found.contains(&text("next")), "a short message is whole");
        assert_eq!(join_pieces(found, None).0, [text(&expected), text("next")]);
        assert!(receiver.held() == 0 && receiver.is_between_messages());
    }
}

#[test]
fn a_connection_streams_and_answers_in_between() {
    let mut ws = Connection::client(Version::Rfc6455, Limits::default(), || KEY).stream_messages(2);
    let mut read = [
        frame(BINARY, b"abc", Role::Client),
        frame(FIN | PING, b"?", Role::Client),
        frame(FIN | CONTINUATION, b"d", Role::Client),
    ]
    .concat();
    let mut events = ws.receive(&mut read);
    let mut found = Vec::new();
    while let Some((event, _)) = events.next() {
        if let Event::Piece(piece) = event {
            let PieceData::Binary(bytes) = piece.data else { panic!("text") };
            found.push((bytes.to_vec(), piece.first, piece.last));
        }
    }
    drop(events);
    assert_eq!(found, [(b"abc".to_vec(), true, false), (b"d".to_vec(), false, true)]);
    assert_eq!(ws.queued(), 7, "the pong");
    // The peer leaves within a message.
    assert!(ws.receive(&mut frame(BINARY, b"abc", Role::Client)).next().is_some());
    ws.end_of_input();
    assert_eq!(ws.state(), State::Closed);
    assert!(matches!(ws.end(), Some(Err(_))));
}
