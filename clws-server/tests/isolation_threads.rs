//! A client may be used, and dropped, in the destructors of a thread's own storage, when the server's is gone already.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use clws_server::{
    Client, Close, CloseCode, Config, Event, Group, Origins, Resource, Server, SharedMessage, Text, Version,
    mailbox,
};
use common::{Got, PATIENCE, Probe, Running};

in_both_modes!(says_goodbye_when_a_thread_ends, says_goodbye_when_its_shard_ends);

/// Says goodbye when it is dropped, in each way.
struct Bye {
    client: Client,
    group: Group,
    done: Sender<()>,
}

impl Drop for Bye {
    fn drop(&mut self) {
        let big = vec![7; 100_000];
        let _ = self.client.send_text("bye");
        let _ = self.client.send(big.clone());
        let _ = self.client.send(SharedMessage::binary(big));
        let _ = self.client.ping(b"bye");
        let _ = self.group.send_text("bye to all");
        self.client.close((CloseCode::new(1000), "bye"));
        let _ = (self.client.buffered_amount(), self.client.is_open());
        self.done.send(()).unwrap();
    }
}

thread_local! {
    static BYE: RefCell<Vec<Bye>> = const { RefCell::new(Vec::new()) };
}

fn says_goodbye_when_a_thread_ends(config: Config) {
    // Before and behind the server's own storage: the order of the destructors is the system's.
    for first in [true, false] {
        let (probe, diary) = Probe::new();
        let server = Running::start(config.clone(), probe);
        let mut peer = server.connect(Version::Rfc6455, "/");
        let client = diary.connected();
        let group = Group::new();
        group.join(&client);
        let (done, dropped) = channel();
        std::thread::spawn(move || {
            let bye = Bye { client: client.clone(), group, done };
            if first {
                BYE.with_borrow_mut(|byes| byes.push(bye));
                client.send_text("hello").unwrap();
            } else {
                client.send_text("hello").unwrap();
                BYE.with_borrow_mut(|byes| byes.push(bye));
            }
        })
        .join()
        .unwrap();
        dropped.recv_timeout(PATIENCE).unwrap();
        let big = Got::Binary(vec![7; 100_000]);
        let bye = Got::Close(Some((1000, "bye".into())));
        let (hello, to_all, ping) =
            (common::text("hello"), common::text("bye to all"), Got::Ping(b"bye".to_vec()));
        for got in [hello, common::text("bye"), big.clone(), big, ping, to_all, bye] {
            assert_eq!(peer.next(), got);
        }
        peer.finish();
    }
}

/// Keeps its clients in the storage of the thread that calls it.
struct Keeps(Mutex<Sender<()>>);

impl Resource for Keeps {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        let (group, done) = (Group::new(), self.0.lock().unwrap().clone());
        group.join(client);
        BYE.with_borrow_mut(|byes| byes.push(Bye { client: client.clone(), group, done }));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        client.send_text(&text).unwrap();
    }
}

fn says_goodbye_when_its_shard_ends(config: Config) {
    let (done, dropped) = channel();
    let tasks = config.task_per_client;
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Keeps(Mutex::new(done))).unwrap();
    let server = Running::run(server);
    let mut peers = [0, 1, 2].map(|_| server.connect(Version::Rfc6455, "/"));
    peers.iter_mut().for_each(|peer| peer.assert_echo("here"));
    server.handle.stop();
    for mut peer in peers {
        assert!(matches!(peer.next(), Got::Close(_)));
        peer.finish();
    }
    server.wait().unwrap();
    if !tasks {
        // (The threads of the executor go on.)
        (0..3).for_each(|_| dropped.recv_timeout(PATIENCE).unwrap());
    }
}

/// A mailbox that is received from where a thread ends.
#[test]
fn a_mailbox_is_emptied_when_a_thread_ends() {
    struct Empties(clws_server::Mailbox<u8>, Sender<usize>);
    impl Drop for Empties {
        fn drop(&mut self) {
            let mut count = 0;
            while let Some(Some(Event::Message(_))) =
                futures::FutureExt::now_or_never(futures::StreamExt::next(&mut self.0))
            {
                count += 1;
            }
            self.1.send(count).unwrap();
        }
    }
    thread_local! {
        static MAILBOX: RefCell<Option<Empties>> = const { RefCell::new(None) };
    }
    let (sender, mailbox) = mailbox::<u8>();
    let (done, counted) = channel();
    std::thread::spawn(move || {
        MAILBOX.set(Some(Empties(mailbox, done)));
        (0..10).for_each(|number| sender.send(number).unwrap());
    })
    .join()
    .unwrap();
    assert_eq!(counted.recv_timeout(PATIENCE), Ok(10));
}
