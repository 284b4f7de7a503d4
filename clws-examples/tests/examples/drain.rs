//! `SIGTERM` to a chat under load: every message that the server takes is handled or reported.
#![cfg(unix)]

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::common::{PATIENCE, serve};
use clws_handshake::client::ClientRequest;
use clws_handshake::{HandshakeLimits, Status, Version};
use clws_proto::connection::Connection;
use clws_proto::{Event, Limits};
use rustix::process::Signal;

/// Clients, a fifth of them of each version.
const CLIENTS: usize = 200;

/// The chat permits ten messages a second.
const INTERVAL: Duration = Duration::from_millis(100);

/// The most messages of a client. The server closes it long before.
const ROUNDS: usize = 300;

struct Client {
    stream: TcpStream,
    ws: Connection,
    buffer: Vec<u8>,
}

/// What a client has seen in the end.
#[derive(Debug, Default)]
struct Seen {
    sent: usize,
    /// Its messages that came back, which must be the first ones, in order.
    came_back: usize,
    close_code: Option<u16>,
}

impl Client {
    /// Connects, alone in its room.
    fn connect(url: &str, number: usize) -> Self {
        let version = [Version::Rfc6455, Version::Hybi08, Version::Hybi07, Version::Hybi00, Version::Hixie75]
            [number % 5];
        let mut stream = TcpStream::connect(url.trim_start_matches("ws://")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let url = format!("{url}/?name=client-{number}&room=room-{number}");
        let request = ClientRequest::new(version, &url).origin("http://here.example");
        let (request, mut pending) = request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap();
        stream.write_all(&request).unwrap();
        let mut received = Vec::new();
        let mut buffer = vec![0; 4096];
        loop {
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0);
            received.extend_from_slice(&buffer[..count]);
            if let Status::Complete(open) = pending.check(&received, &HandshakeLimits::default()).unwrap() {
                let rest = received.split_off(open.consumed);
                let ws = Connection::client(version, Limits::default(), || [1, 2, 3, 4]);
                let mut client = Self { stream, ws, buffer };
                client.receive(rest, &mut Seen::default());
                return client;
            }
        }
    }

    fn transmit(&mut self) {
        // It fails when the server has ended the connection already.
        let _ = self.ws.transmit(|slices| self.stream.write_vectored(slices));
        if self.ws.wants_shutdown() {
            let _ = self.stream.shutdown(Shutdown::Write);
        }
    }

    fn receive(&mut self, mut bytes: Vec<u8>, seen: &mut Seen) {
        let mut events = self.ws.receive(&mut bytes);
        while let Some((event, _)) = events.next() {
            match event {
                Event::Text(text) if text.contains(r#""type":"said""#) => {
                    let expected = format!("message {}\"", seen.came_back);
                    assert!(text.contains(&expected), "{text} instead of {expected}");
                    seen.came_back += 1;
                }
                Event::Close(frame) => seen.close_code = frame.map(|frame| frame.code.value()),
                _ => {}
            }
        }
        drop(events);
        self.transmit(); // answers a close frame
    }

    /// Sends messages until the server closes the connection.
    fn run(mut self) -> Seen {
        let mut seen = Seen::default();
        self.stream.set_read_timeout(Some(INTERVAL)).unwrap();
        for _ in 0..ROUNDS {
            if self.ws.sender().text(&format!("message {}", seen.sent), None).is_ok() {
                seen.sent += 1;
                self.transmit();
            }
            thread::sleep(INTERVAL);
            match self.stream.read(&mut self.buffer) {
                Ok(0) => {
                    self.ws.end_of_input();
                    self.transmit();
                    return seen;
                }
                Ok(count) => {
                    let bytes = self.buffer[..count].to_vec();
                    self.receive(bytes, &mut seen);
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => panic!("the connection was reset: {error}"),
            }
        }
        panic!("the server does not close this client: {seen:?}");
    }
}

#[test]
fn a_chat_under_load_loses_no_message() {
    let (server, url) = serve(env!("CARGO_BIN_EXE_chat"), &["--hixie", "--hixie-75"]);
    let (connected, all_connected) = mpsc::channel();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let client = |number| {
            let (url, connected) = (&url, connected.clone());
            scope.spawn(move || {
                let client = Client::connect(url, number);
                connected.send(()).unwrap();
                client.run()
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        for _ in 0..CLIENTS {
            all_connected.recv_timeout(PATIENCE).expect("a client cannot connect");
        }
        thread::sleep(10 * INTERVAL);
        server.signal(Signal::TERM);
        clients.into_iter().map(|client| client.join().expect("a client failed")).collect()
    });
    let (status, lines) = server.ended();
    assert_eq!(status.code(), Some(0), "{lines:#?}");
    let report = lines.iter().find_map(|line| line.strip_prefix("stopped: ")).expect("no report");
    assert_eq!(report, "200 clients closed, 0 cut, 0 lost, 0 messages not delivered");
    for (number, seen) in seen.iter().enumerate() {
        assert_eq!(seen.close_code, (number % 5 < 3).then_some(1001), "{number} {seen:?}");
        // Only what was sent about when the server closed has no answer. It was handled too.
        assert!(seen.came_back > 0 && seen.sent - seen.came_back <= 5, "{number} {seen:?}");
    }
}
