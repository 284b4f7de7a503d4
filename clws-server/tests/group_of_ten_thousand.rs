//! A message to a group of 10,000 clients is encoded once and reaches every client.
//!
//! 8,000 clients use Unix sockets and are served by the shards, or fewer if the process may not
//! open 16,000 descriptors. The other clients are in-memory streams, which need no descriptors.
//! Each stream is served by its own task. All clients perform the opening handshake and join the
//! group. Then 400 clients of draft 0 join, which need a second encoding.
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
use common::{Peer, Received, Running, config, eventually};
use futures::io::{AsyncRead, AsyncWrite};

const MEMBERS: usize = 10_000;
const SOCKETS: usize = 8_000;
const DRAFT_0: usize = 400;

/// The number of threads that connect at the same time.
const THREADS: usize = 4;

#[derive(Clone, Default)]
struct Crowd {
    all: Group,
    /// All clients except those of draft 0.
    modern: Group,
}

impl Resource for Crowd {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        assert!(self.all.join(client));
        if !client.websocket_version().is_hixie() {
            assert!(self.modern.join(client));
        }
        Ok(())
    }
}

/// An in-memory connection with prepared input. It collects its output.
struct Wire(Arc<Mutex<WireState>>);

#[derive(Default)]
struct WireState {
    request: Vec<u8>,
    sent: Vec<u8>,
    gone: bool,
    waker: Option<Waker>,
}

/// The client end of a [`Wire`]. Dropping it disconnects the client.
struct WireClient(Arc<Mutex<WireState>>, Version);

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut state = self.0.lock().unwrap();
        if state.request.is_empty() && !state.gone {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let count = buffer.len().min(state.request.len());
        buffer[..count].copy_from_slice(&state.request[..count]);
        state.request.drain(..count);
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().unwrap().sent.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl WireClient {
    fn connect(handle: &ServerHandle, version: Version) -> Self {
        let request = ClientRequest::new(version, "ws://localhost/").origin("http://here.example");
        let (request, _) = request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap();
        let state = Arc::new(Mutex::new(WireState { request, ..WireState::default() }));
        async_std::task::spawn(handle.serve_stream(Wire(Arc::clone(&state)), Address::Stream));
        Self(state, version)
    }

    /// Checks that exactly these frames follow the handshake response. Draft 0 adds a 16-byte
    /// digest to that response.
    #[track_caller]
    fn expect(&self, frames: &[u8]) {
        let digest = if self.1 == Version::Hybi00 { 16 } else { 0 };
        eventually("a message", || {
            let sent = &self.0.lock().unwrap().sent;
            let head = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4 + digest;
            assert!(frames.starts_with(&sent[head..]), "the client got other frames");
            sent.len() == head + frames.len()
        });
    }
}

impl Drop for WireClient {
    fn drop(&mut self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.gone = true;
            state.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

/// Connects clients of the three versions that share one frame format.
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

/// The descriptor limit of this process.
fn descriptors() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(256)
}

#[test]
fn encodes_a_message_once_for_the_whole_group() {
    let crowd = Crowd::default();
    let path = std::env::temp_dir().join(format!("clws-ten-thousand-{}", std::process::id()));
    let server =
        Server::bind(config().max_clients(MEMBERS + DRAFT_0).listen(format!("unix:{}", path.display())))
            .unwrap();
    server.resources().register("/", Origins::any(), crowd.clone()).unwrap();
    let server = Running::run(server);
    let mut peers = connect(&path, SOCKETS.min(descriptors().saturating_sub(100) / 2));
    let streams = |number: usize, version| -> Vec<_> {
        (0..number).map(|_| WireClient::connect(&server.handle, version)).collect()
    };
    let mut streams_of_all = streams(MEMBERS - peers.len(), Version::Rfc6455);
    eventually("all members have joined", || crowd.modern.len() == MEMBERS);

    // Short messages are copied to each client. All clients share a long message.
    let mut frames = Vec::new();
    for message in ["short".to_owned(), "long".repeat(1000)] {
        let shared = SharedMessage::text(&*message);
        let delivery = crowd.modern.send(&shared);
        assert_eq!((delivery.sent, delivery.failed.len()), (MEMBERS, 0));
        assert_eq!(shared.encodings(), 1);
        for peer in &mut peers {
            assert!(peer.next() == Received::Text(message.clone()));
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
    eventually("the clients of draft 0 have joined", || crowd.all.len() == MEMBERS + DRAFT_0);
    let shared = SharedMessage::text("to all");
    let delivery = crowd.all.send(&shared);
    assert_eq!((delivery.sent, delivery.failed.len()), (MEMBERS + DRAFT_0, 0));
    assert_eq!(shared.encodings(), 2);
    for peer in &mut peers {
        assert_eq!(peer.next(), Received::Text("to all".into()));
    }
    frames.extend(b"\x81\x06to all");
    streams_of_all.iter().for_each(|stream| stream.expect(&frames));
    draft_0.iter().for_each(|stream| stream.expect(b"\x00to all\xFF"));

    // First half of the clients disconnect, then the rest.
    peers.truncate(peers.len() / 2);
    streams_of_all.truncate(streams_of_all.len() / 2);
    let left = peers.len() + streams_of_all.len();
    eventually("half of the members left", || crowd.modern.len() == left);
    assert_eq!(crowd.all.send_text("to the rest").sent, left + DRAFT_0);
    for peer in &mut peers {
        assert_eq!(peer.next(), Received::Text("to the rest".into()));
    }
    drop((peers, streams_of_all, draft_0));
    eventually("all members left", || crowd.all.is_empty() && crowd.modern.is_empty());
    server.wait_for_clients(0);
}
