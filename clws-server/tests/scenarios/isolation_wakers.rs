//! A waker is code of the application. It may panic or use the library, whichever thread calls it.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::common;
use crate::common::{Peer, Probe, Received, Running, TIMEOUT};
use clws_handshake::client::ClientRequest;
use clws_server::{
    Accept, CloseCode, Config, Event, Opening, Origins, Peer as Address, Reject, Resource, ResourceListener,
    Server, Version, WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

in_both_modes!(
    a_waker_may_panic_while_waiting_for_a_websocket,
    a_waker_may_panic_while_waiting_for_a_mailbox,
    a_waker_may_panic_while_waiting_for_a_listener,
    a_waker_may_panic_while_waiting_for_the_server,
);

/// A waker that counts its calls and runs a closure.
struct ReactingWaker {
    woken: AtomicUsize,
    /// Set during a poll. Being woken during a poll only means to poll again.
    polled: AtomicBool,
    react: Box<dyn Fn() + Send + Sync>,
}

impl Wake for ReactingWaker {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        if !self.polled.load(Ordering::SeqCst) {
            (self.react)();
        }
    }
}

fn reacting_waker(react: impl Fn() + Send + Sync + 'static) -> Arc<ReactingWaker> {
    Arc::new(ReactingWaker {
        woken: AtomicUsize::new(0),
        polled: AtomicBool::new(false),
        react: Box::new(react),
    })
}

fn panicking_waker() -> Arc<ReactingWaker> {
    reacting_waker(|| panic!("in a waker"))
}

impl ReactingWaker {
    #[track_caller]
    fn expect(&self) {
        common::eventually("the waker is called", || self.woken.load(Ordering::SeqCst) > 0);
    }
}

fn poll<F: Future>(future: Pin<&mut F>, waker: &Arc<ReactingWaker>) -> Poll<F::Output> {
    waker.polled.store(true, Ordering::SeqCst);
    let polled = future.poll(&mut Context::from_waker(&Waker::from(Arc::clone(waker))));
    waker.polled.store(false, Ordering::SeqCst);
    polled
}

/// Polls until the task waits. Polls again if the waker was called during the poll, or if the
/// cooperative budget is used up.
#[track_caller]
fn poll_until_pending<T>(mut poll: impl FnMut() -> Poll<T>, waker: &ReactingWaker) {
    for _ in 0..1000 {
        waker.woken.store(0, Ordering::SeqCst);
        assert!(poll().is_pending(), "the poll must be pending");
        if waker.woken.load(Ordering::SeqCst) == 0 {
            return;
        }
    }
    panic!("the waker is called again and again");
}

/// Polls until the result is ready.
#[track_caller]
fn poll_until_ready<T>(mut poll: impl FnMut() -> Poll<T>) -> T {
    let mut got = None;
    common::eventually("the result is ready", || {
        if let Poll::Ready(ready) = poll() {
            got = Some(ready);
        }
        got.is_some()
    });
    got.unwrap()
}

/// A resource whose handler sends each client's socket to the test.
fn sockets() -> (impl Resource, Receiver<WebSocket>) {
    let (socket, sockets) = channel();
    let socket = Mutex::new(socket);
    let resource = async_handler(move |given: WebSocket| {
        socket.lock().unwrap().send(given).unwrap();
        async {}
    });
    (resource, sockets)
}

fn start(config: Config, setup: impl FnOnce(&Server)) -> Running {
    let server = Server::bind(config.shards(1).listen("127.0.0.1:0")).unwrap();
    let (probe, _) = Probe::new();
    server.resources().register_shared("/echo", Origins::any(), probe).unwrap();
    setup(&server);
    Running::run(server)
}

