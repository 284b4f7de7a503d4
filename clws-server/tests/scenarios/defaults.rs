//! The default behaviour of handlers that a resource does not define.

use std::sync::Arc;

use crate::common::{ALL_VERSIONS, Received, Running};
use clws_server::{Config, Origins, Resource, ResourceListener, Server};

in_both_modes!(a_resource_without_handlers_closes_with_1003, a_listener_without_handlers_closes_with_1003);

struct Nothing;

impl Resource for Nothing {}

impl ResourceListener for Nothing {
    type Message = ();
}

/// Checks that text and binary messages close with 1003, or with the version's nearest code. Pings
/// are answered, and pongs are ignored.
fn assert_messages_close_with_1003(server: &Running) {
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        peer.text("unsupported");
        let close = peer.next();
        if version.is_hixie() {
            assert_eq!(close, Received::Close(None), "{version:?}");
            peer.finish();
            continue;
        }
        assert!(matches!(close, Received::Close(Some((1003, _)))), "{version:?}: {close:?}");
        peer.finish();
        let mut peer = server.connect(version, "/");
        peer.send(|sender| sender.pong(b"unsolicited").unwrap());
        peer.send(|sender| sender.ping(b"there?").unwrap());
        assert_eq!(peer.next(), Received::Pong(b"there?".to_vec()));
        peer.binary(b"unsupported");
        let close = peer.next();
        assert!(matches!(close, Received::Close(Some((1003, _)))), "{version:?}: {close:?}");
        peer.finish();
    }
}

fn a_resource_without_handlers_closes_with_1003(config: Config) {
    assert_messages_close_with_1003(&Running::start(config, Arc::new(Nothing)));
}

fn a_listener_without_handlers_closes_with_1003(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let _listener = server.resources().run_resource_listener("/", Origins::any(), Nothing).unwrap();
    assert_messages_close_with_1003(&Running::run(server));
}
