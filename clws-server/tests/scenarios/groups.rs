//! Groups of clients.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::common;
use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Recorder, Running, eventually, text};
use clws_server::{Client, CloseCode, Config, Delivery, Group, SendError, SharedMessage};

in_both_modes!(
    members_join_and_leave,
    messages_go_to_all_or_to_all_but_one,
    draft_0_gets_no_binary_messages,
    a_member_that_does_not_read_is_reported_and_affects_no_other,
    a_client_can_be_in_several_groups,
    a_group_can_contain_clients_of_two_servers,
    all_members_get_the_messages_of_many_threads_in_one_order,
    membership_begins_with_join_and_ends_with_leave,
    a_disconnected_client_cannot_join,
    closing_a_group_closes_all_members,
);

/// A server with clients that cycle through all versions.
fn assemble(config: Config, number: usize) -> (Running, Recorder, Vec<Peer>, Vec<Client>) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let connect = |i| (server.connect(ALL_VERSIONS[i % ALL_VERSIONS.len()], "/"), recorder.connected());
    let (peers, clients) = (0..number).map(connect).unzip();
    (server, recorder, peers, clients)
}

#[track_caller]
fn assert_sent(delivery: Delivery, sent: usize) {
    assert_eq!((delivery.sent, delivery.failed), (sent, vec![]));
}

/// Checks that no message precedes an echo.
#[track_caller]
fn assert_no_message_before(peer: &mut Peer) {
    peer.assert_echo("nothing before this");
}

fn members_join_and_leave(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config, 3);
    let group = Group::new();
    assert!(group.is_empty());
    assert_sent(group.send_text("to nobody"), 0);
    assert!(!group.leave(&clients[0]), "the client was no member");

    assert!(group.join(&clients[0]));
    assert!(!group.join(&clients[0]), "the client already is a member");
    let same = group.clone();
    assert!(same == group && same != Group::new());
    assert!(same.join(&clients[1]));
    assert!(group.join(&clients[2]));
    assert_eq!((group.len(), group.is_empty()), (3, false));
    assert!(clients.iter().all(|client| group.contains(client) && same.members().contains(client)));

    // Removes the first of three members. The last member takes its index.
    assert!(group.leave(&clients[0]));
    assert!(!same.leave(&clients[0]), "the client already left");
    assert!(!group.contains(&clients[0]) && group.contains(&clients[1]) && group.contains(&clients[2]));
    drop(same);
    assert_sent(group.send_text("two are left"), 2);
    for peer in &mut peers[1..] {
        assert_eq!(peer.next(), text("two are left"));
    }
    assert_no_message_before(&mut peers[0]);

    assert!(group.leave(&clients[2]) && group.leave(&clients[1]));
    assert!(group.is_empty() && group.members().is_empty());
    assert!(group.join(&clients[0]), "a client may join again");
    assert_sent(group.send_text("one"), 1);
    assert_eq!(peers[0].next(), text("one"));
}

fn messages_go_to_all_or_to_all_but_one(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config, 9);
    let (outsider, group) = (&clients[8], Group::new());
    clients[..8].iter().for_each(|client| assert!(group.join(client)));

    assert_sent(group.send_text("to all"), 8);
    let long = SharedMessage::text("x".repeat(100_000));
    assert_sent(group.send(&long), 8);
    for peer in &mut peers[..8] {
        assert_eq!(peer.next(), text("to all"));
        assert_eq!(peer.next(), Received::Text("x".repeat(100_000)));
    }
    assert_eq!(long.encodings(), 2);
    for (number, except) in clients[..8].iter().enumerate() {
        assert_sent(group.send_except(SharedMessage::text(format!("not to {number}")), except), 7);
    }
    for (number, peer) in peers[..8].iter_mut().enumerate() {
        for other in (0..8).filter(|other| *other != number) {
            assert_eq!(peer.next(), Received::Text(format!("not to {other}")));
        }
    }
    assert_sent(group.send_except(SharedMessage::text("the exception is no member"), outsider), 8);
    for peer in &mut peers[..8] {
        assert_eq!(peer.next(), text("the exception is no member"));
    }
    peers.iter_mut().for_each(assert_no_message_before);
}

fn draft_0_gets_no_binary_messages(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config, 4);
    let group = Group::new();
    clients.iter().for_each(|client| assert!(group.join(client)));
    let message = SharedMessage::binary(vec![7; 3000]);
    for delivery in [group.send_binary(&b"\0\xFF"[..]), group.send(&message)] {
        assert_eq!(delivery.sent, 3);
        assert_eq!(delivery.failed, [(clients[0].clone(), SendError::Unsupported)]);
        assert!(!delivery.is_complete());
    }
    assert_eq!(message.encodings(), 1, "an encoding for draft 0");
    for peer in &mut peers[1..] {
        assert_eq!(peer.next(), Received::Binary(b"\0\xFF".to_vec()));
        assert_eq!(peer.next(), Received::Binary(vec![7; 3000]));
    }
    assert!(group.contains(&clients[0]), "a failed send does not remove the member");
    assert_sent(group.send_except(&message, &clients[0]), 3);
    assert_sent(group.send_text("but this"), 4);
    assert_eq!(peers[0].next(), text("but this"));
}

