//! permessage-deflate on the server: negotiation, memory, and compression of broadcasts.
#![cfg(feature = "deflate")]

use std::sync::Arc;

use crate::common;
use crate::common::client::compress_all;
use crate::common::{ALL_VERSIONS, Received, Running};
use clws_handshake::client::ClientRequest;
use clws_server::{
    Accept, Client, Close, CloseCode, Config, DeflateConfig, DeflateParams, Group, Opening, Origins, Payload,
    Reject, Resource, Server, SharedMessage, Text, Version, async_handler,
};

in_both_modes!(
    deflate_is_negotiated_only_with_clients_that_offer_it,
    echoes_with_all_negotiated_parameters,
    a_resource_can_change_the_parameters,
    a_context_is_allocated_on_first_use,
    a_group_message_is_compressed_once,
    async_handlers_support_deflate,
    an_oversized_or_corrupt_message_closes_only_its_connection,
);

/// Echoes. The query selects the negotiated parameters.
#[derive(Default)]
struct Echo {
    members: Group,
}

impl Resource for Echo {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(match opening.query_string() {
            Some("off") => Accept::new().deflate(None),
            Some("tuned") => Accept::new().deflate(takeover().max_window_bits(10)),
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

fn takeover() -> DeflateConfig {
    compress_all().context_takeover(true)
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
        let url = format!("ws://{}{target}", server.address());
        let request = ClientRequest::new(version, &url).origin("http://here.example").deflate(offer);
        let peer = common::Peer::open(server.tcp(), version, request).unwrap();
        Self { params: peer.deflate, peer }
    }

    fn ask(&mut self, question: &str) -> String {
        self.peer.text(question);
        match self.peer.next() {
            Received::Text(answer) => answer,
            other => panic!("{other:?}"),
        }
    }
}

fn deflate_is_negotiated_only_with_clients_that_offer_it(config: Config) {
    let (server, _) = start(config.clone(), compress_all());
    for version in ALL_VERSIONS {
        // Drafts before RFC 6455 do not negotiate it.
        let mut peer = Peer::connect(&server, version, "/", &compress_all());
        assert_eq!(peer.params.is_some(), version.has_extensions(), "{version}");
        assert_eq!(peer.ask("params?"), format!("{:?}", peer.params));
        let mut plain = server.connect(version, "/");
        plain.text("params?");
        assert_eq!(plain.next(), common::text("None"));
    }
    let (server, _) = start(config, None);
    assert!(
        Peer::connect(&server, Version::Rfc6455, "/", &compress_all()).params.is_none(),
        "deflate is off by default"
    );
}

fn echoes_with_all_negotiated_parameters(config: Config) {
    for ours in [compress_all(), takeover(), takeover().server_no_context_takeover(true).max_window_bits(9)] {
        let (server, _) = start(config.clone(), ours);
        for theirs in [compress_all(), takeover(), takeover().max_window_bits(11)] {
            let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &theirs);
            let params = peer.params.expect("deflate was not negotiated");
            let window_bits = ours.server_max_window_bits.min(theirs.server_max_window_bits);
            assert!(
                peer.ask("params?").contains(&format!("server_max_window_bits: {window_bits},")),
                "{params:?}"
            );
            let no_takeover = ours.server_no_context_takeover || theirs.server_no_context_takeover;
            assert_eq!(params.server_no_context_takeover, no_takeover);
            for length in [0usize, 1, 125, 126, 70_000, 300_000] {
                let text: String =
                    (0u8..7).cycle().map(|i| char::from(b'a' + i * i % 7)).take(length).collect();
                assert_eq!(peer.ask(&text), text);
                let bytes: Vec<u8> = (0u8..251).map(|i| i.wrapping_mul(31)).cycle().take(length).collect();
                peer.peer.binary(&bytes);
                assert_eq!(peer.peer.next(), Received::Binary(bytes));
            }
        }
    }
}

fn a_resource_can_change_the_parameters(config: Config) {
    let (server, _) = start(config, compress_all());
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/?off", &takeover());
    assert_eq!((peer.params, &*peer.ask("params?")), (None, "None"));
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/?tuned", &takeover());
    let params = peer.params.unwrap();
    assert!(!params.server_no_context_takeover && params.client_max_window_bits == 10, "{params:?}");
    // The server may use a smaller window than negotiated without announcing it. `Client::deflate`
    // reports the actual window.
    assert!(peer.ask("params?").contains("server_max_window_bits: 10,"));
    assert_eq!(peer.ask("compressed with a small window"), "compressed with a small window");
}

fn a_context_is_allocated_on_first_use(config: Config) {
    let (server, members) = start(config, takeover());
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &takeover());
    common::eventually("the client is connected", || members.len() == 1);
    let client = members.members().remove(0);
    assert_eq!((client.context_size(), client.deflate()), (0, peer.params));
    assert_eq!(peer.ask(&"x".repeat(1000)).len(), 1000);
    let context_size: usize = peer.ask("context?").parse().unwrap();
    assert!((2000..200_000).contains(&context_size), "{context_size}");

