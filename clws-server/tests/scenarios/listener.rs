//! Listeners: one task with `&mut self`, which handles all events in order.

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::{ALL_VERSIONS, Received, Running, TIMEOUT, text};
use clws_server::{
    Accept, ByteString, Bytes, CallError, Client, Close, CloseCode, Config, Disconnect, MailboxClosed,
    Opening, Origins, Reject, ResourceListener, ResourceListenerHandle, ResourceListenerTask, Server,
    Version,
};
use futures::executor::block_on;

in_both_modes!(
    gets_all_events_in_order,
    can_decide_with_its_state,
    gets_nothing_from_clients_that_it_refused,
    can_be_called_and_sent_messages,
    a_panic_ends_only_one_client,
    gets_nothing_but_the_end_from_clients_that_it_closed,
    kill_handles_queued_messages_and_closes_its_clients,
    kill_does_not_wait_for_slow_readers,
    kill_frees_the_path,
    can_be_awaited_by_the_caller,
    ends_with_the_server,
);

/// Records its events, and counts messages and openings.
struct RecordingListener {
    lines: Sender<String>,
    count: u32,
    accepted: u32,
}

impl RecordingListener {
    fn new() -> (Self, Receiver<String>) {
        let (lines, records) = channel();
        (Self { lines, count: 0, accepted: 0 }, records)
    }

    fn line(&self, line: impl Into<String>) {
        let _ = self.lines.send(line.into());
    }
}

impl ResourceListener for RecordingListener {
    type Message = &'static str;

    fn accept(&mut self, opening: &Opening) -> Result<Accept, Reject> {
        self.accepted += 1;
        match opening.query_string() {
            Some("third") if self.accepted != 3 => Err(Reject::custom(429, "only the third")),
            Some("panic") => panic!("in accept"),
            _ => Ok(Accept::new().data(self.accepted)),
        }
    }

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        self.line("connected");
        match client.query_string() {
            Some("refuse") => Err(Close::new(CloseCode::new(4001), "no")),
            _ => Ok(()),
        }
    }

    fn text(&mut self, client: &Client, text: ByteString) {
        self.count += 1;
        self.line(format!("text {text}"));
        assert_ne!(text, "panic");
        if text == "big" {
            client.send(vec![0; 60 << 20]).unwrap();
        }
        client.send_text(&format!("{} {text}", self.count)).unwrap();
    }

    fn binary(&mut self, client: &Client, payload: Bytes) {
        self.line(format!("binary {}", payload.len()));
        client.send(payload).unwrap();
    }

    fn pong(&mut self, _: &Client, payload: Bytes) {
        self.line(format!("pong {}", payload.len()));
    }

    fn disconnected(&mut self, client: &Client, end: &Disconnect) {
        assert!(!client.is_open());
        self.line(format!("disconnected {} {}", end.code, end.cause));
    }

    fn custom_message(&mut self, message: &'static str) {
        self.line(format!("message {message}"));
        assert_ne!(message, "panic");
    }
}

fn start(config: Config) -> (Running, ResourceListenerHandle<RecordingListener>, Receiver<String>) {
    let (listener, records) = RecordingListener::new();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handle = server.resources().run_resource_listener("/", Origins::any(), listener).unwrap();
    (Running::run(server), handle, records)
}

#[track_caller]
fn expect(records: &Receiver<String>, lines: &[&str]) {
    for line in lines {
        assert_eq!(records.recv_timeout(TIMEOUT).as_deref(), Ok(*line));
    }
}

fn gets_all_events_in_order(config: Config) {
    let (server, _handle, records) = start(config);
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        peer.text("a");
        peer.text("b");
        assert!(matches!(peer.next(), Received::Text(text) if text.ends_with(" a")));
        assert!(matches!(peer.next(), Received::Text(text) if text.ends_with(" b")));
        expect(&records, &["connected", "text a", "text b"]);
        if !version.is_hixie() {
            peer.binary(&[1, 2, 3]);
            peer.send(|sender| sender.pong(b"pong").unwrap());
            assert_eq!(peer.next(), Received::Binary(vec![1, 2, 3]));
            expect(&records, &["binary 3", "pong 4"]);
            peer.close(4000, "bye");
            expect(&records, &["disconnected 4000 closed"]);
        } else {
            drop(peer);
            expect(&records, &["disconnected 1005 closed"]);
        }
    }
}

