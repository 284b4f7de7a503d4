//! What a handler does that its resource does not define.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;

use clws_server::{Config, Origins, Resource, ResourceListener, Server};
use common::{ALL, Got, Running};

in_both_modes!(messages_that_a_resource_does_not_take, messages_that_a_listener_does_not_take);

struct Nothing;

impl Resource for Nothing {}

impl ResourceListener for Nothing {
    type Message = ();
}

/// Text and binary messages close with 1003, or the nearest code that the version has; pings are answered, pongs ignored.
fn expect_1003(server: &Running) {
    for version in ALL {
        let mut peer = server.connect(version, "/");
        peer.text("not taken");
        let close = peer.next();
        if version.is_hixie() {
            assert_eq!(close, Got::Close(None), "{version:?}");
            peer.finish();
            continue;
        }
        assert!(matches!(close, Got::Close(Some((1003, _)))), "{version:?}: {close:?}");
        peer.finish();
        let mut peer = server.connect(version, "/");
        peer.send(|sender| sender.pong(b"unasked").unwrap());
        peer.send(|sender| sender.ping(b"there?").unwrap());
        assert_eq!(peer.next(), Got::Pong(b"there?".to_vec()));
        peer.binary(b"not taken");
        let close = peer.next();
        assert!(matches!(close, Got::Close(Some((1003, _)))), "{version:?}: {close:?}");
        peer.finish();
    }
}

fn messages_that_a_resource_does_not_take(config: Config) {
    expect_1003(&Running::start(config, Arc::new(Nothing)));
}

fn messages_that_a_listener_does_not_take(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let _listener = server.resources().run_resource_listener("/", Origins::any(), Nothing).unwrap();
    expect_1003(&Running::run(server));
}
