//! Opening handshakes: the checks and answers of a resource.

use crate::common;
use crate::common::{ALL_VERSIONS, HYBI_VERSIONS, Peer, Running};
use clws_handshake::client::ClientRequest;
use clws_server::{Accept, Client, Config, Opening, Origins, Reject, Resource, Server, Version};

in_both_modes!(
    checks_origins,
    draft_0_is_off_by_default,
    negotiates_subprotocols_and_sends_headers,
    accept_can_reject,
    accept_attaches_data_to_the_client,
    getters_of_the_opening_return_the_request,
    getters_of_the_client_return_the_request,
);

struct Chooser;

impl Resource for Chooser {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("teapot") => Err(Reject::custom(418, "short and stout")),
            Some("login") => Err(Reject::custom(401, "log in first")),
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
        let subprotocol = client.subprotocol().unwrap_or("none");
        client.send_text(subprotocol).unwrap();
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

fn checks_origins(config: Config) {
    let server = start(config.clone(), Origins::exact(["http://good.example"]));
    for version in ALL_VERSIONS {
        assert!(open(&server, version, |r| r.origin("http://good.example")).is_ok());
        let evil = open(&server, version, |r| r.origin("http://good.example.evil"));
        assert_eq!(evil.err(), Some(403), "{version}");
    }
    assert_eq!(open(&server, Version::Rfc6455, |r| r).err(), Some(403));

    let server = start(config, Origins::prefix(["http://good.example"]));
    for version in ALL_VERSIONS {
        assert!(open(&server, version, |r| r.origin("http://good.example:8080")).is_ok());
        let evil = open(&server, version, |r| r.origin("http://good.example.evil"));
        assert_eq!(evil.err(), Some(403), "{version}");
    }
}

/// Clients of draft 0 get 426 with the supported versions.
fn draft_0_is_off_by_default(config: Config) {
    let server = start(config.protocol_76_00_support(false), Origins::any());
    assert_eq!(server.try_connect(Version::Hybi00, "/").err(), Some(426));
    assert!(server.try_connect(Version::Hybi07, "/").is_ok());
    assert!(!Config::default().protocol_76_00_support);
}

fn negotiates_subprotocols_and_sends_headers(config: Config) {
    let server = start(config, Origins::any());
    for version in &HYBI_VERSIONS {
        let mut peer =
            open(&server, *version, |r| r.subprotocol("mail").subprotocol("chat2").subprotocol("chat1"))
                .unwrap();
        assert_eq!(peer.subprotocol.as_deref(), Some("chat2"));
        assert_eq!(peer.next(), common::text("chat2"));
        for (name, value) in [("X-One", "1"), ("Set-Cookie", "a=b; Path=/")] {
            assert!(peer.headers.iter().any(|(n, v)| n == name && v == value), "{:?}", peer.headers);
        }
    }
    let mut peer = open(&server, Version::Hybi00, |r| r.origin("http://a").subprotocol("chat")).unwrap();
    assert_eq!(peer.subprotocol.as_deref(), Some("chat"));
    assert_eq!(peer.next(), common::text("chat"));
    let mut peer = open(&server, Version::Rfc6455, |r| r.subprotocol("mail")).unwrap();
    assert_eq!(peer.subprotocol, None);
    assert_eq!(peer.next(), common::text("none"));
}

fn accept_can_reject(config: Config) {
    let server = start(config, Origins::any());
    let mut other = server.connect(Version::Rfc6455, "/");
    assert_eq!(other.next(), common::text("none"));
    for (target, status) in
        [("/?teapot", 418), ("/?login", 401), ("/?panic", 500), ("/?not-offered", 500), ("/?bad-header", 500)]
    {
        assert_eq!(server.try_connect(Version::Rfc6455, target).err(), Some(status), "{target}");
    }
    other.send(|sender| sender.ping(b"still here").unwrap());
    assert_eq!(other.next(), common::Received::Pong(b"still here".to_vec()));
    server.wait_for_clients(1);
}

/// Each client's data is available in later calls, and only for that client.
fn accept_attaches_data_to_the_client(config: Config) {
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
            assert!(client.data::<String>().is_none(), "data of another type");
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

/// Sends all properties of an opening or of a client.
struct Describes {
    opening: bool,
}

impl Resource for Describes {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let description = format!(
            "{}|{}|{}|{}|{}|{:?}|{}",
            opening.resource_name(),
            opening.query_string().unwrap_or("-"),
            opening.version().number(),
            opening.host(),
            opening.origin().unwrap_or("-"),
            opening.headers().get("x-LETTERS"),
            opening.peer(),
        );
        if self.opening { Err(Reject::custom(403, description)) } else { Ok(Accept::new()) }
    }

    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        let description = format!(
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
        assert!(client.connected_at().elapsed() < common::TIMEOUT);
        assert_eq!(client.cookie("id"), client.headers().get("Cookie").and(Some("7")));
        client.send_text(&description).unwrap();
        Ok(())
    }
}

fn start_describing(config: Config, opening: bool) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/path/%C3%A9", Origins::any(), Describes { opening }).unwrap();
    Running::run(server)
}

fn getters_of_the_opening_return_the_request(config: Config) {
    use std::io::Write;

    let server = start_describing(config, true);
    for (version, header) in [(13, "Origin"), (8, "Sec-WebSocket-Origin"), (7, "Sec-WebSocket-Origin")] {
        let mut stream = server.tcp();
        let local = stream.local_addr().unwrap();
        let request = format!(
            "GET /path/%C3%A9?q=1&r HTTP/1.1\r\nHost: Some.Host:81\r\nUpgrade: websocket\r\n\
             Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             {header}: http://o.example\r\nSec-WebSocket-Version: {version}\r\nX-Letters:  AbC \r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let answer = String::from_utf8(common::read_to_end(&mut stream).0).unwrap();
        let description =
            format!("/path/%C3%A9|q=1&r|{version}|Some.Host:81|http://o.example|Some(\"AbC\")|{local}");
        assert!(answer.trim_end().ends_with(&description), "{answer}");
    }
}

fn getters_of_the_client_return_the_request(config: Config) {
    for keep in [true, false] {
        let server = start_describing(config.clone().keep_headers(keep), false);
        for version in ALL_VERSIONS {
            let stream = server.tcp();
            let local = stream.local_addr().unwrap();
            let url = format!("ws://{}/path/%C3%A9?q=1&r", server.address());
            let request = ClientRequest::new(version, &url)
                .origin("http://o.example")
                .header("X-Letters", "AbC")
                .header("Cookie", "a=b; id=7");
            let mut peer = Peer::open(stream, version, request).unwrap();
            let letters = if keep { "Some(\"AbC\")" } else { "None" };
            let (host, port, version) = (local.ip(), local.port(), version.number());
            let description = format!("{host}|{port}|{local}|/path/%C3%A9|q=1&r|{version}|-|{letters}|None");
            assert_eq!(peer.next(), common::Received::Text(description));
        }
    }
}