fn a_waker_may_panic_while_waiting_for_a_websocket(config: Config) {
    let (resource, sockets) = sockets();
    let server = start(config, |server| server.resources().register("/", Origins::any(), resource).unwrap());
    let mut other = server.connect(Version::Rfc6455, "/echo");
    let mut peer = server.connect(Version::Rfc6455, "/");
    let mut socket = sockets.recv_timeout(TIMEOUT).unwrap();
    let waker = panicking_waker();
    poll_until_pending(|| poll(pin!(socket.next()), &waker), &waker);
    peer.text("message");
    waker.expect();
    assert_eq!(poll_until_ready(|| poll(pin!(socket.next()), &waker)), Some("message".into()));
    // A waker that polls immediately, on the waking thread, and so takes every lock again.
    let (client, seen) = (socket.client().clone(), Arc::new(Mutex::new(None)));
    let socket = Arc::new(Mutex::new(socket));
    let (inner, polled) = (Arc::clone(&socket), Arc::clone(&seen));
    let waker = reacting_waker(move || {
        let mut socket = inner.lock().unwrap();
        let next = pin!(socket.next());
        let Poll::Ready(message) = next.poll(&mut Context::from_waker(Waker::noop())) else { return };
        client.send_text("at once").unwrap();
        *polled.lock().unwrap() = message;
    });
    poll_until_pending(|| poll(pin!(socket.lock().unwrap().next()), &waker), &waker);
    peer.text("again");
    assert_eq!(peer.next(), common::text("at once"));
    common::eventually("the message is received", || *seen.lock().unwrap() == Some("again".into()));
    // The end of the client.
    let waker = panicking_waker();
    poll_until_pending(|| poll(pin!(socket.lock().unwrap().next()), &waker), &waker);
    drop(peer);
    waker.expect();
    assert_eq!(poll_until_ready(|| poll(pin!(socket.lock().unwrap().next()), &waker)), None);
    other.assert_echo("undisturbed");
}

