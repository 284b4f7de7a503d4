//! Destructors of thread-local values use clients while their thread ends.

use std::cell::RefCell;
use std::thread;

use crate::common::wire::{CLOSE, TEXT, Wire};
use crate::common::{Probe, Running, eventually};
use clws_server::{Client, CloseCode, Config, Group};

in_both_modes_in_own_process!(
    can_send,
    can_send_to_a_group,
    can_close,
    can_send_in_the_first_use_of_the_library
);

/// Calls a function when it is dropped.
struct CallOnDrop(Box<dyn Fn()>);

impl Drop for CallOnDrop {
    fn drop(&mut self) {
        (self.0)();
    }
}

thread_local! {
    static CALL_ON_DROP: RefCell<Option<CallOnDrop>> = const { RefCell::new(None) };
}

fn start(config: Config) -> (Running, Wire, Client) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let wire = Wire::connect(&server, "/");
    (server, wire, recorder.connected())
}

/// Runs a thread that uses the client, and calls `on_thread_end` in a thread-local destructor.
fn run(client: &Client, on_thread_end: impl Fn() + Send + 'static) {
    let client = client.clone();
    let ended = thread::spawn(move || {
        // Set before the library's thread-local values, and so dropped after them.
        CALL_ON_DROP.set(Some(CallOnDrop(Box::new(on_thread_end))));
        client.send_text("hello").unwrap();
        // Then the next send needs a new buffer.
        eventually("the text is written", || client.buffered_amount() == 0);
    });
    ended.join().unwrap();
}

fn can_send(config: Config) {
    let (_server, mut wire, client) = start(config);
    let on_thread_end = client.clone();
    run(&client, move || {
        on_thread_end.send_text("bye").unwrap();
        assert!(on_thread_end.buffered_amount() < 1000);
    });
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    assert_eq!(wire.next(), Some((TEXT, b"bye".to_vec())));
    wire.finish();
}

fn can_send_to_a_group(config: Config) {
    let (_server, mut wire, client) = start(config);
    let group = Group::new();
    group.join(&client);
    run(&client, move || assert_eq!(group.send_text("bye").sent, 1));
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    assert_eq!(wire.next(), Some((TEXT, b"bye".to_vec())));
    wire.finish();
}

fn can_close(config: Config) {
    let (_server, mut wire, client) = start(config);
    let on_thread_end = client.clone();
    run(&client, move || on_thread_end.close((CloseCode::NORMAL, "bye")));
    assert_eq!(wire.next(), Some((TEXT, b"hello".to_vec())));
    assert!(matches!(wire.next(), Some((CLOSE, _))));
    wire.finish();
}

/// The thread has not used the library before its destructors run.
fn can_send_in_the_first_use_of_the_library(config: Config) {
    let (_server, mut wire, client) = start(config);
    let ended = thread::spawn(move || {
        CALL_ON_DROP.set(Some(CallOnDrop(Box::new(move || {
            client.send_text("bye").unwrap();
        }))));
    });
    ended.join().unwrap();
    assert_eq!(wire.next(), Some((TEXT, b"bye".to_vec())));
    wire.finish();
}
