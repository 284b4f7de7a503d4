//! Pipelined small requests with large answers. A client that reads gets every answer. A client
//! that does not read costs little memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::Running;
use crate::common::receivers::cloner;
use crate::common::wire::{TEXT, Wire, frame};
use clws_server::{
    Client, Config, Message, Origins, Resource, SendError, Server, Text, WebSocket, async_handler,
};

in_both_modes!(
    a_client_that_reads_gets_every_answer,
    a_client_that_reads_gets_every_answer_of_an_async_handler,
    clients_that_do_not_read_cost_little_memory,
);

const REQUESTS: usize = 9_000;
const ANSWER: usize = 16 * 1024;

/// Answers each request. Records the largest buffered amount of a client and the number of failed
/// sends.
#[derive(Clone, Default)]
struct Answers(Arc<Counters>);

#[derive(Default)]
struct Counters {
    full: AtomicUsize,
    max: AtomicUsize,
}

impl Resource for Answers {
    fn text(&self, client: &Client, _: Text<'_>) {
        let sent = client.send_text(&"x".repeat(ANSWER));
        if sent == Err(SendError::Full) {
            self.0.full.fetch_add(1, Ordering::Relaxed);
        }
        self.0.max.fetch_max(client.buffered_amount(), Ordering::Relaxed);
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

/// Sends all requests at once while another thread reads the answers.
fn read_all(server: &Running, answers: &Answers) {
    let mut writing = Wire::connect(server, "/");
    let mut reading = Wire { socket: writing.socket.try_clone().unwrap() };
    let reader = thread::spawn(move || {
        let mut payload = Vec::new();
        for number in 0..REQUESTS {
            assert_eq!(reading.next_into(&mut payload), Some(TEXT), "{number} answers arrived");
            assert_eq!(payload.len(), ANSWER);
        }
    });
    writing.raw(&frame(TEXT, b"?").repeat(REQUESTS));
    let read = reader.join();
    assert_eq!(answers.full(), 0, "sends of answers failed");
    read.unwrap();
}

fn a_client_that_reads_gets_every_answer(config: Config) {
    let (server, answers) = (bind(config), Answers::default());
    server.resources().register("/", Origins::any(), answers.clone()).unwrap();
    read_all(&Running::run(server), &answers);
}

/// `WebSocket::send` waits while the outbox is above the high-water mark.
fn a_client_that_reads_gets_every_answer_of_an_async_handler(config: Config) {
    let (server, answers) = (bind(config), Answers::default());
    let clone = cloner(answers.clone());
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

fn clients_that_do_not_read_cost_little_memory(config: Config) {
    const CLIENTS: usize = 3;
    const REQUESTS: usize = 2_000; // with 32 MB of answers
    const HIGH_WATER: usize = 1 << 20;

    let (server, answers) = (bind(config.write_high_water(HIGH_WATER)), Answers::default());
    server.resources().register("/", Origins::any(), answers.clone()).unwrap();
    let server = Running::run(server);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| Wire::connect(&server, "/")).collect();
    for client in &mut clients {
        client.raw(&frame(TEXT, b"?").repeat(REQUESTS));
    }
    let max = || answers.0.max.load(Ordering::Relaxed);
    common::eventually("the system's buffers are full", || max() >= HIGH_WATER);
    common::wire::wait_a_moment();
    assert!(max() <= HIGH_WATER + ANSWER + 14, "{} bytes are queued for one client", max());
    // Reading resumes delivery of every answer.
    let mut payload = Vec::new();
    for client in &mut clients {
        for number in 0..REQUESTS {
            assert_eq!(client.next_into(&mut payload), Some(TEXT), "{number} answers arrived");
        }
    }
    assert_eq!(answers.full(), 0);
}
