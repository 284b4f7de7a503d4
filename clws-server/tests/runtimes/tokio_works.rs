//! Timers, tasks and sockets of tokio, in each handler of a server on tokio.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clws_server::{
    Accept, ByteString, Client, Message, Opening, Origins, Reject, Resource, ResourceListener, Server, Text,
    WebSocket, async_handler, runtime,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::common::wire::{TEXT, Wire};
use crate::common::{Running, config};

/// Uses each part of tokio: a timer, a task, a socket.
async fn ask(database: SocketAddr, question: String) -> String {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let answer = tokio::spawn(async move {
        let mut stream = TcpStream::connect(database).await.unwrap();
        stream.write_all(question.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    answer.await.unwrap()
}

/// Answers each question with its upper case.
async fn start_database() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut question = String::new();
            stream.read_to_string(&mut question).await.unwrap();
            stream.write_all(question.to_uppercase().as_bytes()).await.unwrap();
        }
    });
    address
}

struct Inline(SocketAddr);

impl Resource for Inline {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let (database, name) = (self.0, opening.query_string().unwrap_or_default().to_owned());
        Ok(Accept::decided_by(async move { Ok(Accept::new().data(ask(database, name).await)) }))
    }

    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        client.send(client.data::<String>().unwrap()).unwrap();
        Ok(())
    }

    /// Runs on the thread of a shard.
    fn text(&self, client: &Client, text: Text<'_>) {
        let (client, question) = (client.clone(), ask(self.0, text.to_string()));
        tokio::spawn(async move { client.send(question.await).unwrap() });
    }
}

struct Listener(SocketAddr);

impl ResourceListener for Listener {
    type Message = ();

    fn text(&mut self, client: &Client, text: ByteString) {
        let (client, question) = (client.clone(), ask(self.0, text.to_string()));
        tokio::spawn(async move { client.send(question.await).unwrap() });
    }
}

fn questions(address: SocketAddr) {
    let address = address.into();
    for path in ["/async", "/listener", "/inline?ada"] {
        let mut client = Wire::to(&address, path);
        if path == "/inline?ada" {
            assert_eq!(client.next().unwrap(), (TEXT, b"ADA".to_vec()));
        }
        client.text("hello");
        assert_eq!(client.next().unwrap(), (TEXT, b"HELLO".to_vec()), "{path}");
        client.finish();
    }
}

/// Runs a server on the current runtime, with its clients on another thread.
async fn runs(server: Server) {
    let database = start_database().await;
    let handler = move |mut socket: WebSocket| async move {
        while let Some(message) = socket.next().await {
            let Message::Text(text) = message else { continue };
            socket.send(ask(database, text.to_string()).await).await.unwrap();
        }
    };
    server.resources().register("/async", Origins::any(), async_handler(handler)).unwrap();
    server.resources().register("/inline", Origins::any(), Inline(database)).unwrap();
    server.resources().run_resource_listener("/listener", Origins::any(), Listener(database)).unwrap();
    let handle = server.handle();
    let addresses = server.local_addrs().unwrap();
    let running = tokio::spawn(server.run());
    let clients = tokio::task::spawn_blocking(move || match addresses[0] {
        clws_server::Listen::Tcp(address) => questions(address),
        ref other => panic!("{other}"),
    });
    clients.await.unwrap();
    handle.stop();
    running.await.unwrap().unwrap();
}

fn works(config: clws_server::Config) {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config = config.listen("127.0.0.1:0");
    // `bind` finds the runtime.
    tokio.block_on(async { runs(Server::bind(config.clone()).unwrap()).await });
    // The runtime is given on a thread without one.
    let runtime = runtime::tokio_handle(tokio.handle().clone());
    let server = Server::builder(config).runtime(Arc::clone(&runtime)).bind().unwrap();
    tokio.block_on(runs(server));
}

fn works_on_one_thread(config: clws_server::Config) {
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio.block_on(async { runs(Server::bind(config.listen("127.0.0.1:0")).unwrap()).await });
}

in_both_modes!(works, works_on_one_thread);

#[test]
fn without_a_runtime_there_is_an_error() {
    assert!(runtime::tokio().is_err());
    let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(tokio.block_on(async { runtime::tokio() }).is_ok());
    let _ = config();
}

/// The first connection finds it out.
#[test]
fn a_runtime_without_enable_io_serves_no_clients_with_tasks() {
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let builder = Server::builder(config().listen("127.0.0.1:0").task_per_client(true));
    let server = builder.runtime(runtime::tokio_handle(tokio.handle().clone())).bind().unwrap();
    let server = Running::run(server);
    drop(server.tcp());
    let error = server.wait().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("enable_io"), "{error}");
}
