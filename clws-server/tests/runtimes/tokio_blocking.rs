//! A current-thread runtime, and code that blocks threads.

use std::time::Duration;

use clws_server::{
    ByteString, Client, Origins, Resource, ResourceListener, ResourceListenerHandle, Server, Text, WebSocket,
    async_handler,
};
use futures::executor::block_on;

use crate::common::config;
use crate::common::wire::{TEXT, Wire};

struct Counter(u32);

impl ResourceListener for Counter {
    type Message = ();

    fn text(&mut self, _: &Client, _: ByteString) {}
}

/// Blocks its shard until the listener, a task of the runtime, has answered.
struct Blocks(ResourceListenerHandle<Counter>);

impl Resource for Blocks {
    fn text(&self, client: &Client, _: Text<'_>) {
        let count = block_on(self.0.call(|counter| {
            counter.0 += 1;
            counter.0
        }));
        client.send(count.unwrap().to_string()).unwrap();
        // The context of the runtime is entered, and a shard may block on it too.
        let handle = tokio::runtime::Handle::current();
        client.send(handle.block_on(async { "blocked" })).unwrap();
    }
}

#[test]
fn an_inline_handler_may_wait_for_a_task_of_the_only_thread() {
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap(); // no timers, no sockets
    tokio.block_on(async {
        let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
        let listener =
            server.resources().run_resource_listener("/counter", Origins::any(), Counter(0)).unwrap();
        server.resources().register("/", Origins::any(), Blocks(listener)).unwrap();
        let (handle, address) = (server.handle(), server.local_addrs().unwrap().remove(0));
        let client = std::thread::spawn(move || {
            let mut client = Wire::to(&address, "/");
            for count in 1..=3 {
                client.text("count");
                assert_eq!(client.next().unwrap(), (TEXT, count.to_string().into_bytes()));
                assert_eq!(client.next().unwrap(), (TEXT, b"blocked".to_vec()));
            }
            client.finish();
            handle.stop();
        });
        server.run().await.unwrap();
        client.join().unwrap();
    });
}

/// The thread of the runtime blocks, for instance in a computation. Inline resources go on.
#[test]
fn the_only_thread_may_block_while_shards_serve() {
    struct Echo;
    impl Resource for Echo {
        fn text(&self, client: &Client, text: Text<'_>) {
            client.send(text).unwrap();
        }
    }
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    tokio.block_on(async {
        let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
        server.resources().register("/", Origins::any(), Echo).unwrap();
        let (handle, address) = (server.handle(), server.local_addrs().unwrap().remove(0));
        let mut running = Box::pin(server.run());
        assert!(futures::FutureExt::now_or_never(&mut running).is_none());
        let mut client = Wire::to(&address, "/"); // blocks this thread
        client.text("hello");
        assert_eq!(client.next().unwrap(), (TEXT, b"hello".to_vec()));
        client.finish();
        handle.stop();
        running.await.unwrap();
    });
}

/// The calls of a test client block the only thread of the test's runtime.
#[tokio::test]
async fn a_test_server_has_another_thread_for_its_handlers() {
    let server = clws_server::testing::TestServer::new(config()).unwrap();
    let echo = async_handler(|mut socket: WebSocket| async move {
        while let Some(message) = socket.next().await {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let _ = socket.send(message).await;
        }
    });
    server.resources().register("/", Origins::any(), echo).unwrap();
    let mut client = server.connect("/").unwrap();
    client.send("hello").unwrap();
    assert_eq!(client.receive().unwrap(), "hello".into());
}
