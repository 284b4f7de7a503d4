//! A listener: one task, `&mut self`, everything in order.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::Read;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clws_server::{
    Accept, ByteString, Bytes, CallError, Client, Close, CloseCode, Config, Disconnect, MailboxClosed,
    Opening, Origins, Reject, ResourceListener, ResourceListenerHandle, ResourceListenerTask, Server,
    Version,
};
use common::{ALL, Got, PATIENCE, Running, text};
use futures::executor::block_on;

in_both_modes!(
    sees_everything_in_order,
    may_decide_with_its_state,
    refuses_whom_it_does_not_like_and_hears_no_more_of_them,
    is_called_and_sent_messages,
    a_panic_costs_one_client,
    hears_no_more_of_whom_it_closes,
    killed_handles_what_is_queued_and_closes_its_clients,
    waits_for_no_slow_reader_when_it_is_killed,
    gives_its_path_back,
    is_awaited_by_the_caller,
    ends_with_the_server,
);

/// Tells what it sees, and counts.
struct Diary {
    lines: Sender<String>,
    count: u32,
    accepted: u32,
}

impl Diary {
    fn new() -> (Self, Receiver<String>) {
        let (lines, told) = channel();
        (Self { lines, count: 0, accepted: 0 }, told)
    }

    fn line(&self, line: impl Into<String>) {
        let _ = self.lines.send(line.into());
    }
}

