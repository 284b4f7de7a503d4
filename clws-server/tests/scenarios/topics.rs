//! Named groups.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::common;
use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Recorder, Running, TIMEOUT, text};
use clws_server::{
    Client, Close, Config, Delivery, Disconnect, Resource, SendError, SharedMessage, Topics, Version,
};

in_both_modes!(
    subscribers_get_published_messages,
    a_topic_ends_with_its_last_subscriber,
    a_topic_ends_before_disconnected_is_called_for_its_last_subscriber,
    a_disconnected_client_cannot_subscribe,
    subscribers_get_everything_while_others_subscribe_and_unsubscribe,
    clients_that_disconnect_while_subscribing_leave_all_topics,
);

/// A server with clients that cycle through all versions.
fn assemble(config: Config, number: usize) -> (Running, Recorder, Vec<Peer>, Vec<Client>) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let connect = |i| (server.connect(ALL_VERSIONS[i % ALL_VERSIONS.len()], "/"), recorder.connected());
    let (peers, clients) = (0..number).map(connect).unzip();
    (server, recorder, peers, clients)
}

fn publish(topics: &Topics, name: &str, message: &str) -> Delivery {
    topics.publish(name, SharedMessage::text(message))
}

#[track_caller]
fn assert_names(topics: &Topics, names: &[&str]) {
    let mut known = topics.names();
    known.sort();
    assert!(known.iter().map(|name| &**name).eq(names.iter().copied()), "{known:?} {names:?}");
    assert!(names.iter().all(|name| topics.group(name).is_some_and(|group| !group.is_empty())));
}

fn subscribers_get_published_messages(config: Config) {
    let (_server, _recorder, mut peers, clients) = assemble(config, 4);
    let topics = Topics::new();
    let same = topics.clone();
    for (name, subscribers) in [("news", &clients[..3]), ("weather", &clients[2..]), ("", &clients[..1])] {
        for client in subscribers {
            assert!(topics.subscribe(name, client));
            assert!(!same.subscribe(name, client), "the client already is subscribed");
        }
    }
    assert_names(&same, &["", "news", "weather"]);
    assert_eq!(topics.group("news").unwrap().members(), clients[..3]);
    for (name, number) in [("news", 3), ("weather", 2), ("", 1), ("News", 0), ("new", 0), ("other", 0)] {
        let delivery = publish(&topics, name, name);
        assert_eq!((delivery.sent, delivery.is_complete()), (number, true), "{name}");
    }
    let expected: [&[_]; 4] = [&["news", ""], &["news"], &["news", "weather"], &["weather"]];
    for (peer, expected) in peers.iter_mut().zip(expected) {
        for message in expected {
            assert_eq!(peer.next(), text(message));
        }
        peer.assert_echo("nothing more");
    }

    assert!(!topics.unsubscribe("other", &clients[0]) && !topics.unsubscribe("weather", &clients[0]));
    assert!(topics.unsubscribe("news", &clients[0]));
    assert!(!topics.unsubscribe("news", &clients[0]), "the client already unsubscribed");
    assert_eq!(publish(&topics, "news", "to two").sent, 2);
    assert_eq!(peers[1].next(), text("to two"));
    assert_eq!(peers[2].next(), text("to two"));
    assert_eq!(publish(&topics, "", "still").sent, 1);
    assert_eq!(peers[0].next(), text("still"), "a message of a topic it left");

    // As in groups, draft 0 gets no binary messages, and a message can exclude one client.
    topics.subscribe("news", &clients[0]);
    let delivery = topics.publish("news", SharedMessage::binary(&b"x"[..]));
    assert_eq!(delivery.failed, [(clients[0].clone(), SendError::Unsupported)]);
    assert_eq!(peers[1].next(), Received::Binary(b"x".to_vec()));
    let message = SharedMessage::text("not to 1");
    assert_eq!(topics.publish_except("news", &message, &clients[1]).sent, 2);
    assert_eq!(topics.publish_except("nothing", &message, &clients[1]).sent, 0);
    assert_eq!(topics.publish("weather", "fine").sent, 2);
    assert_eq!(peers[0].next(), text("not to 1"));
    peers[1].assert_echo("nothing");
}

fn a_topic_ends_with_its_last_subscriber(config: Config) {
    let (_server, recorder, mut peers, clients) = assemble(config, 3);
    let topics = Topics::new();
    assert_names(&topics, &[]);
    // All subscribers unsubscribe.
    for client in &clients {
        assert!(topics.subscribe("a", client) && topics.subscribe("b", client));
    }
    let before = topics.group("a").unwrap();
    clients[..2].iter().for_each(|client| assert!(topics.unsubscribe("a", client)));
    assert_names(&topics, &["a", "b"]);
    assert!(topics.unsubscribe("a", &clients[2]));
    assert_names(&topics, &["b"]);
    assert!(topics.group("a").is_none());
    // A new topic of the same name is another group. Handles of the old group do not reach it.
    assert!(topics.subscribe("a", &clients[0]));
    assert!(topics.group("a").unwrap() != before);
    assert_eq!(before.send_text("to nobody").sent, 0);
    // The last subscriber leaves the group.
    assert!(topics.group("a").unwrap().leave(&clients[0]));
    assert_names(&topics, &["b"]);
    // The last subscriber disconnects.
    assert!(topics.subscribe("a", &clients[0]));
    drop(peers.remove(0));
    recorder.disconnected();
    assert_names(&topics, &["b"]);
    drop(peers.remove(0));
    recorder.disconnected();
    assert_names(&topics, &["b"]);
    assert_eq!(publish(&topics, "b", "to the last").sent, 1);
    assert_eq!(peers[0].next(), text("to the last"));
    drop(peers);
    recorder.disconnected();
    assert_names(&topics, &[]);
    assert_eq!(publish(&topics, "b", "to nobody").sent, 0);
}

