//! The log line of a panic names the path of the resource and the address of the client.
//!
//! This test is alone in its file, because the subscriber is global to the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use clws_handshake::client::ClientRequest;
use clws_server::{
    Accept, ByteString, Bytes, Client, Close, Disconnect, Opening, Origins, Reject, Resource,
    ResourceListener, Server, Text, Version, WebSocket, async_handler,
};
use common::bomb::Bomb;
use common::log::Log;
use common::{Peer, Running};
use futures::io::{AsyncRead, AsyncWrite};
use tracing::Level;

/// Panics where the query says.
struct Fragile;

fn panic_if(query: Option<&str>, place: &str) {
    assert!(query != Some(place), "in {place}");
}

impl Resource for Fragile {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        panic_if(opening.query_string(), "accept");
        let data = opening.query_string() == Some("data");
        Ok(if data { Accept::new().data(Bomb) } else { Accept::new() })
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        panic_if(client.query_string(), "connected");
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        if &*text == "bytes" {
            let _ = client.send(Bytes::from_owner(Owner(vec![7; 50_000], Bomb)));
        }
        panic_if(client.query_string(), "text");
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        panic_if(client.query_string(), "disconnected");
    }
}

struct Owner(Vec<u8>, Bomb);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A resource whose drop panics.
struct Explosive(#[allow(dead_code, reason = "dropped")] Bomb);

impl Resource for Explosive {}

struct FragileListener;

impl ResourceListener for FragileListener {
    type Message = ();

    fn accept(&mut self, opening: &Opening) -> Result<Accept, Reject> {
        panic_if(opening.query_string(), "listener");
        Ok(Accept::new())
    }

    fn text(&mut self, _: &Client, _: ByteString) {
        panic!("in the listener");
    }

    fn custom_message(&mut self, (): ()) {
        panic!("in custom_message");
    }
}

/// A stream that panics in a read after it is armed.
struct FragileStream(async_std::net::TcpStream, Arc<AtomicBool>);

impl AsyncRead for FragileStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        assert!(!self.1.load(Ordering::SeqCst), "in the stream");
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for FragileStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_close(cx)
    }
}

/// Connects, and returns the address as the server sees it.
fn connect(server: &Running, target: &str) -> (Option<Peer>, String) {
    let stream: TcpStream = server.tcp();
    let address = stream.local_addr().unwrap().to_string();
    let url = format!("ws://{}{target}", server.address());
    let opened = Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, &url));
    (opened.ok(), format!("peer={address} "))
}

#[test]
fn names_the_resource_and_the_client() {
    let log = Log::start();
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    let resources = server.resources().clone();
    resources.register_prefix("/inline/", Origins::any(), Fragile).unwrap();
    resources.register("/origin", Origins::closure(|_| panic!("in the rule")), Fragile).unwrap();
    resources.register("/explosive", Origins::any(), Explosive(Bomb)).unwrap();
    let handler = async_handler(async |mut socket: WebSocket| {
        socket.next().await;
        panic!("in the async handler");
    });
    resources.register("/async", Origins::any(), handler).unwrap();
    resources.http(|_| panic!("in the hook"));
    let listener = resources.run_resource_listener("/listener", Origins::any(), FragileListener).unwrap();
    let server = Running::run(server);

    for place in ["accept", "connected", "text", "disconnected"] {
        let (peer, address) = connect(&server, &format!("/inline/room?{place}"));
        if let Some(mut peer) = peer {
            peer.text("now");
        }
        let panicked = format!("a handler panicked: in {place}");
        log.expect_all(Level::ERROR, &[&panicked, "resource=/inline/room ", &address]);
    }

    let (_, address) = connect(&server, "/origin");
    let panicked = "a rule for origins panicked: in the rule";
    log.expect_all(Level::ERROR, &[panicked, "resource=/origin ", &address]);

    let mut stream = server.tcp();
    let address = format!("peer={} ", stream.local_addr().unwrap());
    stream.write_all(b"GET /page?secret HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    log.expect_all(Level::ERROR, &["the HTTP hook panicked: in the hook", "resource=/page ", &address]);

    let (_, address) = connect(&server, "/listener?listener");
    let panicked = "a handler panicked: in listener";
    log.expect_all(Level::ERROR, &[panicked, "resource=/listener ", &address]);
    let (peer, address) = connect(&server, "/listener");
    peer.unwrap().text("now");
    let panicked = "a handler panicked: in the listener";
    log.expect_all(Level::ERROR, &[panicked, "resource=/listener ", &address]);
    listener.send(()).unwrap();
    log.expect_all(Level::ERROR, &["a handler panicked: in custom_message", "resource=/listener "]);
    assert!(common::within(listener.call(|_| panic!("in a call"))).is_err());
    log.expect_all(Level::ERROR, &["a handler panicked: in a call", "resource=/listener "]);

    let (peer, address) = connect(&server, "/async");
    peer.unwrap().text("now");
    let panicked = "a handler panicked: in the async handler";
    log.expect_all(Level::ERROR, &[panicked, "resource=/async ", &address]);

    let panicked = "the drop of a value of the application panicked: a panic in a drop";
    let (peer, address) = connect(&server, "/inline/data?data");
    drop(peer);
    log.expect_all(Level::ERROR, &[panicked, "resource=/inline/data ", &address]);
    let (peer, address) = connect(&server, "/inline/bytes");
    peer.unwrap().text("bytes");
    log.expect_all(Level::ERROR, &[panicked, "resource=/inline/bytes ", &address]);
    assert!(resources.unregister("/explosive"));
    log.expect_all(Level::ERROR, &[panicked, "resource=/explosive "]);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = common::tcp(listener.local_addr().unwrap());
    let address = client.local_addr().unwrap();
    let (stream, is_armed) = (listener.accept().unwrap().0, Arc::new(AtomicBool::new(false)));
    let stream = FragileStream(stream.into(), Arc::clone(&is_armed));
    async_std::task::spawn(server.handle.serve_stream(stream, clws_server::Peer::Tcp(address)));
    let request = ClientRequest::new(Version::Rfc6455, "ws://here.example/inline/stream");
    let mut peer = Peer::open(client, Version::Rfc6455, request).unwrap();
    is_armed.store(true, Ordering::SeqCst);
    peer.text("now");
    let (panicked, address) = ("a stream panicked: in the stream", format!("peer={address} "));
    log.expect_all(Level::ERROR, &[panicked, "resource=/inline/stream ", &address]);

    assert!(!log.lines().iter().any(|(level, line)| *level == Level::ERROR && line.contains("secret")));
}
