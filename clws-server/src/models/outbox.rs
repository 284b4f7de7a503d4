//! Messages to a client from other threads, while its driver writes them.

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::Client;
use crate::config::Config;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{Driver, Harness, Then};
use crate::models::{Fault, Model};

/// Any message is more than the high-water mark, so that the driver says when it has written it.
fn config() -> Config {
    Config::default().write_high_water(1)
}

/// Two threads send, and nothing stays in the outbox.
fn everything_goes_out(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(driver, config(), sender, &[], Then::Stays);
    block_on(async {
        let Some(Event::Connected(client)) = events.next().await else { panic!("nobody came") };
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

/// Each text is answered twice from another thread, which keeps the client's next events back until it has read. They all
/// come.
fn answers_keep_no_event_back(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(driver, config(), sender, &["0", "1", "2"], Then::CloseOnDrop);
    let texts = block_on(async {
        let mut texts = 0;
        loop {
            match events.next().await.unwrap() {
                Event::Text(client, _) => {
                    texts += 1;
                    let _ = (client.send_text("a"), client.send_text("b")); // or it is gone
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
    everything_goes_out(Driver::Shard);
}

fn written_by_a_stream() {
    everything_goes_out(Driver::Stream);
}

fn crowded_on_a_shard() {
    answers_keep_no_event_back(Driver::Shard);
}

fn crowded_on_a_stream() {
    answers_keep_no_event_back(Driver::Stream);
}

const WRITTEN_SHARD: Model = Model("messages that a shard writes", written_by_a_shard);
const WRITTEN_STREAM: Model = Model("messages that a stream writes", written_by_a_stream);
const CROWDED_SHARD: Model = Model("answers and events on a shard", crowded_on_a_shard);
const CROWDED_STREAM: Model = Model("answers and events on a stream", crowded_on_a_stream);

#[test]
fn holds() {
    for model in [WRITTEN_SHARD, WRITTEN_STREAM, CROWDED_SHARD, CROWDED_STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_sender_lets_go_of_the_outbox() {
    for model in [WRITTEN_SHARD, WRITTEN_STREAM] {
        model.fails(Fault::StaleOutbox, "deadlock");
    }
}

#[test]
fn fails_when_events_are_told_to_wait_too_late() {
    // A stream's driver looks again so often that it takes far more schedules.
    CROWDED_SHARD.fails(Fault::CrowdedTooLate, "deadlock");
}
