//! Clients that are gone while memory is short.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::memory::assert_memory_is_free;
use crate::common::{Peer, Probe, Running, eventually};
use clws_handshake::client::ClientRequest;
use clws_proto::Sender;
use clws_server::{Config, Version};

in_both_modes_in_own_process!(clients_that_are_gone_do_not_wait_for_memory);

const LIMIT: usize = 8 << 20;

/// A client that has sent all of a message but its end.
fn begin(server: &Running, len: usize) -> TcpStream {
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]);
    sender.binary(&vec![7; len], None).unwrap();
    let mut bytes = Vec::new();
    sender.write_to(&mut bytes).unwrap();
    bytes.truncate(len - 1000);
    let url = format!("ws://{}/", server.address());
    let stream = server.tcp();
    let mut writing = stream.try_clone().unwrap();
    drop(Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, &url)));
    writing.write_all(&bytes).unwrap();
    writing
}

/// A client that holds a fragment of 100,000 bytes and never stops sending pongs. Near the limit,
/// one client is read once per tick, and this client is the first in the line.
struct Blocker {
    /// The server reads less than the client sends.
    is_stuck: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Blocker {
    fn start(server: &Running) -> Self {
        let url = format!("ws://{}/", server.address());
        let stream = server.tcp();
        let mut writing = stream.try_clone().unwrap();
        drop(Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, &url)));
        let mut fragment = vec![0x02, 0xFF, 0, 0, 0, 0, 0, 1, 0x86, 0xA0, 0, 0, 0, 0];
        fragment.resize(fragment.len() + 100_000, 0);
        writing.write_all(&fragment).unwrap();
        writing.set_nonblocking(true).unwrap();
        let (is_stuck, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let blocker = Self { is_stuck: Arc::clone(&is_stuck), stop: Arc::clone(&stop) };
        thread::spawn(move || {
            let mut pong = vec![0x8A, 0x80 | 125];
            pong.resize(6 + 125, 0);
            let (pongs, mut written) = (pong.repeat(1000), 0);
            while !stop.load(Ordering::Relaxed) {
                match writing.write(&pongs[written..]) {
                    Ok(count) => written = (written + count) % pongs.len(),
                    Err(_) => {
                        is_stuck.store(true, Ordering::Relaxed);
                        thread::sleep(Duration::from_millis(1));
                    }
                }
            }
        });
        blocker
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn clients_that_are_gone_do_not_wait_for_memory(config: Config) {
    const STAY: usize = 6;

    let (probe, _recorder) = Probe::new();
    let server = Running::start(config.max_buffered(LIMIT).shards(1), probe);
    let stay: Vec<_> = (0..STAY).map(|_| begin(&server, 1_100_000)).collect();
    eventually("memory is short", || server.handle.buffered() >= STAY * 1_099_000);
    let blocker = Blocker::start(&server);
    eventually("the line is blocked", || blocker.is_stuck.load(Ordering::Relaxed));
    for _ in 0..5 {
        drop(begin(&server, 140_000)); // the system holds the rest and the end
    }
    eventually("the ends are noticed", || server.handle.clients() == STAY + 1);
    assert_eq!(server.handle.dropped_for_memory(), 0);
    assert!(server.handle.buffered() > LIMIT / 4 * 3, "memory was short to the end");
    drop((stay, blocker));
    assert_memory_is_free(&server);
}
