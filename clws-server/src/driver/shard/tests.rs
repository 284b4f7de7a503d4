//! Tests of the shard: deadlines, permits, flushing, read buffers and the memory budget.

use std::os::unix::net::UnixStream;

use super::*;
use crate::admission::ConnectionPermit;
use crate::budget::HOLD_BACK_ABOVE;
use crate::config::address::Peer;
use crate::connection::Connection;
use crate::connection::activity::CHECKS;
use crate::connection::share::Share;
use crate::driver::read_buffers::ReadSizer;
use crate::driver::shard::deadlines::{TICK, tick, time};
use crate::net::socket::Socket;
use crate::time::{ticks, virtual_clock};
use crate::wake::WakeTargetRef;
use clws_proto::Input;

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

fn shard(config: crate::config::Config) -> Shard {
    let poller = Poller::new().unwrap();
    let shard_handle = Arc::new(ShardHandle::new(poller.waker()));
    Shard::new(DriverState::new(config), shard_handle, poller, &[]).unwrap()
}

fn permit(state: &DriverState) -> Option<ConnectionPermit> {
    state.admit(Peer::Unix).ok().map(|admitted| admitted.permit)
}

fn add_connection(shard: &mut Shard) -> UnixStream {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    shard.place(Socket::Unix(ours), Peer::Unix);
    theirs
}

/// Many connections open and close before the first of their deadlines.
#[test]
fn drops_the_deadlines_of_closed_connections() {
    let mut shard = shard(crate::config::Config::default().handshake_timeout(Duration::MAX));
    let stays = add_connection(&mut shard);
    for _ in 0..3000 {
        drop(add_connection(&mut shard));
        shard.connections[1].flags.set(Flags::READABLE, true);
        shard.serve(1);
        assert_eq!(shard.connections.len(), 1);
        assert!(shard.deadlines.len() <= 1024 + 4 * 2);
    }
    let of_slot_0 = |shard: &Shard| shard.deadlines.iter().filter(|Reverse((_, slot))| *slot == 0).count();
    assert_eq!(of_slot_0(&shard), 1, "the deadline of the remaining connection is kept");
    drop(stays);
}

#[test]
fn an_ended_shard_refuses_commands_and_releases_its_permits() {
    let mut shard = shard(crate::config::Config::default().max_clients(2));
    let (shard_handle, state) = (Arc::clone(&shard.shard_handle), Arc::clone(&shard.state));
    let _connected = add_connection(&mut shard);
    let (in_flight, _theirs) = UnixStream::pair().unwrap();
    let admitted = state.admit(Peer::Unix).unwrap();
    shard_handle.send(ShardCommand::AddConnection(Socket::Unix(in_flight), Peer::Unix, admitted)).unwrap();
    assert_eq!(permit(&state), Some(ConnectionPermit::Refused));
    drop(shard);
    assert!(shard_handle.send(ShardCommand::Wake(0)).is_err());
    assert_eq!(
        (permit(&state), permit(&state)),
        (Some(ConnectionPermit::Client), Some(ConnectionPermit::Client))
    );
}

#[test]
fn an_ended_shard_releases_its_addresses() {
    let mut shard = shard(crate::config::Config::default().max_clients_per_ip(1));
    let (shard_handle, state) = (Arc::clone(&shard.shard_handle), Arc::clone(&shard.state));
    let peer = |last| Peer::Tcp(([192, 0, 2, last], 1).into());
    let socket = || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (Socket::Unix(ours), theirs)
    };
    let ((first, _theirs), (second, _of_second)) = (socket(), socket());
    shard.place(first, peer(1));
    shard.place(second, peer(1));
    assert_eq!((state.clients(), state.refused(), state.addresses()), (1, 1, 1));
    let (in_flight, _of_third) = socket();
    let admitted = state.admit(peer(2)).unwrap();
    shard_handle.send(ShardCommand::AddConnection(in_flight, peer(2), admitted)).unwrap();
    assert_eq!(state.addresses(), 2);
    drop(shard);
    assert_eq!((state.clients(), state.refused(), state.addresses()), (0, 0, 0));
}

#[test]
fn a_full_server_counts_no_address() {
    let state = DriverState::new(crate::config::Config::default().max_clients(1).max_clients_per_ip(5));
    let peer = |last| Peer::Tcp(([192, 0, 2, last], 1).into());
    let first = state.admit(peer(1)).unwrap();
    let second = state.admit(peer(2)).unwrap();
    assert_eq!((second.permit, state.addresses()), (ConnectionPermit::Refused, 1));
    drop(first);
    assert_eq!(state.addresses(), 0);
}

