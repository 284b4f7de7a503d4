//! Registering and unregistering resources while the server runs.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::common;
use crate::common::{Received, Running, text};
use clws_server::{
    Client, Config, Origins, RegisterError, Resource, ResourceListener, Server, Text, Version,
};

in_both_modes!(
    the_path_selects_the_resource,
    clients_of_an_unregistered_resource_stay_connected,
    a_resource_may_use_the_registry_when_dropped
);

/// Answers with its name, and reports its drop.
struct Named(&'static str, Sender<&'static str>);

impl Resource for Named {
    fn text(&self, client: &Client, _: Text<'_>) {
        client.send_text(self.0).unwrap();
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

fn start(config: Config) -> (Running, Sender<&'static str>, Receiver<&'static str>) {
    let (dropped, drops) = channel();
    (Running::run(Server::bind(config.listen("127.0.0.1:0")).unwrap()), dropped, drops)
}

fn the_path_selects_the_resource(config: Config) {
    let (server, dropped, _drops) = start(config);
    let resources = server.handle.resources();
    assert_eq!(server.try_connect(Version::Rfc6455, "/a").err(), Some(404));
    resources.register("/a", Origins::any(), Named("a", dropped.clone())).unwrap();
    resources.register("/a/b", Origins::any(), Named("a/b", dropped.clone())).unwrap();
    for (target, name) in [("/a", "a"), ("/a/b", "a/b"), ("/a?/a/b", "a"), ("/a/b?", "a/b")] {
        let mut peer = server.connect(Version::Rfc6455, target);
        peer.text("name?");
        assert_eq!(peer.next(), text(name));
    }
    for target in ["/", "/a/", "/A", "/a/b/c", "/%61", "//a"] {
        assert_eq!(server.try_connect(Version::Rfc6455, target).err(), Some(404), "{target}");
    }
    let taken = resources.register("/a", Origins::any(), Named("other", dropped.clone()));
    assert_eq!(taken, Err(RegisterError::Taken("/a".into())));
    for path in ["", "a", "/a b", "/a?b", "/a#b", "/\n", "/\u{7f}"] {
        let invalid = resources.register(path, Origins::any(), Named("", dropped.clone()));
        assert_eq!(invalid, Err(RegisterError::InvalidPath(path.into())));
    }
    assert!(resources.find("/a").is_some() && resources.find("/b").is_none());
}

fn clients_of_an_unregistered_resource_stay_connected(config: Config) {
    let (server, dropped, drops) = start(config);
    let resources = server.handle.resources();
    resources.register("/a", Origins::any(), Named("first", dropped.clone())).unwrap();
    let mut old = server.connect(Version::Rfc6455, "/a");
    assert!(resources.unregister("/a"));
    assert!(!resources.unregister("/a"));
    assert_eq!(server.try_connect(Version::Rfc6455, "/a").err(), Some(404));

    let second: Arc<dyn Resource> = Arc::new(Named("second", dropped));
    resources.register_shared("/a", Origins::any(), Arc::clone(&second)).unwrap();
    resources.register_shared("/b", Origins::any(), second).unwrap();
    for target in ["/a", "/b"] {
        let mut new = server.connect(Version::Rfc6455, target);
        new.text("name?");
        assert_eq!(new.next(), text("second"));
    }
    old.text("name?");
    assert_eq!(old.next(), text("first"));
    assert!(drops.try_recv().is_err());
    old.close(1000, "");
    assert!(matches!(old.next(), Received::Close(_)));
    assert_eq!(
        drops.recv_timeout(common::TIMEOUT),
        Ok("first"),
        "the resource was not dropped with its last client"
    );
}

/// Paths that no request can have, with a part of the error text.
const INVALID_PATHS: &[(&str, &str)] = &[
    ("", "begins with `/`"),
    ("chat", "begins with `/`"),
    ("*", "begins with `/`"),
    ("ws://localhost/chat", "begins with `/`"),
    (" /chat", "begins with `/`"),
    ("/ü", "write `/%C3%BC`"),
    ("/chat/日本", "write `/chat/%E6%97%A5%E6%9C%AC`"),
    ("/a b", "write `/a%20b`"),
    ("/a\tb", "write `/a%09b`"),
    ("/a\r\n", "write `/a%0D%0A`"),
    ("/\0", "write `/%00`"),
    ("/\u{7f}", "write `/%7F`"),
    ("/a\"b", "write `/a%22b`"),
    ("/<a>", "write `/%3Ca%3E`"),
    ("/`", "write `/%60`"),
    ("/rooms/{id}", "there are no patterns"),
    ("/a?b", "ends before the query"),
    ("/a#b", "ends before the query"),
    ("/a\\b", "backslash"),
    ("/.", "segments"),
    ("/..", "segments"),
    ("/a/./b", "segments"),
    ("/a/../b", "segments"),
    ("/a/%2e%2E/b", "segments"),
    ("/a/.%2e", "segments"),
];

#[test]
fn invalid_paths_are_rejected_with_a_reason() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    for (path, why) in INVALID_PATHS {
        let error = server.resources().register(path, Origins::any(), Silent).unwrap_err();
        assert_eq!(error, RegisterError::InvalidPath((*path).into()));
        let text = error.to_string();
        assert!(text.contains(&format!("{path:?}")) && text.contains(why), "{text}");

        let prefix = format!("{path}/");
        if !path.is_empty() {
            let error = server.resources().register_prefix(&prefix, Origins::any(), Silent).unwrap_err();
            assert_eq!(error, RegisterError::InvalidPrefix(prefix.as_str().into()));
            assert!(error.to_string().contains(&format!("{prefix:?}")), "{error}");
        }
        assert!(server.resources().run_resource_listener(path, Origins::any(), Silent).is_err());
        assert!(server.resources().find(path).is_none());
    }
    let error = server.resources().register_prefix("/a", Origins::any(), Silent).unwrap_err();
    assert!(error.to_string().contains("a prefix ends in `/`"), "{error}");
    for path in
        ["/", "//", "/...", "/.a", "/a.", "/%C3%BC", "/%zz", "/100%", "/a;b=c,d", "/a:b@c", "/*", "/^|[]'"]
    {
        server.resources().register(path, Origins::any(), Silent).unwrap();
    }
}

#[test]
fn origins_that_match_nothing_are_rejected_by_all_ways_to_register() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    for entry in
        ["https://example.com/", "example.com", "*", ":443", "https://example.com:443", "https://ü.de", ""]
    {
        for origins in [Origins::exact(["https://good.example", entry]), Origins::prefix([entry])] {
            let errors = [
                server.resources().register("/a", origins.clone(), Silent).unwrap_err(),
                server.resources().register_shared("/a", origins.clone(), Arc::new(Silent)).unwrap_err(),
                server.resources().run_resource_listener("/a", origins.clone(), Silent).unwrap_err(),
                server.resources().register_prefix("/a/", origins.clone(), Silent).unwrap_err(),
                server.resources().register_fallback(origins.clone(), Silent).unwrap_err(),
            ];
            for (error, resource) in
                errors.iter().zip(["\"/a\"", "\"/a\"", "\"/a\"", "\"/a/\"", "the fallback"])
            {
                let text = error.to_string();
                assert!(text.starts_with(&format!("the origins of {resource}: ")), "{text}");
                assert!(text.contains(&format!("{entry:?}")) && text.contains("allowed forms are"), "{text}");
                let RegisterError::InvalidOrigin { error, .. } = error else { panic!("{text}") };
                assert_eq!(error.origin(), entry);
            }
        }
    }
    let nobody = server.resources().register("/a", Origins::exact([""; 0]), Silent).unwrap_err();
    assert!(nobody.to_string().contains("no origin is listed"), "{nobody}");
    assert!(server.resources().find("/a").is_none() && server.resources().find("/a/b").is_none());
    server.resources().register("/a", Origins::exact([""; 0]).or_absent(true), Silent).unwrap();
    server
        .resources()
        .register("/b", Origins::prefix(["http://localhost", "file://", "null"]), Silent)
        .unwrap();
}

struct Silent;

impl Resource for Silent {}

impl ResourceListener for Silent {
    type Message = ();
}

/// Uses the registry in its `Drop`.
struct UsesRegistryOnDrop(clws_server::Resources);

impl Resource for UsesRegistryOnDrop {}

impl Drop for UsesRegistryOnDrop {
    fn drop(&mut self) {
        let _ = self.0.find("/a");
        self.0.unregister("/nothing");
    }
}

fn a_resource_may_use_the_registry_when_dropped(config: Config) {
    let (server, ..) = start(config);
    let resources = server.handle.resources();
    let new = || UsesRegistryOnDrop(resources.clone());
    for _ in 0..2 {
        let _ = resources.register("/a", Origins::any(), new());
        let _ = resources.register_prefix("/a/", Origins::any(), new());
        let _ = resources.register_fallback(Origins::any(), new());
    }
    assert!(
        resources.unregister("/a") && resources.unregister_prefix("/a/") && resources.unregister_fallback()
    );
}
