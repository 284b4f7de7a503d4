//! The end of a client's membership in groups, and of groups that have members.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use crate::common::{ALL_VERSIONS, Peer, Received, Running, TIMEOUT, eventually, text};
use clws_server::{
    Accept, Client, Close, CloseCode, Config, Delivery, Disconnect, Group, Opening, Reject, Resource,
    SharedMessage, Text, Version,
};

in_both_modes!(
    a_client_leaves_its_groups_before_disconnected_is_called,
    a_refused_client_leaves_its_groups,
    groups_and_clients_do_not_keep_each_other_alive,
);

#[track_caller]
fn assert_sent(delivery: Delivery, sent: usize) {
    assert_eq!((delivery.sent, delivery.failed), (sent, vec![]));
}

/// Checks that no message precedes an echo.
#[track_caller]
fn assert_no_message_before(peer: &mut Peer) {
    peer.assert_echo("nothing before this");
}

/// A chat room as in the documentation, which also announces departures.
struct Room {
    members: Group,
    ends: Sender<End>,
}

/// The state of the room when `disconnected` is called.
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
            "panic" => panic!("a panic on request"),
            text => drop(self.members.send_except(SharedMessage::text(text), client)),
        }
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        let contained = self.members.contains(client);
        let joined = self.members.join(client);
        let delivery = self.members.send_text("a member has left");
        self.ends.send(End { contained, joined, delivery }).unwrap();
    }
}

fn a_client_leaves_its_groups_before_disconnected_is_called(config: Config) {
    let (members, (ends, ended)) = (Group::new(), channel());
    let server = Running::start(config, Arc::new(Room { members: members.clone(), ends }));
    let mut stay = ALL_VERSIONS.map(|version| server.connect(version, "/"));
    let leave: [fn(&mut Peer); 6] = [
        |peer| peer.close(1000, ""),
        |_| {}, // drops the connection
        |peer| peer.raw(&[0xFF; 10]),
        |peer| {
            peer.text("close me");
            assert!(matches!(peer.next(), Received::Close(_)));
            peer.finish();
        },
        |peer| peer.text("abort me"),
        |peer| peer.text("panic"),
    ];
    for (way, leave) in leave.into_iter().enumerate() {
        for version in ALL_VERSIONS {
            let mut peer = server.connect(version, "/");
            eventually("the client has joined", || members.len() == ALL_VERSIONS.len() + 1);
            peer.text("hello");
            for other in &mut stay {
                assert_eq!(other.next(), text("hello"));
            }
            leave(&mut peer);
            drop(peer);
            let end = ended.recv_timeout(TIMEOUT).unwrap();
            assert!(!end.contained, "{way} {version:?}");
            assert!(!end.joined, "a disconnected client cannot join");
            assert_sent(end.delivery, ALL_VERSIONS.len());
            for other in &mut stay {
                assert_eq!(other.next(), text("a member has left"));
            }
            assert_eq!(members.len(), ALL_VERSIONS.len());
        }
    }
    assert!(ended.try_recv().is_err());
    drop(stay);
    eventually("all members left", || members.is_empty());
}

/// A refused client leaves its groups although `disconnected` is not called for it.
fn a_refused_client_leaves_its_groups(config: Config) {
    let (members, (ends, _ended)) = (Group::new(), channel());
    let server = Running::start(config, Arc::new(Room { members: members.clone(), ends }));
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/?refuse");
        assert!(matches!(peer.next(), Received::Close(_)));
        peer.finish();
        eventually("all members left", || members.is_empty());
    }
}

/// Adds each client to the current groups, and attaches a token to it.
struct Tokens {
    groups: Mutex<Vec<Group>>,
    returned: Sender<()>,
}

/// Notifies its receiver when it is dropped.
struct Token(Sender<()>);

impl Drop for Token {
    fn drop(&mut self) {
        let _ = self.0.send(()); // the receiver may be dropped
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

fn groups_and_clients_do_not_keep_each_other_alive(config: Config) {
    let (sender, tokens) = channel();
    let returned = || tokens.recv_timeout(TIMEOUT).expect("the client is freed");
    let groups = [Group::new(), Group::new()];
    let resource = Arc::new(Tokens { groups: Mutex::new(groups.to_vec()), returned: sender });
    let server = Running::start(config, resource.clone());
    let first = server.connect(Version::Rfc6455, "/");
    let mut second = server.connect(Version::Hybi00, "/");
    eventually("both clients have joined", || groups.iter().all(|group| group.len() == 2));
    // A client disconnects, and its groups stay.
    drop(first);
    returned();
    assert_sent(groups[0].send_text("one member is left"), 1);
    assert_eq!(second.next(), text("one member is left"));
    // The groups are dropped, and their member stays connected.
    let later = Group::new();
    *resource.groups.lock().unwrap() = vec![later.clone()];
    drop(groups);
    assert_no_message_before(&mut second);
    let mut third = server.connect(Version::Rfc6455, "/");
    eventually("the client has joined", || later.len() == 1);
    assert_sent(later.send_text("another group"), 1);
    assert_eq!(third.next(), text("another group"));
    assert_no_message_before(&mut second);
    drop(second);
    returned();
    assert_eq!(later.len(), 1);
}