#[test]
fn queues_a_slot_for_reading_once() {
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
fn bounds_the_number_of_refused_connections() {
    let state = DriverState::new(crate::config::Config::default().max_clients(1));
    assert_eq!(permit(&state), Some(ConnectionPermit::Client));
    let refused = std::iter::from_fn(|| permit(&state))
        .inspect(|permit| assert_eq!(*permit, ConnectionPermit::Refused));
    assert_eq!(refused.count(), 1024);
    state.release(ConnectionPermit::Client);
    assert_eq!(permit(&state), Some(ConnectionPermit::Client));
}

/// Together with the client's memory, this is the cost of an idle connection.
#[test]
#[cfg(target_pointer_width = "64")]
fn sizes() {
    assert!(size_of::<ConnectionSlot>() <= 72, "{}", size_of::<ConnectionSlot>());
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
    let mut shard = shard(crate::config::Config::default().write_high_water(10));
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

/// Echoes binary messages.
struct Echo;

impl crate::resource::Resource for Echo {
    fn binary(&self, client: &crate::client::Client, payload: clws_proto::Payload<'_>) {
        let _ = client.send(payload);
    }
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A shard with one client of `resource`, and the client's end of its socket.
fn open(resource: impl crate::resource::Resource) -> (Shard, UnixStream) {
    let mut shard = shard(crate::config::Config::default());
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

/// Answers each message with more than a socket takes.
struct Talkative;

impl crate::resource::Resource for Talkative {
    fn binary(&self, client: &crate::client::Client, _: clws_proto::Payload<'_>) {
        let _ = client.send(vec![7; 4 << 20]);
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

/// Writes the next `bytes` bytes of a message in progress.
fn write_more(theirs: &mut UnixStream, bytes: usize) {
    std::io::Write::write_all(theirs, &vec![0; bytes]).unwrap();
}

/// While memory is short, a client that holds much is read once per tick. A client that holds
/// little is read as usual.
#[test]
fn reads_once_per_tick_from_a_client_that_holds_much() {
    let (mut shard, mut theirs) = open(Echo);
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let held = |shard: &Shard| shard.connections[0].connection.held();
    let read = |shard: &mut Shard| {
        shard.connections[0].flags.set(Flags::READABLE, true);
        shard.serve(0);
    };
    std::io::Write::write_all(&mut theirs, &[0x81, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]).unwrap();
    write_more(&mut theirs, 50_000);
    read(&mut shard);
    assert!((50_000..HOLD_BACK_ABOVE).contains(&held(&shard)), "{}", held(&shard));

    let max = budget.limit() - budget.limit() / 8;
    budget.charge_bytes(max);
    write_more(&mut theirs, 50_000);
    read(&mut shard);
    let before = held(&shard);
    assert!(before >= 100_000, "the client holds little");
    for _ in 0..3 {
        write_more(&mut theirs, 10_000);
        read(&mut shard);
    }
    assert!(held(&shard) == before && shard.relief.held_back == [0], "held back once");
    shard.reexamine();
    assert!(shard.relief.held_back == [0], "read before the next tick");
    let at = shard.relief.next_wake_up().unwrap();
    assert!(shard.next_wake_up().unwrap() <= at);
    shard.now = at;
    shard.reexamine();
    assert!(held(&shard) > before && !shard.connections[0].flags.has(Flags::READABLE), "read once");

    // A client that was held back continues when enough memory is free.
    write_more(&mut theirs, 10_000);
    read(&mut shard);
    assert_eq!(shard.relief.held_back, [0]);
    budget.release_bytes(max);
    budget.give_back();
    shard.now = shard.relief.next_wake_up().unwrap();
    shard.reexamine();
    assert!(shard.relief.held_back.is_empty() && shard.relief.next_wake_up().is_none());
    assert_eq!(shard.queue, [0]);
}

/// The header of a binary message of 150,000 bytes, masked with zeros.
const LONG_MESSAGE: [u8; 14] = [0x82, 0xFF, 0, 0, 0, 0, 0, 2, 0x49, 0xF0, 0, 0, 0, 0];

/// While memory is short, clients whose peers have ended their side are read to their end, one
/// after the other.
#[test]
fn frees_the_memory_of_clients_that_are_gone() {
    let (mut shard, first) = open(Echo);
    let clients = [first, add_client(&mut shard), add_client(&mut shard), add_client(&mut shard)];
    for (slot, mut theirs) in clients.iter().enumerate() {
        std::io::Write::write_all(&mut theirs, &LONG_MESSAGE).unwrap();
        std::io::Write::write_all(&mut theirs, &[7; 70_000]).unwrap();
        report(&mut shard, slot, Flags::READABLE);
    }
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let max = budget.limit() - budget.limit() / 8;
    budget.charge_bytes(max);
    let [first, second, mut half_closed, mut stays] = clients;
    for mut theirs in [&first, &second, &half_closed, &stays] {
        std::io::Write::write_all(&mut theirs, &[7; 79_000]).unwrap();
    }
    for slot in 0..4 {
        report(&mut shard, slot, Flags::READABLE);
    }
    assert_eq!(shard.relief.held_back, [0, 1, 2, 3]);

    std::io::Write::write_all(&mut half_closed, &[7; 1000]).unwrap();
    half_closed.shutdown(std::net::Shutdown::Write).unwrap();
    drop((first, second));
    for slot in 0..3 {
        report(&mut shard, slot, Flags::READABLE | Flags::HANGUP);
    }
    assert_eq!(shard.relief.gone, [0, 1, 2]);
    assert!(shard.has_work());
    let unread = |shard: &Shard, slot: usize| {
        let Socket::Unix(socket) = &shard.connections[slot].socket else { panic!() };
        rustix::io::ioctl_fionread(socket).unwrap()
    };
    assert_eq!([0, 1, 2].map(|slot| unread(&shard, slot)), [79_000, 79_000, 80_000]);
    shard.read_gone();
    assert!(unread(&shard, 0) < 20_000, "a little was read");
    assert_eq!([1, 2].map(|slot| unread(&shard, slot)), [79_000, 80_000], "one at a time");
    assert_eq!(shard.relief.gone, [0, 1, 2], "the first one stays the first");
    for _ in 0..20 {
        shard.read_gone();
        shard.drive_woken();
    }
    assert!([0, 1].iter().all(|slot| !shard.connections.contains(*slot)), "they have ended");
    assert!(shard.relief.gone.is_empty() && budget.dropped() == 0);

    // The third one has sent a whole message, and waits for the answer.
    let mut echo = [0; 10 + 150_000];
    std::io::Read::read_exact(&mut half_closed, &mut echo[..100_000]).unwrap();
    shard.drive(2);
    std::io::Read::read_exact(&mut half_closed, &mut echo[100_000..]).unwrap();
    assert!(echo[10..] == [7; 150_000]);
    shard.serve(2);
    assert_eq!(shard.connections.len(), 1);
    std::io::Write::write_all(&mut stays, &[7; 1000]).unwrap();
    budget.release_bytes(max);
    budget.give_back();
}

/// Ignores its clients.
struct Silent;

impl crate::resource::Resource for Silent {}

/// While some memory is left, one held-back client at a time is read as usual.
#[test]
fn favors_one_client_until_its_message_is_complete() {
    let (mut shard, first) = open(Silent);
    let clients = [first, add_client(&mut shard), add_client(&mut shard)];
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    for (slot, mut theirs) in clients.iter().enumerate() {
        std::io::Write::write_all(&mut theirs, &LONG_MESSAGE).unwrap();
        std::io::Write::write_all(&mut theirs, &[7; 70_000]).unwrap();
        report(&mut shard, slot, Flags::READABLE);
    }
    let (some, much) = (budget.limit() / 16 * 13, budget.limit() / 8);
    budget.charge_bytes(some + much);
    let [mut first, mut second, mut third] = clients;
    let write = |shard: &mut Shard, slot: usize, theirs: &mut UnixStream, len| {
        std::io::Write::write_all(theirs, &vec![7; len]).unwrap();
        report(shard, slot, Flags::READABLE);
    };
    let favored = |shard: &Shard| shard.relief.favored.map(|(slot, _)| slot);
    let is_read = |shard: &Shard, slot: usize| !shard.connections[slot].flags.has(Flags::READABLE);
    write(&mut shard, 0, &mut first, 10_000);
    write(&mut shard, 1, &mut second, 10_000);
    write(&mut shard, 2, &mut third, 10_000);
    shard.favor_one();
    assert_eq!(favored(&shard), None, "too little memory is left");

    budget.release_bytes(much);
    budget.give_back();
    shard.favor_one();
    assert_eq!(favored(&shard), Some(0));
    write(&mut shard, 0, &mut first, 10_000);
    assert!(is_read(&shard, 0) && !is_read(&shard, 1), "one is read as usual");
    shard.favor_one();
    assert_eq!(favored(&shard), Some(0), "it has a tick");
    write(&mut shard, 0, &mut first, 60_000);
    for _ in 0..10 {
        shard.serve(0);
    }
    shard.favor_one();
    assert_eq!(favored(&shard), Some(1), "the message of the first one is complete");
    shard.now += TICK;
    shard.favor_one();
    assert_eq!(favored(&shard), Some(2), "the tick is over");
    write(&mut shard, 1, &mut second, 1000);
    assert!(!is_read(&shard, 1) && shard.relief.held_back.contains(&1), "held back again");
    drop(third);
    report(&mut shard, 2, Flags::READABLE | Flags::HANGUP);
    for _ in 0..10 {
        shard.serve(2);
    }
    assert!(!shard.connections.contains(2), "read to its end");
    shard.favor_one();
    assert_eq!(favored(&shard), Some(1));
    budget.release_bytes(some);
    budget.give_back();
}

#[test]
fn keeps_a_large_client_that_did_not_cause_the_shortage() {
    let (mut shard, mut big) = open(Echo);
    let state = Arc::clone(&shard.state);
    let budget = state.budget();
    let _other = add_connection(&mut shard);
    std::io::Write::write_all(&mut big, &[0x82, 0xFF, 0, 0, 0, 0, 0, 0x80, 0, 0, 0, 0, 0, 0]).unwrap();
    write_more(&mut big, 100_000);
    shard.connections[0].flags.set(Flags::READABLE, true);
    shard.serve(0);

    // The client holds much, but it did not cause the shortage.
    budget.charge_bytes(budget.limit());
    shard.relieve();
    assert!(budget.is_over());
    assert_eq!((shard.connections.len(), budget.dropped()), (2, 0));
    assert!(shard.relief.next_wake_up().is_some(), "the shard checks again later");
    budget.release_bytes(budget.limit());
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

fn silent() -> (Silence, UnixStream) {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let (shard, theirs) = open(Echo);
    theirs.set_nonblocking(true).unwrap();
    (Silence { shard, now }, theirs)
}

/// The bytes that the client has received.
fn received(mut theirs: &UnixStream) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let count = std::io::Read::read(&mut theirs, &mut bytes).unwrap_or(0);
    bytes.truncate(count);
    bytes
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_sweep_pings_a_silent_client() {
    let (mut silence, mut theirs) = silent();
    silence.wait(20 * SECOND);
    assert!(received(&theirs).is_empty());
    silence.wait(3 * SECOND);
    let ping = received(&theirs);
    assert_eq!((ping.len(), &ping[..2]), (18, &[0x89, 16][..]));
    // Its pong is life, and measures the time.
    silence.wait(SECOND);
    let pong = [&[0x8A, 0x80 | 16, 0, 0, 0, 0][..], &ping[2..]].concat();
    std::io::Write::write_all(&mut theirs, &pong).unwrap();
    silence.read();
    let rtt = silence.shard.connections[0].connection.client().unwrap().rtt().unwrap();
    // The ping came within the last three seconds of the wait.
    assert!((SECOND..5 * SECOND).contains(&rtt), "{rtt:?}");
    silence.wait(20 * SECOND);
    assert!(received(&theirs).is_empty());
    silence.wait(6 * SECOND);
    assert_eq!(received(&theirs).len(), 18);
    // No answer: the client is read once, and gets its close frame.
    silence.wait(19 * SECOND);
    assert_eq!(silence.shard.connections.len(), 1);
    silence.wait(2 * SECOND);
    assert_eq!(received(&theirs)[..4], [0x88, 21, 0x03, 0xF3]);
    silence.wait(6 * SECOND);
    assert_eq!(silence.shard.connections.len(), 0);
    assert!(silence.shard.deadlines.is_empty());
}

#[test]
fn input_that_arrived_before_the_deadline_counts() {
    let (mut silence, mut theirs) = silent();
    silence.wait(23 * SECOND);
    assert_eq!(received(&theirs).len(), 18);
    std::io::Write::write_all(&mut theirs, &[0x82, 0x80, 0, 0, 0, 0]).unwrap();
    // The shard is held up. No event has told it of the input.
    silence.set(silence.now + 100 * SECOND);
    silence.shard.sweep();
    silence.shard.expire();
    assert_eq!(silence.shard.connections.len(), 1);
    assert_eq!(received(&theirs)[..2], [0x82, 0]);
}

#[test]
fn a_sweep_finds_messages_that_do_not_advance() {
    let (mut silence, mut theirs) = silent();
    // Slow bytes are life for keepalive, and not for the message.
    std::io::Write::write_all(&mut theirs, &[0x82, 0xFE, 0x10, 0, 0, 0, 0, 0]).unwrap();
    for _ in 0..30 {
        std::io::Write::write_all(&mut theirs, &[7]).unwrap();
        silence.read();
        silence.wait(5 * SECOND);
        if silence.shard.connections.is_empty() {
            break;
        }
    }
    assert_eq!(received(&theirs)[..4], [0x88, 25, 0x03, 0xF0]);
    assert!(silence.now < silence.shard.started + 100 * SECOND);
}

/// Two times begin in one turn: the client continues at the first, and must have read by the second.
#[test]
fn a_throttled_client_that_reads_nothing_is_dropped() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let config = crate::config::Config::default()
        .ping_interval(None)
        .write_timeout(30 * SECOND)
        .min_rate(0)
        .max_messages_per_second(1);
    let mut shard = shard(config);
    let mut theirs = open_in(&mut shard, Talkative);
    let mut silence = Silence { shard, now };
    std::io::Write::write_all(&mut theirs, &[0x82, 0x80, 0, 0, 0, 0].repeat(2)).unwrap();
    silence.read();
    assert!(silence.shard.connections[0].flags.has(Flags::BLOCKED));
    silence.wait(29 * SECOND);
    assert_eq!(silence.shard.connections.len(), 1);
    silence.wait(2 * SECOND);
    assert_eq!(silence.shard.connections.len(), 0);
}

/// Memory is short at the time of a check, and later it is not. No event comes from the client.
#[test]
fn the_clock_restarts_when_memory_is_free_again() {
    let (mut silence, mut theirs) = silent();
    // A message of 1 MiB begins.
    let begin = [&[0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0][..], &[7; 100_000]].concat();
    std::io::Write::write_all(&mut theirs, &begin).unwrap();
    silence.read();
    let state = Arc::clone(&silence.shard.state);
    let budget = state.budget();
    budget.charge_bytes(budget.limit());
    silence.wait(50 * SECOND);
    assert!(received(&theirs).is_empty());
    budget.release_bytes(budget.limit());
    budget.give_back();
    silence.wait(25 * SECOND);
    assert_eq!(received(&theirs).len(), 18, "a ping");
    // The same between the ping and the pong.
    budget.charge_bytes(budget.limit());
    silence.shard.drive(0);
    silence.wait(20 * SECOND);
    budget.release_bytes(budget.limit());
    budget.give_back();
    silence.wait(50 * SECOND);
    assert_eq!(silence.shard.connections.len(), 0);
}

/// Few clients are swept seldom, and many in small steps. Each is examined in time.
#[test]
fn a_sweep_examines_each_client_in_time() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let mut shard = shard(crate::config::Config::default().handshake_timeout(Duration::MAX));
    let _theirs: Vec<_> = (0..600).map(|_| add_connection(&mut shard)).collect();
    let mut silence = Silence { shard, now };
    let period = 20 * SECOND / 8;
    let (mut steps, end) = (0, now + 4 * period);
    while let Some(next) = silence.shard.next_wake_up().filter(|at| *at <= end) {
        silence.set(next);
        silence.shard.sweep();
        steps += 1;
    }
    assert!((6..20).contains(&steps), "{steps}");
}

/// The shard wakes up for nothing when it has no connection.
#[test]
fn an_empty_shard_does_not_sweep() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let shard = shard(crate::config::Config::default());
    let mut silence = Silence { shard, now };
    assert_eq!(silence.shard.next_wake_up(), None);
    drop(add_connection(&mut silence.shard));
    silence.read();
    silence.wait(10 * SECOND);
    silence.shard.release_at = None;
    assert_eq!(silence.shard.next_wake_up(), None);
}

/// A second drain has no time left, but the port is still being closed.
#[test]
fn a_shortened_drain_waits_for_its_port() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let state = DriverState::new(crate::config::Config::default().reuse_port(true));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let acceptor = Acceptor::Tcp { listener, is_foreign: false, is_tls: false };
    let poller = Poller::new().unwrap();
    let shard_handle = Arc::new(ShardHandle::new(poller.waker()));
    let shard = Shard::new(state, shard_handle, poller, &[Arc::new(acceptor)]).unwrap();
    let mut silence = Silence { shard, now };
    silence.shard.state.begin_drain(crate::drain::options::Drain::new());
    silence.shard.begin_drain();
    silence.shard.continue_drain();
    silence.shard.state.begin_drain(crate::drain::options::Drain::new().within(Duration::ZERO));
    silence.shard.begin_drain();
    silence.shard.continue_drain();
    assert!(!silence.shard.has_ended());
    assert!(silence.shard.next_wake_up().unwrap() > now, "the shard would not sleep");
    silence.set(now + SECOND);
    silence.shard.continue_drain();
    assert!(silence.shard.has_ended());
}

/// The processor time of this thread, or the time of the clock where the system does not tell.
fn thread_time() -> Duration {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| START.elapsed(), Duration::from_nanos)
}

/// Idle clients answer a ping in each interval. It prints the cost of their timers, and of all
/// without system calls: `CLWS_IDLE_CLIENTS=100000 cargo test --release -p clws-server --lib
/// cost_of_idle -- --nocapture`.
#[test]
fn cost_of_idle_clients() {
    const TURNS: u32 = 1200;
    let number = std::env::var("CLWS_IDLE_CLIENTS").map_or(1000, |number| number.parse().unwrap());
    let start = Instant::now();
    virtual_clock::set(Some(start));
    let shard = shard(crate::config::Config::default());
    shard.state.resources.register("/", clws_handshake::Origins::any(), Echo).unwrap();
    let context = |slot| shard.state.connection_context(WakeTargetRef::Shard(&shard.shard_handle, slot));
    let all = |slices: &[io::IoSlice<'_>]| Ok(slices.iter().map(|slice| slice.len()).sum());
    let open = |slot| {
        let mut connection = Connection::new(Peer::Unix, &context(slot));
        let mut request = REQUEST.to_vec();
        connection.handle_input(Input::Lent(&mut request), &mut Share::new(now), &context(slot));
        connection.transmit(&mut all.clone()).unwrap();
        connection
    };
    let mut connections: Vec<_> = (0..number).map(open).collect();
    let least = shard.state.context.shared.least_silence();
    let steps = usize::try_from(least / CHECKS).unwrap();
    let (mut spent, mut pings, mut idle) = (Duration::ZERO, 0, Duration::ZERO);
    for turn in 0..TURNS {
        let at = start + TICK * turn;
        virtual_clock::set(Some(at));
        let part = connections.len() / steps;
        let first = part * (turn as usize % steps);
        let before = thread_time();
        let tick = ticks(at.saturating_duration_since(shard.state.context.shared.started));
        for (slot, connection) in (0..).zip(&mut connections).skip(first).take(part) {
            if !connection.must_check(tick, least) || !connection.check(&context(slot)) {
                continue;
            }
            let mut pong = [0; 22];
            pong[..6].copy_from_slice(&[0x8A, 0x80 | 16, 0, 0, 0, 0]);
            let write = &mut |slices: &[io::IoSlice<'_>]| {
                pong[6..].copy_from_slice(&slices[0][2..]);
                all(slices)
            };
            connection.transmit(write).unwrap();
            let _ = connection.poll_action(&context(slot));
            connection.handle_input(Input::Lent(&mut pong), &mut Share::new(now), &context(slot));
            pings += 1;
        }
        spent += thread_time() - before;
        if turn < least {
            idle = spent; // nothing is due yet
        }
    }
    let share = |time: Duration, turns| 100.0 * time.as_secs_f64() / (TICK * turns).as_secs_f64();
    println!("{number} clients: {:.3} % of a core to look at them", share(idle, least));
    println!("{pings} pings with their pongs: {:.3} % of a core in all", share(spent, TURNS));
    // A ping comes after 20 s to 25 s of silence.
    assert!((4 * number..=6 * number).contains(&pings), "{pings} pings");
    assert!(connections.iter().all(|connection| connection.client().is_some()), "a client was dropped");
    virtual_clock::set(None);
}