fn a_waker_may_panic_while_waiting_for_a_mailbox(config: Config) {
    let (sender, mut events) = mailbox::<u8>();
    let other_sender = sender.clone();
    let server = start(config, |server| server.resources().register("/", Origins::any(), sender).unwrap());
    let mut other = server.connect(Version::Rfc6455, "/echo");
    let waker = panicking_waker();
    poll_until_pending(|| poll(pin!(events.next()), &waker), &waker);
    let mut peer = server.connect(Version::Rfc6455, "/");
    waker.expect();
    assert!(matches!(poll_until_ready(|| poll(pin!(events.next()), &waker)), Some(Event::Connected(_))));
    // A waker that sends to the same mailbox.
    let sender = other_sender.clone();
    let waker = reacting_waker(move || sender.send(7).unwrap());
    assert!(poll(pin!(events.next()), &waker).is_pending());
    peer.text("message");
    waker.expect();
    let mut got = [0, 0];
    while got[0] == 0 || got[1] == 0 {
        match poll_until_ready(|| poll(pin!(events.next()), &waker)) {
            Some(Event::Text(..)) => got[0] += 1,
            Some(Event::Message(7)) => got[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    other_sender.close();
    other.assert_echo("undisturbed");
}

struct Silent;

impl ResourceListener for Silent {
    type Message = ();
}

fn a_waker_may_panic_while_waiting_for_a_listener(config: Config) {
    let mut handle = None;
    let server = start(config, |server| {
        handle = Some(server.resources().run_resource_listener("/", Origins::any(), Silent).unwrap());
    });
    let handle = handle.unwrap();
    let waker = panicking_waker();
    let (go, goes) = channel();
    let mut called = pin!(handle.call(move |_| goes.recv_timeout(TIMEOUT).is_ok()));
    assert!(poll(called.as_mut(), &waker).is_pending());
    go.send(()).unwrap();
    waker.expect();
    assert_eq!(poll(called, &waker), Poll::Ready(Ok(true)));
    assert_eq!(futures::executor::block_on(handle.call(|_| 1)), Ok(1), "the listener still runs");

    let (first, second) = (panicking_waker(), panicking_waker());
    let again = handle.clone();
    let (mut ended, mut too) = (pin!(handle.ended()), pin!(again.ended()));
    assert!(poll(ended.as_mut(), &first).is_pending() && poll(too.as_mut(), &second).is_pending());
    handle.kill();
    first.expect();
    second.expect();
    assert!(poll(ended, &first).is_ready() && poll(too, &second).is_ready());
    futures::executor::block_on(handle.ended());
    server.connect(Version::Rfc6455, "/echo").assert_echo("undisturbed");
}

fn a_waker_may_panic_while_waiting_for_the_server(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let handle = server.handle();
    let waker = panicking_waker();
    let mut run = pin!(server.run());
    assert!(poll(run.as_mut(), &waker).is_pending());
    handle.stop();
    waker.expect();
    common::eventually("the server ends", || match poll(run.as_mut(), &waker) {
        Poll::Ready(ended) => ended.is_ok(),
        Poll::Pending => false,
    });
}

/// Each send to a stream's client wakes the task that serves it.
#[cfg(unix)]
#[test]
fn a_waker_may_panic_while_serving_a_stream() {
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    let (handle, running) = (server.handle(), Running::run(server));
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(TIMEOUT)).unwrap();
    let ours: async_std::os::unix::net::UnixStream = ours.into();
    let opening = std::thread::spawn(move || {
        Peer::open(theirs, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, "ws://server/")).unwrap()
    });
    let mut serving = Box::pin(handle.serve_stream(ours, Address::Stream));
    let waker = panicking_waker();
    common::eventually("the handshake is done", || {
        poll(serving.as_mut(), &waker).is_pending() && opening.is_finished()
    });
    poll_until_pending(|| poll(serving.as_mut(), &waker), &waker);
    let (mut peer, client) = (opening.join().unwrap(), recorder.connected());
    let mut others = [0, 1].map(|_| running.connect(Version::Rfc6455, "/"));
    let all = [recorder.connected(), client.clone(), recorder.connected()];

    assert!(clws_server::send_to(&all, "to all").is_complete());
    waker.expect();
    for other in &mut others {
        assert_eq!(other.next(), common::text("to all"));
    }
    for _ in 0..3 {
        poll_until_pending(|| poll(serving.as_mut(), &waker), &waker);
        client.send_text("alone").unwrap(); // the panic does not reach the caller
    }
    client.close(CloseCode::new(1000));
    poll_until_pending(|| poll(serving.as_mut(), &waker), &waker);
    assert_eq!(peer.next(), common::text("to all"));
    (0..3).for_each(|_| assert_eq!(peer.next(), common::text("alone")));
    assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
    handle.stop(); // calls the waker too
    drop(serving);
    assert_eq!(handle.clients(), 2);
}

/// A late decision wakes the task that serves the stream. Its waker panics.
#[test]
fn a_waker_may_panic_while_a_decision_is_pending() {
    struct Later(Mutex<Vec<clws_server::Decision>>);
    impl Resource for Later {
        fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
            let (accept, decision) = Accept::later();
            self.0.lock().unwrap().push(decision);
            Ok(accept)
        }
    }
    let server = Server::bind(common::config().listen("127.0.0.1:0")).unwrap();
    let resource = Arc::new(Later(Mutex::default()));
    server.resources().register_shared("/", Origins::any(), resource.clone()).unwrap();
    let (request, _) = ClientRequest::new(Version::Rfc6455, "ws://server/")
        .build(&mut |bytes: &mut [u8]| bytes.fill(1))
        .unwrap();
    let waker = panicking_waker();
    let stream = futures::io::Cursor::new(request);
    let mut serving = Box::pin(server.handle().serve_stream(stream, Address::Stream));
    poll_until_pending(|| poll(serving.as_mut(), &waker), &waker);
    let decision = resource.0.lock().unwrap().pop().unwrap();
    decision.reject(Reject::forbidden("no"));
    waker.expect();
    let _ = (0..100).take_while(|_| poll(serving.as_mut(), &waker).is_pending()).count();
}
