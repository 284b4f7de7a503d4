//! A resource passes a client to a mailbox, a listener or an async handler, and then refuses it.
//! The receiver gets the client's end.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use crate::common::{Received, Running, TIMEOUT, within};
use clws_server::{
    Accept, Client, Close, Config, Disconnect, Event, Opening, Origins, Reject, Resource, ResourceListener,
    ResourceListenerTask, Server, Version, WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

in_both_modes!(
    a_mailbox_gets_the_end,
    a_closed_mailbox_gets_the_end,
    a_listener_gets_the_end,
    an_async_handler_gets_the_end,
    an_async_handler_gets_the_end_after_a_panic
);

/// Refuses each client after the inner resource accepted it.
struct Refuses<R>(R, How);

#[derive(Clone, Copy)]
enum How {
    /// The inner resource decides on the handshake.
    Refuses,
    /// This resource decides on the handshake.
    AcceptsAndRefuses,
    Panics,
}

impl<R: Resource> Resource for Refuses<R> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if let How::AcceptsAndRefuses = self.1 { Ok(Accept::new()) } else { self.0.accept(opening) }
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.connected(client)?;
        if let How::Panics = self.1 {
            panic!("after the inner resource accepted");
        }
        Err(Close::new(4003.into(), "no"))
    }

    fn disconnected(&self, _: &Client, _: &Disconnect) {
        panic!("`disconnected` is not called for a refused client");
    }
}

fn serve(config: Config, resource: impl Resource, how: How) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Refuses(resource, how)).unwrap();
    Running::run(server)
}

/// Connects a client that is refused, and waits for its end.
fn connect_and_be_refused(server: &Running, code: u16, reason: &str) {
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert_eq!(peer.next(), Received::Close(Some((code, reason.to_owned()))));
    peer.finish();
    server.wait_for_clients(0);
}

fn a_mailbox_gets_the_end(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = serve(config, resource, How::Refuses);
    for _ in 0..3 {
        connect_and_be_refused(&server, 4003, "no");
        let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
        let Some(Event::Disconnected(gone, end)) = within(events.next()) else { panic!() };
        assert!(gone == client && end.is_clean(), "{end}");
    }
}

/// A closed mailbox waits for the end of each client.
fn a_closed_mailbox_gets_the_end(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = serve(config, resource.clone(), How::Refuses);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let Some(Event::Connected(_)) = within(events.next()) else { panic!() };
    resource.close();
    let ended = std::thread::spawn(move || {
        let Some(Event::Disconnected(..)) = within(events.next()) else { panic!() };
        assert!(within(events.next()).is_none());
    });
    assert_eq!(peer.next(), Received::Close(Some((4003, "no".into()))));
    // The mailbox most likely waits by now.
    std::thread::sleep(std::time::Duration::from_millis(50));
    peer.finish();
    ended.join().unwrap();
}

struct Counts(Sender<&'static str>);

impl ResourceListener for Counts {
    type Message = ();

    fn connected(&mut self, _: &Client) -> Result<(), Close> {
        self.0.send("connected").unwrap();
        Ok(())
    }

    fn disconnected(&mut self, _: &Client, _: &Disconnect) {
        self.0.send("disconnected").unwrap();
    }
}

fn a_listener_gets_the_end(config: Config) {
    let (tx, rx) = channel();
    let task = ResourceListenerTask::new(Counts(tx));
    let handle = task.handle();
    let server = serve(config, task.resource(), How::Refuses);
    let task = async_std::task::spawn(task.run());
    connect_and_be_refused(&server, 4003, "no");
    assert_eq!(rx.recv_timeout(TIMEOUT), Ok("connected"));
    assert_eq!(rx.recv_timeout(TIMEOUT), Ok("disconnected"));
    handle.kill();
    within(task);
}

fn check_async_handler(config: Config, how: How, code: u16, reason: &str) {
    let (tx, rx) = channel();
    let tx = Mutex::new(tx);
    let handler = async_handler(move |mut socket: WebSocket| {
        let tx = tx.lock().unwrap().clone();
        async move {
            let message = socket.next().await;
            tx.send((message, socket.disconnect().map(|end| end.is_clean()))).unwrap();
        }
    });
    let server = serve(config, handler, how);
    connect_and_be_refused(&server, code, reason);
    assert_eq!(rx.recv_timeout(TIMEOUT), Ok((None, Some(true))));
}

fn an_async_handler_gets_the_end(config: Config) {
    check_async_handler(config.clone(), How::Refuses, 4003, "no");
    check_async_handler(config, How::AcceptsAndRefuses, 4003, "no");
}

fn an_async_handler_gets_the_end_after_a_panic(config: Config) {
    check_async_handler(config, How::Panics, 1011, "");
}
