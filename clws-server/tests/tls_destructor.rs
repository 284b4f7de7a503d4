//! Handles that are used while a thread ends, by destructors of its thread-local values.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::cell::RefCell;
use std::thread;

use clws_server::{Client, CloseCode, Config, Group};
use common::wire::{CLOSE, TEXT, Wire};
use common::{Probe, Running, eventually};

alone_in_both_modes!(may_send, may_send_to_many, may_close, in_the_first_use_of_the_thread);

/// Calls a function when it is dropped.
struct Last(Box<dyn Fn()>);

impl Drop for Last {
    fn drop(&mut self) {
        (self.0)();
    }
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

fn start(config: Config) -> (Running, Wire, Client) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let wire = Wire::connect(&server, "/");
    (server, wire, diary.connected())
}

/// Runs a thread that uses the client, and calls `last` when it ends.
fn run(client: &Client, last: impl Fn() + Send + 'static) {
    let client = client.clone();
    let ended = thread::spawn(move || {
        LAST.set(Some(Last(Box::new(last)))); // before the library's own values of this thread, so dropped after them
        client.send_text("hello").unwrap();
        eventually("it is written", || client.buffered_amount() == 0); // the next send takes a buffer again
    });
    ended.join().unwrap();
}

fn may_send(config: Config) {
    let (_server, mut wire, client) = start(config);
    let last = client.clone();
    run(&client, move || {
        last.send_text("bye").unwrap();
        assert!(last.buffered_amount() < 1000);
    });
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    assert_eq!(wire.next(), Some((TEXT, b"bye".to_vec())));
    wire.finish();
}

fn may_send_to_many(config: Config) {
    let (_server, mut wire, client) = start(config);
    let group = Group::new();
    group.join(&client);
    run(&client, move || assert_eq!(group.send_text("bye").sent, 1));
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    assert_eq!(wire.next(), Some((TEXT, b"bye".to_vec())));
    wire.finish();
}

fn may_close(config: Config) {
    let (_server, mut wire, client) = start(config);
    let last = client.clone();
    run(&client, move || last.close((CloseCode::NORMAL, "bye")));
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    assert!(matches!(wire.next(), Some((CLOSE, _))));
    wire.finish();
}

/// The thread has not used the library before.
fn in_the_first_use_of_the_thread(config: Config) {
    let (_server, mut wire, client) = start(config);
    let ended = thread::spawn(move || {
        LAST.set(Some(Last(Box::new(move || {
            client.send_text("bye").unwrap();
        }))));
    });
    ended.join().unwrap();
    assert_eq!(wire.next(), Some((TEXT, b"bye".to_vec())));
    wire.finish();
}