impl ResourceListener for Diary {
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

fn start(config: Config) -> (Running, ResourceListenerHandle<Diary>, Receiver<String>) {
    let (diary, told) = Diary::new();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handle = server.resources().run_resource_listener("/", Origins::any(), diary).unwrap();
    (Running::run(server), handle, told)
}

#[track_caller]
fn expect(told: &Receiver<String>, lines: &[&str]) {
    for line in lines {
        assert_eq!(told.recv_timeout(PATIENCE).as_deref(), Ok(*line));
    }
}

fn sees_everything_in_order(config: Config) {
    let (server, _handle, told) = start(config);
    for version in ALL {
        let mut peer = server.connect(version, "/");
        peer.text("a");
        peer.text("b");
        assert!(matches!(peer.next(), Got::Text(text) if text.ends_with(" a")));
        assert!(matches!(peer.next(), Got::Text(text) if text.ends_with(" b")));
        expect(&told, &["connected", "text a", "text b"]);
        if !version.is_hixie() {
            peer.binary(&[1, 2, 3]);
            peer.send(|sender| sender.pong(b"pong").unwrap());
            assert_eq!(peer.next(), Got::Binary(vec![1, 2, 3]));
            expect(&told, &["binary 3", "pong 4"]);
            peer.close(4000, "bye");
            expect(&told, &["disconnected 4000 closed"]);
        } else {
            drop(peer);
            expect(&told, &["disconnected 1005 closed"]);
        }
    }
}

fn may_decide_with_its_state(config: Config) {
    let (server, _handle, told) = start(config);
    assert_eq!(server.try_connect(Version::Rfc6455, "/?third").err(), Some(429));
    assert_eq!(server.try_connect(Version::Hybi00, "/?third").err(), Some(429));
    assert!(server.try_connect(Version::Hybi08, "/?third").is_ok());
    assert_eq!(server.try_connect(Version::Rfc6455, "/?panic").err(), Some(500));
    expect(&told, &["connected"]);
}

fn refuses_whom_it_does_not_like_and_hears_no_more_of_them(config: Config) {
    let (server, handle, told) = start(config);
    let mut peer = server.connect(Version::Rfc6455, "/?refuse");
    peer.send(|sender| {
        sender.text("not delivered", None).unwrap();
        sender.text("nor this", None).unwrap();
    });
    assert_eq!(peer.next(), Got::Close(Some((4001, "no".into()))));
    peer.finish();
    server.wait_for_clients(0);
    handle.send("the end").unwrap();
    expect(&told, &["connected", "message the end"]);
}

fn is_called_and_sent_messages(config: Config) {
    let (server, handle, told) = start(config);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("a");
    assert_eq!(peer.next(), text("1 a"));
    handle.send("first").unwrap();
    let count = handle.call(|diary| {
        diary.line("called");
        std::mem::replace(&mut diary.count, 10)
    });
    handle.clone().send("second").unwrap();
    expect(&told, &["connected", "text a", "message first", "called", "message second"]);
    assert_eq!(block_on(count), Ok(1));
    peer.text("b");
    assert_eq!(peer.next(), text("11 b"));
    drop(handle.call(|diary| diary.line("not awaited")));
    expect(&told, &["text b", "not awaited"]);
}

fn a_panic_costs_one_client(config: Config) {
    let (server, handle, told) = start(config);
    let mut good = server.connect(Version::Rfc6455, "/");
    let mut bad = server.connect(Version::Hybi07, "/");
    bad.send(|sender| {
        sender.text("panic", None).unwrap();
        sender.text("not delivered", None).unwrap();
    });
    assert_eq!(bad.next(), Got::Close(Some((1001, String::new()))), "what hybi-07 has for 1011");
    bad.finish();
    expect(&told, &["connected", "connected", "text panic", "disconnected 1006 a handler panicked"]);
    handle.send("panic").unwrap();
    assert_eq!(block_on(handle.call(|_| panic!("in a closure"))), Err::<(), _>(CallError::Panicked));
    good.text("still");
    assert_eq!(good.next(), text("2 still"));
}

/// Not even of what came before, and though the client has gone itself.
fn hears_no_more_of_whom_it_closes(config: Config) {
    struct Judge(Sender<String>);

    impl ResourceListener for Judge {
        type Message = Receiver<()>;

        fn text(&mut self, client: &Client, text: ByteString) {
            self.0.send(text.to_string()).unwrap();
            client.close((CloseCode::POLICY, "banned"));
        }

        fn disconnected(&mut self, _: &Client, _: &Disconnect) {
            self.0.send("gone".to_owned()).unwrap();
        }

        fn custom_message(&mut self, go_on: Receiver<()>) {
            go_on.recv_timeout(PATIENCE).unwrap();
        }
    }

    let (tell, told) = channel();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let judge = server.resources().run_resource_listener("/", Origins::any(), Judge(tell)).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let (go_on, wait) = channel();
    judge.send(wait).unwrap();
    peer.send(|sender| {
        for text in ["bad", "worse"] {
            sender.text(text, None).unwrap();
        }
        sender.close(CloseCode::NORMAL, "").unwrap();
    });
    assert!(matches!(peer.next(), Got::Close(_)));
    go_on.send(()).unwrap();
    expect(&told, &["bad", "gone"]);
}

fn killed_handles_what_is_queued_and_closes_its_clients(config: Config) {
    let (server, handle, told) = start(config);
    let mut peers: Vec<_> = ALL.iter().map(|version| server.connect(*version, "/")).collect();
    expect(&told, &["connected"; ALL.len()]);
    let (entered, inside) = channel();
    let (go_on, wait) = channel::<()>();
    drop(handle.call(move |_| {
        entered.send(()).unwrap();
        wait.recv_timeout(PATIENCE).unwrap();
    }));
    inside.recv_timeout(PATIENCE).unwrap();
    handle.send("queued").unwrap();
    handle.kill();
    assert_eq!(handle.send("too late"), Err(MailboxClosed));
    let late = handle.call(|_| ());
    go_on.send(()).unwrap();
    expect(&told, &["message queued"]);
    assert_eq!(block_on(late), Err(CallError::Gone));
    for (peer, version) in peers.iter_mut().zip(ALL) {
        let close = if version.is_hixie() { None } else { Some((1001, String::new())) };
        assert_eq!(peer.next(), Got::Close(close), "{version}");
        peer.finish();
    }
    // It hears of the end of each client, and then it is gone.
    block_on(handle.ended());
    let ends: Vec<_> = told.iter().collect();
    assert!(ends.len() == ALL.len() && ends.iter().all(|line| line.starts_with("disconnected ")), "{ends:?}");
    assert!(handle.is_closed());
    server.wait_for_clients(0);
}

fn waits_for_no_slow_reader_when_it_is_killed(config: Config) {
    let (server, handle, told) = start(config.close_timeout(Duration::from_millis(200)));
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("big");
    expect(&told, &["connected", "text big"]);
    // What it sends back is far more than the sockets hold, and is read a little at a time.
    let (done, is_done) = channel::<()>();
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while is_done.try_recv().is_err() && peer.stream.read(&mut buffer).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    handle.kill();
    block_on(handle.ended());
    // Or, on a machine so busy that the reader is not seen to read, the time to answer the close frame was over before.
    let end = told.recv_timeout(PATIENCE).unwrap();
    assert!(["aborted", "did not answer a close frame"].iter().any(|cause| end.ends_with(cause)), "{end}");
    done.send(()).unwrap();
    reading.join().unwrap();
}

fn gives_its_path_back(config: Config) {
    let (server, handle, _told) = start(config);
    let resources = server.handle.resources();
    assert!(resources.run_resource_listener("/", Origins::any(), Diary::new().0).is_err(), "it is taken");
    handle.kill();
    assert!(resources.find("/").is_none(), "at once");
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(404));
    let (diary, told) = Diary::new();
    let second = resources.run_resource_listener("/", Origins::any(), diary).unwrap();
    handle.kill(); // the first one, again
    server.connect(Version::Rfc6455, "/").text("hello");
    expect(&told, &["connected", "text hello"]);
    // Another one took the path meanwhile: it stays.
    assert!(resources.unregister("/"));
    let (diary, third) = Diary::new();
    let _third = resources.run_resource_listener("/", Origins::any(), diary).unwrap();
    second.kill();
    while told.recv_timeout(PATIENCE).is_ok() {}
    server.connect(Version::Rfc6455, "/").text("hello");
    expect(&third, &["connected", "text hello"]);
}

fn is_awaited_by_the_caller(config: Config) {
    let (diary, told) = Diary::new();
    let task = ResourceListenerTask::new(diary);
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
    drop(told);
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503), "it is still registered");
}

fn ends_with_the_server(config: Config) {
    let (server, handle, told) = start(config);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("a");
    peer.next();
    server.handle.stop();
    assert_eq!(peer.next(), Got::Close(Some((1001, String::new()))));
    peer.finish();
    drop(handle);
    server.wait().unwrap();
    expect(&told, &["connected", "text a", "disconnected 1005 closed"]);
    drop(server);
    assert!(told.recv_timeout(PATIENCE).is_err(), "nothing holds it any more");
}
