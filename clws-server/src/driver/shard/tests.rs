use std::os::unix::net::UnixStream;

use super::*;
use crate::admission::ConnectionPermit;
use crate::budget::FREE;
use crate::config::address::Peer;
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::deadlines::{TICK, tick, time};
use crate::net::socket::Socket;

#[test]
fn no_tick_is_before_its_deadline() {
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

fn shard(config: crate::config::Config) -> Shard {
    let poller = Poller::new().unwrap();
    let shard_handle = Arc::new(ShardHandle::new(poller.waker()));
    Shard::new(DriverState::new(config), shard_handle, poller, &[]).unwrap()
}

fn adopt(shard: &mut Shard) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    shard.place(Socket::Unix(ours), Peer::Unix);
    theirs
}

#[test]
fn deadlines_of_connections_that_are_gone_do_not_pile_up() {
    let mut shard = shard(crate::config::Config::default().handshake_timeout(Duration::MAX));
    let stays = adopt(&mut shard);
    for _ in 0..3000 {
        drop(adopt(&mut shard));
        shard.connections[1].flags.set(Flags::READABLE, true);
        shard.serve(1);
        assert_eq!(shard.connections.len(), 1);
        assert!(shard.deadlines.len() <= 1024 + 4 * 2);
    }
    let of_slot_0 = |shard: &Shard| shard.deadlines.iter().filter(|Reverse((_, slot))| *slot == 0).count();
    assert_eq!(of_slot_0(&shard), 1, "the deadline of the connection that stays is kept");
    drop(stays);
}

#[test]
fn a_shard_that_has_ended_refuses_commands_and_releases_its_permits() {
    let mut shard = shard(crate::config::Config::default().max_clients(2));
    let (shard_handle, state) = (Arc::clone(&shard.shard_handle), Arc::clone(&shard.state));
    let _connected = adopt(&mut shard);
    let (under_way, _theirs) = UnixStream::pair().unwrap();
    let permit = state.admit().unwrap();
    shard_handle.send(ShardCommand::AddConnection(Socket::Unix(under_way), Peer::Unix, permit)).unwrap();
    assert_eq!(state.admit(), Some(ConnectionPermit::Refused));
    drop(shard);
    assert!(shard_handle.send(ShardCommand::Wake(0)).is_err());
    assert_eq!(
        (state.admit(), state.admit()),
        (Some(ConnectionPermit::Client), Some(ConnectionPermit::Client))
    );
}

#[test]
fn a_slot_is_queued_once() {
    let mut shard = shard(crate::config::Config::default());
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

#[test]
fn refusals_are_limited() {
    let state = DriverState::new(crate::config::Config::default().max_clients(1));
    assert_eq!(state.admit(), Some(ConnectionPermit::Client));
    let refused =
        std::iter::from_fn(|| state.admit()).inspect(|permit| assert_eq!(*permit, ConnectionPermit::Refused));
    assert_eq!(refused.count(), 1024);
    state.release(ConnectionPermit::Client);
    assert_eq!(state.admit(), Some(ConnectionPermit::Client));
}

/// Together with the client's memory, this is the cost of an idle connection.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert!(size_of::<ConnectionSlot>() <= 72, "{}", size_of::<ConnectionSlot>());
}

/// Sends when the client connects, and whenever it has read.
struct Fountain;

impl crate::resource::Resource for Fountain {
    fn connected(&self, client: &crate::client::Client) -> Result<(), crate::client::close::Close> {
        let _ = client.send_binary(&[0; 1000]);
        Ok(())
    }

    fn drained(&self, client: &crate::client::Client) {
        let _ = client.send_binary(&[0; 1000]);
    }
}