fn can_decide_with_its_state(config: Config) {
    let (server, _handle, records) = start(config);
    assert_eq!(server.try_connect(Version::Rfc6455, "/?third").err(), Some(429));
    assert_eq!(server.try_connect(Version::Hybi00, "/?third").err(), Some(429));
    assert!(server.try_connect(Version::Hybi08, "/?third").is_ok());
    assert_eq!(server.try_connect(Version::Rfc6455, "/?panic").err(), Some(500));
    expect(&records, &["connected"]);
}

fn gets_nothing_from_clients_that_it_refused(config: Config) {
    let (server, handle, records) = start(config);
    let mut peer = server.connect(Version::Rfc6455, "/?refuse");
    peer.send(|sender| {
        sender.text("not delivered", None).unwrap();
        sender.text("nor this", None).unwrap();
    });
    assert_eq!(peer.next(), Received::Close(Some((4001, "no".into()))));
    peer.finish();
    server.wait_for_clients(0);
    handle.send("the end").unwrap();
    expect(&records, &["connected", "message the end"]);
}

fn can_be_called_and_sent_messages(config: Config) {
    let (server, handle, records) = start(config);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("a");
    assert_eq!(peer.next(), text("1 a"));
    handle.send("first").unwrap();
    let count = handle.call(|listener| {
        listener.line("called");
        std::mem::replace(&mut listener.count, 10)
    });
    handle.clone().send("second").unwrap();
    expect(&records, &["connected", "text a", "message first", "called", "message second"]);
    assert_eq!(block_on(count), Ok(1));
    peer.text("b");
    assert_eq!(peer.next(), text("11 b"));
    drop(handle.call(|listener| listener.line("not awaited")));
    expect(&records, &["text b", "not awaited"]);
}

fn a_panic_ends_only_one_client(config: Config) {
    let (server, handle, records) = start(config);
    let mut good = server.connect(Version::Rfc6455, "/");
    let mut bad = server.connect(Version::Hybi07, "/");
    bad.send(|sender| {
        sender.text("panic", None).unwrap();
        sender.text("not delivered", None).unwrap();
    });
    assert_eq!(bad.next(), Received::Close(Some((1001, String::new()))), "hybi-07 has no 1011");
    bad.finish();
    expect(&records, &["connected", "connected", "text panic", "disconnected 1006 a handler panicked"]);
    handle.send("panic").unwrap();
    assert_eq!(block_on(handle.call(|_| panic!("in a closure"))), Err::<(), _>(CallError::Panicked));
    good.text("still");
    assert_eq!(good.next(), text("2 still"));
}

/// Messages queued before the close are dropped too, although the client disconnects by itself.
fn gets_nothing_but_the_end_from_clients_that_it_closed(config: Config) {
    struct ClosesOnText(Sender<String>);

    impl ResourceListener for ClosesOnText {
        type Message = Receiver<()>;

        fn text(&mut self, client: &Client, text: ByteString) {
            self.0.send(text.to_string()).unwrap();
            client.close((CloseCode::POLICY, "banned"));
        }

        fn disconnected(&mut self, _: &Client, _: &Disconnect) {
            self.0.send("gone".to_owned()).unwrap();
        }

        fn custom_message(&mut self, go_on: Receiver<()>) {
            go_on.recv_timeout(TIMEOUT).unwrap();
        }
    }

    let (tx, records) = channel();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let listener = server.resources().run_resource_listener("/", Origins::any(), ClosesOnText(tx)).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let (go_on, wait) = channel();
    listener.send(wait).unwrap();
    peer.send(|sender| {
        for text in ["bad", "worse"] {
            sender.text(text, None).unwrap();
        }
        sender.close(CloseCode::NORMAL, "").unwrap();
    });
    assert!(matches!(peer.next(), Received::Close(_)));
    go_on.send(()).unwrap();
    expect(&records, &["bad", "gone"]);
}

