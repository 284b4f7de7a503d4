//! A handler that waits for a call to its own listener gets an error instead of a deadlock.

use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::config;
use crate::common::wire::{TEXT, Wire};
use clws_server::{
    Accept, ByteString, CallError, Client, Close, Disconnect, Opening, Origins, Reject, ResourceListener,
    ResourceListenerHandle, ResourceListenerTask, Server,
};
use futures::executor::block_on;

in_own_process!(
    waiting_in_a_handler_fails,
    waiting_in_a_call_fails,
    the_failed_wait_does_not_cancel_the_call,
    a_handler_can_wait_for_another_listener
);

/// Calls this listener in each of its handlers, and waits for the result.
struct CallsItself {
    me: Arc<OnceLock<ResourceListenerHandle<Self>>>,
    seen: mpsc::Sender<(&'static str, Result<u32, CallError>)>,
    calls: u32,
}

impl CallsItself {
    fn wait(&mut self, handler: &'static str) {
        let call = self.me.get().unwrap().call(|listener| {
            listener.calls += 1;
            listener.calls
        });
        let _ = self.seen.send((handler, block_on(call)));
    }
}

impl ResourceListener for CallsItself {
    type Message = ();

    fn accept(&mut self, _: &Opening) -> Result<Accept, Reject> {
        self.wait("accept");
        Ok(Accept::new())
    }

    fn connected(&mut self, _: &Client) -> Result<(), Close> {
        self.wait("connected");
        Ok(())
    }

    fn text(&mut self, client: &Client, text: ByteString) {
        self.wait("text");
        let _ = client.send_text(&text);
    }

    fn disconnected(&mut self, _: &Client, _: &Disconnect) {
        self.wait("disconnected");
    }

    fn custom_message(&mut self, (): ()) {
        self.wait("custom_message");
    }
}

type Calls = mpsc::Receiver<(&'static str, Result<u32, CallError>)>;

fn start() -> (common::Running, ResourceListenerHandle<CallsItself>, Calls) {
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    let (me, (seen, calls)) = (Arc::new(OnceLock::new()), mpsc::channel());
    let listener = CallsItself { me: Arc::clone(&me), seen, calls: 0 };
    let handle = server.resources().run_resource_listener("/", Origins::any(), listener).unwrap();
    me.set(handle.clone()).unwrap_or_else(|_| panic!());
    (common::Running::run(server), handle, calls)
}

fn next(seen: &Calls) -> (&'static str, Result<u32, CallError>) {
    seen.recv_timeout(Duration::from_secs(10)).expect("a handler is stuck")
}

fn waiting_in_a_handler_fails() {
    let (server, handle, seen) = start();
    let mut wire = Wire::connect(&server, "/");
    wire.text("hello");
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    wire.finish();
    handle.send(()).unwrap();
    for handler in ["accept", "connected", "text"] {
        assert_eq!(next(&seen), (handler, Err(CallError::WaitsForItself)));
    }
    let mut rest = [next(&seen).0, next(&seen).0];
    rest.sort_unstable();
    assert_eq!(rest, ["custom_message", "disconnected"]);
}

fn waiting_in_a_call_fails() {
    let (_server, handle, _) = start();
    let me = handle.clone();
    let inner = block_on(handle.call(move |_| block_on(me.call(|_| 7))));
    assert_eq!(inner, Ok(Err(CallError::WaitsForItself)));
}

/// A call that its handler does not wait for runs after the handler returns. Another thread may
/// wait for it.
fn the_failed_wait_does_not_cancel_the_call() {
    let (_server, handle, seen) = start();
    handle.send(()).unwrap();
    assert_eq!(next(&seen), ("custom_message", Err(CallError::WaitsForItself)));
    assert_eq!(block_on(handle.call(|listener| listener.calls)), Ok(1));
    let me = handle.clone();
    let waiting = block_on(handle.call(move |_| {
        let call = me.call(|_| 7);
        thread::spawn(|| block_on(call))
    }));
    assert_eq!(waiting.unwrap().join().unwrap(), Ok(7));
}

fn a_handler_can_wait_for_another_listener() {
    let (_server, handle, _) = start();
    let other =
        ResourceListenerTask::new(CallsItself { me: Arc::default(), seen: mpsc::channel().0, calls: 7 });
    let other_handle = other.handle();
    let thread = thread::spawn(|| block_on(other.run()));
    let listener = other_handle.clone();
    let answer = block_on(handle.call(move |_| block_on(listener.call(|listener| listener.calls))));
    assert_eq!(answer, Ok(Ok(7)));
    other_handle.kill();
    thread.join().unwrap();
}
