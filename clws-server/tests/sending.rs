//! Sends from threads that have nothing to do with the server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::thread;

use clws_server::{
    ByteString, Bytes, Client, CloseCode, Config, Group, Message, SendError, SendOptions, Sent,
    SharedMessage, Text, Version,
};
use common::{ALL, Diary, Got, Peer, Probe, Running, Seen, text};

in_both_modes!(
    every_type_of_message,
    many_threads_to_many_clients,
    to_a_client_that_never_spoke,
    shared_messages_to_every_version,
    what_draft_0_cannot_have,
    what_cannot_be_sent,
    to_a_client_that_is_gone,
);

fn connect(server: &Running, diary: &Diary, version: Version) -> (Peer, clws_server::Client) {
    let peer = server.connect(version, "/");
    (peer, diary.connected())
}

fn many_threads_to_many_clients(config: Config) {
    const THREADS: usize = 4;
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 300;

    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (peers, clients): (Vec<_>, Vec<_>) =
        (0..CLIENTS).map(|i| connect(&server, &diary, ALL[i % ALL.len()])).unzip();
    thread::scope(|scope| {
        for sender in 0..THREADS {
            let clients = &clients;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    for client in clients {
                        client.send_text(&format!("{sender} {number}")).unwrap();
                    }
                    if number % 7 == sender {
                        thread::yield_now(); // lets the outboxes run empty, so that shards fall asleep
                    }
                }
            });
        }
        for mut peer in peers {
            scope.spawn(move || {
                let mut next = [0; THREADS];
                for _ in 0..THREADS * MESSAGES {
                    let Got::Text(message) = peer.next() else { panic!() };
                    let (sender, number) = message.split_once(' ').unwrap();
                    let sender: usize = sender.parse().unwrap();
                    assert_eq!(number.parse(), Ok(next[sender]), "each once and in order");
                    next[sender] += 1;
                }
                peer.assert_echo("and no more");
            });
        }
    });
}

/// One message at a time, each only when the one before has arrived: every one of them has to wake a sleeping shard.
fn to_a_client_that_never_spoke(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &diary, Version::Rfc6455);
    for i in 0..500 {
        assert_eq!(client.send_text(&i.to_string()), Ok(Sent::Queued));
        assert_eq!(peer.next(), text(&i.to_string()));
    }
}

fn shared_messages_to_every_version(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peers, clients): (Vec<_>, Vec<_>) = ALL.map(|v| connect(&server, &diary, v)).into_iter().unzip();
    for size in [10, 100_000] {
        let message = SharedMessage::text("x".repeat(size));
        for client in &clients {
            client.send(&message).unwrap();
        }
        for peer in &mut peers {
            assert_eq!(peer.next(), Got::Text("x".repeat(size)));
        }
        assert_eq!(message.encodings(), 2);
    }
    clients[3].send("y".repeat(50_000)).unwrap();
    clients[3].send(vec![1; 50_000]).unwrap();
    clients[3].send_with("abc", SendOptions::new().frame_size(1)).unwrap();
    clients[3].send_with(b"abc", SendOptions::new().frame_size(1)).unwrap();
    assert_eq!(peers[3].next(), Got::Text("y".repeat(50_000)));
    assert_eq!(peers[3].next(), Got::Binary(vec![1; 50_000]));
    assert_eq!(peers[3].next(), text("abc"));
    assert_eq!(peers[3].next(), Got::Binary(b"abc".to_vec()));
}

fn what_draft_0_cannot_have(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &diary, Version::Hybi00);
    common::eventually("its handshake is written", || client.buffered_amount() == 0);
    assert_eq!(client.send_binary(b"x"), Err(SendError::Unsupported));
    assert_eq!(client.send(SharedMessage::binary(&b"x"[..])), Err(SendError::Unsupported));
    assert_eq!(client.ping(b""), Err(SendError::Unsupported));
    assert_eq!(client.buffered_amount(), 0);
    client.send_text("but this").unwrap();
    assert_eq!(peer.next(), text("but this"));
}

fn every_type_of_message(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &diary, Version::Rfc6455);
    let (string, shared_text) = ("text".to_owned(), ByteString::from("text"));
    let (received, shared) = (Text::try_from(string.as_bytes()).unwrap(), SharedMessage::text("text"));
    let texts = [
        client.send("text"),
        client.send(&string),
        client.send(string.clone()),
        client.send(&shared_text),
        client.send(shared_text),
        client.send(&received),
        client.send(received),
        client.send(Message::Text("text".into())),
        client.send(&shared),
        client.send(shared),
    ];
    for sent in texts {
        assert_eq!(sent, Ok(Sent::Queued));
        assert_eq!(peer.next(), text("text"));
    }
    let (vec, bytes) = (vec![1, 2], Bytes::from_static(&[1, 2]));
    let binaries = [
        client.send(&[1, 2]),
        client.send(&vec[..]),
        client.send(&vec),
        client.send(vec.clone()),
        client.send(&bytes),
        client.send(bytes.clone()),
        client.send(Message::Binary(bytes.clone())),
        client.send(SharedMessage::binary(bytes.clone())),
    ];
    for sent in binaries {
        assert_eq!(sent, Ok(Sent::Queued));
        assert_eq!(peer.next(), Got::Binary(vec![1, 2]));
    }
    client.send(Message::Ping(bytes.clone())).unwrap();
    assert_eq!(peer.next(), Got::Ping(vec![1, 2]));
    let group = Group::new();
    group.join(&client);
    assert_eq!(group.send(Message::Pong(bytes)).sent, 1);
    assert_eq!(peer.next(), Got::Pong(vec![1, 2]));
    assert!(!group.send(Message::Ping(Bytes::from_static(&[0; 126]))).is_complete());
    assert_eq!(group.send_with("in two", SendOptions::new().frame_size(3)).sent, 1);
    assert_eq!(peer.next(), text("in two"));
}

fn send_checked(client: &Client, text: &[u8]) -> Result<Sent, SendError> {
    client.send(Text::try_from(text)?)
}

fn what_cannot_be_sent(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &diary, Version::Rfc6455);
    assert_eq!(client.ping(&[0; 126]), Err(SendError::TooLong));
    assert_eq!(client.pong(&[0; 126]), Err(SendError::TooLong));
    assert_eq!(send_checked(&client, b"\xF0\x9F\x98"), Err(SendError::InvalidUtf8));
    assert!(client.is_open());
    peer.assert_echo("nothing happened");
    send_checked(&client, "octets that are text \u{1F600}".as_bytes()).unwrap();
    assert_eq!(peer.next(), text("octets that are text \u{1F600}"));
}

fn to_a_client_that_is_gone(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let (peer, client) = connect(&server, &diary, Version::Rfc6455);
    drop(peer);
    assert_eq!(diary.gone(), (1006, String::new(), "vanished".into()));
    assert_eq!(client.send_text("x"), Err(SendError::Closed));
    client.close(CloseCode::new(1000));
    client.abort();
    server.wait_for_clients(0);
    // Another client may have its place now, and is not touched by the handle.
    let (mut next, _) = connect(&server, &diary, Version::Rfc6455);
    client.abort();
    next.assert_echo("a");
    assert_eq!(client.buffered_amount(), 0);
    assert_eq!(client.resource_name(), "/");
    assert_eq!(diary.count(|seen| matches!(seen, Seen::Gone { .. })), 0);
}
