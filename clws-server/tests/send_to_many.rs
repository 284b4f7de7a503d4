//! Messages to several clients at once: what of them is on the wire, and what the sender is told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::collections::HashMap;
use std::io::Read;
use std::num::NonZeroUsize;

use clws_server::{
    Client, CloseCode, Config, Delivery, SendError, SendOptions, SharedMessage, Version, send_to,
    send_to_with,
};
use common::{ALL, Diary, Got, Peer, Probe, Running, text};

in_both_modes!(
    text_to_all_drafts,
    binary_to_all_but_draft_0,
    big_messages_in_fragments,
    each_framing_is_encoded_once,
    who_did_not_get_it_is_reported_in_order,
    any_collection_of_clients,
);

/// A server with a client of draft 0 and one of each version after it.
fn assemble(config: Config) -> (Running, Diary, Vec<Peer>, Vec<Client>) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (peers, clients) =
        ALL[..4].iter().map(|version| (server.connect(*version, "/"), diary.connected())).unzip();
    (server, diary, peers, clients)
}

fn in_frames(size: Option<NonZeroUsize>) -> SendOptions {
    SendOptions::new().frame_size(size.map_or(0, NonZeroUsize::get))
}

fn size(octets: usize) -> Option<NonZeroUsize> {
    Some(NonZeroUsize::new(octets).unwrap())
}

#[track_caller]
fn assert_sent(delivery: Delivery, sent: usize) {
    assert_eq!((delivery.sent, delivery.failed), (sent, vec![]));
}

/// These octets come next, and behind them nothing but an echo.
#[track_caller]
fn assert_octets(peer: &mut Peer, expected: &[u8]) {
    let mut octets = vec![0; expected.len()];
    peer.stream.read_exact(&mut octets).unwrap();
    assert!(
        octets == expected,
        "{:?} is not {:?}",
        octets.utf8_chunks().next(),
        expected.utf8_chunks().next()
    );
    peer.assert_echo("and no more");
}

/// A frame as a server writes it, by hand: RFC 6455 §5.2, which is the same in drafts 7 and 8.
fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut octets = vec![if fin { 0x80 | opcode } else { opcode }];
    match payload.len() {
        len @ ..=125 => octets.push(len.try_into().unwrap()),
        len @ ..=0xFFFF => {
            octets.push(126);
            octets.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            octets.push(127);
            octets.extend((len as u64).to_be_bytes());
        }
    }
    octets.extend(payload);
    octets
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;
const MORE: u8 = 0;

fn text_to_all_drafts(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config);
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
        for (peer, octets) in peers.iter_mut().zip([&hixie[..], hybi, hybi, hybi]) {
            assert_octets(peer, octets);
        }
        // And as whoever looks at messages sees it.
        assert_sent(send_to_with(&clients, message.to_owned(), in_frames(frame_size)), 4);
        for peer in &mut peers {
            assert_eq!(peer.next(), text(message));
        }
    }
}

fn binary_to_all_but_draft_0(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config);
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
            assert_octets(peer, hybi);
        }
        assert_sent(send_to_with(&clients[1..], message.to_vec(), in_frames(frame_size)), 3);
        for peer in &mut peers[1..] {
            assert_eq!(peer.next(), Got::Binary(message.to_vec()));
        }
    }
}

fn big_messages_in_fragments(config: Config) {
    const LEN: usize = 200_000;

    let (_server, _diary, mut peers, clients) = assemble(config);
    let message: String = (0..LEN).map(|i| char::from(b'a' + u8::try_from(i * 7 % 26).unwrap())).collect();
    // On both sides of the limits of each form of the length.
    for each in [100, 125, 126, 65_535, 65_536, LEN - 1, LEN] {
        let chunks = message.as_bytes().chunks(each);
        let number = chunks.len();
        assert_eq!(number, LEN.div_ceil(each));
        for opcode in [TEXT, BINARY] {
            let expected: Vec<u8> = (chunks.clone().enumerate())
                .flat_map(|(i, chunk)| frame(i + 1 == number, if i == 0 { opcode } else { MORE }, chunk))
                .collect();
            if opcode == TEXT {
                assert_sent(send_to_with(&clients, &*message, in_frames(size(each))), 4);
                assert_octets(&mut peers[0], &[&[0x00], message.as_bytes(), &[0xFF]].concat());
            } else {
                assert_sent(
                    send_to_with(&clients[1..], message.clone().into_bytes(), in_frames(size(each))),
                    3,
                );
            }
            for peer in &mut peers[1..] {
                assert_octets(peer, &expected);
            }
        }
    }
}

