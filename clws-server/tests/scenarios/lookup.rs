//! The lookup of a path's resource: exact path, then the longest prefix, then the fallback.

use crate::common;
use crate::common::{Running, text};
use clws_server::{Client, Config, Origins, RegisterError, Resource, Server, Text, Version};

in_both_modes!(
    looks_up_the_exact_path_then_the_longest_prefix_then_the_fallback,
    checks_the_origins_of_the_matching_resource
);

/// Answers with its name and the requested path.
struct Named(&'static str);

impl Resource for Named {
    fn text(&self, client: &Client, _: Text<'_>) {
        client.send_text(&format!("{} {}", self.0, client.resource_name())).unwrap();
    }
}

fn looks_up_the_exact_path_then_the_longest_prefix_then_the_fallback(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register_prefix("/rooms/", Origins::any(), Named("rooms")).unwrap();
    server.resources().register_prefix("/rooms/private/", Origins::any(), Named("private")).unwrap();
    server.resources().register("/rooms/lobby", Origins::any(), Named("lobby")).unwrap();
    let server = Running::run(server);
    let resources = server.handle.resources();
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(404));
    assert_eq!(server.try_connect(Version::Rfc6455, "/rooms").err(), Some(404));
    resources.register_fallback(Origins::any(), Named("fallback")).unwrap();
    for (target, answer) in [
        ("/rooms/lobby", "lobby /rooms/lobby"),
        ("/rooms/lobby?x", "lobby /rooms/lobby"),
        ("/rooms/lobby/", "rooms /rooms/lobby/"),
        ("/rooms/", "rooms /rooms/"),
        ("/rooms/a", "rooms /rooms/a"),
        ("/rooms/a/b", "rooms /rooms/a/b"),
        ("/rooms/private", "rooms /rooms/private"),
        ("/rooms/private/", "private /rooms/private/"),
        ("/rooms/private/a/b?/rooms/lobby", "private /rooms/private/a/b"),
        ("/rooms", "fallback /rooms"),
        ("/roomsy/a", "fallback /roomsy/a"),
        ("/", "fallback /"),
        ("//", "fallback //"),
    ] {
        for version in [Version::Hybi00, Version::Rfc6455] {
            let mut peer = server.connect(version, target);
            peer.text("name?");
            assert_eq!(peer.next(), text(answer), "{target}");
        }
    }
    assert!(
        resources.unregister_prefix("/rooms/private/") && !resources.unregister_prefix("/rooms/private/")
    );
    assert!(resources.unregister("/rooms/lobby"));
    for target in ["/rooms/private/", "/rooms/lobby"] {
        let mut peer = server.connect(Version::Rfc6455, target);
        peer.text("name?");
        assert_eq!(peer.next(), text(&format!("rooms {target}")));
    }
    assert!(resources.unregister_fallback() && !resources.unregister_fallback());
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(404));
    assert!(resources.find("/rooms/x").is_some() && resources.find("/").is_none());
}

fn checks_the_origins_of_the_matching_resource(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server
        .resources()
        .register_prefix("/", Origins::exact(["http://elsewhere.example"]), Named("all"))
        .unwrap();
    server.resources().register("/open", Origins::any(), Named("open")).unwrap();
    let server = Running::run(server);
    assert_eq!(server.try_connect(Version::Rfc6455, "/closed").err(), Some(403));
    assert!(server.try_connect(Version::Rfc6455, "/open").is_ok());
}

#[test]
fn invalid_registrations_are_errors() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    for prefix in ["", "/a", "a/", "/a b/", "/a?/"] {
        let result = server.resources().register_prefix(prefix, Origins::any(), Named(""));
        assert_eq!(result, Err(RegisterError::InvalidPrefix(prefix.into())));
    }
    server.resources().register_prefix("/a/", Origins::any(), Named("")).unwrap();
    let again = server.resources().register_prefix("/a/", Origins::any(), Named(""));
    assert_eq!(again, Err(RegisterError::Taken("/a/".into())));
    server.resources().register("/a/", Origins::any(), Named("")).unwrap();
    server.resources().register_fallback(Origins::any(), Named("")).unwrap();
    let again = server.resources().register_fallback(Origins::any(), Named(""));
    assert_eq!(again, Err(RegisterError::FallbackTaken));
}
