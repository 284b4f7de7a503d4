//! Clients that the application closes or aborts while their events wait.

use std::sync::{Arc, Mutex};

use shuttle::future::block_on;

use crate::client::Client;
use crate::config::Config;
use crate::handler::async_handler::async_handler;
use crate::handler::websocket::WebSocket;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};
use crate::signal::{GivesOnDrop, Signal};
use clws_proto::CloseCode;

const TEXTS: [&str; 4] = ["0", "1", "2", "3"];

/// Each text pauses the client until it is taken. The handler takes one text and ends the client.
/// It sees the disconnect, and each text is delivered or counted as undelivered.
fn the_handler_sees_the_disconnect(driver: Driver, end: fn(&Client)) {
    let (seen, done) = (Arc::new(Mutex::new((0, None))), Arc::new(Signal::default()));
    let handler = {
        let (seen, done) = (Arc::clone(&seen), Arc::clone(&done));
        async_handler(move |mut socket: WebSocket| {
            let (seen, done) = (Arc::clone(&seen), GivesOnDrop(Arc::clone(&done)));
            async move {
                let mut taken = 0;
                while socket.next().await.is_some() {
                    taken += 1;
                    end(socket.client());
                }
                *seen.lock().unwrap() = (taken, socket.disconnect());
                drop(done);
            }
        })
    };
    let config = Config::default().max_handler_read_backlog(1);
    let harness = Harness::serve(driver, config, handler, &TEXTS, AfterTexts::End);
    block_on(done.wait());
    let (taken, end) = seen.lock().unwrap().clone();
    assert_eq!((taken, end.map(|end| end.undelivered)), (1, Some(3)), "texts taken and undelivered");
    harness.end();
}

fn close(client: &Client) {
    client.close(CloseCode::NORMAL, "");
}

fn closed_on_a_shard() {
    the_handler_sees_the_disconnect(Driver::Shard, close);
}

fn closed_on_a_stream() {
    the_handler_sees_the_disconnect(Driver::Stream, close);
}

fn aborted_on_a_shard() {
    the_handler_sees_the_disconnect(Driver::Shard, Client::abort);
}

fn aborted_on_a_stream() {
    the_handler_sees_the_disconnect(Driver::Stream, Client::abort);
}

const CLOSED_SHARD: Model = Model("closing a paused client on a shard", closed_on_a_shard);
const CLOSED_STREAM: Model = Model("closing a paused client on a stream", closed_on_a_stream);
const ABORTED_SHARD: Model = Model("aborting a paused client on a shard", aborted_on_a_shard);
const ABORTED_STREAM: Model = Model("aborting a paused client on a stream", aborted_on_a_stream);

#[test]
fn holds() {
    for model in [CLOSED_SHARD, CLOSED_STREAM, ABORTED_SHARD, ABORTED_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_driver_is_woken_too_early() {
    for model in [CLOSED_SHARD, CLOSED_STREAM] {
        model.fails(Fault::WakesBeforeSilence, "deadlock");
    }
}

#[test]
fn fails_when_a_stream_registers_too_late() {
    CLOSED_STREAM.fails(Fault::RegistersTooLate, "deadlock");
}
