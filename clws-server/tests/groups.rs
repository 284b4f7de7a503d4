//! Sets of clients that are sent to together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use clws_server::{
    Accept, Client, Close, CloseCode, Config, Delivery, Disconnect, Group, Opening, Reject, Resource,
    SendError, SharedMessage, Text, Version,
};
use common::{ALL, Diary, Got, PATIENCE, Peer, Probe, Running, eventually, text};

in_both_modes!(
    members_come_and_go,
    messages_go_to_all_or_to_all_but_one,
    draft_0_gets_no_binary_messages,
    one_that_does_not_read_is_reported_and_harms_no_other,
    who_disconnects_has_left_before_its_handler_is_called,
    who_is_refused_leaves_too,
    one_client_in_several_groups,
    clients_of_two_servers_in_one_group,
    everybody_gets_the_messages_of_many_threads_in_one_order,
    membership_begins_with_join_and_ends_with_leave,
    nobody_joins_behind_its_end,
    neither_group_nor_client_holds_the_other,
    is_closed_together,
);

/// A server with clients of all versions.
fn assemble(config: Config, number: usize) -> (Running, Diary, Vec<Peer>, Vec<Client>) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let connect = |i| (server.connect(ALL[i % ALL.len()], "/"), diary.connected());
    let (peers, clients) = (0..number).map(connect).unzip();
    (server, diary, peers, clients)
}

#[track_caller]
fn assert_sent(delivery: Delivery, sent: usize) {
    assert_eq!((delivery.sent, delivery.failed), (sent, vec![]));
}

/// What comes next is an echo, so nothing came before.
#[track_caller]
fn assert_nothing_came(peer: &mut Peer) {
    peer.assert_echo("nothing before this");
}

fn members_come_and_go(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config, 3);
    let group = Group::new();
    assert!(group.is_empty());
    assert_sent(group.send_text("to nobody"), 0);
    assert!(!group.leave(&clients[0]), "it was not in");

    assert!(group.join(&clients[0]));
    assert!(!group.join(&clients[0]), "it is in already");
    let same = group.clone();
    assert!(same == group && same != Group::new());
    assert!(same.join(&clients[1]));
    assert!(group.join(&clients[2]));
    assert_eq!((group.len(), group.is_empty()), (3, false));
    assert!(clients.iter().all(|client| group.contains(client) && same.members().contains(client)));

    // The first of three: another takes its place.
    assert!(group.leave(&clients[0]));
    assert!(!same.leave(&clients[0]), "it has left");
    assert!(!group.contains(&clients[0]) && group.contains(&clients[1]) && group.contains(&clients[2]));
    drop(same);
    assert_sent(group.send_text("two are left"), 2);
    for peer in &mut peers[1..] {
        assert_eq!(peer.next(), text("two are left"));
    }
    assert_nothing_came(&mut peers[0]);

    assert!(group.leave(&clients[2]) && group.leave(&clients[1]));
    assert!(group.is_empty() && group.members().is_empty());
    assert!(group.join(&clients[0]), "it may come back");
    assert_sent(group.send_text("one"), 1);
    assert_eq!(peers[0].next(), text("one"));
}

fn messages_go_to_all_or_to_all_but_one(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config, 9);
    let (outsider, group) = (&clients[8], Group::new());
    clients[..8].iter().for_each(|client| assert!(group.join(client)));

    assert_sent(group.send_text("to all"), 8);
    let long = SharedMessage::text("x".repeat(100_000));
    assert_sent(group.send(&long), 8);
    for peer in &mut peers[..8] {
        assert_eq!(peer.next(), text("to all"));
        assert_eq!(peer.next(), Got::Text("x".repeat(100_000)));
    }
    assert_eq!(long.encodings(), 2);
    for (number, except) in clients[..8].iter().enumerate() {
        assert_sent(group.send_except(SharedMessage::text(format!("not to {number}")), except), 7);
    }
    for (number, peer) in peers[..8].iter_mut().enumerate() {
        for other in (0..8).filter(|other| *other != number) {
            assert_eq!(peer.next(), Got::Text(format!("not to {other}")));
        }
    }
    assert_sent(group.send_except(SharedMessage::text("who is not in is no exception"), outsider), 8);
    for peer in &mut peers[..8] {
        assert_eq!(peer.next(), text("who is not in is no exception"));
    }
    peers.iter_mut().for_each(assert_nothing_came);
}

fn draft_0_gets_no_binary_messages(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config, 4);
    let group = Group::new();
    clients.iter().for_each(|client| assert!(group.join(client)));
    let message = SharedMessage::binary(vec![7; 3000]);
    for delivery in [group.send_binary(&b"\0\xFF"[..]), group.send(&message)] {
        assert_eq!(delivery.sent, 3);
        assert_eq!(delivery.failed, [(clients[0].clone(), SendError::Unsupported)]);
        assert!(!delivery.is_complete());
    }
    assert_eq!(message.encodings(), 1, "none for draft 0");
    for peer in &mut peers[1..] {
        assert_eq!(peer.next(), Got::Binary(b"\0\xFF".to_vec()));
        assert_eq!(peer.next(), Got::Binary(vec![7; 3000]));
    }
    assert!(group.contains(&clients[0]), "that is no reason to go");
    assert_sent(group.send_except(&message, &clients[0]), 3);
    assert_sent(group.send_text("but this"), 4);
    assert_eq!(peers[0].next(), text("but this"));
}

