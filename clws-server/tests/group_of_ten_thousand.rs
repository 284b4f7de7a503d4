//! A group of 10,000 clients: a message to it is encoded once, and everybody gets it.
//!
//! 8,000 of them come through Unix sockets and are served by the shards; fewer where the process may not have the 16,000
//! descriptors of their two ends. The others are streams, which need none and are served by a task each. They shake
//! hands and join like any client. Then 400 of draft 0 come to them, and the second framing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]
#![cfg(unix)]

mod common;

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::thread;

use clws_handshake::client::ClientRequest;
use clws_server::{
    Client, Close, Group, Origins, Peer as Address, Resource, Server, ServerHandle, SharedMessage, Version,
};
use common::{Got, Peer, Running, config, eventually};
use futures::io::{AsyncRead, AsyncWrite};

const MEMBERS: usize = 10_000;
const SOCKETS: usize = 8_000;
const DRAFT_0: usize = 400;

/// Those that connect at the same time.
const THREADS: usize = 4;

#[derive(Clone, Default)]
struct Crowd {
    all: Group,
    /// But draft 0.
    modern: Group,
}

impl Resource for Crowd {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        assert!(self.all.join(client));
        if client.websocket_version() != Version::Hybi00 {
            assert!(self.modern.join(client));
        }
        Ok(())
    }
}

/// A connection in memory: what the client says is there already, what it is told is collected.
struct Wire(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    request: Vec<u8>,
    told: Vec<u8>,
    gone: bool,
    waker: Option<Waker>,
}

/// The client at the other end of a [`Wire`]; gone when it is dropped.
struct Listening(Arc<Mutex<Ends>>, Version);

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut ends = self.0.lock().unwrap();
        if ends.request.is_empty() && !ends.gone {
            ends.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(ends.request.len());
        buffer[..count].copy_from_slice(&ends.request[..count]);
        ends.request.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().told.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Listening {
    fn connect(handle: &ServerHandle, version: Version) -> Self {
        let request = ClientRequest::new(version, "ws://localhost/").with_origin("http://here.example");
        let (request, _) = request.build(&mut |octets: &mut [u8]| octets.fill(0x5A)).unwrap();
        let ends = Arc::new(Mutex::new(Ends { request, ..Ends::default() }));
        async_std::task::spawn(handle.serve_stream(Wire(Arc::clone(&ends)), Address::Stream));
        Self(ends, version)
    }

    /// Behind the opening handshake, of which draft 0's has 16 octets more, exactly these come.
    #[track_caller]
    fn expect(&self, frames: &[u8]) {
        let digest = if self.1 == Version::Hybi00 { 16 } else { 0 };
        eventually("a message", || {
            let told = &self.0.lock().unwrap().told;
            let head = told.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4 + digest;
            assert!(frames.starts_with(&told[head..]), "something else came");
            told.len() == head + frames.len()
        });
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let waker = {
            let mut ends = self.0.lock().unwrap();
            ends.gone = true;
            ends.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Connects a number of clients of the three drafts that have one framing.
fn connect(path: &Path, number: usize) -> Vec<Peer> {
    let versions = [Version::Rfc6455, Version::Hybi08, Version::Hybi07];
    let open =
        |version| Peer::open(common::unix(path), version, ClientRequest::new(version, "ws://localhost/"));
    thread::scope(|scope| {
        let part = |thread| (thread..number).step_by(THREADS).map(|i| open(versions[i % 3]).unwrap());
        let parts: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || part(thread).collect::<Vec<_>>())).collect();
        parts.into_iter().flat_map(|part| part.join().unwrap()).collect()
    })
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(256)
}

#[test]
fn one_message_is_encoded_once_for_all() {
    let crowd = Crowd::default();
    let path = std::env::temp_dir().join(format!("clws-ten-thousand-{}", std::process::id()));
    let server =
        Server::bind(config().max_clients(MEMBERS + DRAFT_0).listen(format!("unix:{}", path.display())))
            .unwrap();
    server.resources().register("/", Origins::any(), crowd.clone()).unwrap();
    let server = Running::run(server);
    let mut peers = connect(&path, SOCKETS.min(descriptors().saturating_sub(100) / 2));
    let streams = |number: usize, version| -> Vec<_> {
        (0..number).map(|_| Listening::connect(&server.handle, version)).collect()
    };
    let mut streams_of_all = streams(MEMBERS - peers.len(), Version::Rfc6455);
    eventually("all are in", || crowd.modern.len() == MEMBERS);

    // One that is copied to each, and one that all share.
    let mut frames = Vec::new();
    for message in ["short".to_owned(), "long".repeat(1000)] {
        let shared = SharedMessage::text(&*message);
        let delivery = crowd.modern.send(&shared);
        assert_eq!((delivery.sent, delivery.failed.len()), (MEMBERS, 0));
        assert_eq!(shared.encodings(), 1);
        for peer in &mut peers {
            assert!(peer.next() == Got::Text(message.clone()));
        }
        frames.push(0x81);
        match u8::try_from(message.len()) {
            Ok(len) => frames.push(len),
            Err(_) => frames.extend([126, 0x0F, 0xA0]),
        }
        frames.extend(message.as_bytes());
        streams_of_all.iter().for_each(|stream| stream.expect(&frames));
    }

    let draft_0 = streams(DRAFT_0, Version::Hybi00);
    eventually("they are in too", || crowd.all.len() == MEMBERS + DRAFT_0);
    let shared = SharedMessage::text("to all");
    let delivery = crowd.all.send(&shared);
    assert_eq!((delivery.sent, delivery.failed.len()), (MEMBERS + DRAFT_0, 0));
    assert_eq!(shared.encodings(), 2);
    for peer in &mut peers {
        assert_eq!(peer.next(), Got::Text("to all".into()));
    }
    frames.extend(b"\x81\x06to all");
    streams_of_all.iter().for_each(|stream| stream.expect(&frames));
    draft_0.iter().for_each(|stream| stream.expect(b"\x00to all\xFF"));

    // Half of them go, and then the rest.
    peers.truncate(peers.len() / 2);
    streams_of_all.truncate(streams_of_all.len() / 2);
    let left = peers.len() + streams_of_all.len();
    eventually("half of them has left", || crowd.modern.len() == left);
    assert_eq!(crowd.all.send_text("to the rest").sent, left + DRAFT_0);
    for peer in &mut peers {
        assert_eq!(peer.next(), Got::Text("to the rest".into()));
    }
    drop((peers, streams_of_all, draft_0));
    eventually("nobody is in", || crowd.all.is_empty() && crowd.modern.is_empty());
    server.wait_for_clients(0);
}
