//! The test client of `clws_server::testing`: a server without sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "../common/mod.rs"]
mod common;
mod requests;

use std::sync::mpsc;
use std::time::Duration;

use clws_server::testing::{TestError, TestServer};
use clws_server::{
    ByteString, Client, Close, CloseCode, Config, Disconnect, DisconnectCause, Message, Origins, Payload,
    Resource, ResourceListener, SendError, Sent, Text, WebSocket, async_handler,
};
use common::{ALL_VERSIONS, HYBI_VERSIONS};

const ORIGIN: &str = "http://localhost";

/// Echoes messages, and reports the ends of its clients.
struct Echo(mpsc::Sender<Disconnect>);

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        match &*text {
            "close" => client.close((CloseCode::GOING_AWAY, "as you wish")),
            "ping" => drop(client.ping(b"are you there?")),
            "panic" => panic!("the test asked for it"),
            _ => drop(client.send(text)),
        }
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(format!("pong: {}", String::from_utf8_lossy(&payload)));
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        let _ = self.0.send(end.clone());
    }
}

fn echo(config: Config) -> (TestServer, mpsc::Receiver<Disconnect>) {
    let server = TestServer::new(config).unwrap();
    let (ends, disconnected) = mpsc::channel();
    server.resources().register("/echo", Origins::any(), Echo(ends)).unwrap();
    (server, disconnected)
}

fn all_versions() -> Config {
    Config::default().protocol_76_00_support(true).protocol_75_support(true)
}

#[test]
fn every_version_echoes_and_closes() {
    let (server, disconnected) = echo(all_versions());
    for version in ALL_VERSIONS {
        let mut client = server.request("/echo").version(version).origin(ORIGIN).connect().unwrap();
        assert_eq!(client.version(), version);
        client.send("hello").unwrap();
        assert_eq!(client.receive().unwrap(), Message::from("hello"));
        client.close(CloseCode::NORMAL).unwrap();
        let code = client.closed().unwrap().code;
        let has_codes = HYBI_VERSIONS.contains(&version);
        assert_eq!(code, if has_codes { CloseCode::NORMAL } else { CloseCode::NO_STATUS }, "{version:?}");
        assert_eq!(client.closed().unwrap().code, code, "the end stays");
        let end = disconnected.try_recv().expect("`disconnected` has returned before `closed`");
        assert!(end.is_clean(), "{end}");
        assert_eq!(server.handle().clients(), 0);
    }
}

#[test]
fn a_message_larger_than_the_pipe_arrives() {
    let (server, _ends) = echo(Config::default());
    let server = server.pipe_capacity(100);
    let mut client = server.connect("/echo").unwrap();
    let payload: Vec<u8> = (0..100_000u32).map(|n| n.to_be_bytes()[3]).collect();
    client.send(payload.clone()).unwrap();
    assert_eq!(client.receive().unwrap(), Message::from(payload));
}

#[test]
fn the_server_closes_and_pings() {
    let (server, disconnected) = echo(Config::default());
    let mut client = server.connect("/echo").unwrap();
    client.send("ping").unwrap();
    assert_eq!(client.receive().unwrap(), Message::Ping("are you there?".into()));
    assert_eq!(client.receive().unwrap(), Message::from("pong: are you there?"));
    client.send(Message::Ping("client".into())).unwrap();
    assert_eq!(client.receive().unwrap(), Message::Pong("client".into()));
    client.send("close").unwrap();
    let error = client.receive().unwrap_err();
    assert!(
        matches!(&error, TestError::Closed(close) if *close == Close::new(CloseCode::GOING_AWAY, "as you wish"))
    );
    assert!(disconnected.try_recv().unwrap().is_clean());
    assert!(matches!(client.send("late"), Err(TestError::Closed(_))));
}

#[test]
fn a_panic_of_a_handler_closes_with_1011() {
    let (server, _ends) = echo(Config::default());
    let mut client = server.connect("/echo").unwrap();
    client.send("panic").unwrap();
    assert_eq!(client.closed().unwrap().code, CloseCode::INTERNAL);
}

#[test]
fn invalid_bytes_get_the_close_code_of_the_fault() {
    let (server, disconnected) = echo(Config::default());
    for (bytes, code) in [
        (&b"\x81\x02hi"[..], CloseCode::PROTOCOL_ERROR), // not masked
        (&b"\xc1\x80\0\0\0\0"[..], CloseCode::PROTOCOL_ERROR), // a reserved bit
        (&b"\x81\x81\0\0\0\0\xff"[..], CloseCode::INVALID_PAYLOAD), // not UTF-8
    ] {
        let mut client = server.connect("/echo").unwrap();
        client.send_raw(bytes).unwrap();
        assert_eq!(client.closed().unwrap().code, code);
        assert!(matches!(disconnected.try_recv().unwrap().cause, DisconnectCause::Protocol(_)));
    }
}

