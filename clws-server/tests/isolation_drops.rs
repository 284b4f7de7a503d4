//! A panic in the drop of what the application gave to the server costs nobody anything, whoever drops it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::panic::panic_any;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use clws_server::{
    Accept, ByteString, Client, Config, Decision, HttpRequest, HttpResponse, Opening, Origins, Reject,
    Resource, ResourceListener, Server, Text, Version, WebSocket, async_handler,
};
use common::{Got, PATIENCE, Running};

in_both_modes!(
    of_a_clients_data,
    of_data_that_comes_too_late,
    of_data_for_a_client_that_is_refused,
    of_a_resource_behind_its_last_client,
    of_the_http_hook,
    of_what_a_task_held,
    of_a_listener,
    of_a_result_that_nobody_waits_for,
    of_what_a_panic_is_thrown_with,
);

/// Panics when it is dropped, and tells of it.
struct Bomb(Sender<()>);

impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
        if !std::thread::panicking() {
            panic!("in a drop");
        }
    }
}

struct Bombs {
    sender: Sender<()>,
    drops: Receiver<()>,
}

impl Bombs {
    fn new() -> Self {
        let (sender, drops) = channel();
        Self { sender, drops }
    }

    fn bomb(&self) -> Bomb {
        Bomb(self.sender.clone())
    }

    #[track_caller]
    fn expect(&self, count: usize) {
        for _ in 0..count {
            self.drops.recv_timeout(PATIENCE).expect("it is dropped");
        }
        assert!(self.drops.try_recv().is_err(), "once");
    }
}

/// Echoes.
struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        client.send_text(&text).unwrap();
    }
}

/// A server with one shard and an echo at `/echo`, which is to go on.
fn start(config: Config, setup: impl FnOnce(&Server)) -> Running {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    setup(&server);
    Running::run(server)
}

#[track_caller]
fn assert_works(server: &Running) {
    server.connect(Version::Rfc6455, "/echo").assert_echo("undisturbed");
}

fn of_a_clients_data(config: Config) {
    struct R(Mutex<Sender<()>>);
    impl Resource for R {
        fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
            Ok(Accept::new().data(Bomb(self.0.lock().unwrap().clone())))
        }

        fn text(&self, client: &Client, text: Text<'_>) {
            assert_ne!(&*text, "panic");
            client.send_text(&text).unwrap();
        }
    }
    let bombs = Bombs::new();
    let server = start(config.close_timeout(Duration::from_millis(50)), |server| {
        server.resources().register("/", Origins::any(), R(Mutex::new(bombs.sender.clone()))).unwrap();
    });
    let mut other = server.connect(Version::Rfc6455, "/echo");
    for round in 0..3 {
        let mut peer = server.connect(Version::Rfc6455, "/");
        match round {
            0 => peer.close(1000, ""),
            1 => peer.text("panic"),
            _ => {}
        }
        if round < 2 {
            assert!(matches!(peer.next(), Got::Close(_)));
        }
        drop(peer);
        bombs.expect(1);
        other.assert_echo("undisturbed");
    }
    let _stays = server.connect(Version::Rfc6455, "/");
    server.stop().unwrap();
    bombs.expect(1);
}

/// Decides on each client later.
struct Later(Mutex<Sender<Decision>>);

impl Resource for Later {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        let (accept, decision) = Accept::later();
        self.0.lock().unwrap().send(decision).unwrap();
        Ok(accept)
    }
}

fn of_data_that_comes_too_late(config: Config) {
    let (bombs, (decide, decisions)) = (Bombs::new(), channel());
    let server = start(config.handshake_timeout(Duration::from_millis(50)), |server| {
        server.resources().register("/", Origins::any(), Later(Mutex::new(decide))).unwrap();
    });
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    let decision = decisions.recv_timeout(PATIENCE).unwrap();
    decision.accept(Accept::new().data(bombs.bomb()));
    bombs.expect(1);
    assert_works(&server);
}

fn of_data_for_a_client_that_is_refused(config: Config) {
    struct R(Mutex<Sender<()>>);
    impl Resource for R {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            let bomb = Bomb(self.0.lock().unwrap().clone());
            if opening.query_string() == Some("later") {
                let (mut accept, decision) = Accept::later();
                accept = accept.data(bomb); // of no effect
                decision.reject(Reject::forbidden("no"));
                return Ok(accept);
            }
            Ok(Accept::new().subprotocol("not offered").data(bomb))
        }
    }
    let bombs = Bombs::new();
    let server = start(config, |server| {
        server.resources().register("/", Origins::any(), R(Mutex::new(bombs.sender.clone()))).unwrap();
    });
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(500));
    bombs.expect(1);
    assert_eq!(server.try_connect(Version::Rfc6455, "/?later").err(), Some(403));
    bombs.expect(1);
    assert_works(&server);
}

