//! Messages to several clients at once: the bytes on the wire, and the delivery report.

use std::collections::HashMap;
use std::io::Read;
use std::num::NonZeroUsize;

use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Recorder, Running, text};
use clws_server::{
    Client, CloseCode, Config, Delivery, SendError, SendOptions, SharedMessage, Version, send_to,
    send_to_with,
};

in_both_modes!(
    sends_text_to_all_versions,
    sends_binary_to_all_versions_but_draft_0,
    sends_large_messages_in_fragments,
    encodes_each_framing_once,
    reports_failed_clients_in_order,
    accepts_any_collection_of_clients,
);

/// A server with a client of draft 0 and a client of each later version.
fn assemble(config: Config) -> (Running, Recorder, Vec<Peer>, Vec<Client>) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (peers, clients) =
        ALL_VERSIONS[..4].iter().map(|version| (server.connect(*version, "/"), recorder.connected())).unzip();
    (server, recorder, peers, clients)
}

fn in_frames(size: Option<NonZeroUsize>) -> SendOptions {
    SendOptions::new().frame_size(size.map_or(0, NonZeroUsize::get))
}

fn size(bytes: usize) -> Option<NonZeroUsize> {
    Some(NonZeroUsize::new(bytes).unwrap())
}

#[track_caller]
fn assert_sent(delivery: Delivery, sent: usize) {
    assert_eq!((delivery.sent, delivery.failed), (sent, vec![]));
}

/// Checks that exactly these bytes come before an echo.
#[track_caller]
fn assert_next_bytes(peer: &mut Peer, expected: &[u8]) {
    let mut bytes = vec![0; expected.len()];
    peer.stream.read_exact(&mut bytes).unwrap();
    assert!(bytes == expected, "{:?} is not {:?}", bytes.utf8_chunks().next(), expected.utf8_chunks().next());
    peer.assert_echo("nothing more");
}

/// A frame of a server. RFC 6455 §5.2, which drafts 7 and 8 share.
fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![if fin { 0x80 | opcode } else { opcode }];
    match payload.len() {
        len @ ..=125 => bytes.push(len.try_into().unwrap()),
        len @ ..=0xFFFF => {
            bytes.push(126);
            bytes.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            bytes.push(127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend(payload);
    bytes
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CONTINUATION: u8 = 0;

fn sends_text_to_all_versions(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config);
    let cases: [(&str, Option<NonZeroUsize>, &[u8]); 9] = [
        ("seven77", None, b"\x81\x07seven77"),
        ("seven77", size(8), b"\x81\x07seven77"),
        ("seven77", size(7), b"\x81\x07seven77"),
        ("seven77", size(6), b"\x01\x06seven7\x80\x017"),
        ("seven77", size(3), b"\x01\x03sev\x00\x03en7\x80\x017"),
        ("sixsix", size(3), b"\x01\x03six\x80\x03six"),
        ("äb", size(1), b"\x01\x01\xC3\x00\x01\xA4\x80\x01b"),
        ("", None, b"\x81\x00"),
        ("", size(1), b"\x81\x00"),
    ];
    for (message, frame_size, hybi) in cases {
        assert_sent(send_to_with(&clients, message, in_frames(frame_size)), 4);
        let hixie = [&[0x00], message.as_bytes(), &[0xFF]].concat();
        for (peer, bytes) in peers.iter_mut().zip([&hixie[..], hybi, hybi, hybi]) {
            assert_next_bytes(peer, bytes);
        }
        // The same message as received by a client library.
        assert_sent(send_to_with(&clients, message.to_owned(), in_frames(frame_size)), 4);
        for peer in &mut peers {
            assert_eq!(peer.next(), text(message));
        }
    }
}

fn sends_binary_to_all_versions_but_draft_0(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config);
    let cases: [(&[u8], Option<NonZeroUsize>, &[u8]); 5] = [
        (b"\x00\xFF\x81", None, b"\x82\x03\x00\xFF\x81"),
        (b"\x00\xFF\x81", size(3), b"\x82\x03\x00\xFF\x81"),
        (b"\x00\xFF\x81", size(2), b"\x02\x02\x00\xFF\x80\x01\x81"),
        (b"\x00\xFF\x81", size(1), b"\x02\x01\x00\x00\x01\xFF\x80\x01\x81"),
        (b"", size(1), b"\x82\x00"),
    ];
    for (message, frame_size, hybi) in cases {
        let delivery = send_to_with(&clients, message.to_vec(), in_frames(frame_size));
        assert_eq!(delivery.sent, 3);
        assert_eq!(delivery.failed, [(clients[0].clone(), SendError::Unsupported)]);
        peers[0].assert_echo("nothing came");
        for peer in &mut peers[1..] {
            assert_next_bytes(peer, hybi);
        }
        assert_sent(send_to_with(&clients[1..], message.to_vec(), in_frames(frame_size)), 3);
        for peer in &mut peers[1..] {
            assert_eq!(peer.next(), Received::Binary(message.to_vec()));
        }
    }
}

fn sends_large_messages_in_fragments(config: Config) {
    const LEN: usize = 200_000;

    let (_server, _recorder, mut peers, clients) = assemble(config);
    let message: String = (0..LEN).map(|i| char::from(b'a' + u8::try_from(i * 7 % 26).unwrap())).collect();
    // Around the limits of each length encoding.
    for each in [100, 125, 126, 65_535, 65_536, LEN - 1, LEN] {
        let chunks = message.as_bytes().chunks(each);
        let number = chunks.len();
        assert_eq!(number, LEN.div_ceil(each));
        for opcode in [TEXT, BINARY] {
            let expected: Vec<u8> = (chunks.clone().enumerate())
                .flat_map(|(i, chunk)| {
                    frame(i + 1 == number, if i == 0 { opcode } else { CONTINUATION }, chunk)
                })
                .collect();
            if opcode == TEXT {
                assert_sent(send_to_with(&clients, &*message, in_frames(size(each))), 4);
                assert_next_bytes(&mut peers[0], &[&[0x00], message.as_bytes(), &[0xFF]].concat());
            } else {
                assert_sent(
                    send_to_with(&clients[1..], message.clone().into_bytes(), in_frames(size(each))),
                    3,
                );
            }
            for peer in &mut peers[1..] {
                assert_next_bytes(peer, &expected);
            }
        }
    }
}

fn encodes_each_framing_once(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config);
    let twice: Vec<_> = clients.iter().chain(&clients).collect();
    for len in [3, 3000] {
        let message = SharedMessage::text("x".repeat(len));
        assert_sent(send_to([], &message), 0);
        assert_eq!(message.encodings(), 0);
        assert_sent(send_to(&clients[1..], &message), 3);
        assert_eq!(message.encodings(), 1, "drafts 7, 8 and 13 share a framing");
        assert_sent(send_to(twice.iter().copied(), &message), 8);
        assert_eq!(message.encodings(), 2, "draft 0 has a separate framing");
        for client in &clients {
            client.send(&message).unwrap();
        }
        assert_eq!(message.encodings(), 2);
        for (peer, times) in peers.iter_mut().zip([3, 4, 4, 4]) {
            for _ in 0..times {
                assert_eq!(peer.next(), Received::Text("x".repeat(len)));
            }
        }
        let hixie = SharedMessage::text("y".repeat(len));
        assert_sent(send_to(&clients[..1], &hixie), 1);
        assert_eq!(hixie.encodings(), 1, "only draft 0's framing");
        assert_eq!(peers[0].next(), Received::Text("y".repeat(len)));

        let binary = SharedMessage::binary(vec![1; len]).frame_size(size(2));
        assert_eq!(send_to(&clients[..1], &binary).sent, 0);
        assert_eq!(binary.encodings(), 0, "draft 0 has no binary messages");
        assert_eq!(send_to(twice.iter().copied(), &binary).sent, 6);
        assert_eq!(binary.encodings(), 1);
        for peer in &mut peers[1..] {
            assert_eq!(peer.next(), Received::Binary(vec![1; len]));
            assert_eq!(peer.next(), Received::Binary(vec![1; len]));
        }
        for peer in &mut peers {
            peer.assert_echo("nothing more");
        }
    }
}

