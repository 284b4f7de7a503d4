//! What a resource decides on while a client's handshake is looked at.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use clws_handshake::client::ClientRequest;
use clws_server::{Accept, Client, Config, Opening, Origins, Reject, Resource, Server, Version};
use common::{ALL, HYBI, Peer, Running};

in_both_modes!(
    origins,
    draft_0_is_off_by_default,
    subprotocols_and_headers,
    refusals_in_accept,
    data_for_the_client,
    getters_of_the_opening,
    getters_of_the_client,
);

struct Chooser;

impl Resource for Chooser {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("teapot") => Err(Reject::custom(418, "short and stout")),
            Some("login") => Err(Reject::custom(401, "who are you?")),
            Some("panic") => panic!("in accept"),
            Some("not-offered") => Ok(Accept::new().subprotocol("nobody-asked")),
            Some("bad-header") => Ok(Accept::new().header("X-Split", "a\r\nX-Evil: b")),
            _ => {
                let mut accept = Accept::new().header("X-One", "1").header("Set-Cookie", "a=b; Path=/");
                if let Some(name) = opening.subprotocols().find(|name| name.starts_with("chat")) {
                    accept = accept.subprotocol(name);
                }
                Ok(accept)
            }
        }
    }

    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        let own = client.subprotocol().unwrap_or("none");
        client.send_text(own).unwrap();
        Ok(())
    }
}

fn start(config: Config, origins: Origins) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", origins, Chooser).unwrap();
    Running::run(server)
}

fn open(
    server: &Running,
    version: Version,
    change: impl FnOnce(ClientRequest<'_>) -> ClientRequest<'_>,
) -> Result<Peer, u16> {
    let url = format!("ws://{}/", server.address());
    Peer::open(server.tcp(), version, change(ClientRequest::new(version, &url)))
}

fn origins(config: Config) {
    let server = start(config.clone(), Origins::exact(["http://good.example"]));
    for version in ALL {
        assert!(open(&server, version, |r| r.with_origin("http://good.example")).is_ok());
        let evil = open(&server, version, |r| r.with_origin("http://good.example.evil"));
        assert_eq!(evil.err(), Some(403), "{version}");
    }
    assert_eq!(open(&server, Version::Rfc6455, |r| r).err(), Some(403));

    let server = start(config, Origins::prefix(["http://good.example"]));
    for version in ALL {
        assert!(open(&server, version, |r| r.with_origin("http://good.example:8080")).is_ok());
        let evil = open(&server, version, |r| r.with_origin("http://good.example.evil"));
        assert_eq!(evil.err(), Some(403), "{version}");
    }
}

/// Its clients get 426, with the versions that are spoken.
fn draft_0_is_off_by_default(config: Config) {
    let server = start(config.protocol_76_00_support(false), Origins::any());
    assert_eq!(server.try_connect(Version::Hybi00, "/").err(), Some(426));
    assert!(server.try_connect(Version::Hybi07, "/").is_ok());
    assert!(!Config::default().protocol_76_00_support);
}

fn subprotocols_and_headers(config: Config) {
    let server = start(config, Origins::any());
    for version in &HYBI {
        let mut peer = open(&server, *version, |r| {
            r.with_subprotocol("mail").with_subprotocol("chat2").with_subprotocol("chat1")
        })
        .unwrap();
        assert_eq!(peer.subprotocol.as_deref(), Some("chat2"));
        assert_eq!(peer.next(), common::text("chat2"));
        for (name, value) in [("X-One", "1"), ("Set-Cookie", "a=b; Path=/")] {
            assert!(peer.headers.iter().any(|(n, v)| n == name && v == value), "{:?}", peer.headers);
        }
    }
    let mut peer =
        open(&server, Version::Hybi00, |r| r.with_origin("http://a").with_subprotocol("chat")).unwrap();
    assert_eq!(peer.subprotocol.as_deref(), Some("chat"));
    assert_eq!(peer.next(), common::text("chat"));
    let mut peer = open(&server, Version::Rfc6455, |r| r.with_subprotocol("mail")).unwrap();
    assert_eq!(peer.subprotocol, None);
    assert_eq!(peer.next(), common::text("none"));
}

fn refusals_in_accept(config: Config) {
    let server = start(config, Origins::any());
    let mut other = server.connect(Version::Rfc6455, "/");
    assert_eq!(other.next(), common::text("none"));
    for (target, status) in
        [("/?teapot", 418), ("/?login", 401), ("/?panic", 500), ("/?not-offered", 500), ("/?bad-header", 500)]
    {
        assert_eq!(server.try_connect(Version::Rfc6455, target).err(), Some(status), "{target}");
    }
    other.send(|sender| sender.ping(b"still here").unwrap());
    assert_eq!(other.next(), common::Got::Pong(b"still here".to_vec()));
    server.wait_for_clients(1);
}

/// What `accept` found out is there in every later call, and is nobody else's.
fn data_for_the_client(config: Config) {
    struct User(String);
    struct Greeter;

    impl Resource for Greeter {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            let accept = Accept::new();
            Ok(match opening.query_string() {
                Some(name) => accept.data(User(name.to_owned())),
                None => accept,
            })
        }

        fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
            assert!(client.data::<String>().is_none(), "it is of another type");
            let name = client.data().map_or("nobody", |User(name)| name);
            client.send_text(name).unwrap();
            Ok(())
        }
    }

    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Greeter).unwrap();
    let server = Running::run(server);
    let mut both = ["/?ann", "/?bob", "/"].map(|target| server.connect(Version::Rfc6455, target));
    assert_eq!(both.each_mut().map(Peer::next), ["ann", "bob", "nobody"].map(common::text));
}