/// Subscribes each client to the topic in its query. Reports the remaining topics when a client
/// disconnects.
struct Subscribe {
    topics: Topics,
    left: Sender<(Vec<Box<str>>, bool)>,
}

impl Resource for Subscribe {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        assert!(self.topics.subscribe("all", client));
        assert!(self.topics.subscribe(client.query_string().unwrap(), client));
        Ok(())
    }

    fn disconnected(&self, client: &Client, _: &Disconnect) {
        let again = self.topics.subscribe("too late", client);
        self.left.send((self.topics.names(), again)).unwrap();
    }
}

fn a_topic_ends_before_disconnected_is_called_for_its_last_subscriber(config: Config) {
    let (topics, (left, leaves)) = (Topics::new(), channel());
    let server = Running::start(config, Arc::new(Subscribe { topics: topics.clone(), left }));
    let stays = server.connect(Version::Rfc6455, "/?one");
    for version in ALL_VERSIONS {
        let goes = server.connect(version, "/?two");
        common::eventually("both clients have joined", || {
            topics.group("all").is_some_and(|all| all.len() == 2)
        });
        common::eventually("the client is subscribed", || topics.group("two").is_some());
        drop(goes);
        let (mut names, again) = leaves.recv_timeout(TIMEOUT).unwrap();
        names.sort();
        assert_eq!(names, ["all".into(), "one".into()]);
        assert!(!again);
    }
    drop(stays);
    assert_eq!(leaves.recv_timeout(TIMEOUT), Ok((vec![], false)));
}

fn a_disconnected_client_cannot_subscribe(config: Config) {
    let (_server, recorder, mut peers, clients) = assemble(config, 2);
    let topics = Topics::new();
    drop(peers.remove(0));
    recorder.disconnected();
    assert!(!topics.subscribe("a", &clients[0]));
    assert_names(&topics, &[]);
    assert!(topics.subscribe("a", &clients[1]));
    assert!(!topics.subscribe("a", &clients[0]));
    assert_eq!(topics.group("a").unwrap().members(), clients[1..]);
}

/// Clients of several threads share two topics, which are removed and created again all the time.
fn subscribers_get_everything_while_others_subscribe_and_unsubscribe(config: Config) {
    const THREADS: usize = 4;
    const ROUNDS: usize = 400;

    let (_server, _recorder, mut peers, clients) = assemble(config, THREADS);
    let topics = Topics::new();
    thread::scope(|scope| {
        for (thread, (peer, client)) in peers.iter_mut().zip(&clients).enumerate() {
            let topics = &topics;
            scope.spawn(move || {
                let mut expected = Vec::new();
                for round in 0..ROUNDS {
                    let name = ["odd", "even"][round % 2];
                    assert!(topics.subscribe(name, client));
                    let group = topics.group(name).expect("there is a subscriber");
                    assert!(group.contains(client), "the client is subscribed to the topic's current group");
                    let message = format!("{thread} {round}");
                    assert!(publish(topics, name, &message).sent > 0);
                    expected.push(message);
                    if round % 3 == 0 {
                        assert!(!topics.subscribe(name, client));
                    }
                    assert!(topics.unsubscribe(name, client), "only this thread unsubscribes the client");
                    let _ = publish(topics, name, &format!("{thread} {round} too late"));
                }
                client.send_text("end").unwrap();
                // Messages of other threads arrive too, each once.
                let (mut own, mut all) = (Vec::new(), HashSet::new());
                loop {
                    let Received::Text(message) = peer.next() else { panic!() };
                    if message == "end" {
                        break;
                    }
                    assert!(all.insert(message.clone()), "{message} was received twice");
                    if message.starts_with(&format!("{thread} ")) {
                        own.push(message);
                    }
                }
                assert!(own == expected, "{thread}: {own:?}");
            });
        }
    });
    assert_names(&topics, &[]);
}

fn clients_that_disconnect_while_subscribing_leave_all_topics(config: Config) {
    const CLIENTS: usize = 60;

    let (_server, recorder, mut peers, clients) = assemble(config, CLIENTS);
    let (topics, over) = (Topics::new(), AtomicBool::new(false));
    let (stays, stayed) = (clients[CLIENTS - 1].clone(), peers.pop().unwrap());
    assert!(topics.subscribe("2", &stays));
    thread::scope(|scope| {
        for thread in 0..3 {
            let (topics, clients, over) = (&topics, &clients[..CLIENTS - 1], &over);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    for (number, client) in clients.iter().enumerate() {
                        topics.subscribe(["0", "1", "2"][(number + thread) % 3], client);
                        topics.unsubscribe(["0", "1", "2"][number % 3], client);
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
    assert_names(&topics, &["2"]);
    assert_eq!(topics.group("2").unwrap().members(), [stays]);
    drop(stayed);
    recorder.disconnected();
    assert_names(&topics, &[]);
}