fn one_that_does_not_read_is_reported_and_harms_no_other(config: Config) {
    const SIZE: usize = 10_000;

    let (_server, _diary, mut peers, clients) = assemble(config.max_write_backlog(100_000), 5);
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
    // First the system's own buffers fill, then ours.
    let mut taken = Vec::new();
    for number in 0.. {
        let message = format!("{number:0SIZE$}");
        let failed = send(&message);
        if !failed.is_empty() {
            assert_eq!(failed, [(clients[0].clone(), SendError::Full)]);
            break;
        }
        taken.push(message);
        assert!(number * SIZE < 100 << 20, "it never is too much");
    }
    // It has missed a message, and so it is closed.
    assert_eq!(send("without it"), [(clients[0].clone(), SendError::Closed)]);
    for message in taken {
        assert!(slow.next() == Got::Text(message));
    }
    assert_eq!(slow.next(), Got::Close(None), "draft 0 has no codes; the others would see 1013");
    slow.close(1013, "");
    common::eventually("it leaves", || !group.contains(&clients[0]));
    assert_eq!(send_to_the_rest(&group, others), 4);
}

/// How many get a message, of those who are left.
fn send_to_the_rest(group: &Group, peers: &mut [Peer]) -> usize {
    let delivery = group.send_text("to the rest");
    assert!(delivery.is_complete());
    for peer in peers {
        assert_eq!(peer.next(), text("to the rest"));
    }
    delivery.sent
}

/// A room as in the documentation, that says who leaves.
struct Room {
    members: Group,
    ends: Sender<End>,
}

/// What the room sees when a client is gone.
struct End {
    contained: bool,
    joined: bool,
    delivery: Delivery,
}

impl Resource for Room {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        assert!(self.members.join(client));
        match client.query_string() {
            Some("refuse") => Err(Close::new(4000.into(), "not you")),
            _ => Ok(()),
        }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        match &*text {
            "close me" => client.close(CloseCode::new(4001)),
            "abort me" => client.abort(),
            "panic" => panic!("as it was told"),
            text => drop(self.members.send_except(SharedMessage::text(text), client)),
        }
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        let contained = self.members.contains(client);
        let joined = self.members.join(client);
        let delivery = self.members.send_text("somebody has left");
        self.ends.send(End { contained, joined, delivery }).unwrap();
    }
}

fn who_disconnects_has_left_before_its_handler_is_called(config: Config) {
    let (members, (ends, ended)) = (Group::new(), channel());
    let server = Running::start(config, Arc::new(Room { members: members.clone(), ends }));
    let mut stay = ALL.map(|version| server.connect(version, "/"));
    let leave: [fn(&mut Peer); 6] = [
        |peer| peer.close(1000, ""),
        |_| {}, // but drop the connection
        |peer| peer.raw(&[0xFF; 10]),
        |peer| {
            peer.text("close me");
            assert!(matches!(peer.next(), Got::Close(_)));
            peer.finish();
        },
        |peer| peer.text("abort me"),
        |peer| peer.text("panic"),
    ];
    for (way, leave) in leave.into_iter().enumerate() {
        for version in ALL {
            let mut peer = server.connect(version, "/");
            eventually("it is in", || members.len() == ALL.len() + 1);
            peer.text("hello");
            for other in &mut stay {
                assert_eq!(other.next(), text("hello"));
            }
            leave(&mut peer);
            drop(peer);
            let end = ended.recv_timeout(PATIENCE).unwrap();
            assert!(!end.contained, "{way} {version:?}");
            assert!(!end.joined, "who is gone cannot come back");
            assert_sent(end.delivery, ALL.len());
            for other in &mut stay {
                assert_eq!(other.next(), text("somebody has left"));
            }
            assert_eq!(members.len(), ALL.len());
        }
    }
    assert!(ended.try_recv().is_err());
    drop(stay);
    eventually("nobody is in", || members.is_empty());
}

/// Its resource is never told that it has gone, but its groups are.
fn who_is_refused_leaves_too(config: Config) {
    let (members, (ends, _ended)) = (Group::new(), channel());
    let server = Running::start(config, Arc::new(Room { members: members.clone(), ends }));
    for version in ALL {
        let mut peer = server.connect(version, "/?refuse");
        assert!(matches!(peer.next(), Got::Close(_)));
        peer.finish();
        eventually("nobody is in", || members.is_empty());
    }
}

fn one_client_in_several_groups(config: Config) {
    let (_server, diary, mut peers, clients) = assemble(config, 2);
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
    peers.iter_mut().for_each(assert_nothing_came);

    drop(peers.remove(0));
    diary.gone();
    for group in &groups {
        assert_eq!(group.members(), clients[1..]);
        assert_sent(group.send_text("x"), 1);
        assert_eq!(peers[0].next(), text("x"));
    }
}

