//! Sends from threads of the application.

use std::thread;

use crate::common;
use crate::common::{ALL_VERSIONS, Callback, Peer, Probe, Received, Recorder, Running, text};
use clws_server::{
    ByteString, Bytes, Client, CloseCode, Config, Group, Message, SendError, SendOptions, Sent,
    SharedMessage, Text, Version,
};

in_both_modes!(
    sends_every_type_of_message,
    many_threads_send_to_many_clients,
    sends_wake_the_shard_of_a_silent_client,
    sends_shared_messages_to_all_versions,
    unsupported_sends_to_draft_0_fail,
    invalid_messages_are_rejected,
    sends_to_a_disconnected_client_fail,
);

fn connect(server: &Running, recorder: &Recorder, version: Version) -> (Peer, Client) {
    let peer = server.connect(version, "/");
    (peer, recorder.connected())
}

fn many_threads_send_to_many_clients(config: Config) {
    const THREADS: usize = 4;
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 300;

    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (peers, clients): (Vec<_>, Vec<_>) =
        (0..CLIENTS).map(|i| connect(&server, &recorder, ALL_VERSIONS[i % ALL_VERSIONS.len()])).unzip();
    thread::scope(|scope| {
        for sender in 0..THREADS {
            let clients = &clients;
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    for client in clients {
                        client.send_text(&format!("{sender} {number}")).unwrap();
                    }
                    if number % 7 == sender {
                        thread::yield_now(); // lets the outboxes drain, so that shards fall asleep
                    }
                }
            });
        }
        for mut peer in peers {
            scope.spawn(move || {
                let mut next = [0; THREADS];
                for _ in 0..THREADS * MESSAGES {
                    let Received::Text(message) = peer.next() else { panic!() };
                    let (sender, number) = message.split_once(' ').unwrap();
                    let sender: usize = sender.parse().unwrap();
                    assert_eq!(
                        number.parse(),
                        Ok(next[sender]),
                        "a message is lost, duplicated or out of order"
                    );
                    next[sender] += 1;
                }
                peer.assert_echo("nothing more");
            });
        }
    });
}

/// Sends each message only after the previous one has arrived. Every message has to wake a sleeping
/// shard.
fn sends_wake_the_shard_of_a_silent_client(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &recorder, Version::Rfc6455);
    for i in 0..500 {
        assert_eq!(client.send_text(&i.to_string()), Ok(Sent::Queued));
        assert_eq!(peer.next(), text(&i.to_string()));
    }
}

fn sends_shared_messages_to_all_versions(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peers, clients): (Vec<_>, Vec<_>) =
        ALL_VERSIONS.map(|v| connect(&server, &recorder, v)).into_iter().unzip();
    for size in [10, 100_000] {
        let message = SharedMessage::text("x".repeat(size));
        for client in &clients {
            client.send(&message).unwrap();
        }
        for peer in &mut peers {
            assert_eq!(peer.next(), Received::Text("x".repeat(size)));
        }
        assert_eq!(message.encodings(), 2);
    }
    clients[3].send("y".repeat(50_000)).unwrap();
    clients[3].send(vec![1; 50_000]).unwrap();
    clients[3].send_with("abc", SendOptions::new().frame_size(1)).unwrap();
    clients[3].send_with(b"abc", SendOptions::new().frame_size(1)).unwrap();
    assert_eq!(peers[3].next(), Received::Text("y".repeat(50_000)));
    assert_eq!(peers[3].next(), Received::Binary(vec![1; 50_000]));
    assert_eq!(peers[3].next(), text("abc"));
    assert_eq!(peers[3].next(), Received::Binary(b"abc".to_vec()));
}

fn sends_every_type_of_message(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &recorder, Version::Rfc6455);
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
        assert_eq!(peer.next(), Received::Binary(vec![1, 2]));
    }
    client.send(Message::Ping(bytes.clone())).unwrap();
    assert_eq!(peer.next(), Received::Ping(vec![1, 2]));
    let group = Group::new();
    group.join(&client);
    assert_eq!(group.send(Message::Pong(bytes)).sent, 1);
    assert_eq!(peer.next(), Received::Pong(vec![1, 2]));
    assert!(!group.send(Message::Ping(Bytes::from_static(&[0; 126]))).is_complete());
    assert_eq!(group.send_with("in two", SendOptions::new().frame_size(3)).sent, 1);
    assert_eq!(peer.next(), text("in two"));
}

fn unsupported_sends_to_draft_0_fail(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &recorder, Version::Hybi00);
    common::eventually("the handshake is written", || client.buffered_amount() == 0);
    assert_eq!(client.send_binary(b"x"), Err(SendError::Unsupported));
    assert_eq!(client.send(SharedMessage::binary(&b"x"[..])), Err(SendError::Unsupported));
    assert_eq!(client.ping(b""), Err(SendError::Unsupported));
    assert_eq!(client.buffered_amount(), 0);
    client.send_text("but this").unwrap();
    assert_eq!(peer.next(), text("but this"));
}

fn send_checked(client: &Client, text: &[u8]) -> Result<Sent, SendError> {
    client.send(Text::try_from(text)?)
}

fn invalid_messages_are_rejected(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut peer, client) = connect(&server, &recorder, Version::Rfc6455);
    assert_eq!(client.ping(&[0; 126]), Err(SendError::TooLong));
    assert_eq!(client.pong(&[0; 126]), Err(SendError::TooLong));
    assert_eq!(send_checked(&client, b"\xF0\x9F\x98"), Err(SendError::InvalidUtf8));
    assert!(client.is_open());
    peer.assert_echo("nothing happened");
    send_checked(&client, "bytes that are text \u{1F600}".as_bytes()).unwrap();
    assert_eq!(peer.next(), text("bytes that are text \u{1F600}"));
}

fn sends_to_a_disconnected_client_fail(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (peer, client) = connect(&server, &recorder, Version::Rfc6455);
    drop(peer);
    assert_eq!(recorder.disconnected(), (1006, String::new(), "vanished".into()));
    assert_eq!(client.send_text("x"), Err(SendError::Closed));
    client.close(CloseCode::new(1000));
    client.abort();
    server.wait_for_clients(0);
    // A new client may reuse the place of the disconnected client. The old handle must not affect
    // it.
    let (mut next, _) = connect(&server, &recorder, Version::Rfc6455);
    client.abort();
    next.assert_echo("a");
    assert_eq!(client.buffered_amount(), 0);
    assert_eq!(client.resource_name(), "/");
    assert_eq!(recorder.count(|callback| matches!(callback, Callback::Disconnected { .. })), 0);
}
