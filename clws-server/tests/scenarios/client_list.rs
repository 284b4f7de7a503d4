//! Listing the clients of a server, and closing some of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};

use crate::common::wire::{Wire, soon};
use crate::common::{self, Running};
use clws_server::{
    Accept, Client, Close, CloseCode, Config, Opening, Origins, Peer, Reject, Resource, Server, ServerHandle,
    Text,
};

in_both_modes!(
    lists_connected_clients,
    lists_clients_in_their_own_handlers,
    closes_by_resource_and_by_predicate,
    a_filter_may_panic,
    does_not_keep_clients,
);

/// Accepts clients, and refuses those with the query `refuse`.
#[derive(Default)]
struct Plain;

impl Resource for Plain {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.query_string() == Some("refuse") { Err(CloseCode::POLICY.into()) } else { Ok(()) }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }
}

fn start(config: Config) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    for path in ["/", "/other"] {
        server.resources().register(path, Origins::any(), Plain).unwrap();
    }
    Running::run(server)
}

fn lists_connected_clients(config: Config) {
    let server = start(config);
    assert_eq!(server.handle.list_clients(), []);
    let mut peers: Vec<_> = (0..20).map(|_| Wire::connect(&server, "/")).collect();
    let _refused = Wire::connect(&server, "/?refuse");
    let _opening = server.tcp();
    soon("all are listed", || server.handle.list_clients().len() == 20);
    let mut ports: Vec<_> =
        server.handle.list_clients().iter().map(|client| client.remote_port().unwrap()).collect();
    let port = |peer: &Wire| peer.socket.local_addr().unwrap().as_socket().unwrap().port();
    let mut expected: Vec<_> = peers.iter().map(port).collect();
    ports.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ports, expected);
    for left in (0..10).rev() {
        drop(peers.pop());
        soon("one less", || server.handle.list_clients().len() == 10 + left);
    }
}

/// Lists the clients in `text`, on the thread that serves them.
struct Counts(OnceLock<ServerHandle>);

impl Resource for Counts {
    fn text(&self, client: &Client, _: Text<'_>) {
        let clients = self.0.get().unwrap().list_clients();
        assert!(clients.contains(client));
        let _ = client.send(clients.len().to_string());
    }
}

fn lists_clients_in_their_own_handlers(config: Config) {
    let resource = Arc::new(Counts(OnceLock::new()));
    let server = Running::start(config, Arc::clone(&resource) as _);
    resource.0.set(server.handle.clone()).unwrap();
    let mut peers: Vec<_> = (0..5).map(|_| Wire::connect(&server, "/")).collect();
    soon("all are listed", || server.handle.list_clients().len() == 5);
    for peer in &mut peers {
        peer.text("how many?");
        assert_eq!(peer.next().unwrap().1, b"5");
    }
}

fn closes_by_resource_and_by_predicate(config: Config) {
    let server = start(config);
    let mut here = Wire::connect(&server, "/");
    let mut other = Wire::connect(&server, "/other");
    let mut third = Wire::connect(&server, "/");
    soon("all are listed", || server.handle.list_clients().len() == 3);
    let close = (CloseCode::SERVICE_RESTART, "moved");
    assert_eq!(server.handle.close_clients(|client| client.resource_name() == "/other", close), 1);
    assert_eq!(other.close_code(), Some(1012));
    let port = third.socket.local_addr().unwrap().as_socket().unwrap().port();
    let address = Peer::Tcp(([127, 0, 0, 1], port).into());
    assert_eq!(server.handle.close_clients(|client| client.peer() == address, CloseCode::POLICY), 1);
    assert_eq!(third.close_code(), Some(1008));
    here.text("still here");
    assert_eq!(here.next().unwrap().1, b"still here");
    assert_eq!(server.handle.close_clients(|_| false, CloseCode::NORMAL), 0);
}

fn a_filter_may_panic(config: Config) {
    let server = start(config);
    let mut peers = [Wire::connect(&server, "/"), Wire::connect(&server, "/other")];
    soon("all are listed", || server.handle.list_clients().len() == 2);
    let handle = server.handle.clone();
    let fits = |client: &Client| {
        assert_eq!(handle.list_clients().len(), 2, "a filter may call the server");
        assert_eq!(client.resource_name(), "/", "not this one");
        true
    };
    let closed = catch_unwind(AssertUnwindSafe(|| server.handle.close_clients(fits, CloseCode::NORMAL)));
    assert_eq!(closed.unwrap(), 1);
    assert_eq!(peers[0].close_code(), Some(1000));
    peers[1].text("still here");
    assert_eq!(peers[1].next().unwrap().1, b"still here");
}

/// A client with data that says when it is dropped.
struct WithData(Mutex<Option<Arc<()>>>);

impl Resource for WithData {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new().data(self.0.lock().unwrap().take().unwrap()))
    }
}

fn does_not_keep_clients(config: Config) {
    let data = Arc::new(());
    let server = Running::start(config, Arc::new(WithData(Mutex::new(Some(Arc::clone(&data))))));
    let peer = Wire::connect(&server, "/");
    soon("it is listed", || server.handle.list_clients().len() == 1);
    peer.finish();
    common::eventually("its data is dropped", || Arc::strong_count(&data) == 1);
}
