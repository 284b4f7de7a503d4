//! A resource passes a disconnected client to a mailbox or an async handler. They refuse the client
//! and do not wait for its end.

use std::sync::mpsc::{Sender, channel};

use crate::common::{Running, TIMEOUT, within};
use clws_server::{
    Client, Close, Config, Disconnect, Origins, Resource, Server, Version, WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

in_both_modes!(a_mailbox_refuses_a_disconnected_client, an_async_handler_refuses_a_disconnected_client);

/// Passes each client to the inner resource in `disconnected`, and reports the result.
struct TooLate<R>(R, Sender<Result<(), Close>>);

impl<R: Resource> Resource for TooLate<R> {
    fn disconnected(&self, client: &Client, _: &Disconnect) {
        self.1.send(self.0.connected(client)).unwrap();
    }
}

/// Connects and disconnects a client. Returns whether the inner resource accepted it.
fn is_accepted(config: Config, resource: impl Resource) -> bool {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (tx, rx) = channel();
    server.resources().register("/", Origins::any(), TooLate(resource, tx)).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.close(1000, "");
    rx.recv_timeout(TIMEOUT).unwrap().is_ok()
}

fn a_mailbox_refuses_a_disconnected_client(config: Config) {
    let (resource, mut events) = mailbox::<()>();
    assert!(!is_accepted(config, resource.clone()));
    resource.close();
    assert!(within(events.next()).is_none(), "the mailbox waits for the client");
}

fn an_async_handler_refuses_a_disconnected_client(config: Config) {
    let (called, calls) = channel::<()>();
    let resource = async_handler(move |_: WebSocket| {
        let _ = called.send(());
        async {}
    });
    assert!(!is_accepted(config, resource));
    assert!(calls.recv().is_err(), "the handler was called");
}