fn clients_of_two_servers_in_one_group(config: Config) {
    let (_first, first_diary, mut first_peers, first_clients) = assemble(config.clone(), 2);
    let (_second, second_diary, mut second_peers, second_clients) = assemble(config, 2);
    let group = Group::new();
    for client in first_clients.iter().chain(&second_clients) {
        assert!(group.join(client));
    }
    assert_sent(group.send_text("to both"), 4);
    for peer in first_peers.iter_mut().chain(&mut second_peers) {
        assert_eq!(peer.next(), text("to both"));
    }
    drop(first_peers.remove(0));
    first_diary.gone();
    assert!(!group.contains(&first_clients[0]));
    drop(second_peers.remove(0));
    second_diary.gone();
    assert!(!group.contains(&second_clients[0]));
    assert_sent(group.send_text("to the rest"), 2);
    for peer in first_peers.iter_mut().chain(&mut second_peers) {
        assert_eq!(peer.next(), text("to the rest"));
    }
}

/// Each thread sends to the group and, in between, to one member alone.
fn everybody_gets_the_messages_of_many_threads_in_one_order(config: Config) {
    const THREADS: usize = 4;
    const MEMBERS: usize = 8;
    const MESSAGES: usize = 400;

    let (_server, _diary, mut peers, clients) = assemble(config, MEMBERS);
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
                    let Got::Text(message) = peer.next() else { panic!() };
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
                assert_nothing_came(peer);
                of_all
            })
        });
        let read: Vec<_> = read.collect();
        read.into_iter().map(|order| order.join().unwrap()).collect()
    });
    for (member, order) in orders.iter().enumerate() {
        assert!(*order == orders[0], "member {member} has another order");
    }
}

/// Whoever joins while another thread sends gets what is sent from then on, without a gap, until it leaves.
fn membership_begins_with_join_and_ends_with_leave(config: Config) {
    let (_server, _diary, mut peers, clients) = assemble(config, 4);
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
                            let Got::Text(message) = peer.next() else { panic!() };
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

fn nobody_joins_behind_its_end(config: Config) {
    const CLIENTS: usize = 60;

    let (_server, diary, peers, clients) = assemble(config, CLIENTS);
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
            diary.gone();
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

/// Every client joins the groups of the moment, and takes a token with it.
struct Tokens {
    groups: Mutex<Vec<Group>>,
    returned: Sender<()>,
}

/// Says when it is dropped.
struct Token(Sender<()>);

impl Drop for Token {
    fn drop(&mut self) {
        let _ = self.0.send(()); // nobody may be interested
    }
}

impl Resource for Tokens {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new().data(Token(self.returned.clone())))
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.groups.lock().unwrap().iter().for_each(|group| assert!(group.join(client)));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        client.send_text(&text).unwrap();
    }
}

fn neither_group_nor_client_holds_the_other(config: Config) {
    let (sender, tokens) = channel();
    let returned = || tokens.recv_timeout(PATIENCE).expect("nobody holds the client any more");
    let groups = [Group::new(), Group::new()];
    let resource = Arc::new(Tokens { groups: Mutex::new(groups.to_vec()), returned: sender });
    let server = Running::start(config, resource.clone());
    let first = server.connect(Version::Rfc6455, "/");
    let mut second = server.connect(Version::Hybi00, "/");
    eventually("both are in", || groups.iter().all(|group| group.len() == 2));
    // A client goes, its groups stay.
    drop(first);
    returned();
    assert_sent(groups[0].send_text("one is left"), 1);
    assert_eq!(second.next(), text("one is left"));
    // The groups go, their member stays.
    let later = Group::new();
    *resource.groups.lock().unwrap() = vec![later.clone()];
    drop(groups);
    assert_nothing_came(&mut second);
    let mut third = server.connect(Version::Rfc6455, "/");
    eventually("it is in", || later.len() == 1);
    assert_sent(later.send_text("another group"), 1);
    assert_eq!(third.next(), text("another group"));
    assert_nothing_came(&mut second);
    drop(second);
    returned();
    assert_eq!(later.len(), 1);
}

fn is_closed_together(config: Config) {
    let (server, _diary, mut peers, clients) = assemble(config, 5);
    let group = Group::new();
    clients[1..].iter().for_each(|client| assert!(group.join(client)));
    assert_sent(group.send_except("all but one", &clients[1]), 3);
    group.close((CloseCode::new(4000), "closing time"));
    for (number, peer) in peers.iter_mut().enumerate().skip(1) {
        if number > 1 {
            assert_eq!(peer.next(), text("all but one"));
        }
        // Draft 0 has no codes.
        let end =
            if ALL[number % ALL.len()].is_hixie() { None } else { Some((4000, "closing time".to_owned())) };
        assert_eq!(peer.next(), Got::Close(end));
        peer.finish();
    }
    server.wait_for_clients(1);
    assert!(group.is_empty());
    assert_nothing_came(&mut peers[0]);
}