fn reports_failed_clients_in_order(config: Config) {
    const BIG: usize = 32 << 20;

    let (server, recorder, mut peers, mut clients) = assemble(config.max_write_backlog(100_000));
    // One client has disconnected, one is closing, and one does not read.
    let (disconnected, closing, slow) = (0, 1, 2);
    let (mut more, handles): (Vec<_>, Vec<_>) =
        (0..3).map(|_| (server.connect(Version::Rfc6455, "/"), recorder.connected())).unzip();
    clients.splice(2..2, handles.iter().cloned());
    drop(more.remove(disconnected));
    recorder.disconnected();
    handles[closing].close(CloseCode::new(1000));
    // More than the socket buffers hold.
    handles[slow].send(vec![0; BIG]).unwrap();

    let failed = |with_draft_0: bool, slow_error: SendError| {
        let draft_0 = with_draft_0.then(|| (clients[0].clone(), SendError::Unsupported));
        let others = [(disconnected, SendError::Closed), (closing, SendError::Closed), (slow, slow_error)];
        draft_0.into_iter().chain(others.map(|(i, error)| (handles[i].clone(), error))).collect::<Vec<_>>()
    };
    let delivery = send_to_with(&clients, "to four", in_frames(size(4)));
    assert_eq!((delivery.sent, &delivery.failed), (4, &failed(false, SendError::Full)));
    assert!(!delivery.is_complete());
    let delivery = send_to(&clients, &b"to three"[..]);
    assert_eq!((delivery.sent, &delivery.failed), (3, &failed(true, SendError::Closed)));
    for peer in &mut peers {
        assert_eq!(peer.next(), text("to four"));
    }
    for peer in &mut peers[1..] {
        assert_eq!(peer.next(), Received::Binary(b"to three".to_vec()));
    }
    for peer in &mut peers {
        peer.assert_echo("nothing more");
    }
    // The slow client gets the earlier message, and is closed because it missed later ones.
    let mut slow = more.pop().unwrap();
    assert!(slow.next() == Received::Binary(vec![0; BIG]));
    assert_eq!(slow.next(), Received::Close(Some((1013, String::new()))));
}

fn accepts_any_collection_of_clients(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config);
    let by_name: HashMap<_, _> =
        ["ada", "bob", "cyd", "dan"].into_iter().zip(clients.iter().cloned()).collect();
    let references: Vec<&Client> = clients.iter().collect();
    assert_sent(send_to(by_name.values(), "a"), 4);
    assert_sent(send_to(references, "b"), 4);
    assert_sent(send_to([&clients[3]], "c"), 1);
    assert_sent(send_to(Some(&clients[3]), "d"), 1);
    assert_sent(
        send_to(clients.iter().filter(|client| client.websocket_version() == Version::Rfc6455), "e"),
        1,
    );
    assert_sent(send_to(&[], "f"), 0);
    // A client gets the message once for each occurrence in the list.
    assert_sent(send_to([&clients[3], &clients[3]], "g"), 2);
    for peer in &mut peers {
        assert_eq!(peer.next(), text("a"));
        assert_eq!(peer.next(), text("b"));
    }
    for message in ["c", "d", "e", "g", "g"] {
        assert_eq!(peers[3].next(), text(message));
    }
    for peer in &mut peers {
        peer.assert_echo("nothing more");
    }
}