fn a_member_that_does_not_read_is_reported_and_affects_no_other(config: Config) {
    const SIZE: usize = 10_000;

    let (_server, _recorder, mut peers, clients) = assemble(config.max_write_backlog(100_000), 5);
    let group = Group::new();
    clients.iter().for_each(|client| assert!(group.join(client)));
    let (slow, others) = peers.split_first_mut().unwrap();
    let mut send = |message: &str| {
        let delivery = group.send_text(message);
        assert_eq!(delivery.sent + delivery.failed.len(), 5);
        for other in &mut *others {
            assert!(other.next() == text(message), "{message:.9}");
        }
        delivery.failed
    };
    // First the socket buffers fill, then the outbox.
    let mut sent_to_slow = Vec::new();
    for number in 0.. {
        let message = format!("{number:0SIZE$}");
        let failed = send(&message);
        if !failed.is_empty() {
            assert_eq!(failed, [(clients[0].clone(), SendError::Full)]);
            break;
        }
        sent_to_slow.push(message);
        assert!(number * SIZE < 100 << 20, "the outbox never fills");
    }
    // The client missed a message, so the server closes it.
    assert_eq!(send("without it"), [(clients[0].clone(), SendError::Closed)]);
    for message in sent_to_slow {
        assert!(slow.next() == Received::Text(message));
    }
    assert_eq!(
        slow.next(),
        Received::Close(None),
        "draft 0 has no close codes; other versions would get 1013"
    );
    slow.close(1013, "");
    common::eventually("the client leaves the group", || !group.contains(&clients[0]));
    assert_eq!(send_to_the_rest(&group, others), 4);
}

/// Sends to the remaining members. Returns the number of receivers.
fn send_to_the_rest(group: &Group, peers: &mut [Peer]) -> usize {
    let delivery = group.send_text("to the rest");
    assert!(delivery.is_complete());
    for peer in peers {
        assert_eq!(peer.next(), text("to the rest"));
    }
    delivery.sent
}

fn a_client_can_be_in_several_groups(config: Config) {
    let (_server, recorder, mut peers, clients) = assemble(config, 2);
    let groups: [_; 5] = std::array::from_fn(|_| Group::new());
    for group in &groups {
        assert!(group.join(&clients[0]) && group.join(&clients[1]));
    }
    assert!(groups[1].leave(&clients[0]));
    for (number, group) in groups.iter().enumerate() {
        assert_sent(group.send_text(number.to_string()), if number == 1 { 1 } else { 2 });
    }
    for number in ["0", "2", "3", "4"] {
        assert_eq!(peers[0].next(), text(number));
    }
    for number in ["0", "1", "2", "3", "4"] {
        assert_eq!(peers[1].next(), text(number));
    }
    peers.iter_mut().for_each(assert_no_message_before);

    drop(peers.remove(0));
    recorder.disconnected();
    for group in &groups {
        assert_eq!(group.members(), clients[1..]);
        assert_sent(group.send_text("x"), 1);
        assert_eq!(peers[0].next(), text("x"));
    }
}

fn a_group_can_contain_clients_of_two_servers(config: Config) {
    let (_first, first_recorder, mut first_peers, first_clients) = assemble(config.clone(), 2);
    let (_second, second_recorder, mut second_peers, second_clients) = assemble(config, 2);
    let group = Group::new();
    for client in first_clients.iter().chain(&second_clients) {
        assert!(group.join(client));
    }
    assert_sent(group.send_text("to both"), 4);
    for peer in first_peers.iter_mut().chain(&mut second_peers) {
        assert_eq!(peer.next(), text("to both"));
    }
    drop(first_peers.remove(0));
    first_recorder.disconnected();
    assert!(!group.contains(&first_clients[0]));
    drop(second_peers.remove(0));
    second_recorder.disconnected();
    assert!(!group.contains(&second_clients[0]));
    assert_sent(group.send_text("to the rest"), 2);
    for peer in first_peers.iter_mut().chain(&mut second_peers) {
        assert_eq!(peer.next(), text("to the rest"));
    }
}

