//! Each resource can have settings of its own. The clients of other resources have the server's.

use std::num::NonZeroUsize;

use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Running, text};
use clws_server::{Config, Origins, RegisterError, Resource, ResourceConfig, Server, Version};

in_both_modes!(limits_are_those_of_the_resource, a_prefix_and_the_fallback_have_settings_too);

fn start(config: Config) -> Server {
    Server::bind(config.listen("127.0.0.1:0").max_read_message_size(1000)).unwrap()
}

/// Sends a message in fragments of 500 bytes.
fn send(peer: &mut Peer, size: usize) {
    peer.send(|sender| sender.text(&"x".repeat(size), NonZeroUsize::new(500)).unwrap());
}

/// Checks that messages of this size are taken, and that longer messages are not.
#[track_caller]
fn assert_limit(server: &Running, version: Version, path: &str, limit: usize) {
    let mut peer = server.connect(version, path);
    send(&mut peer, limit);
    assert_eq!(peer.next(), text(&"x".repeat(limit)));
    send(&mut peer, limit + 1);
    assert!(matches!(peer.next(), Received::Close(_)), "{path}");
}

fn limits_are_those_of_the_resource(config: Config) {
    let server = start(config);
    let resources = server.resources();
    let small = ResourceConfig::new(Origins::any()).max_read_message_size(10);
    let large = ResourceConfig::new(Origins::any()).max_read_message_size(5000);
    resources.register_shared("/small", small, Probe::new().0).unwrap();
    resources.register_shared("/large", large, Probe::new().0).unwrap();
    resources.register_shared("/plain", Origins::any(), Probe::new().0).unwrap();
    let server = Running::run(server);
    for version in ALL_VERSIONS {
        for (path, limit) in [("/small", 10), ("/large", 5000), ("/plain", 1000)] {
            assert_limit(&server, version, path, limit);
        }
    }
}

fn a_prefix_and_the_fallback_have_settings_too(config: Config) {
    let server = start(config);
    let limited = |limit| ResourceConfig::new(Origins::any()).max_read_message_size(limit);
    server.resources().register_prefix("/rooms/", limited(20), Probe::new().0).unwrap();
    server.resources().register_fallback(limited(30), Probe::new().0).unwrap();
    let server = Running::run(server);
    assert_limit(&server, Version::Rfc6455, "/rooms/a", 20);
    assert_limit(&server, Version::Rfc6455, "/elsewhere", 30);
}

struct Silent;

impl Resource for Silent {}

#[test]
fn an_invalid_setting_is_an_error_that_names_the_resource_and_the_field() {
    let server = start(Config::default());
    let wrong = || ResourceConfig::new(Origins::any()).max_read_frame_size(0);
    let error = server.resources().register("/a", wrong(), Silent).unwrap_err();
    assert!(matches!(&error, RegisterError::InvalidSetting { .. }));
    let expected = "the settings of \"/a\": `max_read_frame_size` is 0: allowed is at least 1";
    assert_eq!(error.to_string(), expected);
    let error = server.resources().register_fallback(wrong(), Silent).unwrap_err();
    assert!(error.to_string().starts_with("the settings of the fallback: "), "{error}");
    assert!(server.resources().find("/a").is_none());
}
