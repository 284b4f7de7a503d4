//! Messages from other threads to a client, while its driver writes.

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::Client;
use crate::config::Config;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};

/// Any message exceeds the high-water mark, so that the driver reports `drained`.
fn config() -> Config {
    Config::default().write_high_water(1)
}

/// Two threads send, and all messages are written.
fn every_message_is_written(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(driver, config(), sender, &[], AfterTexts::Stay);
    block_on(async {
        let Some(Event::Connected(client)) = events.next().await else { panic!("no client connected") };
        let other = {
            let client = client.clone();
            thread::spawn(move || send(&client, 'a'))
        };
        send(&client, 'b');
        other.join().unwrap();
        while client.buffered_amount() > 0 {
            let event = events.next().await;
            assert!(matches!(event, Some(Event::Drained(_))), "{event:?}");
        }
        client.abort();
    });
    let output = harness.end();
    for sent in ["a0", "a1", "b0", "b1"] {
        assert!(output.windows(2).any(|bytes| bytes == sent.as_bytes()), "{sent} is lost");
    }
}

fn send(client: &Client, name: char) {
    for number in 0..2 {
        client.send_text(&format!("{name}{number}")).unwrap();
    }
}

/// Each text is answered twice by another thread, which holds back the client's next events until
/// it has read. All events are delivered.
fn events_continue_after_answers_are_read(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(driver, config(), sender, &["0", "1", "2"], AfterTexts::End);
    let texts = block_on(async {
        let mut texts = 0;
        loop {
            match events.next().await.unwrap() {
                Event::Text(client, _) => {
                    texts += 1;
                    let _ = (client.send_text("a"), client.send_text("b")); // fails if the client has disconnected
                }
                Event::Disconnected(_, end) => break texts + end.undelivered,
                _ => {}
            }
        }
    });
    assert_eq!(texts, 3);
    harness.end();
}

fn written_by_a_shard() {
    every_message_is_written(Driver::Shard);
}

fn written_by_a_stream() {
    every_message_is_written(Driver::Stream);
}

fn held_back_on_a_shard() {
    events_continue_after_answers_are_read(Driver::Shard);
}

fn held_back_on_a_stream() {
    events_continue_after_answers_are_read(Driver::Stream);
}

const WRITTEN_SHARD: Model = Model("messages written by a shard", written_by_a_shard);
const WRITTEN_STREAM: Model = Model("messages written by a stream", written_by_a_stream);
const HELD_BACK_SHARD: Model = Model("answers and held-back events on a shard", held_back_on_a_shard);
const HELD_BACK_STREAM: Model = Model("answers and held-back events on a stream", held_back_on_a_stream);

#[test]
fn holds() {
    for model in [WRITTEN_SHARD, WRITTEN_STREAM, HELD_BACK_SHARD, HELD_BACK_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_sender_releases_the_outbox_too_early() {
    for model in [WRITTEN_SHARD, WRITTEN_STREAM] {
        model.fails(Fault::StaleOutbox, "deadlock");
    }
}

#[test]
fn fails_when_events_are_held_back_too_late() {
    // On a stream this takes far more schedules, because its driver checks again often.
    HELD_BACK_SHARD.fails(Fault::CrowdedTooLate, "deadlock");
}