    let (server, _) = start(common::config(), compress_all());
    let mut peer = Peer::connect(&server, Version::Rfc6455, "/", &takeover());
    assert_eq!(peer.ask(&"x".repeat(1000)).len(), 1000);
    assert_eq!(peer.ask("context?"), "0");
}

fn a_group_message_is_compressed_once(config: Config) {
    let (server, members) = start(config, compress_all());
    let mut peers: Vec<_> =
        (0..20).map(|_| Peer::connect(&server, Version::Rfc6455, "/", &takeover())).collect();
    let mut plain = server.connect(Version::Rfc6455, "/");
    let mut old = server.connect(Version::Hybi00, "/");
    common::eventually("all clients have joined", || members.len() == 22);
    let text = "to all, to all, to all".repeat(100);
    let message = SharedMessage::text(text.clone());
    assert_eq!(members.send(&message).sent, 22);
    for peer in peers.iter_mut().map(|peer| &mut peer.peer).chain([&mut plain, &mut old]) {
        assert_eq!(peer.next(), Received::Text(text.clone()));
    }
    assert_eq!(message.encodings(), 3, "compressed, plain and draft 0");
}

fn async_handlers_support_deflate(config: Config) {
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

fn an_oversized_or_corrupt_message_closes_only_its_connection(config: Config) {
    let (server, _) = start(config.max_read_message_size(100_000), compress_all());
    let mut good = Peer::connect(&server, Version::Rfc6455, "/", &compress_all());
    let mut bad = Peer::connect(&server, Version::Rfc6455, "/", &compress_all());
    bad.peer.binary(&vec![0; 10_000_000]); // 10 KB on the wire
    assert!(matches!(bad.peer.next(), Received::Close(Some((1009, _)))));
    let mut corrupt = Peer::connect(&server, Version::Rfc6455, "/", &compress_all());
    corrupt.peer.raw(&[0xC1, 0x84, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert!(matches!(corrupt.peer.next(), Received::Close(Some((1007, _)))));
    let mut plain = server.connect(Version::Rfc6455, "/");
    plain.raw(&[0xC1, 0x80, 0, 0, 0, 0]);
    assert!(matches!(plain.next(), Received::Close(Some((1002, _)))), "RSV1 was not negotiated");
    assert_eq!(good.ask("still here"), "still here");
    assert_eq!(good.peer.sender.close(CloseCode::NORMAL, ""), Ok(()));
}

/// All clients of a shard share its codecs. Each gets its own messages in order, and its own close
/// code.
#[test]
fn many_clients_share_the_codecs_of_a_shard() {
    let (server, _) = start(common::config().shards(1), takeover());
    let mut peers: Vec<_> =
        (0..100).map(|_| Peer::connect(&server, Version::Rfc6455, "/", &takeover())).collect();
    let message = |number: u16, round| format!("client {number} says in round {round}: nothing new");
    for in_flight in [1, 10] {
        for (number, peer) in (0..).zip(&mut peers) {
            (0..in_flight).for_each(|round| peer.peer.text(&message(number, round)));
        }
        for (number, peer) in (0..).zip(&mut peers) {
            for round in 0..in_flight {
                assert_eq!(peer.peer.next(), Received::Text(message(number, round)));
            }
        }
    }
    for (number, peer) in (0..).zip(&mut peers) {
        peer.peer.close(3000 + number, "");
    }
    for (number, peer) in (0..).zip(&mut peers) {
        assert_eq!(peer.peer.next(), Received::Close(Some((3000 + number, String::new()))));
    }
}
