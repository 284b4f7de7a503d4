//! Destructors of a thread's thread-local values may use and drop a client, even after the
//! library's thread-local values are destroyed.

use std::cell::RefCell;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use crate::common;
use crate::common::{Probe, Received, Running, TIMEOUT};
use clws_server::{
    Client, Close, CloseCode, Config, Event, Group, Origins, Resource, Server, SharedMessage, Text, Version,
    mailbox,
};

in_both_modes!(sends_when_a_thread_ends, sends_when_the_shard_ends);

/// Sends in all ways when it is dropped.
struct SendsOnDrop {
    client: Client,
    group: Group,
    done: Sender<()>,
}

impl Drop for SendsOnDrop {
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
    static SEND_ON_DROP: RefCell<Vec<SendsOnDrop>> = const { RefCell::new(Vec::new()) };
}

fn sends_when_a_thread_ends(config: Config) {
    // Initializes the value before and after the library's thread-local values. The platform
    // chooses the order of destructors.
    for first in [true, false] {
        let (probe, recorder) = Probe::new();
        let server = Running::start(config.clone(), probe);
        let mut peer = server.connect(Version::Rfc6455, "/");
        let client = recorder.connected();
        let group = Group::new();
        group.join(&client);
        let (done, dropped) = channel();
        std::thread::spawn(move || {
            let bye = SendsOnDrop { client: client.clone(), group, done };
            if first {
                SEND_ON_DROP.with_borrow_mut(|byes| byes.push(bye));
                client.send_text("hello").unwrap();
            } else {
                client.send_text("hello").unwrap();
                SEND_ON_DROP.with_borrow_mut(|byes| byes.push(bye));
            }
        })
        .join()
        .unwrap();
        dropped.recv_timeout(TIMEOUT).unwrap();
        let big = Received::Binary(vec![7; 100_000]);
        let bye = Received::Close(Some((1000, "bye".into())));
        let (hello, to_all, ping) =
            (common::text("hello"), common::text("bye to all"), Received::Ping(b"bye".to_vec()));
        for got in [hello, common::text("bye"), big.clone(), big, ping, to_all, bye] {
            assert_eq!(peer.next(), got);
        }
        peer.finish();
    }
}

/// Keeps its clients in thread-local storage of the handler's thread.
struct Keeps(Mutex<Sender<()>>);

impl Resource for Keeps {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        let (group, done) = (Group::new(), self.0.lock().unwrap().clone());
        group.join(client);
        SEND_ON_DROP.with_borrow_mut(|byes| byes.push(SendsOnDrop { client: client.clone(), group, done }));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        client.send_text(&text).unwrap();
    }
}

fn sends_when_the_shard_ends(config: Config) {
    let (done, dropped) = channel();
    let tasks = config.task_per_client;
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Keeps(Mutex::new(done))).unwrap();
    let server = Running::run(server);
    let mut peers = [0, 1, 2].map(|_| server.connect(Version::Rfc6455, "/"));
    peers.iter_mut().for_each(|peer| peer.assert_echo("here"));
    server.handle.stop();
    for mut peer in peers {
        assert!(matches!(peer.next(), Received::Close(_)));
        peer.finish();
    }
    server.wait().unwrap();
    if !tasks {
        (0..3).for_each(|_| dropped.recv_timeout(TIMEOUT).unwrap());
    }
}

/// A destructor of a thread-local value receives from a mailbox.
#[test]
fn receives_from_a_mailbox_when_a_thread_ends() {
    struct Empties(clws_server::Mailbox<u8>, Sender<usize>);
    impl Drop for Empties {
        fn drop(&mut self) {
            let mut count = 0;
            // A poll may return `Pending` with events left, because its time is limited.
            for _ in 0..1000 {
                match futures::FutureExt::now_or_never(futures::StreamExt::next(&mut self.0)) {
                    Some(Some(Event::Message(_))) => count += 1,
                    Some(_) => break,
                    None => {}
                }
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
    assert_eq!(counted.recv_timeout(TIMEOUT), Ok(10));
}
