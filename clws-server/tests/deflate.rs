//! permessage-deflate from the server's side: who gets it, what it costs, and what a broadcast does with it.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;

use clws_handshake::client::ClientRequest;
use clws_handshake::{HandshakeLimits, Status};
use clws_proto::{CodecPool, Limits, Receiver, Role, Sender};
use clws_server::{
    Accept, Client, Close, CloseCode, Config, DeflateConfig, DeflateParams, Group, Opening, Origins, Payload,
    Reject, Resource, Server, SharedMessage, Text, Version, async_handler,
};
use common::{ALL, Got, Running};

in_both_modes!(
    comes_to_those_who_offer_it_only,
    echoes_under_every_agreement,
    a_resource_decides_for_itself,
    a_context_costs_nothing_before_it_is_used,
    a_group_compresses_once,
    listeners_and_async_functions_have_it_too,
    too_much_ends_one_connection,
);

/// Echoes; the query tunes its answer to a client.
#[derive(Default)]
struct Echo {
    members: Group,
}

impl Resource for Echo {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(match opening.query_string() {
            Some("off") => Accept::new().deflate(None),
            Some("tuned") => Accept::new().deflate(takeover().with_max_window_bits(10)),
            _ => Accept::new(),
        })
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.members.join(client);
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let answer = match text.as_str() {
            "params?" => format!("{:?}", client.deflate()),
            "context?" => client.context_size().to_string(),
            text => text.to_owned(),
        };
        client.send(answer).unwrap();
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        client.send(payload).unwrap();
    }
}

/// Compresses everything.
fn small() -> DeflateConfig {
    DeflateConfig::default().with_threshold(0)
}

fn takeover() -> DeflateConfig {
    small().with_context_takeover(true)
}

fn start(config: Config, deflate: impl Into<Option<DeflateConfig>>) -> (Running, Group) {
    let echo = Echo::default();
    let members = echo.members.clone();
    let config = config.deflate(deflate.into());
    (Running::start(config, Arc::new(echo)), members)
}

/// A blocking client that offers permessage-deflate.
struct Peer {
    peer: common::Peer,
    params: Option<DeflateParams>,
}

impl Peer {
    fn connect(server: &Running, version: Version, target: &str, offer: &DeflateConfig) -> Self {
        use std::io::{Read, Write};

        let url = format!("ws://{}{target}", server.address());
        let request =
            ClientRequest::new(version, &url).with_origin("http://here.example").with_deflate(offer);
        let (octets, mut pending) = request.build(&mut |random: &mut [u8]| random.fill(7)).unwrap();
        let mut stream = server.tcp();
        stream.write_all(&octets).unwrap();
        let mut received = Vec::new();
        let params = loop {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            received.push(octet[0]);
            if let Status::Complete(open) = pending.check(&received, &HandshakeLimits::default()).unwrap() {
                break open.deflate;
            }
        };
        let codecs = CodecPool::new(offer);
        let (mut sender, mut receiver) = (
            Sender::client(version, || [1, 2, 3, 4]),
            Receiver::new(version, Role::Client, Limits::default()),
        );
        if let Some(params) = params {
            sender = sender.with_deflate(params, &codecs);
            receiver = receiver.with_deflate(params, &codecs);
        }
        Self { peer: common::Peer::established(stream, sender, receiver), params }
    }

