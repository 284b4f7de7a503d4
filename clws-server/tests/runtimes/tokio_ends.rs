//! The end of a tokio runtime before the end of its server.

use std::thread;
use std::time::Duration;

use clws_server::{Client, Config, Origins, Resource, Server, Text, WebSocket, async_handler, runtime};

use crate::common::Running;
use crate::common::wire::{TEXT, Wire};

struct Inline;

impl Resource for Inline {
    fn text(&self, client: &Client, text: Text<'_>) {
        client.send(text).unwrap();
    }
}

async fn echo(mut socket: WebSocket) {
    while let Some(message) = socket.next().await {
        let _ = socket.send(message).await;
    }
}

fn start(config: Config, tokio: &tokio::runtime::Runtime) -> Running {
    let runtime = runtime::tokio_handle(tokio.handle().clone());
    let server = Server::builder(config.listen("127.0.0.1:0")).runtime(runtime).bind().unwrap();
    server.resources().register("/async", Origins::any(), async_handler(echo)).unwrap();
    server.resources().register("/inline", Origins::any(), Inline).unwrap();
    Running::run(server)
}

fn new_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn the_server_ends_with_its_runtime(config: Config) {
    let tokio = new_runtime();
    let tasks = config.task_per_client;
    let server = start(config.close_timeout(Duration::from_millis(200)), &tokio);
    let mut clients = ["/async", "/inline"].map(|path| {
        let mut client = Wire::connect(&server, path);
        client.text("hello");
        assert_eq!(client.next().unwrap(), (TEXT, b"hello".to_vec()));
        client
    });
    drop(tokio);
    let error = server.wait().unwrap_err();
    assert!(error.to_string().starts_with("the runtime of the server has ended"), "{error}");
    for client in &mut clients {
        // A task that the runtime drops closes nothing.
        assert_eq!(client.close_code(), (!tasks).then_some(1001));
    }
}

/// As in a program whose `main` returns while the server runs in a task.
fn the_server_may_run_on_the_runtime_that_ends(config: Config) {
    let tokio = new_runtime();
    let server = tokio.block_on(async {
        let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
        server.resources().register("/", Origins::any(), async_handler(echo)).unwrap();
        server
    });
    let (handle, address) = (server.handle(), server.local_addrs().unwrap().remove(0));
    tokio.spawn(server.run());
    let mut client = Wire::to(&address, "/");
    client.text("hello");
    assert_eq!(client.next().unwrap(), (TEXT, b"hello".to_vec()));
    drop(tokio);
    assert!(handle.is_draining());
    drop(client);
    crate::common::eventually("the end of the clients", || handle.clients() == 0);
}

fn a_server_on_a_runtime_that_has_ended_does_not_run(config: Config) {
    let tokio = new_runtime();
    let runtime = runtime::tokio_handle(tokio.handle().clone());
    drop(tokio);
    let server = Server::builder(config.listen("127.0.0.1:0")).runtime(runtime).bind().unwrap();
    server.resources().register("/", Origins::any(), async_handler(echo)).unwrap();
    assert!(futures::executor::block_on(server.run()).is_err());
}

in_both_modes!(
    the_server_ends_with_its_runtime,
    the_server_may_run_on_the_runtime_that_ends,
    a_server_on_a_runtime_that_has_ended_does_not_run,
);

/// `tokio::spawn` in an inline handler drops its task then, and does not panic.
#[test]
fn an_inline_handler_may_spawn_on_a_runtime_that_has_ended() {
    struct Spawns;
    impl Resource for Spawns {
        fn text(&self, client: &Client, text: Text<'_>) {
            drop(tokio::spawn(async {}));
            client.send(text).unwrap();
        }
    }
    let tokio = new_runtime();
    let runtime = runtime::tokio_handle(tokio.handle().clone());
    let server = clws_server::testing::TestServer::from_builder(
        Server::builder(crate::common::config()).runtime(runtime),
    )
    .unwrap();
    server.resources().register("/", Origins::any(), Spawns).unwrap();
    thread::spawn(move || drop(tokio)).join().unwrap();
    let mut client = server.connect("/").unwrap();
    client.send("hello").unwrap();
    assert_eq!(client.receive().unwrap(), "hello".into());
}
