use std::os::unix::net::UnixStream;

use super::*;
use crate::admission::ConnectionPermit;
use crate::budget::FREE;
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::deadlines::{TICK, tick, time};
use crate::net::socket::{Peer, Socket};

#[test]
fn no_deadline_is_before_its_time() {
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

/// Many connections come and go before the first of their deadlines.
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
    assert_eq!(of_slot_0(&shard), 1, "that of the one that stays is kept");
    drop(stays);
}

#[test]
fn a_shard_that_has_ended_takes_nothing_and_gives_its_seats_back() {
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
fn a_slot_waits_to_be_read_once() {
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
fn refusals_have_an_end() {
    let state = DriverState::new(crate::config::Config::default().max_clients(1));
    assert_eq!(state.admit(), Some(ConnectionPermit::Client));
    let refused =
        std::iter::from_fn(|| state.admit()).inspect(|permit| assert_eq!(*permit, ConnectionPermit::Refused));
    assert_eq!(refused.count(), 1024);
    state.release(ConnectionPermit::Client);
    assert_eq!(state.admit(), Some(ConnectionPermit::Client));
}

/// With the client's own memory this is what an idle connection costs.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert!(size_of::<ConnectionSlot>() <= 72, "{}", size_of::<ConnectionSlot>());
}

/// Sends whenever its client has read, and once to begin with.
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
fn a_handler_that_always_sends_more_lets_the_sockets_have_their_turn() {
    let mut shard = shard(crate::config::Config::default().write_high_water(10));
    shard.state.resources.register("/", crate::Origins::any(), Fountain).unwrap();
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
        shard.flush_touched(); // comes back, though there is always more to flush
        assert!(shard.has_work());
    }
}

/// Sends back what comes.
struct Echo;

impl crate::resource::Resource for Echo {
    fn binary(&self, client: &crate::client::Client, payload: crate::Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// A shard with one client of that resource, and the client's end of its socket.
fn open(resource: impl crate::resource::Resource) -> (Shard, UnixStream) {
    let mut shard = shard(crate::config::Config::default());
    shard.state.resources.register("/", crate::Origins::any(), resource).unwrap();
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
fn echoes_go_round_in_one_buffer() {
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
        assert_eq!(shard.read_buffers.lend(read_sizer).as_ptr(), lies_at, "and gave it back");
    }
    assert!(!shard.connections[0].connection.reads_little());
}

/// What one read brings is kept beside a mailbox that is full.
#[test]
fn whose_messages_are_queued_is_read_little_by_little() {
    let (sender, _mailbox) = crate::handler::mailbox::mailbox::<()>();
    let (shard, _theirs) = open(sender);
    assert!(shard.connections[0].connection.reads_little());
    let (shard, _theirs) = open(crate::handler::async_handler::async_handler(async |_| ()));
    assert!(shard.connections[0].connection.reads_little());
}

/// A message in progress, of which so many bytes more are written to the client's socket.
fn go_on(theirs: &mut UnixStream, bytes: usize) {
    std::io::Write::write_all(theirs, &vec![0; bytes]).unwrap();
}

/// While memory is short a client that holds much is read from once each tick, and one that holds little as ever.
#[test]
fn who_holds_much_reads_little() {
    let (mut shard, mut theirs) = open(Echo);
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let held = |shard: &Shard| shard.connections[0].connection.held();
    let read = |shard: &mut Shard| {
        shard.connections[0].flags.set(Flags::READABLE, true);
        shard.serve(0);
    };
    std::io::Write::write_all(&mut theirs, &[0x81, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]).unwrap();
    go_on(&mut theirs, 50_000);
    read(&mut shard);
    assert!((50_000..FREE).contains(&held(&shard)), "{}", held(&shard));

    let most = budget.limit() - budget.limit() / 8;
    budget.charge_bytes(most);
    go_on(&mut theirs, 50_000);
    read(&mut shard);
    let before = held(&shard);
    assert!(before >= 100_000, "it held little");
    for _ in 0..3 {
        go_on(&mut theirs, 10_000);
        read(&mut shard);
    }
    assert!(held(&shard) == before && shard.relief.held_back == [0], "once");
    shard.look_again();
    assert!(shard.relief.held_back == [0], "not before a tick");
    let at = shard.relief.next_wake_up().unwrap();
    assert!(shard.next_wake_up().unwrap() <= at);
    shard.now = at;
    shard.look_again();
    assert!(held(&shard) > before && !shard.connections[0].flags.has(Flags::READABLE), "it read a little");

    // Another has less, and one that was held back goes on when there is memory again.
    go_on(&mut theirs, 10_000);
    read(&mut shard);
    assert_eq!(shard.relief.held_back, [0]);
    budget.release_bytes(most);
    budget.give_back();
    shard.now = shard.relief.next_wake_up().unwrap();
    shard.look_again();
    assert!(shard.relief.held_back.is_empty() && shard.relief.next_wake_up().is_none());
    assert_eq!(shard.queue, [0]);
}

#[test]
fn the_biggest_is_dropped_when_all_together_hold_too_much() {
    let (mut shard, mut big) = open(Echo);
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let _other = adopt(&mut shard);
    std::io::Write::write_all(&mut big, &[0x82, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]).unwrap();
    go_on(&mut big, 100_000);
    shard.connections[0].flags.set(Flags::READABLE, true);
    shard.serve(0);

    // As much as it is, it is not its fault.
    budget.charge_bytes(budget.limit());
    shard.relieve();
    assert!(budget.is_over());
    assert_eq!((shard.connections.len(), budget.dropped()), (2, 0));
    assert!(shard.relief.next_wake_up().is_some(), "it looks again");
    budget.release_bytes(budget.limit());
}
