//! Tests of the shard, with clients at the other end of socket pairs.

mod memory;
mod places;
mod serving;
mod silence;

use std::os::unix::net::UnixStream;

use super::*;
use crate::config::Config;
use crate::config::address::Peer;
use crate::driver::shard::deadlines::{TICK, tick, time};
use crate::net::socket::Socket;
use crate::time::virtual_clock;

const SECOND: Duration = Duration::from_secs(1);

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// Echoes binary messages.
struct Echo;

impl crate::resource::Resource for Echo {
    fn binary(&self, client: &crate::client::Client, payload: clws_proto::Payload<'_>) {
        let _ = client.send(payload);
    }
}

fn shard(config: Config) -> Shard {
    let poller = Poller::new().unwrap();
    let shard_handle = Arc::new(ShardHandle::new(poller.waker()));
    Shard::new(DriverState::new(config), shard_handle, poller, &[]).unwrap()
}

fn add_connection(shard: &mut Shard) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    shard.place(Socket::Unix(ours), Peer::Unix);
    theirs
}

/// A shard with one client of `resource`, and the client's end of its socket.
fn open(resource: impl crate::resource::Resource) -> (Shard, UnixStream) {
    let mut shard = shard(Config::default());
    let theirs = open_in(&mut shard, resource);
    (shard, theirs)
}

/// Opens a client of `resource` in slot 0 of a new shard, and returns its end of the socket.
fn open_in(shard: &mut Shard, resource: impl crate::resource::Resource) -> UnixStream {
    shard.state.resources.register("/", clws_handshake::Origins::any(), resource).unwrap();
    shard.shard_handle.register_current_thread();
    add_client(shard)
}

/// Another client of the shard.
fn add_client(shard: &mut Shard) -> UnixStream {
    let slot = shard.connections.len();
    let mut theirs = add_connection(shard);
    assert!(shard.connections[slot].connection.reads_little(), "before the handshake is accepted");
    std::io::Write::write_all(&mut theirs, REQUEST).unwrap();
    report(shard, slot, Flags::READABLE);
    let mut answer = [0; 4096];
    assert!(std::io::Read::read(&mut theirs, &mut answer).unwrap() > 100);
    theirs
}

/// Sets flags as an event does, and serves the client.
fn report(shard: &mut Shard, slot: usize, flags: u16) {
    shard.connections[slot].flags.set(flags, true);
    shard.serve(u32::try_from(slot).unwrap());
}

/// Writes the next `bytes` bytes of a message in progress.
fn write_more(theirs: &mut UnixStream, bytes: usize) {
    std::io::Write::write_all(theirs, &vec![0; bytes]).unwrap();
}

/// The sweep of a shard whose clients are silent, in virtual time.
struct Silence {
    shard: Shard,
    now: Instant,
}

impl Silence {
    /// Advances the clock, and lets the shard do what is due.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.shard.next_wake_up().filter(|at| *at <= end) {
            self.set(next.max(self.now));
            self.shard.reexamine();
            self.shard.favor_one();
            self.shard.sweep();
            self.shard.expire();
            self.shard.release_at = None; // not a matter of these tests
        }
        self.set(end);
    }

    fn set(&mut self, now: Instant) {
        self.now = now;
        virtual_clock::set(Some(now));
        self.shard.now = now;
    }

    /// Lets the shard read from the client of slot 0.
    fn read(&mut self) {
        self.shard.connections[0].flags.set(Flags::READABLE, true);
        self.shard.serve(0);
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        virtual_clock::set(None);
    }
}