    fn ask(&mut self, question: &str) -> String {
        self.peer.text(question);
        match self.peer.next() {
            Got::Text(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

fn comes_to_those_who_offer_it_only(config: Config) {
    let (server, _) = start(config.clone(), small());
    for version in ALL {
        // The drafts before 13 do not know it, whatever is offered.
        let mut peer = Peer::connect(&server, version, "/", &small());
        assert_eq!(peer.params.is_some(), version == Version::Rfc6455, "{version}");
        assert_eq!(peer.ask("params?"), format!("{:?}", peer.params));
        let mut plain = server.connect(version, "/");
        plain.text("params?");
        assert_eq!(plain.next(), common::text("None"));
    }
    let (server, _) = start(config, None);
    assert!(Peer::connect(&server, Version::Rfc6455, "/", &small()).params.is_none(), "it is off by default");
}

fn echoes_under_every_agreement(config: Config) {
    for ours in
        [small(), takeover(), takeover().with_server_no_context_takeover(true).with_max_window_bits(9)]
    {
        let (server, _) = start(config.clone(), ours);
        for theirs in [small(), takeover(), takeover().with_max_window_bits(11)] {
            let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &theirs);
            let params = peer.params.expect("it is agreed on");
            let least = ours.server_max_window_bits.min(theirs.server_max_window_bits);
            assert!(peer.ask("params?").contains(&format!("server_max_window_bits: {least},")), "{params:?}");
            let no_takeover = ours.server_no_context_takeover || theirs.server_no_context_takeover;
            assert_eq!(params.server_no_context_takeover, no_takeover);
            for length in [0usize, 1, 125, 126, 70_000, 300_000] {
                let text: String =
                    (0u8..7).cycle().map(|i| char::from(b'a' + i * i % 7)).take(length).collect();
                assert_eq!(peer.ask(&text), text);
                let octets: Vec<u8> = (0u8..251).map(|i| i.wrapping_mul(31)).cycle().take(length).collect();
                peer.peer.binary(&octets);
                assert_eq!(peer.peer.next(), Got::Binary(octets));
            }
        }
    }
}

fn a_resource_decides_for_itself(config: Config) {
    let (server, _) = start(config, small());
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/?off", &takeover());
    assert_eq!((peer.params, &*peer.ask("params?")), (None, "None"));
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/?tuned", &takeover());
    let params = peer.params.unwrap();
    assert!(!params.server_no_context_takeover && params.client_max_window_bits == 10, "{params:?}");
    // A smaller window than the client must be ready for needs no word; the server's own view has it.
    assert!(peer.ask("params?").contains("server_max_window_bits: 10,"));
    assert_eq!(peer.ask("compressed its own way"), "compressed its own way");
}

fn a_context_costs_nothing_before_it_is_used(config: Config) {
    let (server, members) = start(config, takeover());
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &takeover());
    common::eventually("it is connected", || members.len() == 1);
    let client = members.members().remove(0);
    assert_eq!((client.context_size(), client.deflate()), (0, peer.params));
    assert_eq!(peer.ask(&"x".repeat(1000)).len(), 1000);
    let held: usize = peer.ask("context?").parse().unwrap();
    assert!((2000..200_000).contains(&held), "{held}");

    let (server, _) = start(common::config(), small());
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &takeover());
    assert_eq!(peer.ask(&"x".repeat(1000)).len(), 1000);
    assert_eq!(peer.ask("context?"), "0");
}

fn a_group_compresses_once(config: Config) {
    let (server, members) = start(config, small());
    let mut peers: Vec<_> =
        (0..20).map(|_| Peer::connect(&server, Version::Rfc6455, "/", &takeover())).collect();
    let mut plain = server.connect(Version::Rfc6455, "/");
    let mut old = server.connect(Version::Hybi00, "/");
    common::eventually("all are in", || members.len() == 22);
    let text = "to all, to all, to all".repeat(100);
    let message = SharedMessage::text(text.clone());
    assert_eq!(members.send(&message).sent, 22);
    for peer in peers.iter_mut().map(|peer| &mut peer.peer).chain([&mut plain, &mut old]) {
        assert_eq!(peer.next(), Got::Text(text.clone()));
    }
    assert_eq!(message.encodings(), 3, "compressed, plain, and draft 0's");
}

fn listeners_and_async_functions_have_it_too(config: Config) {
    let server = Server::bind(config.deflate(Some(takeover())).listen("127.0.0.1:0")).unwrap();
    let handler = async_handler(|mut socket: clws_server::WebSocket| async move {
        while let Some(message) = socket.next().await {
            socket.send(message).await.unwrap();
        }
    });
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &takeover());
    assert!(peer.params.is_some());
    for _ in 0..20 {
        assert_eq!(peer.ask(&"again and ".repeat(100)).len(), 1000);
    }
}

fn too_much_ends_one_connection(config: Config) {
    let (server, _) = start(config.max_read_message_size(100_000), small());
    let mut good = Peer::connect(&server, Version::Rfc6455, "/", &small());
    let mut bad = Peer::connect(&server, Version::Rfc6455, "/", &small());
    bad.peer.binary(&vec![0; 10_000_000]); // 10 KB on the wire
    assert!(matches!(bad.peer.next(), Got::Close(Some((1009, _)))));
    let mut corrupt = Peer::connect(&server, Version::Rfc6455, "/", &small());
    corrupt.peer.raw(&[0xC1, 0x84, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(matches!(corrupt.peer.next(), Got::Close(Some((1007, _)))));
    let mut plain = server.connect(Version::Rfc6455, "/");
    plain.raw(&[0xC1, 0x80, 0, 0, 0, 0]);
    assert!(matches!(plain.next(), Got::Close(Some((1002, _)))), "nobody agreed on RSV1");
    assert_eq!(good.ask("still here"), "still here");
    assert_eq!(good.peer.sender.close(CloseCode::NORMAL, ""), Ok(()));
}

/// One shard's codecs are for all its clients.
#[test]
fn messages_of_many_clients_in_turn() {
    let (server, _) = start(common::config().shards(1), takeover());
    let mut peers: Vec<_> =
        (0..40).map(|_| Peer::connect(&server, Version::Rfc6455, "/", &takeover())).collect();
    for round in 0..10 {
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.peer.text(&format!("client {number} says in round {round}: nothing new, nothing new"));
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            let Got::Text(text) = peer.peer.next() else { panic!() };
            assert!(text.starts_with(&format!("client {number} says in round {round}: ")));
        }
    }
}