#[test]
fn a_dropped_client_has_vanished() {
    let (server, disconnected) = echo(Config::default());
    drop(server.connect("/echo").unwrap());
    assert!(matches!(disconnected.recv().unwrap().cause, DisconnectCause::Vanished));
}

#[test]
fn a_client_that_does_not_read_fills_its_outbox() {
    /// Sends until the outbox is full, and then reports how the client reads.
    struct Flood(mpsc::Sender<&'static str>);
    impl Resource for Flood {
        fn text(&self, client: &Client, _: Text<'_>) {
            let message = vec![0; 1000];
            let mut slow = false;
            let error = loop {
                match client.send(&message) {
                    Ok(Sent::Queued) => {}
                    Ok(Sent::AboveHighWater) => slow = true,
                    Ok(Sent::Dropped) => panic!("dropped without a policy"),
                    Err(error) => break error,
                }
            };
            assert!(slow);
            assert_eq!(error, SendError::Full);
            self.0.send("full").unwrap();
        }

        fn drained(&self, client: &Client) {
            self.0.send("drained").unwrap();
            client.close(CloseCode::NORMAL);
        }
    }
    let config = Config::default().write_high_water(10_000).max_write_backlog(50_000);
    let server = TestServer::new(config).unwrap().pipe_capacity(1000);
    let (reports, reported) = mpsc::channel();
    server.resources().register("/flood", Origins::any(), Flood(reports)).unwrap();
    let mut client = server.connect("/flood").unwrap();
    client.send("go").unwrap();
    assert_eq!(reported.recv().unwrap(), "full");
    assert!(reported.try_recv().is_err());
    let mut messages = 0;
    while let Ok(Message::Binary(payload)) = client.receive() {
        assert_eq!(payload.len(), 1000);
        messages += 1;
    }
    assert!(messages >= 50, "{messages}");
    assert_eq!(reported.recv().unwrap(), "drained");
    assert_eq!(client.closed().unwrap().code, CloseCode::NORMAL);
}

#[test]
fn a_wait_ends_at_the_hang_limit() {
    /// Takes no message while its client waits, and answers none.
    struct Busy(std::sync::Mutex<mpsc::Receiver<()>>);
    impl Resource for Busy {
        fn text(&self, _: &Client, _: Text<'_>) {
            let _ = self.0.lock().unwrap().recv();
        }
    }
    let server = TestServer::new(Config::default()).unwrap();
    let (end_handler, blocked) = mpsc::channel();
    server.resources().register("/busy", Origins::any(), Busy(blocked.into())).unwrap();
    let mut client = server.connect("/busy").unwrap();
    client.set_hang_limit(Duration::from_millis(20));
    let error = client.receive().unwrap_err();
    assert_eq!(error.to_string(), "waited 20ms for a message");
    client.send("go").unwrap();
    // The handler has the thread, so nothing reads beyond the pipe.
    let error = loop {
        if let Err(error) = client.send(vec![0; 10_000]) {
            break error;
        }
    };
    assert_eq!(
        error.to_string(),
        "waited 20ms for the server to read, which may wait until this client receives"
    );
    drop(end_handler);
}

#[test]
fn listeners_and_async_handlers_are_served() {
    struct Numbers(u32);
    impl ResourceListener for Numbers {
        type Message = ();
        fn text(&mut self, client: &Client, text: ByteString) {
            self.0 += 1;
            let _ = client.send(format!("{}: {text}", self.0));
        }
    }
    async fn converse(mut socket: WebSocket) -> Result<(), SendError> {
        socket.send("your name?").await?;
        if let Some(Message::Text(name)) = socket.next().await {
            socket.send(format!("hello, {name}")).await?;
        }
        Ok(())
    }
    let server = TestServer::new(Config::default()).unwrap();
    server.resources().run_resource_listener("/numbers", Origins::any(), Numbers(0)).unwrap();
    server.resources().register("/talk", Origins::any(), async_handler(converse)).unwrap();

    let mut clients = [(); 2].map(|()| server.connect("/numbers").unwrap());
    for (number, client) in (1..).zip(&mut clients) {
        client.send("a").unwrap();
        assert_eq!(client.receive().unwrap(), Message::from(format!("{number}: a")));
    }
    let mut client = server.connect("/talk").unwrap();
    assert_eq!(client.receive().unwrap(), Message::from("your name?"));
    client.send("anna").unwrap();
    assert_eq!(client.receive().unwrap(), Message::from("hello, anna"));
    assert_eq!(client.closed().unwrap().code, CloseCode::NORMAL);
}

#[test]
fn a_stop_closes_the_clients() {
    let (server, disconnected) = echo(Config::default());
    let mut client = server.connect("/echo").unwrap();
    client.send("before").unwrap();
    assert_eq!(client.receive().unwrap(), Message::from("before"));
    server.handle().stop();
    assert_eq!(client.closed().unwrap().code, CloseCode::GOING_AWAY);
    assert!(disconnected.try_recv().unwrap().is_clean());
}

#[test]
fn dropping_the_server_ends_its_clients_and_joins_them() {
    let (server, disconnected) = echo(Config::default());
    let mut clients = [(); 3].map(|()| server.connect("/echo").unwrap());
    for client in &mut clients {
        client.send("hello").unwrap();
        assert_eq!(client.receive().unwrap(), Message::from("hello"));
    }
    drop(server);
    // No client answers a close frame, and no deadline has to pass.
    let ends: Vec<_> = disconnected.try_iter().collect();
    assert_eq!(ends.len(), 3);
    assert!(ends.iter().all(|end| matches!(end.cause, DisconnectCause::Stopped)), "{ends:?}");
    for client in &mut clients {
        assert!(matches!(client.receive(), Err(TestError::Closed(_))));
    }
}

#[test]
fn it_listens_on_no_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::default().listen(taken.local_addr().unwrap());
    let (server, _ends) = echo(config);
    assert!(server.connect("/echo").is_ok());
    let invalid = TestServer::new(Config::default().max_clients(0));
    assert_eq!(invalid.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[test]
fn the_end_of_a_client_reaches_its_listener_before_a_call() {
    #[derive(Default)]
    struct Ends(u32);
    impl ResourceListener for Ends {
        type Message = ();
        fn disconnected(&mut self, _: &Client, _: &Disconnect) {
            self.0 += 1;
        }
    }
    let server = TestServer::new(Config::default()).unwrap();
    let listener =
        server.resources().run_resource_listener("/ends", Origins::any(), Ends::default()).unwrap();
    for ends in 1..50 {
        let mut client = server.connect("/ends").unwrap();
        client.close(CloseCode::NORMAL).unwrap();
        client.closed().unwrap();
        let seen = futures::executor::block_on(listener.call(|ends| ends.0)).unwrap();
        assert_eq!(seen, ends);
    }
}

#[test]
fn dropping_the_server_leaves_blocked_handlers_behind() {
    /// Tells that a handler has begun, and then blocks until the barrier ends.
    struct Stuck(mpsc::Sender<()>, std::sync::Arc<std::sync::Barrier>);
    impl Resource for Stuck {
        fn text(&self, _: &Client, _: Text<'_>) {
            self.0.send(()).unwrap();
            self.1.wait();
        }
    }
    let server = TestServer::new(Config::default()).unwrap().hang_limit(Duration::from_secs(1));
    let (begins, begun) = mpsc::channel();
    let barrier = std::sync::Arc::new(std::sync::Barrier::new(4));
    let stuck = Stuck(begins, std::sync::Arc::clone(&barrier));
    server.resources().register("/stuck", Origins::any(), stuck).unwrap();
    let mut clients = [(); 3].map(|()| server.connect("/stuck").unwrap());
    for client in &mut clients {
        client.send("go").unwrap();
        begun.recv().unwrap();
    }
    drop(server); // ends, although no handler has returned
    barrier.wait();
}

#[cfg(feature = "deflate")]
#[test]
fn compression_is_negotiated() {
    use clws_server::DeflateConfig;

    let settings = DeflateConfig::default().threshold(1);
    let (server, _ends) = echo(Config::default().deflate(Some(settings)));
    let mut client = server.request("/echo").deflate(settings).connect().unwrap();
    assert!(client.deflate().is_some());
    let text = "la ".repeat(10_000);
    client.send(text.clone()).unwrap();
    assert_eq!(client.receive().unwrap(), Message::from(text));
    assert!(server.connect("/echo").unwrap().deflate().is_none());
}