/// Tells all that can be asked about an opening, or about a client.
struct Tell {
    opening: bool,
}

impl Resource for Tell {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let told = format!(
            "{}|{}|{}|{}|{}|{:?}|{}",
            opening.resource_name(),
            opening.query_string().unwrap_or("-"),
            opening.version().number(),
            opening.host(),
            opening.origin().unwrap_or("-"),
            opening.headers().get("x-LETTERS"),
            opening.peer(),
        );
        if self.opening { Err(Reject::custom(403, told)) } else { Ok(Accept::new()) }
    }

    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        let told = format!(
            "{}|{}|{}|{}|{}|{}|{}|{:?}|{:?}",
            client.remote_ip().unwrap(),
            client.remote_port().unwrap(),
            client.peer(),
            client.resource_name(),
            client.query_string().unwrap_or("-"),
            client.websocket_version().number(),
            client.subprotocol().unwrap_or("-"),
            client.headers().get("x-LETTERS"),
            client.headers().get("x-none"),
        );
        assert!(client.is_open() && client == &client.clone());
        assert!(client.connected_at().elapsed() < common::PATIENCE);
        assert_eq!(client.cookie("id"), client.headers().get("Cookie").and(Some("7")));
        client.send_text(&told).unwrap();
        Ok(())
    }
}

fn tell(config: Config, opening: bool) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/path/%C3%A9", Origins::any(), Tell { opening }).unwrap();
    Running::run(server)
}

fn getters_of_the_opening(config: Config) {
    use std::io::Write;

    let server = tell(config, true);
    for (version, header) in [(13, "Origin"), (8, "Sec-WebSocket-Origin"), (7, "Sec-WebSocket-Origin")] {
        let mut stream = server.tcp();
        let me = stream.local_addr().unwrap();
        let request = format!(
            "GET /path/%C3%A9?q=1&r HTTP/1.1\r\nHost: Some.Host:81\r\nUpgrade: websocket\r\n\
             Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {header}: http://o.example\r\nSec-WebSocket-Version: {version}\r\nX-Letters:  AbC \r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let answer = String::from_utf8(common::read_to_end(&mut stream).0).unwrap();
        let told = format!("/path/%C3%A9|q=1&r|{version}|Some.Host:81|http://o.example|Some(\"AbC\")|{me}");
        assert!(answer.trim_end().ends_with(&told), "{answer}");
    }
}

fn getters_of_the_client(config: Config) {
    for keep in [true, false] {
        let server = tell(config.clone().keep_headers(keep), false);
        for version in ALL {
            let stream = server.tcp();
            let me = stream.local_addr().unwrap();
            let url = format!("ws://{}/path/%C3%A9?q=1&r", server.address());
            let request = ClientRequest::new(version, &url)
                .with_origin("http://o.example")
                .with_header("X-Letters", "AbC")
                .with_header("Cookie", "a=b; id=7");
            let mut peer = Peer::open(stream, version, request).unwrap();
            let letters = if keep { "Some(\"AbC\")" } else { "None" };
            let (host, port, version) = (me.ip(), me.port(), version.number());
            let told = format!("{host}|{port}|{me}|/path/%C3%A9|q=1&r|{version}|-|{letters}|None");
            assert_eq!(peer.next(), common::Got::Text(told));
        }
    }
}
