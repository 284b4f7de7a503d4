//! The memory of clients that have left returns to the system. With glibc, the examples
//! restart themselves with `MALLOC_MMAP_THRESHOLD_`.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Program, serve};

const CLIENTS: usize = 50;

/// The bytes that each client sends of its message. No message is complete.
const PART: usize = 1 << 20;

/// May stay with the process. A server that returns memory keeps up to 3 MiB.
const KEPT: usize = 24 << 20;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// A client that has sent half of a message: text, which the server copies, or binary.
fn connect(address: &str, is_text: bool) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(REQUEST).unwrap();
    assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
    let header = [&[if is_text { 0x01 } else { 0x02 }, 0xFF][..], &(2 * PART as u64).to_be_bytes(), &[0; 4]];
    stream.write_all(&header.concat()).unwrap();
    stream.write_all(&vec![b'x'; PART]).unwrap();
    stream
}

#[track_caller]
fn eventually(server: &Program, what: &str, holds: impl Fn(usize) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds(server.memory()) {
        assert!(Instant::now() < end, "{what}: {} MiB are resident", server.memory() >> 20);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn the_memory_of_unfinished_messages_returns_to_the_system() {
    for driver in [&[][..], &["--task-per-client"]] {
        let (server, url) = serve(env!("CARGO_BIN_EXE_echo"), driver);
        let address = url.strip_prefix("ws://").unwrap();
        let environment = server.environment();
        assert!(environment.contains("MALLOC_MMAP_THRESHOLD_=131072\0"), "{environment:?}");
        drop(connect(address, true));
        let before = server.memory();
        let clients: Vec<_> = (0..CLIENTS).map(|number| connect(address, number % 2 == 0)).collect();
        eventually(&server, "held", |now| now > before + CLIENTS * PART * 9 / 10);
        drop(clients);
        eventually(&server, "returned", |now| now < before + KEPT);
    }
}
