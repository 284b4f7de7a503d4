//! A panic in a handler affects only its own client.

use crate::common;
use crate::common::{Received, Running};
use clws_server::{Client, Close, Config, Disconnect, Origins, Payload, Resource, Server, Text, Version};

in_both_modes!(
    a_panic_in_a_handler_closes_its_client_with_1011,
    a_panic_in_disconnected_does_not_prevent_a_stop,
    a_panic_in_an_origin_rule_gets_500
);

struct Fragile;

impl Resource for Fragile {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        assert_ne!(client.query_string(), Some("connected"));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        assert_ne!(&*text, "text");
        client.send_text(&text).unwrap();
    }

    fn binary(&self, _: &Client, _: Payload<'_>) {
        panic!("with a String: {}", 1);
    }

    fn pong(&self, _: &Client, _: Payload<'_>) {
        std::panic::panic_any(7);
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        assert_ne!(client.query_string(), Some("disconnected"));
    }
}

fn start(config: Config) -> Running {
    // With a single shard, an escaped panic would end all clients.
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Fragile).unwrap();
    server.resources().register("/origin", Origins::closure(|_| panic!("in the rule")), Fragile).unwrap();
    Running::run(server)
}

fn a_panic_in_a_handler_closes_its_client_with_1011(config: Config) {
    let server = start(config);
    let mut other = server.connect(Version::Rfc6455, "/");
    for (target, go) in [
        ("/?connected", (|_| ()) as fn(&mut common::Peer)),
        ("/", |peer| peer.text("text")),
        ("/", |peer| peer.binary(b"x")),
        ("/", |peer| peer.send(|sender| sender.pong(b"x").unwrap())),
        ("/?disconnected", |peer| peer.text("text")),
    ] {
        let mut peer = server.connect(Version::Rfc6455, target);
        go(&mut peer);
        assert_eq!(peer.next(), Received::Close(Some((1011, String::new()))));
        peer.finish();
        drop(peer);
        other.assert_echo("undisturbed");
        server.wait_for_clients(1);
    }
    let mut peer = server.connect(Version::Rfc6455, "/?disconnected");
    peer.close(1000, "");
    assert!(matches!(peer.next(), Received::Close(_)));
    other.assert_echo("undisturbed");
}

fn a_panic_in_disconnected_does_not_prevent_a_stop(config: Config) {
    let server = start(config.close_timeout(std::time::Duration::from_millis(100)));
    let mut good = server.connect(Version::Rfc6455, "/?disconnected");
    let _stuck = server.connect(Version::Rfc6455, "/?disconnected");
    server.handle.stop();
    assert_eq!(good.next(), Received::Close(Some((1001, String::new()))));
    good.finish();
    server.wait().unwrap();
    assert_eq!(server.handle.clients(), 0);
}

fn a_panic_in_an_origin_rule_gets_500(config: Config) {
    let server = start(config);
    let mut other = server.connect(Version::Rfc6455, "/");
    assert_eq!(server.try_connect(Version::Rfc6455, "/origin").err(), Some(500));
    other.assert_echo("undisturbed");
}
