//! A resource hands a client to a mailbox, a listener or an async function, and refuses it then. They hear of its end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use clws_server::{
    Accept, Client, Close, Config, Disconnect, Event, Opening, Origins, Reject, Resource, ResourceListener,
    ResourceListenerTask, Server, Version, WebSocket, async_handler, mailbox,
};
use common::{Got, PATIENCE, Running, within};
use futures::StreamExt;

in_both_modes!(a_mailbox, a_mailbox_that_is_closed, a_listener, an_async_function, when_connected_panics);

/// Refuses each client when the other resource has it, in one of three ways.
struct Refuses<R>(R, How);

#[derive(Clone, Copy)]
enum How {
    /// The other resource decides on the handshake.
    Refuses,
    /// This one decides.
    RefusesItsOwn,
    Panics,
}

impl<R: Resource> Resource for Refuses<R> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        if let How::RefusesItsOwn = self.1 { Ok(Accept::new()) } else { self.0.accept(opening) }
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.connected(client)?;
        if let How::Panics = self.1 {
            panic!("when the other has it");
        }
        Err(Close::new(4003.into(), "no"))
    }

    fn disconnected(&self, _: &Client, _: &Disconnect) {
        panic!("it was refused");
    }
}

fn serve(config: Config, resource: impl Resource, how: How) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Refuses(resource, how)).unwrap();
    Running::run(server)
}

/// A client that comes, is refused, and goes.
fn visit(server: &Running, code: u16, reason: &str) {
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert_eq!(peer.next(), Got::Close(Some((code, reason.to_owned()))));
    peer.finish();
    server.wait_for_clients(0);
}

fn a_mailbox(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = serve(config, resource, How::Refuses);
    for _ in 0..3 {
        visit(&server, 4003, "no");
        let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
        let Some(Event::Disconnected(gone, end)) = within(events.next()) else { panic!() };
        assert!(gone == client && end.is_clean(), "{end}");
    }
}

/// It waits for the end of each client.
fn a_mailbox_that_is_closed(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    let server = serve(config, resource.clone(), How::Refuses);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let Some(Event::Connected(_)) = within(events.next()) else { panic!() };
    resource.close();
    let ended = std::thread::spawn(move || {
        let Some(Event::Disconnected(..)) = within(events.next()) else { panic!() };
        assert!(within(events.next()).is_none());
    });
    assert_eq!(peer.next(), Got::Close(Some((4003, "no".into()))));
    std::thread::sleep(std::time::Duration::from_millis(50)); // it waits already, most likely
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

fn a_listener(config: Config) {
    let (tell, told) = channel();
    let task = ResourceListenerTask::new(Counts(tell));
    let handle = task.handle();
    let server = serve(config, task.resource(), How::Refuses);
    let task = async_std::task::spawn(task.run());
    visit(&server, 4003, "no");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("connected"));
    assert_eq!(told.recv_timeout(PATIENCE), Ok("disconnected"));
    handle.kill();
    within(task);
}

fn function(config: Config, how: How, code: u16, reason: &str) {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let handler = async_handler(move |mut socket: WebSocket| {
        let tell = tell.lock().unwrap().clone();
        async move {
            let message = socket.next().await;
            tell.send((message, socket.disconnect().map(|end| end.is_clean()))).unwrap();
        }
    });
    let server = serve(config, handler, how);
    visit(&server, code, reason);
    assert_eq!(told.recv_timeout(PATIENCE), Ok((None, Some(true))));
}

fn an_async_function(config: Config) {
    function(config.clone(), How::Refuses, 4003, "no");
    function(config, How::RefusesItsOwn, 4003, "no");
}

fn when_connected_panics(config: Config) {
    function(config, How::Panics, 1011, "");
}
