//! Attacks on a server. Meanwhile other clients exchange echoes, no thread panics, and nothing is
//! logged as an error.

use std::alloc::System;
use std::io::Write;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use cap::Cap;
use clws_handshake::client::ClientRequest;
use clws_server::{Config, Version};
use tracing::{Event, Level, Metadata, Subscriber, span};

use super::client::{Peer, tcp};
use super::flood::Echo;
use super::server::Running;
use super::wire::{CLOSE, TEXT, Wire, frame};
use super::{TIMEOUT, eventually};

/// The number of panics and of logged errors in this process.
static FAULTS: AtomicUsize = AtomicUsize::new(0);

/// Counts errors of the server. A client's fault is not an error.
struct CountErrors;

impl Subscriber for CountErrors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("clws_server") && *metadata.level() == Level::ERROR
    }

    fn event(&self, _: &Event<'_>) {
        FAULTS.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

fn count_faults() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(CountErrors);
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            FAULTS.fetch_add(1, Ordering::Relaxed);
            report(panic);
        }));
    });
}

/// Runs `attack` in a process of its own against an echo server, while other clients exchange echoes: one on a lasting
/// connection, and new ones. They compress their messages if the server does.
pub fn while_echoing(config: Config, attack: impl FnOnce(&Running)) {
    count_faults();
    // A busy machine can delay a new client by more than a short timeout.
    let opens_new = config.handshake_timeout >= TIMEOUT;
    let server = Running::start(config, Arc::new(Echo));
    let over = AtomicBool::new(false);
    let rounds = AtomicUsize::new(0);
    let address = server.address();
    let mut lasting = connect(address);
    thread::scope(|scope| {
        let echoes = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) || rounds.load(Ordering::Relaxed) < 20 {
                let round = rounds.fetch_add(1, Ordering::Relaxed);
                let message = format!("round {round} ").repeat(1 + round % 200);
                lasting.assert_echo(&message);
                if opens_new && round.is_multiple_of(20) {
                    connect(address).assert_echo(&message);
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        eventually("other clients are served", || rounds.load(Ordering::Relaxed) >= 3);
        let attacked = catch_unwind(AssertUnwindSafe(|| attack(&server)));
        over.store(true, Ordering::Relaxed);
        echoes.join().unwrap();
        if let Err(panic) = attacked {
            resume_unwind(panic);
        }
    });
    server.wait_for_clients(1);
    assert_eq!(FAULTS.load(Ordering::Relaxed), 0, "a thread panicked, or the server logged an error");
}

/// Like [`while_echoing`]. The memory of the process grows by at most `most` bytes during the
/// attack. A test of this kind is alone in its process.
pub fn while_memory_is_bounded(
    allocator: &Cap<System>,
    most: usize,
    config: Config,
    attack: impl FnOnce(&Running),
) {
    while_echoing(config, |server| {
        let before = allocator.allocated();
        attack(server);
        let grown = allocator.max_allocated().saturating_sub(before);
        println!("grew by {grown} of {most} bytes");
        assert!(grown <= most, "the memory grew by {grown} bytes, {most} are allowed");
    });
}

/// A client that offers permessage-deflate.
pub fn connect(address: SocketAddr) -> Peer {
    let url = format!("ws://{address}/");
    let request = ClientRequest::new(Version::Rfc6455, &url);
    #[cfg(feature = "deflate")]
    let config = super::client::compress_all();
    #[cfg(feature = "deflate")]
    let request = request.deflate(&config);
    Peer::open(tcp(address), Version::Rfc6455, request).unwrap()
}

/// Sends the bytes after a valid message. The server echoes the message, closes with the code, and
/// ends the connection.
#[track_caller]
pub fn assert_closed_with(mut client: Wire, name: &str, bytes: &[u8], code: Option<u16>) {
    client.raw(&frame(TEXT, b"before"));
    let _ = client.socket.write_all(bytes); // the server may close before their end
    assert_eq!(client.next(), Some((TEXT, b"before".to_vec())), "{name}");
    let (opcode, payload) = client.next().unwrap_or_else(|| panic!("{name}: no close frame"));
    let got = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
    assert_eq!((opcode, got), (CLOSE, code), "{name}");
    assert_eq!(client.next(), None, "{name}: the connection stays open");
}
