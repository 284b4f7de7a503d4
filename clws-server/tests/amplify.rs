//! Small requests in a row with big answers. A client that reads gets all of them, and one that does not costs little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clws_server::{
    Client, Config, Message, Origins, Resource, SendError, Server, Text, WebSocket, async_handler,
};
use common::Running;
use common::receivers::shared;
use common::wire::{SHORT, TEXT, Wire, frame};

in_both_modes!(
    a_reader_gets_every_answer,
    a_reader_gets_every_answer_of_an_async_function,
    those_that_never_read_hold_little,
);

const REQUESTS: usize = 9_000;
const ANSWER: usize = 16 * 1024;

/// Answers each request, and takes note of what a client costs and of sends that fail.
#[derive(Clone, Default)]
struct Answers(Arc<Counters>);

#[derive(Default)]
struct Counters {
    full: AtomicUsize,
    most: AtomicUsize,
}

impl Resource for Answers {
    fn text(&self, client: &Client, _: Text<'_>) {
        let sent = client.send_text(&"x".repeat(ANSWER));
        if sent == Err(SendError::Full) {
            self.0.full.fetch_add(1, Ordering::Relaxed);
        }
        self.0.most.fetch_max(client.buffered_amount(), Ordering::Relaxed);
    }
}

impl Answers {
    fn full(&self) -> usize {
        self.0.full.load(Ordering::Relaxed)
    }
}

fn bind(config: Config) -> Server {
    Server::bind(config.shards(1).close_timeout(Duration::from_millis(300)).listen("127.0.0.1:0")).unwrap()
}

/// Sends all requests in one go, while another thread reads the answers.
fn read_all(server: &Running, answers: &Answers) {
    let mut writing = Wire::connect(server, "/");
    let mut reading = Wire { socket: writing.socket.try_clone().unwrap() };
    let reader = thread::spawn(move || {
        let (mut payload, end) = (Vec::new(), Instant::now() + SHORT * 2);
        for number in 0..REQUESTS {
            assert_eq!(reading.next_to(&mut payload), Some(TEXT), "{number} answers came");
            assert_eq!(payload.len(), ANSWER);
            assert!(Instant::now() < end, "{number} answers came");
        }
    });
    writing.raw(&frame(TEXT, b"?").repeat(REQUESTS));
    let read = reader.join();
    assert_eq!(answers.full(), 0, "answers are refused");
    read.unwrap();
}

fn a_reader_gets_every_answer(config: Config) {
    let (server, answers) = (bind(config), Answers::default());
    server.resources().register("/", Origins::any(), answers.clone()).unwrap();
    read_all(&Running::run(server), &answers);
}

/// A send waits where much is queued.
fn a_reader_gets_every_answer_of_an_async_function(config: Config) {
    let (server, answers) = (bind(config), Answers::default());
    let clone = shared(answers.clone());
    let handler = async_handler(move |mut socket: WebSocket| {
        let answers = clone();
        async move {
            while let Some(Message::Text(_)) = socket.next().await {
                if socket.send("x".repeat(ANSWER)).await == Err(SendError::Full) {
                    answers.0.full.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    });
    server.resources().register("/", Origins::any(), handler).unwrap();
    read_all(&Running::run(server), &answers);
}

fn those_that_never_read_hold_little(config: Config) {
    const CLIENTS: usize = 3;
    const REQUESTS: usize = 2_000; // with answers of 32 MB
    const HIGH_WATER: usize = 1 << 20;

    let (server, answers) = (bind(config.write_high_water(HIGH_WATER)), Answers::default());
    server.resources().register("/", Origins::any(), answers.clone()).unwrap();
    let server = Running::run(server);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Wire::connect(&server, "/")).collect();
    for client in &mut clients {
        client.raw(&frame(TEXT, b"?").repeat(REQUESTS));
    }
    let most = || answers.0.most.load(Ordering::Relaxed);
    common::eventually("the system's buffers are full", || most() >= HIGH_WATER);
    common::wire::settle();
    assert!(most() <= HIGH_WATER + ANSWER + 14, "{} bytes wait for one client", most());
    // When they read, they get all.
    let mut payload = Vec::new();
    for client in &mut clients {
        for number in 0..REQUESTS {
            assert_eq!(client.next_to(&mut payload), Some(TEXT), "{number} answers came");
        }
    }
    assert_eq!(answers.full(), 0);
}