fn kill_handles_queued_messages_and_closes_its_clients(config: Config) {
    let (server, handle, records) = start(config);
    let mut peers: Vec<_> = ALL_VERSIONS.iter().map(|version| server.connect(*version, "/")).collect();
    expect(&records, &["connected"; ALL_VERSIONS.len()]);
    let (entered, inside) = channel();
    let (go_on, wait) = channel::<()>();
    drop(handle.call(move |_| {
        entered.send(()).unwrap();
        wait.recv_timeout(TIMEOUT).unwrap();
    }));
    inside.recv_timeout(TIMEOUT).unwrap();
    handle.send("queued").unwrap();
    handle.kill();
    assert_eq!(handle.send("too late"), Err(MailboxClosed));
    let late = handle.call(|_| ());
    go_on.send(()).unwrap();
    expect(&records, &["message queued"]);
    assert_eq!(block_on(late), Err(CallError::Gone));
    for (peer, version) in peers.iter_mut().zip(ALL_VERSIONS) {
        let close = if version.is_hixie() { None } else { Some((1001, String::new())) };
        assert_eq!(peer.next(), Received::Close(close), "{version}");
        peer.finish();
    }
    // The listener gets the end of each client before it ends.
    block_on(handle.ended());
    let ends: Vec<_> = records.iter().collect();
    assert!(
        ends.len() == ALL_VERSIONS.len() && ends.iter().all(|line| line.starts_with("disconnected ")),
        "{ends:?}"
    );
    assert!(handle.is_closed());
    server.wait_for_clients(0);
}

fn kill_does_not_wait_for_slow_readers(config: Config) {
    let (server, handle, records) = start(config.close_timeout(Duration::from_millis(200)));
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("big");
    expect(&records, &["connected", "text big"]);
    // The answer is larger than the socket buffers. The client reads it slowly.
    let (done, is_done) = channel::<()>();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while is_done.try_recv().is_err() && peer.stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    handle.kill();
    block_on(handle.ended());
    // On a busy machine, the timeout for the close frame may expire first.
    let end = records.recv_timeout(TIMEOUT).unwrap();
    assert!(["aborted", "did not answer a close frame"].iter().any(|cause| end.ends_with(cause)), "{end}");
    done.send(()).unwrap();
    reading.join().unwrap();
}

fn kill_frees_the_path(config: Config) {
    let (server, handle, _told) = start(config);
    let resources = server.handle.resources();
    assert!(
        resources.run_resource_listener("/", Origins::any(), RecordingListener::new().0).is_err(),
        "the path is taken"
    );
    handle.kill();
    assert!(resources.find("/").is_none(), "the path is still registered");
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(404));
    let (listener, records) = RecordingListener::new();
    let second = resources.run_resource_listener("/", Origins::any(), listener).unwrap();
    handle.kill(); // the first listener again
    server.connect(Version::Rfc6455, "/").text("hello");
    expect(&records, &["connected", "text hello"]);
    // Another listener took the path and keeps it.
    assert!(resources.unregister("/"));
    let (listener, third) = RecordingListener::new();
    let _third = resources.run_resource_listener("/", Origins::any(), listener).unwrap();
    second.kill();
    while records.recv_timeout(TIMEOUT).is_ok() {}
    server.connect(Version::Rfc6455, "/").text("hello");
    expect(&third, &["connected", "text hello"]);
}

fn can_be_awaited_by_the_caller(config: Config) {
    let (listener, records) = RecordingListener::new();
    let task = ResourceListenerTask::new(listener);
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register_shared("/", Origins::any(), task.resource()).unwrap();
    server.resources().register_shared("/other", Origins::any(), task.resource()).unwrap();
    let server = Running::run(server);
    let handle = task.handle();
    let running = std::thread::spawn(move || block_on(task.run()));
    for target in ["/", "/other"] {
        let mut peer = server.connect(Version::Rfc6455, target);
        peer.text("x");
        peer.next();
    }
    handle.kill();
    assert_eq!(running.join().unwrap().count, 2);
    drop(records);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503), "the path is still registered");
}

fn ends_with_the_server(config: Config) {
    let (server, handle, records) = start(config);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("a");
    peer.next();
    server.handle.stop();
    assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
    peer.finish();
    drop(handle);
    server.wait().unwrap();
    expect(&records, &["connected", "text a", "disconnected 1005 closed"]);
    drop(server);
    assert!(records.recv_timeout(TIMEOUT).is_err(), "the listener was not dropped");
}
