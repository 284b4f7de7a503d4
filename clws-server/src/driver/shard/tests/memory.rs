//! Clients of a shard while memory is short.

use super::*;
use crate::budget::HOLD_BACK_ABOVE;

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
