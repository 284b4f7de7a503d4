//! Clients that want the server to hold much memory. Its growth is bounded while they try.

use std::io::{ErrorKind, Write};
use std::net::Shutdown;
use std::thread;
use std::time::Duration;

use crate::ALLOCATOR;
use crate::common::hostile::while_memory_is_bounded;
use crate::common::read_to_end;
use crate::common::wire::{BINARY, PING, TEXT, Wire, frame, header, request};
use clws_server::Config;

in_both_modes_in_own_process!(
    request_heads_of_ten_mebibytes_are_refused,
    declared_lengths_take_no_memory,
    clients_that_never_read_are_not_read_from,
);

const TEN_MEBIBYTES: usize = 10 << 20;

fn request_heads_of_ten_mebibytes_are_refused(config: Config) {
    const MEMORY: usize = 1 << 20;

    let begin = request("/").trim_end().to_owned() + "\r\n";
    while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
        for (begin, piece, status) in [
            (&*format!("{begin}X: "), "a", 431),
            (&begin, "X-Filler: filler\r\n", 431),
            ("GET /", "a", 414),
            ("", "\r\n", 431),
        ] {
            let mut stream = server.tcp();
            let mut writing = stream.try_clone().unwrap();
            let writer = thread::spawn({
                let (begin, pieces) = (begin.to_owned(), piece.repeat(8192 / piece.len()));
                move || {
                    // The server may stop reading, but it must still send its answer.
                    let _ = writing.write_all(begin.as_bytes());
                    for _ in 0..TEN_MEBIBYTES / pieces.len() {
                        let _ = writing.write_all(pieces.as_bytes());
                    }
                    let _ = writing.shutdown(Shutdown::Write);
                }
            });
            let (answer, is_ended) = read_to_end(&mut stream);
            let answer = String::from_utf8(answer).unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{piece:?}: {answer}");
            assert!(is_ended, "the connection was reset after the answer");
            writer.join().unwrap();
        }
    });
}

fn declared_lengths_take_no_memory(config: Config) {
    const CLIENTS: usize = 100;
    const MEMORY: usize = CLIENTS * 8 * 1024;

    let largest = config.max_read_frame_size;
    while_memory_is_bounded(&ALLOCATOR, MEMORY, config, |server| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut client = Wire::connect(server, "/");
                let opcode = if number % 2 == 0 { BINARY } else { TEXT };
                client.send_and_wait_until_read(&[&header(opcode, largest)[..], b"little"].concat());
                client
            })
            .collect();
        clients.into_iter().for_each(Wire::reset);
    });
}

/// Writes the bytes again and again and reads nothing, until the server has read nothing for
/// 200 ms.
fn write_without_reading(mut client: Wire, bytes: &[u8], most: usize) {
    const TRIES: usize = 40;

    client.socket.set_nonblocking(true).unwrap();
    let (mut sent, mut tries) = (0, 0);
    while sent < most && tries < TRIES {
        match client.socket.write(&bytes[sent % bytes.len()..]) {
            Ok(count) => (sent, tries) = (sent + count, 0),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                tries += 1;
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    client.reset();
}

fn clients_that_never_read_are_not_read_from(config: Config) {
    const HIGH_WATER: usize = 64 * 1024;
    const SENT: usize = 24 << 20;

    // Each shard has read buffers of 1.4 MiB. Each client has the rest of a read of 1 MiB, in a
    // buffer of twice that size. It also has queued answers up to the high-water mark, and the
    // answers to one read. Tasks read less at a time.
    let memory = if config.task_per_client { 4 << 20 } else { 16 << 20 };
    let floods = [
        frame(BINARY, &[7; 65_535]),
        frame(TEXT, &[b'x'; 1000]).repeat(60),
        frame(PING, &[b'p'; 125]).repeat(500),
    ];
    while_memory_is_bounded(&ALLOCATOR, memory, config.write_high_water(HIGH_WATER), |server| {
        thread::scope(|scope| {
            for bytes in &floods {
                let client = Wire::connect(server, "/");
                scope.spawn(move || write_without_reading(client, bytes, SENT));
            }
        });
    });
}
