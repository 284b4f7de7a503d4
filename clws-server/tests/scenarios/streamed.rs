//! Long messages in pieces: a resource opts in, and its other messages stay whole.

use std::num::NonZeroUsize;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::wire::{BINARY, CLOSE, PING, PONG, SHORT_TIMEOUT, Wire, header, raw_frame};
use crate::common::{ALL_VERSIONS, Received, Running};
use clws_server::{
    Client, Close, CloseCode, Config, Disconnect, DisconnectCause, Origins, Payload, Piece, Resource,
    ResourceConfig, Server, Text, Version,
};

in_both_modes!(
    every_version_streams_long_messages_and_no_short_ones,
    control_frames_are_handled_between_pieces,
    the_rest_of_a_message_waits_for_a_paused_client,
    a_message_that_breaks_off_has_no_last_piece,
    a_message_cut_by_a_close_of_the_application_counts_once,
    a_limit_and_invalid_text_end_a_message,
    a_resource_without_the_handler_closes_with_1003,
    a_panic_within_a_message_closes_only_its_client,
    compressed_messages_are_streamed,
);

/// Longer messages are in pieces.
const ABOVE: usize = 1000;

const MAX: usize = 64 << 20;

pub(crate) fn settings() -> ResourceConfig {
    ResourceConfig::new(Origins::any())
        .max_read_message_size(MAX)
        .max_read_frame_size(MAX)
        .stream_messages(ABOVE)
}

pub(crate) fn start(config: Config, settings: ResourceConfig, resource: impl Resource) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", settings, resource).unwrap();
    Running::run(server)
}

/// A call of a handler.
#[derive(Debug)]
enum Seen {
    Connected(Client),
    Whole(Vec<u8>),
    /// Bytes, and whether the piece is the first and the last one.
    Piece(Vec<u8>, bool, bool),
    Pong(Vec<u8>),
    End(Disconnect),
}

