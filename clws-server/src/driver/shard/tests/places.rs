//! Connections that come and go: their permits and addresses, their deadlines, and the end of a
//! shard.

use super::*;
use crate::admission::ConnectionPermit;

fn permit(state: &DriverState) -> Option<ConnectionPermit> {
    state.admit(Peer::Unix).ok().map(|admitted| admitted.permit)
}

/// Many connections open and close before the first of their deadlines.
#[test]
fn drops_the_deadlines_of_closed_connections() {
    let mut shard = shard(Config::default().handshake_timeout(Duration::MAX));
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
    let mut shard = shard(Config::default().max_clients(2));
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
    let mut shard = shard(Config::default().max_clients_per_ip(1));
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
    let state = DriverState::new(Config::default().max_clients(1).max_clients_per_ip(5));
    let peer = |last| Peer::Tcp(([192, 0, 2, last], 1).into());
    let first = state.admit(peer(1)).unwrap();
    let second = state.admit(peer(2)).unwrap();
    assert_eq!((second.permit, state.addresses()), (ConnectionPermit::Refused, 1));
    drop(first);
    assert_eq!(state.addresses(), 0);
}

#[test]
fn bounds_the_number_of_refused_connections() {
    let state = DriverState::new(Config::default().max_clients(1));
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

/// A second drain has no time left, but the port is still being closed.
#[test]
fn a_shortened_drain_waits_for_its_port() {
    let now = Instant::now();
    virtual_clock::set(Some(now));
    let state = DriverState::new(Config::default().reuse_port(true));
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