fn each_framing_is_encoded_once(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config);
    let twice: Vec<_> = clients.iter().chain(&clients).collect();
    for len in [3, 3000] {
        let message = SharedMessage::text("x".repeat(len));
        assert_sent(send_to([], &message), 0);
        assert_eq!(message.encodings(), 0);
        assert_sent(send_to(&clients[1..], &message), 3);
        assert_eq!(message.encodings(), 1, "drafts 7, 8 and 13 have one framing");
        assert_sent(send_to(twice.iter().copied(), &message), 8);
        assert_eq!(message.encodings(), 2, "draft 0 another");
        for client in &clients {
            client.send(&message).unwrap();
        }
        assert_eq!(message.encodings(), 2);
        for (peer, times) in peers.iter_mut().zip([3, 4, 4, 4]) {
            for _ in 0..times {
                assert_eq!(peer.next(), Got::Text("x".repeat(len)));
            }
        }
        let hixie = SharedMessage::text("y".repeat(len));
        assert_sent(send_to(&clients[..1], &hixie), 1);
        assert_eq!(hixie.encodings(), 1, "only draft 0's");
        assert_eq!(peers[0].next(), Got::Text("y".repeat(len)));

        let binary = SharedMessage::binary(vec![1; len]).with_frame_size(size(2));
        assert_eq!(send_to(&clients[..1], &binary).sent, 0);
        assert_eq!(binary.encodings(), 0, "draft 0 has none");
        assert_eq!(send_to(twice.iter().copied(), &binary).sent, 6);
        assert_eq!(binary.encodings(), 1);
        for peer in &mut peers[1..] {
            assert_eq!(peer.next(), Got::Binary(vec![1; len]));
            assert_eq!(peer.next(), Got::Binary(vec![1; len]));
        }
        for peer in &mut peers {
            peer.assert_echo("and no more");
        }
    }
}

fn who_did_not_get_it_is_reported_in_order(config: Config) {
    const BIG: usize = 32 << 20;

    let (server, diary, mut peers, mut clients) = assemble(config.max_write_backlog(100_000));
    // One that is gone, one that is about to be closed, one that does not read.
    let (gone, closing, slow) = (0, 1, 2);
    let (mut more, handles): (Vec<_>, Vec<_>) =
        (0..3).map(|_| (server.connect(Version::Rfc6455, "/"), diary.connected())).unzip();
    clients.splice(2..2, handles.iter().cloned());
    drop(more.remove(gone));
    diary.gone();
    handles[closing].close(CloseCode::new(1000));
    // More than the system takes for a client that does not read.
    handles[slow].send(vec![0; BIG]).unwrap();

    let failed = |with_draft_0: bool, slows: SendError| {
        let draft_0 = with_draft_0.then(|| (clients[0].clone(), SendError::Unsupported));
        let others = [(gone, SendError::Closed), (closing, SendError::Closed), (slow, slows)];
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
        assert_eq!(peer.next(), Got::Binary(b"to three".to_vec()));
    }
    for peer in &mut peers {
        peer.assert_echo("and no more");
    }
    // The one that did not read gets what it was sent before, and is closed because it missed the others.
    let mut slow = more.pop().unwrap();
    assert!(slow.next() == Got::Binary(vec![0; BIG]));
    assert_eq!(slow.next(), Got::Close(Some((1013, String::new()))));
}

fn any_collection_of_clients(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config);
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
    // As often as it is in.
    assert_sent(send_to([&clients[3], &clients[3]], "g"), 2);
    for peer in &mut peers {
        assert_eq!(peer.next(), text("a"));
        assert_eq!(peer.next(), text("b"));
    }
    for message in ["c", "d", "e", "g", "g"] {
        assert_eq!(peers[3].next(), text(message));
    }
    for peer in &mut peers {
        peer.assert_echo("and no more");
    }
}
