//! The turn of a shard: its queues, flushes, read buffers and ticks.

use super::*;
use crate::driver::read_buffers::ReadSizer;

#[test]
fn queues_a_slot_for_reading_once() {
    let mut shard = shard(Config::default());
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    shard.place(Socket::Unix(ours), Peer::Unix);
    for _ in 0..5 {
        shard.connections[0].flags.set(Flags::READABLE | Flags::HANGUP, true);
        shard.drive(0);
    }
    assert_eq!(shard.queue, [0]);
    drop(theirs);
}

/// Sends a message when its client connects, and whenever it drains.
struct SendsOnDrained;

impl crate::resource::Resource for SendsOnDrained {
    fn connected(&self, client: &crate::client::Client) -> Result<(), crate::client::close::Close> {
        let _ = client.send_binary(&[0; 1000]);
        Ok(())
    }

    fn drained(&self, client: &crate::client::Client) {
        let _ = client.send_binary(&[0; 1000]);
    }
}

#[test]
fn flushing_ends_although_a_handler_always_sends_more() {
    let mut shard = shard(Config::default().write_high_water(10));
    shard.state.resources.register("/", clws_handshake::Origins::any(), SendsOnDrained).unwrap();
    shard.shard_handle.register_current_thread();
    let mut theirs = add_connection(&mut shard);
    std::io::Write::write_all(
        &mut theirs,
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://a\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    .unwrap();
    shard.connections[0].flags.set(Flags::READABLE, true);
    shard.serve(0);
    for _ in 0..10 {
        shard.drive_woken(); // returns, although there is always more to flush
        assert!(shard.has_work());
    }
}

#[test]
fn echoes_reuse_one_buffer() {
    let (mut shard, mut theirs) = open(Echo);
    let mut sender = clws_proto::Sender::client(clws_proto::Version::Rfc6455, || [1, 2, 3, 4]);
    let read_sizer = ReadSizer::default();
    let address = shard.read_buffers.lend(read_sizer).as_ptr();
    for _ in 0..5 {
        sender.binary(&[7; 40_000], None).unwrap();
        sender.write_to(&mut theirs).unwrap();
        shard.connections[0].flags.set(Flags::READABLE, true);
        shard.serve(0);
        assert_eq!(shard.read_buffers.read(read_sizer, 0).0.len(), 0, "the message took the buffer");
        let mut echo = [0; 4 + 40_000];
        std::io::Read::read_exact(&mut theirs, &mut echo).unwrap();
        assert!(echo[4..] == [7; 40_000]);
        assert_eq!(shard.read_buffers.lend(read_sizer).as_ptr(), address, "the buffer was not returned");
    }
    assert!(!shard.connections[0].connection.reads_little());
}

/// The input of one read is kept in addition to a full mailbox.
#[test]
fn reads_little_from_a_client_with_queued_messages() {
    let (sender, _mailbox) = crate::handler::mailbox::mailbox::<()>();
    let (shard, _theirs) = open(sender);
    assert!(shard.connections[0].connection.reads_little());
    let (shard, _theirs) = open(crate::handler::async_handler::async_handler(async |_| ()));
    assert!(shard.connections[0].connection.reads_little());
}

#[test]
fn rounds_deadlines_up_to_a_tick() {
    for nanos in [
        0,
        1,
        999_999,
        1_000_000,
        99_999_999,
        100_000_000,
        100_000_001,
        100_900_000,
        400 * 86_400_000_000_000 + 1,
    ] {
        let since = Duration::from_nanos(nanos);
        assert!(time(tick(since)) >= since, "{since:?}");
        assert!(time(tick(since)) - since < TICK, "{since:?}");
    }
}
