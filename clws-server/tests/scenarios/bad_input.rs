//! Hostile bytes over real sockets. Each attack gets the right answer, and an echo client is not
//! disturbed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::hostile::while_echoing;
use crate::common::{Peer, Received, read_to_end};
use clws_handshake::client::ClientRequest;
use clws_server::{Config, Version};
use socket2::SockRef;

// Each scenario counts all panics of its process.
in_both_modes_in_own_process!(
    invalid_request_bytes_get_400,
    a_request_head_byte_by_byte_is_accepted,
    a_request_head_without_an_end_gets_408,
    connections_that_send_nothing_get_408,
    resets_at_every_stage_do_not_affect_other_clients,
    invalid_frames_after_the_handshake_get_a_close_frame,
);

#[track_caller]
fn expect_status(stream: &mut TcpStream, status: u16) {
    let (answer, well) = read_to_end(stream);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer:?}");
    assert!(well, "the connection was reset after the answer");
}

/// Reproducible pseudo-random bytes.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn invalid_request_bytes_get_400(config: Config) {
    while_echoing(config, |server| {
        for bytes in
            [&b"\x16\x03\x01\x02\0\x01\0"[..], b"\r\n\n", b"SSH-2.0-x\r\n", b"GET\0/ HTTP/1.1\r\n\r\n"]
        {
            let mut stream = server.tcp();
            stream.write_all(bytes).unwrap();
            expect_status(&mut stream, 400);
        }
        for seed in 0..40 {
            let mut stream = server.tcp();
            stream.write_all(&noise(seed, 1 + 997 * usize::try_from(seed).unwrap())).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            read_to_end(&mut stream);
        }
    });
}

fn a_request_head_byte_by_byte_is_accepted(config: Config) {
    while_echoing(config, |server| {
        let url = format!("ws://{}/", server.address());
        let mut request = ClientRequest::new(Version::Hybi00, &url).origin("http://a");
        for version in [Version::Hybi00, Version::Rfc6455] {
            if version == Version::Rfc6455 {
                request = ClientRequest::new(version, &url);
            }
            let (bytes, mut pending) = request.clone().build(&mut |o: &mut [u8]| o.fill(3)).unwrap();
            let mut stream = server.tcp();
            for byte in bytes {
                stream.write_all(&[byte]).unwrap();
            }
            let mut answer = Vec::new();
            loop {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                answer.push(byte[0]);
                match pending.check(&answer, &clws_handshake::HandshakeLimits::default()).unwrap() {
                    clws_handshake::Status::Complete(_) => break,
                    clws_handshake::Status::Partial => {}
                }
            }
        }
    });
}

fn a_request_head_without_an_end_gets_408(config: Config) {
    while_echoing(config.handshake_timeout(Duration::from_secs(1)), |server| {
        let mut stream = server.tcp();
        let mut writing = stream.try_clone().unwrap();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = writing.write_all(b"GET / HTTP/1.1\r\n");
                while !over.load(Ordering::Relaxed) && writing.write_all(b"A: b\r\n").is_ok() {
                    thread::sleep(Duration::from_millis(20));
                }
                let _ = writing.shutdown(std::net::Shutdown::Write);
            });
            expect_status(&mut stream, 408);
            over.store(true, Ordering::Relaxed);
        });
    });
}

/// Many connections that start at uneven times: every deadline fires.
fn connections_that_send_nothing_get_408(config: Config) {
    while_echoing(config.handshake_timeout(Duration::from_secs(1)), |server| {
        let mut streams = Vec::new();
        for i in 0..300u64 {
            streams.push(server.tcp());
            thread::sleep(Duration::from_micros(100 + i * 13 % 700));
        }
        for stream in &mut streams {
            expect_status(stream, 408);
        }
    });
}

fn resets_at_every_stage_do_not_affect_other_clients(config: Config) {
    while_echoing(config, |server| {
        let url = format!("ws://{}/", server.address());
        let request = ClientRequest::new(Version::Rfc6455, &url);
        let (bytes, _) = request.clone().build(&mut |o: &mut [u8]| o.fill(3)).unwrap();
        let reset = |stream: &TcpStream| SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
        for _ in 0..10 {
            for sent in [0, 1, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
                let mut stream = server.tcp();
                reset(&stream);
                stream.write_all(&bytes[..sent]).unwrap();
            }
            let mut refused = server.tcp();
            reset(&refused);
            refused.write_all(b"GET /nowhere HTTP/1.1\r\n\r\n").unwrap();
            for stage in 0..8 {
                let stream = server.tcp();
                reset(&stream);
                let mut peer = Peer::open(stream, Version::Rfc6455, request.clone()).unwrap();
                match stage {
                    0 => {}
                    1 => peer.raw(&[0x81]),
                    2 => peer.text(&"unread echo ".repeat(10_000)),
                    3 => peer.close(1000, ""),
                    4 => (0..100).for_each(|_| peer.text(&"unread echo ".repeat(400))),
                    5 => peer.raw(&[&[0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0][..], &[7; 70_000]].concat()),
                    6 => peer.raw(b"\x01\x83\0\0\0\0abc"), // a fragment
                    _ => peer.raw(&[0xFF; 20]),
                }
            }
        }
    });
}

fn invalid_frames_after_the_handshake_get_a_close_frame(config: Config) {
    while_echoing(config.max_read_message_size(100_000), |server| {
        for seed in 0..60 {
            let version = common::ALL_VERSIONS[usize::try_from(seed).unwrap() % common::ALL_VERSIONS.len()];
            let mut peer = server.connect(version, "/");
            peer.raw(&noise(seed, 3000));
            if version.is_hixie() {
                continue;
            }
            // The server answers with a close frame, or waits for the rest of a frame.
            peer.raw(&noise(seed + 1000, 200_000));
            while !matches!(peer.next(), Received::Close(_)) {}
        }
    });
}
