//! A panic in the `Drop` of a value of the application affects nothing else, whichever thread drops
//! it.

use std::panic::panic_any;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::common::{Received, Running, TIMEOUT};
use clws_server::{
    Accept, ByteString, Client, Config, Decision, HttpRequest, HttpResponse, Opening, Origins, Reject,
    Resource, ResourceListener, Server, Text, Version, WebSocket, async_handler,
};

in_both_modes!(
    data_of_a_client_may_panic,
    data_of_a_late_decision_may_panic,
    data_of_a_rejected_client_may_panic,
    resource_dropped_with_its_last_client_may_panic,
    replaced_http_hook_may_panic,
    values_held_by_a_task_may_panic,
    listener_and_its_messages_may_panic,
    result_of_a_dropped_call_may_panic,
    panic_payload_of_a_handler_may_panic,
);

/// Reports its drop, and then panics.
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
            self.drops.recv_timeout(TIMEOUT).expect("no value was dropped");
        }
        assert!(self.drops.try_recv().is_err(), "a value was dropped twice");
    }
}

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        client.send_text(&text).unwrap();
    }
}

/// A server with one shard and an echo at `/echo`, which must stay available.
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

fn data_of_a_client_may_panic(config: Config) {
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
            assert!(matches!(peer.next(), Received::Close(_)));
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

fn data_of_a_late_decision_may_panic(config: Config) {
    let (bombs, (decide, decisions)) = (Bombs::new(), channel());
    let server = start(config.handshake_timeout(Duration::from_secs(1)), |server| {
        server.resources().register("/", Origins::any(), Later(Mutex::new(decide))).unwrap();
    });
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
    let decision = decisions.recv_timeout(TIMEOUT).unwrap();
    decision.accept(Accept::new().data(bombs.bomb()));
    bombs.expect(1);
    assert_works(&server);
}

fn data_of_a_rejected_client_may_panic(config: Config) {
    struct R(Mutex<Sender<()>>);
    impl Resource for R {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            let bomb = Bomb(self.0.lock().unwrap().clone());
            if opening.query_string() == Some("later") {
                let (mut accept, decision) = Accept::later();
                accept = accept.data(bomb); // ignored
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

fn resource_dropped_with_its_last_client_may_panic(config: Config) {
    struct R(#[expect(dead_code, reason = "dropped with the resource")] Mutex<Bomb>);
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

fn replaced_http_hook_may_panic(config: Config) {
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

fn values_held_by_a_task_may_panic(config: Config) {
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
        peer.assert_echo("running");
        peer.close(1000, "");
        assert!(matches!(peer.next(), Received::Close(_)));
        bombs.expect(1);
        assert_works(&server);
    }
}

/// A future that keeps a value until its own drop.
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

struct Fragile(#[expect(dead_code, reason = "dropped with the listener")] Bomb);

impl ResourceListener for Fragile {
    type Message = Bomb;

    fn text(&mut self, client: &Client, text: ByteString) {
        client.send_text(&text).unwrap();
    }
}

fn listener_and_its_messages_may_panic(config: Config) {
    let bombs = Bombs::new();
    let mut handle = None;
    let server = start(config, |server| {
        let listener = Fragile(bombs.bomb());
        handle = Some(server.resources().run_resource_listener("/", Origins::any(), listener).unwrap());
    });
    let handle = handle.unwrap();
    // A handled message and a closure.
    handle.send(bombs.bomb()).unwrap();
    bombs.expect(1);
    let bomb = bombs.bomb();
    assert!(futures::executor::block_on(handle.call(move |_| drop(bomb))).is_err());
    bombs.expect(1);
    server.connect(Version::Rfc6455, "/").assert_echo("still running");
    handle.kill();
    futures::executor::block_on(handle.ended());
    bombs.expect(1);
    // A message and a closure that arrive too late.
    assert!(handle.send(bombs.bomb()).is_err());
    let bomb = bombs.bomb();
    drop(handle.call(move |_| drop(bomb)));
    bombs.expect(2);
    assert_works(&server);
}

/// Dropping a mailbox drops each of its messages, although every drop panics.
#[test]
fn messages_in_a_dropped_mailbox_may_panic() {
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
    // Taking one message moves the others out of the queue too.
    let first = futures::executor::block_on(futures::StreamExt::next(&mut mailbox));
    drop(mailbox);
    bombs.expect(4);
    std::mem::forget(first);
}

fn result_of_a_dropped_call_may_panic(config: Config) {
    let bombs = Bombs::new();
    let mut handle = None;
    let server = start(config, |server| {
        let listener = Fragile(bombs.bomb());
        handle = Some(server.resources().run_resource_listener("/", Origins::any(), listener).unwrap());
    });
    let handle = handle.unwrap();
    let (sender, (go, goes)) = (bombs.sender.clone(), channel());
    drop(handle.call(move |_| {
        goes.recv_timeout(TIMEOUT).unwrap();
        Bomb(sender)
    }));
    go.send(()).unwrap(); // nothing waits for the result any more
    bombs.expect(1);
    server.connect(Version::Rfc6455, "/").assert_echo("still running");
    handle.kill();
    futures::executor::block_on(handle.ended());
    bombs.expect(1);
}

fn panic_payload_of_a_handler_may_panic(config: Config) {
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
        assert_eq!(peer.next(), Received::Close(Some((1011, String::new()))));
        peer.finish();
        bombs.expect(1);
        other.assert_echo("undisturbed");
    }
}