type OnPiece = dyn Fn(&Client, Piece<'_>) + Send + Sync;

/// Reports its calls. `with` is called for each piece after that.
struct Uploads {
    seen: Sender<Seen>,
    with: Box<OnPiece>,
}

impl Uploads {
    fn new(with: impl Fn(&Client, Piece<'_>) + Send + Sync + 'static) -> (Self, Log) {
        let (seen, log) = channel();
        (Self { seen, with: Box::new(with) }, Log(log))
    }

    fn report(&self, seen: Seen) {
        let _ = self.seen.send(seen); // the test may have ended
    }
}

impl Resource for Uploads {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.report(Seen::Connected(client.clone()));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.report(Seen::Whole(text.as_bytes().to_vec()));
        let _ = client.send(text);
    }

    fn binary(&self, _: &Client, payload: Payload<'_>) {
        self.report(Seen::Whole(payload.to_vec()));
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        self.report(Seen::Piece(piece.bytes().to_vec(), piece.first, piece.last));
        (self.with)(client, piece);
    }

    fn pong(&self, _: &Client, payload: Payload<'_>) {
        self.report(Seen::Pong(payload.to_vec()));
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        self.report(Seen::End(end.clone()));
    }
}

struct Log(Receiver<Seen>);

impl Log {
    #[track_caller]
    fn next(&self) -> Seen {
        self.0.recv_timeout(SHORT_TIMEOUT).expect("no handler was called")
    }

    #[track_caller]
    fn connected(&self) -> Client {
        match self.next() {
            Seen::Connected(client) => client,
            other => panic!("{other:?}"),
        }
    }

    /// The bytes of all pieces of a message.
    #[track_caller]
    fn message(&self) -> Vec<u8> {
        let mut message = Vec::new();
        loop {
            match self.next() {
                Seen::Piece(bytes, first, last) => {
                    assert_eq!(first, message.is_empty(), "the first piece");
                    message.extend(bytes);
                    if last {
                        return message;
                    }
                }
                Seen::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The bytes of a message that breaks off, and the end.
    #[track_caller]
    fn incomplete(&self) -> (Vec<u8>, Disconnect) {
        let mut message = Vec::new();
        loop {
            match self.next() {
                Seen::Piece(bytes, _, false) => message.extend(bytes),
                Seen::End(end) => return (message, end),
                other => panic!("{other:?}"),
            }
        }
    }
}

pub(crate) fn upload(len: usize) -> Vec<u8> {
    (0..=250u8).cycle().take(len).collect()
}

fn every_version_streams_long_messages_and_no_short_ones(config: Config) {
    let (uploads, log) = Uploads::new(|_, _| {});
    let server = start(config, settings(), uploads);
    let long = "a€😀".repeat(40_000);
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        log.connected();
        for frame in [None, NonZeroUsize::new(70_001), NonZeroUsize::new(600)] {
            peer.send(|sender| sender.text(&long, frame).unwrap());
            assert_eq!(log.message(), long.as_bytes(), "{version:?}");
            peer.assert_echo("short");
            assert!(matches!(log.next(), Seen::Whole(bytes) if bytes == b"short"));
            if !version.is_hixie() {
                let payload = upload(300_000);
                peer.send(|sender| sender.binary(&payload, frame).unwrap());
                assert_eq!(log.message(), payload);
                peer.send(|sender| sender.binary(&payload[..ABOVE], frame).unwrap());
                assert!(matches!(log.next(), Seen::Whole(bytes) if bytes.len() == ABOVE));
            }
        }
        peer.close(1000, "");
        assert!(matches!(log.next(), Seen::End(end) if end.is_clean() && end.undelivered == 0));
    }
}

#[cfg(not(feature = "deflate"))]
fn compressed_messages_are_streamed(_: Config) {}

#[cfg(feature = "deflate")]
fn compressed_messages_are_streamed(config: Config) {
    let (uploads, log) = Uploads::new(|_, _| {});
    let config = config.deflate(Some(crate::common::client::compress_all()));
    let server = start(config, settings(), uploads);
    let url = format!("ws://{}/", server.address());
    let request = clws_handshake::client::ClientRequest::new(Version::Rfc6455, &url)
        .deflate(&crate::common::client::compress_all());
    let mut peer = crate::common::Peer::open(server.tcp(), Version::Rfc6455, request).unwrap();
    assert!(peer.deflate.is_some());
    log.connected();
    for _ in 0..3 {
        peer.binary(&upload(3_000_000));
        assert_eq!(log.message(), upload(3_000_000));
        peer.assert_echo("short");
        assert!(matches!(log.next(), Seen::Whole(_)));
    }
}

fn control_frames_are_handled_between_pieces(config: Config) {
    let (uploads, log) = Uploads::new(|_, _| {});
    let server = start(config, settings(), uploads);
    let mut wire = Wire::connect(&server, "/");
    log.connected();
    wire.raw(&raw_frame(BINARY, &upload(2000)));
    assert!(matches!(log.next(), Seen::Piece(_, true, false)));
    wire.send(PING, b"still there?");
    assert_eq!(wire.next(), Some((PONG, b"still there?".to_vec())));
    wire.send(PONG, b"here");
    while !matches!(log.next(), Seen::Pong(payload) if payload == b"here") {}
    wire.send(0, b"end");
    assert!(matches!(log.next(), Seen::Piece(bytes, false, true) if bytes == b"end"));
}

fn the_rest_of_a_message_waits_for_a_paused_client(config: Config) {
    let (uploads, log) = Uploads::new(|client, _| client.pause());
    let server = start(config, settings(), uploads);
    let mut wire = Wire::connect(&server, "/");
    let client = log.connected();
    let (mut wires, mut expected) = (raw_frame(BINARY, &upload(2000)), upload(2000));
    for _ in 0..5 {
        wires.extend(raw_frame(0, b"more"));
        expected.extend(b"more");
    }
    wires.extend(raw_frame(0x80, b""));
    wire.send_and_wait_until_read(&wires);
    let mut message = Vec::new();
    for number in 0.. {
        let Seen::Piece(bytes, first, last) = log.next() else { panic!("no piece") };
        assert_eq!(first, number == 0);
        message.extend(bytes);
        // The handler has paused the client: one piece for each `resume`.
        std::thread::sleep(Duration::from_millis(5));
        assert!(log.0.try_recv().is_err(), "a paused client was heard");
        if last {
            break;
        }
        client.resume();
    }
    assert_eq!(message, expected);
}

fn a_message_that_breaks_off_has_no_last_piece(config: Config) {
    let (uploads, log) = Uploads::new(|_, _| {});
    let server = start(config, settings(), uploads);
    for closes in [false, true] {
        let mut wire = Wire::connect(&server, "/");
        log.connected();
        if closes {
            wire.raw(&raw_frame(BINARY, &upload(5000)));
            wire.send(CLOSE, &1001u16.to_be_bytes());
        } else {
            wire.raw(&[header(BINARY, 10_000_000), upload(5000)].concat());
            wire.shutdown_write();
        }
        let (message, end) = log.incomplete();
        assert_eq!((message, end.undelivered, end.is_clean()), (upload(5000), 0, closes), "{end}");
    }
}

fn a_message_cut_by_a_close_of_the_application_counts_once(config: Config) {
    let (uploads, log) = Uploads::new(|client, _| client.close(CloseCode::NORMAL));
    let server = start(config, settings(), uploads);
    for (ends, undelivered) in [(true, 2), (false, 0)] {
        let mut wire = Wire::connect(&server, "/");
        log.connected();
        wire.raw(&raw_frame(BINARY, &upload(2000)));
        assert_eq!(wire.close_code(), Some(1000));
        wire.raw(&raw_frame(0, &upload(2000)));
        if ends {
            wire.raw(&raw_frame(0x80, b"end"));
            wire.send(BINARY, &upload(2000));
        }
        wire.finish();
        let (message, end) = log.incomplete();
        assert_eq!((message.len() <= 2000, end.undelivered), (true, undelivered), "{end}");
    }
}

fn a_limit_and_invalid_text_end_a_message(config: Config) {
    let (uploads, log) = Uploads::new(|_, _| {});
    let server = start(config, settings().max_read_message_size(5000), uploads);
    let invalid = [upload(0), vec![b'a'; 2000], vec![0xFF]].concat();
    let cases = [
        (raw_frame(1, &invalid), 1007),
        ([raw_frame(2, &upload(4000)), header(0, 1001)].concat(), 1009),
        ([raw_frame(2, &upload(4000)), raw_frame(0x82, b"")].concat(), 1002),
    ];
    for (bytes, code) in cases {
        let mut wire = Wire::connect(&server, "/");
        log.connected();
        wire.raw(&bytes);
        assert_eq!(wire.close_code(), Some(code));
        let (_, end) = log.incomplete();
        assert!(matches!(end.cause, DisconnectCause::Protocol(_)), "{end}");
    }
}

struct TakesNothing;

impl Resource for TakesNothing {}

fn a_resource_without_the_handler_closes_with_1003(config: Config) {
    let server = start(config, settings(), TakesNothing);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.binary(&upload(2000));
    let reason = "this resource takes no messages in pieces".to_owned();
    assert_eq!(peer.next(), Received::Close(Some((1003, reason))));
}

fn a_panic_within_a_message_closes_only_its_client(config: Config) {
    let (uploads, log) = Uploads::new(|_, piece| assert!(piece.last, "in a piece"));
    let server = start(config, settings(), uploads);
    let mut other = server.connect(Version::Rfc6455, "/");
    log.connected();
    let mut wire = Wire::connect(&server, "/");
    log.connected();
    wire.raw(&raw_frame(BINARY, &upload(2000)));
    assert_eq!(wire.close_code(), Some(1011));
    other.assert_echo("short");
}