/// Each thread sends to the group and, between group messages, to a single member.
fn all_members_get_the_messages_of_many_threads_in_one_order(config: Config) {
    const THREADS: usize = 4;
    const MEMBERS: usize = 8;
    const MESSAGES: usize = 400;

    let (_server, _recorder, mut peers, clients) = assemble(config, MEMBERS);
    let group = Group::new();
    clients.iter().for_each(|client| assert!(group.join(client)));
    let orders: Vec<Vec<String>> = thread::scope(|scope| {
        for thread in 0..THREADS {
            let (group, clients) = (&group, &clients);
            scope.spawn(move || {
                for number in 0..MESSAGES {
                    assert_sent(group.send_text(format!("{thread} {number} all")), MEMBERS);
                    clients[number % MEMBERS].send_text(&format!("{thread} {number} one")).unwrap();
                }
            });
        }
        let read = peers.iter_mut().enumerate().map(|(member, peer)| {
            scope.spawn(move || {
                let mut of_threads: [_; THREADS] = std::array::from_fn(|_| Vec::new());
                let mut of_all = Vec::new();
                for _ in 0..THREADS * (MESSAGES + MESSAGES / MEMBERS) {
                    let Received::Text(message) = peer.next() else { panic!() };
                    if message.ends_with("all") {
                        of_all.push(message.clone());
                    }
                    of_threads[usize::from(message.as_bytes()[0] - b'0')].push(message);
                }
                for (thread, messages) in of_threads.iter().enumerate() {
                    let expected = (0..MESSAGES).flat_map(|number| {
                        let one = (number % MEMBERS == member).then(|| format!("{thread} {number} one"));
                        std::iter::once(format!("{thread} {number} all")).chain(one)
                    });
                    assert!(expected.eq(messages.iter().cloned()), "member {member}, thread {thread}");
                }
                assert_no_message_before(peer);
                of_all
            })
        });
        let read: Vec<_> = read.collect();
        read.into_iter().map(|order| order.join().unwrap()).collect()
    });
    for (member, order) in orders.iter().enumerate() {
        assert!(*order == orders[0], "member {member} got another order");
    }
}

/// A member gets every message sent between its join and its leave, without a gap, while another
/// thread sends.
fn membership_begins_with_join_and_ends_with_leave(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config, 4);
    let group = Group::new();
    let (begun, done, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let number = begun.fetch_add(1, Ordering::SeqCst);
                assert!(group.send_text(number.to_string()).is_complete());
                done.fetch_add(1, Ordering::SeqCst);
                thread::yield_now();
            }
        });
        let parts: Vec<_> = (peers.iter_mut().zip(&clients))
            .map(|(peer, client)| {
                let (group, begun, done) = (&group, &begun, &done);
                scope.spawn(move || {
                    for _ in 0..20 {
                        let first = done.load(Ordering::SeqCst);
                        assert!(group.join(client));
                        let first = first..=begun.load(Ordering::SeqCst);
                        eventually("some messages", || done.load(Ordering::SeqCst) > first.end() + 5);
                        let last = done.load(Ordering::SeqCst);
                        assert!(group.leave(client));
                        let last = last..=begun.load(Ordering::SeqCst);
                        client.send_text("end").unwrap();

                        let mut numbers = Vec::new();
                        loop {
                            let Received::Text(message) = peer.next() else { panic!() };
                            let Ok(number) = message.parse::<usize>() else { break };
                            numbers.push(number);
                        }
                        assert!(numbers.windows(2).all(|two| two[1] == two[0] + 1), "{numbers:?}");
                        assert!(first.contains(&numbers[0]), "{first:?} {numbers:?}");
                        assert!(last.contains(&(numbers[numbers.len() - 1] + 1)), "{last:?} {numbers:?}");
                    }
                })
            })
            .collect();
        let parts: Vec<_> = parts.into_iter().map(|part| part.join()).collect();
        over.store(true, Ordering::SeqCst);
        parts.into_iter().for_each(Result::unwrap);
    });
    assert!(group.is_empty());
}

fn a_disconnected_client_cannot_join(config: Config) {
    const CLIENTS: usize = 60;

    let (_server, recorder, peers, clients) = assemble(config, CLIENTS);
    let over = AtomicBool::new(false);
    let groups: [_; 3] = std::array::from_fn(|_| Group::new());
    thread::scope(|scope| {
        for group in &groups {
            scope.spawn(|| {
                while !over.load(Ordering::SeqCst) {
                    for client in &clients {
                        group.join(client);
                        group.leave(client);
                        group.join(client);
                    }
                }
            });
        }
        for peer in peers {
            drop(peer);
            recorder.disconnected();
        }
        over.store(true, Ordering::SeqCst);
    });
    for group in &groups {
        assert_eq!(group.members(), []);
        assert!(clients.iter().all(|client| !group.join(client)));
        assert!(clients.iter().all(|client| !group.contains(client) && !group.leave(client)));
        assert_sent(group.send_text("to nobody"), 0);
    }
}

fn closing_a_group_closes_all_members(config: Config) {
    let (server, _recorder, mut peers, clients) = assemble(config, 5);
    let group = Group::new();
    clients[1..].iter().for_each(|client| assert!(group.join(client)));
    assert_sent(group.send_except("all but one", &clients[1]), 3);
    group.close((CloseCode::new(4000), "closing time"));
    for (number, peer) in peers.iter_mut().enumerate().skip(1) {
        if number > 1 {
            assert_eq!(peer.next(), text("all but one"));
        }
        // Draft 0 has no close codes.
        let end = if ALL_VERSIONS[number % ALL_VERSIONS.len()].is_hixie() {
            None
        } else {
            Some((4000, "closing time".to_owned()))
        };
        assert_eq!(peer.next(), Received::Close(end));
        peer.finish();
    }
    server.wait_for_clients(1);
    assert!(group.is_empty());
    assert_no_message_before(&mut peers[0]);
}