fn of_a_resource_behind_its_last_client(config: Config) {
    struct R(#[expect(dead_code, reason = "it is dropped")] Mutex<Bomb>);
    impl Resource for R {}
    let bombs = Bombs::new();
    let server = start(config, |server| {
        let (in_rule, in_resource) = (Mutex::new(bombs.bomb()), Mutex::new(bombs.bomb()));
        let rule = Origins::closure(move |_| in_rule.lock().is_ok());
        server.resources().register("/", rule, R(in_resource)).unwrap();
    });
    let peer = server.connect(Version::Rfc6455, "/");
    assert!(server.handle.resources().unregister("/"));
    bombs.expect(0);
    drop(peer);
    bombs.expect(2);
    assert_works(&server);
}

fn of_the_http_hook(config: Config) {
    let bombs = Bombs::new();
    let hook = |bomb: Bomb| {
        let bomb = Mutex::new(bomb);
        move |_: &HttpRequest<'_>| HttpResponse::text(if bomb.lock().is_ok() { 200 } else { 500 }, "ok")
    };
    let server = start(config, |server| server.resources().http(hook(bombs.bomb())));
    server.handle.resources().http(hook(bombs.bomb()));
    bombs.expect(1);
    assert_works(&server);
    drop(server);
    bombs.expect(1);
}

fn of_what_a_task_held(config: Config) {
    let bombs = Bombs::new();
    let sender = bombs.sender.clone();
    let server = start(config, move |server| {
        let handler = async_handler(move |mut socket: WebSocket| {
            let bomb = Bomb(sender.clone());
            let task = Box::pin(async move {
                while let Some(message) = socket.next().await {
                    socket.send(message).await.unwrap();
                }
            });
            Held { task, _bomb: bomb }
        });
        server.resources().register("/", Origins::any(), handler).unwrap();
    });
    for _ in 0..3 {
        let mut peer = server.connect(Version::Rfc6455, "/");
        peer.assert_echo("it runs");
        peer.close(1000, "");
        assert!(matches!(peer.next(), Got::Close(_)));
        bombs.expect(1);
        assert_works(&server);
    }
}

/// A future that holds something to its own end.
struct Held {
    task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>,
    _bomb: Bomb,
}

impl Future for Held {
    type Output = ();

    fn poll(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Self::Output> {
        self.task.as_mut().poll(cx)
    }
}

struct Fragile(#[expect(dead_code, reason = "it is dropped")] Bomb);

impl ResourceListener for Fragile {
    type Message = Bomb;

    fn text(&mut self, client: &Client, text: ByteString) {
        client.send_text(&text).unwrap();
    }
}

fn of_a_listener(config: Config) {
    let bombs = Bombs::new();
    let mut handle = None;
    let server = start(config, |server| {
        let listener = Fragile(bombs.bomb());
        handle = Some(server.resources().run_resource_listener("/", Origins::any(), listener).unwrap());
    });
    let handle = handle.unwrap();
    // A message that is handled, and a closure that is called.
    handle.send(bombs.bomb()).unwrap();
    bombs.expect(1);
    let bomb = bombs.bomb();
    assert!(futures::executor::block_on(handle.call(move |_| drop(bomb))).is_err());
    bombs.expect(1);
    server.connect(Version::Rfc6455, "/").assert_echo("it goes on");
    handle.kill();
    futures::executor::block_on(handle.ended());
    bombs.expect(1);
    // What comes too late.
    assert!(handle.send(bombs.bomb()).is_err());
    let bomb = bombs.bomb();
    drop(handle.call(move |_| drop(bomb)));
    bombs.expect(2);
    assert_works(&server);
}

/// What waits for a listener that is dropped before it comes to it, each message by itself.
#[test]
fn of_messages_that_nobody_receives() {
    let bombs = Bombs::new();
    let (sender, mailbox) = clws_server::mailbox::<Bomb>();
    for _ in 0..5 {
        sender.send(bombs.bomb()).unwrap();
    }
    drop(mailbox);
    bombs.expect(5);
    let (sender, mut mailbox) = clws_server::mailbox::<Bomb>();
    for _ in 0..5 {
        sender.send(bombs.bomb()).unwrap();
    }
    // One is taken out, and the others with it.
    let first = futures::executor::block_on(futures::StreamExt::next(&mut mailbox));
    drop(mailbox);
    bombs.expect(4);
    std::mem::forget(first);
}

fn of_a_result_that_nobody_waits_for(config: Config) {
    let bombs = Bombs::new();
    let mut handle = None;
    let server = start(config, |server| {
        let listener = Fragile(bombs.bomb());
        handle = Some(server.resources().run_resource_listener("/", Origins::any(), listener).unwrap());
    });
    let handle = handle.unwrap();
    let (sender, (go, goes)) = (bombs.sender.clone(), channel());
    drop(handle.call(move |_| {
        goes.recv_timeout(PATIENCE).unwrap();
        Bomb(sender)
    }));
    go.send(()).unwrap(); // from now on there is nobody to take it
    bombs.expect(1);
    server.connect(Version::Rfc6455, "/").assert_echo("it goes on");
    handle.kill();
    futures::executor::block_on(handle.ended());
    bombs.expect(1);
}

fn of_what_a_panic_is_thrown_with(config: Config) {
    struct R(Mutex<Sender<()>>);
    impl Resource for R {
        fn text(&self, _: &Client, _: Text<'_>) {
            panic_any(Bomb(self.0.lock().unwrap().clone()));
        }
    }
    let bombs = Bombs::new();
    let sender = bombs.sender.clone();
    let server = start(config, |server| {
        server.resources().register("/", Origins::any(), R(Mutex::new(bombs.sender.clone()))).unwrap();
        let handler = async_handler(move |mut socket: WebSocket| {
            let sender = sender.clone();
            async move {
                if socket.next().await.is_some() {
                    panic_any(Bomb(sender));
                }
            }
        });
        server.resources().register("/async", Origins::any(), handler).unwrap();
    });
    let mut other = server.connect(Version::Rfc6455, "/echo");
    for path in ["/", "/async"] {
        let mut peer = server.connect(Version::Rfc6455, path);
        peer.text("now");
        assert_eq!(peer.next(), Got::Close(Some((1011, String::new()))));
        peer.finish();
        bombs.expect(1);
        other.assert_echo("undisturbed");
    }
}
