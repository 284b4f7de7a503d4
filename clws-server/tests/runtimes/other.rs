//! A runtime of the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use clws_server::runtime::{BoxFuture, Runtime};
use clws_server::{Origins, Server, WebSocket, async_handler};

use crate::common::wire::{TEXT, Wire};
use crate::common::{Running, config};

/// Runs each task on a new thread.
#[derive(Debug, Default)]
struct Threads(AtomicUsize);

impl Runtime for Threads {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.fetch_add(1, Ordering::Relaxed);
        thread::spawn(|| futures::executor::block_on(task));
    }
}

#[test]
fn two_servers_of_one_process_have_different_runtimes() {
    let runtimes = [Arc::new(Threads::default()), Arc::new(Threads::default())];
    let servers = runtimes.clone().map(|runtime| {
        let server = Server::builder(config().listen("127.0.0.1:0")).runtime(runtime).bind().unwrap();
        let echo = async_handler(|mut socket: WebSocket| async move {
            while let Some(message) = socket.next().await {
                let _ = socket.send(message).await;
            }
        });
        server.resources().register("/", Origins::any(), echo).unwrap();
        Running::run(server)
    });
    for (server, clients) in servers.iter().zip([2, 5]) {
        for _ in 0..clients {
            let mut client = Wire::connect(server, "/");
            client.text("hello");
            assert_eq!(client.next().unwrap(), (TEXT, b"hello".to_vec()));
            client.finish();
        }
    }
    // One more task of each server waits for the end of the runtime.
    assert_eq!(runtimes.map(|runtime| runtime.0.load(Ordering::Relaxed)), [3, 6]);
}

#[test]
fn a_runtime_without_sockets_cannot_serve_clients_with_tasks() {
    let config = config().listen("127.0.0.1:0").task_per_client(true);
    let server = Server::builder(config).runtime(Arc::new(Threads::default())).bind().unwrap();
    let server = Running::run(server);
    drop(server.tcp());
    let error = server.wait().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().starts_with("the runtime of the server has no sockets"), "{error}");
}
