//! A resource hands a client to a mailbox or to an async function when its connection has ended: they do not take it, and wait
//! for no end that has been.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::mpsc::{Sender, channel};

use clws_server::{
    Client, Close, Config, Disconnect, Origins, Resource, Server, Version, WebSocket, async_handler, mailbox,
};
use common::{PATIENCE, Running, within};
use futures::StreamExt;

in_both_modes!(a_mailbox, an_async_function);

/// Hands each client in when it has gone, and tells what the other resource says.
struct TooLate<R>(R, Sender<Result<(), Close>>);

impl<R: Resource> Resource for TooLate<R> {
    fn disconnected(&self, client: &Client, _: &Disconnect) {
        self.1.send(self.0.connected(client)).unwrap();
    }
}

/// A client that comes and goes: whether it was taken then.
fn is_taken(config: Config, resource: impl Resource) -> bool {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (tell, told) = channel();
    server.resources().register("/", Origins::any(), TooLate(resource, tell)).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.close(1000, "");
    told.recv_timeout(PATIENCE).unwrap().is_ok()
}

fn a_mailbox(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    assert!(!is_taken(config, resource.clone()));
    resource.close();
    assert!(within(events.next()).is_none(), "it waits for no client");
}

fn an_async_function(config: Config) {
    let (called, calls) = channel::<()>();
    let resource = async_handler(move |_: WebSocket| {
        let _ = called.send(());
        async {}
    });
    assert!(!is_taken(config, resource));
    assert!(calls.recv().is_err(), "it is never called");
}