#[test]
fn a_handler_that_always_sends_does_not_starve_the_sockets() {
    let mut shard = shard(crate::config::Config::default().write_high_water(10));
    shard.state.resources.register("/", clws_handshake::Origins::any(), Fountain).unwrap();
    shard.shard_handle.register_current_thread();
    let mut theirs = adopt(&mut shard);
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

/// Returns each binary message.
struct Echo;

impl crate::resource::Resource for Echo {
    fn binary(&self, client: &crate::client::Client, payload: clws_proto::Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// A shard with one client of that resource, and the client's end of its socket.
fn open(resource: impl crate::resource::Resource) -> (Shard, UnixStream) {
    let mut shard = shard(crate::config::Config::default());
    shard.state.resources.register("/", clws_handshake::Origins::any(), resource).unwrap();
    shard.shard_handle.register_current_thread();
    let mut theirs = adopt(&mut shard);
    assert!(shard.connections[0].connection.reads_little(), "before it is accepted");
    std::io::Write::write_all(
        &mut theirs,
        b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    )
    .unwrap();
    shard.connections[0].flags.set(Flags::READABLE, true);
    shard.serve(0);
    let mut answer = [0; 4096];
    assert!(std::io::Read::read(&mut theirs, &mut answer).unwrap() > 100);
    (shard, theirs)
}

#[test]
fn echoes_reuse_one_buffer() {
    let (mut shard, mut theirs) = open(Echo);
    let mut sender = clws_proto::Sender::client(clws_proto::Version::Rfc6455, || [1, 2, 3, 4]);
    let read_sizer = ReadSizer::default();
    let lies_at = shard.read_buffers.lend(read_sizer).as_ptr();
    for _ in 0..5 {
        sender.binary(&[7; 40_000], None).unwrap();
        sender.write_to(&mut theirs).unwrap();
        shard.connections[0].flags.set(Flags::READABLE, true);
        shard.serve(0);
        assert_eq!(shard.read_buffers.read(read_sizer, 0).0.len(), 0, "the message took it");
        let mut echo = [0; 4 + 40_000];
        std::io::Read::read_exact(&mut theirs, &mut echo).unwrap();
        assert!(echo[4..] == [7; 40_000]);
        assert_eq!(shard.read_buffers.lend(read_sizer).as_ptr(), lies_at, "the message gave it back");
    }
    assert!(!shard.connections[0].connection.reads_little());
}

/// One read may exceed the limit of a mailbox.
#[test]
fn a_client_with_a_mailbox_is_read_in_small_steps() {
    let (sender, _mailbox) = crate::handler::mailbox::mailbox::<()>();
    let (shard, _theirs) = open(sender);
    assert!(shard.connections[0].connection.reads_little());
    let (shard, _theirs) = open(crate::handler::async_handler::async_handler(async |_| ()));
    assert!(shard.connections[0].connection.reads_little());
}

/// The peer sends more bytes of a message in progress.
fn send_more(theirs: &mut UnixStream, bytes: usize) {
    std::io::Write::write_all(theirs, &vec![0; bytes]).unwrap();
}

/// While memory is short, a client that holds much is read from once each tick.
#[test]
fn a_client_that_holds_much_is_read_little() {
    let (mut shard, mut theirs) = open(Echo);
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let held = |shard: &Shard| shard.connections[0].connection.held();
    let read = |shard: &mut Shard| {
        shard.connections[0].flags.set(Flags::READABLE, true);
        shard.serve(0);
    };
    std::io::Write::write_all(&mut theirs, &[0x81, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]).unwrap();
    send_more(&mut theirs, 50_000);
    read(&mut shard);
    assert!((50_000..FREE).contains(&held(&shard)), "{}", held(&shard));

    let most = budget.limit() - budget.limit() / 8;
    budget.charge_bytes(most);
    send_more(&mut theirs, 50_000);
    read(&mut shard);
    let before = held(&shard);
    assert!(before >= 100_000, "the client held little");
    for _ in 0..3 {
        send_more(&mut theirs, 10_000);
        read(&mut shard);
    }
    assert!(held(&shard) == before && shard.relief.held_back == [0], "it is listed once");
    shard.reexamine();
    assert!(shard.relief.held_back == [0], "not before a tick");
    let at = shard.relief.next_wake_up().unwrap();
    assert!(shard.next_wake_up().unwrap() <= at);
    shard.now = at;
    shard.reexamine();
    assert!(
        held(&shard) > before && !shard.connections[0].flags.has(Flags::READABLE),
        "it was read a little"
    );

    // With enough memory, the client continues.
    send_more(&mut theirs, 10_000);
    read(&mut shard);
    assert_eq!(shard.relief.held_back, [0]);
    budget.release_bytes(most);
    budget.give_back();
    shard.now = shard.relief.next_wake_up().unwrap();
    shard.reexamine();
    assert!(shard.relief.held_back.is_empty() && shard.relief.next_wake_up().is_none());
    assert_eq!(shard.queue, [0]);
}

#[test]
fn the_biggest_client_is_dropped_when_all_hold_too_much() {
    let (mut shard, mut big) = open(Echo);
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let _other = adopt(&mut shard);
    std::io::Write::write_all(&mut big, &[0x82, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]).unwrap();
    send_more(&mut big, 100_000);
    shard.connections[0].flags.set(Flags::READABLE, true);
    shard.serve(0);

    // No client holds a fair share.
    budget.charge_bytes(budget.limit());
    shard.relieve();
    assert!(budget.is_over());
    assert_eq!((shard.connections.len(), budget.dropped()), (2, 0));
    assert!(shard.relief.next_wake_up().is_some(), "it searches again");
    budget.release_bytes(budget.limit());
}
