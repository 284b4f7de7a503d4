//! After the last client disconnects, the server holds no more memory than before the first client.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ALLOCATOR;
use crate::common::{self, Probe, Received, Running};
use clws_server::{Client, Config, Origins, Piece, Resource, ResourceConfig, Server, Version};

/// Allowed for lazy tables and thread stacks of the runtime. It is less than the messages of the
/// clients.
const SLACK: usize = 400 * 1024;

// Each test measures its whole process.
in_both_modes_in_own_process!(
    frees_partial_messages,
    frees_large_messages,
    frees_the_outboxes_of_members_that_did_not_read,
    a_long_upload_takes_little_memory,
);

#[track_caller]
fn assert_returned(server: &Running, before: usize) {
    server.wait_for_clients(0);
    common::eventually("the memory is freed", || ALLOCATOR.allocated() <= before + SLACK);
}

/// Sends the first bytes of a message that never ends.
fn begin(stream: &mut TcpStream, text: bool, bytes: usize) {
    let declared = u64::try_from(4 * bytes).unwrap();
    let head = [&[if text { 0x81 } else { 0x82 }, 0xFF][..], &declared.to_be_bytes(), &[0; 4]].concat();
    stream.write_all(&head).unwrap();
    stream.write_all(&vec![b'x'; bytes]).unwrap();
}

fn frees_partial_messages(config: Config) {
    const CLIENTS: usize = 100;
    const SIZE: usize = 1 << 20;

    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    drop(server.connect(Version::Rfc6455, "/"));
    server.wait_for_clients(0);
    let before = ALLOCATOR.allocated();
    for _ in 0..3 {
        let streams: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut stream = server.tcp();
                stream.write_all(REQUEST).unwrap();
                begin(&mut stream, number % 2 == 0, SIZE);
                stream
            })
            .collect();
        common::eventually("the partial messages are buffered", || {
            ALLOCATOR.allocated() > before + CLIENTS * SIZE / 2
        });
        for stream in &streams {
            stream.shutdown(Shutdown::Both).unwrap();
        }
        drop(streams);
        while recorder.count(|_| true) > 0 {}
        assert_returned(&server, before);
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// The allocated bytes at the pieces of an upload.
#[derive(Default)]
struct Uploads {
    received: AtomicUsize,
    /// When 8 MiB have arrived. The thread has its largest read buffer by then, for all clients.
    early: AtomicUsize,
    /// The most after that.
    peak: AtomicUsize,
}

impl Resource for Uploads {
    fn piece(&self, _: &Client, piece: Piece<'_>) {
        let received = self.received.fetch_add(piece.bytes().len(), Ordering::Relaxed);
        let place = if received < 8 << 20 { &self.early } else { &self.peak };
        place.fetch_max(ALLOCATOR.allocated(), Ordering::Relaxed);
    }
}

/// The message is one frame.
fn a_long_upload_takes_little_memory(config: Config) {
    const LEN: usize = 64 << 20;
    /// Two read buffers of a thread.
    const READ_BUFFERS: usize = 2 << 20;

    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let settings = ResourceConfig::new(Origins::any()).max_read_message_size(LEN).max_read_frame_size(LEN);
    let uploads = Arc::new(Uploads::default());
    let resource: Arc<dyn Resource> = Arc::clone(&uploads) as _;
    server.resources().register_shared("/", settings.stream_messages(64 * 1024), resource).unwrap();
    let server = Running::run(server);
    let mut stream = server.tcp();
    stream.write_all(REQUEST).unwrap();
    let chunk = vec![7; 64 * 1024];
    server.wait_for_clients(1);
    let before = ALLOCATOR.allocated();
    let head = [&[0x82, 0xFF][..], &u64::try_from(LEN).unwrap().to_be_bytes(), &[0; 4]].concat();
    stream.write_all(&head).unwrap();
    for _ in 0..LEN / chunk.len() {
        stream.write_all(&chunk).unwrap();
    }
    common::eventually("the upload is done", || uploads.received.load(Ordering::Relaxed) == LEN);
    let (early, peak) = (uploads.early.load(Ordering::Relaxed), uploads.peak.load(Ordering::Relaxed));
    assert!(early < before + READ_BUFFERS + SLACK, "{early} early, {before} before");
    assert!(peak < early + SLACK, "{peak} at most, {early} early");
}

/// The buffer pools of the threads are freed too, including the largest buffers.
fn frees_large_messages(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    drop(server.connect(Version::Rfc6455, "/"));
    server.wait_for_clients(0);
    let before = ALLOCATOR.allocated();
    for size in [100_000, 1 << 20, 16_000_000] {
        let mut peer = server.connect(Version::Rfc6455, "/");
        for _ in 0..3 {
            peer.binary(&vec![7; size]);
            assert!(matches!(peer.next(), Received::Binary(payload) if payload.len() == size));
        }
        drop(peer);
        while recorder.count(|_| true) > 0 {}
        assert_returned(&server, before);
    }
}

fn frees_the_outboxes_of_members_that_did_not_read(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.max_write_backlog(4 << 20), probe);
    drop(server.connect(Version::Rfc6455, "/"));
    recorder.connected();
    server.wait_for_clients(0);
    let before = ALLOCATOR.allocated();
    let peers: Vec<_> = (0..10).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    let group = clws_server::Group::new();
    for _ in &peers {
        group.join(&recorder.connected());
    }
    for _ in 0..20_000 {
        let _ = group.send_text("x".repeat(1000));
    }
    drop(peers);
    common::eventually("all members left", || group.is_empty());
    while recorder.count(|_| true) > 0 {}
    assert_returned(&server, before);
}
