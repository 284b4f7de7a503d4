//! Messages that wait, and are dropped or tracked, while the client's driver writes.

use futures::StreamExt;
use shuttle::future::block_on;
use shuttle::thread;

use crate::client::Client;
use crate::client::outcome::Sent;
use crate::client::outgoing::SendOptions;
use crate::client::receipt::Written;
use crate::config::Config;
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::mailbox;
use crate::models::harness::{AfterTexts, Driver, Harness};
use crate::models::{Fault, Model};
use clws_proto::SlowPolicy;
use clws_proto::buffer::Fate;

/// Two messages fill the outbox, and a third one waits.
fn config() -> Config {
    Config::default().max_write_backlog(12)
}

/// One thread sends messages that may be dropped, another one messages that may not. The reports
/// agree with the output.
fn reports_are_true(driver: Driver) {
    let (sender, mut events) = mailbox::<()>();
    let harness = Harness::serve(driver, config(), sender, &[], AfterTexts::Stay);
    let (reported, refused) = block_on(async {
        let Some(Event::Connected(client)) = events.next().await else { panic!("no client connected") };
        let other = {
            let client = client.clone();
            thread::spawn(move || send_plain(&client))
        };
        let options = SendOptions::new().slow_policy(SlowPolicy::drop_oldest());
        let sent: Vec<_> =
            (0..4).map(|number| client.send_tracked(&format!("a{number}"), options).unwrap()).collect();
        let mut reported = Vec::new();
        for (number, (sent, written)) in (0..).zip(sent) {
            let fate = written.await;
            assert!(sent != Sent::Dropped || fate == Fate::Dropped);
            reported.push((format!("a{number}"), fate));
        }
        let mut refused = Vec::new();
        for (number, written) in (0..).zip(other.join().unwrap()) {
            match written {
                Some(written) => assert_eq!(written.await, Fate::Written),
                None => refused.push(number),
            }
        }
        let dropped = reported.iter().filter(|(_, fate)| *fate == Fate::Dropped).count();
        assert_eq!(usize::try_from(client.dropped()), Ok(dropped));
        let (_, last) = reported.last().unwrap();
        assert_ne!(*last, Fate::Lost);
        client.abort();
        (reported, refused)
    });
    let output = harness.end();
    let position = |text: &str| output.windows(2).position(|bytes| bytes == text.as_bytes());
    let mut before = None;
    for (text, fate) in &reported {
        let at = position(text);
        assert_eq!(at.is_some(), *fate == Fate::Written, "{text} {fate:?}");
        assert!(at.is_none() || before < at, "{text} has overtaken a message");
        before = before.max(at);
    }
    for number in 0..2 {
        assert_eq!(position(&format!("b{number}")).is_none(), refused.contains(&number), "b{number}");
    }
}

/// Returns the reports of the messages. A message that was refused has none.
fn send_plain(client: &Client) -> Vec<Option<Written>> {
    let send = |number| client.send_tracked(&format!("b{number}"), SendOptions::new());
    (0..2).map(|number| send(number).ok().map(|(_, written)| written)).collect()
}

fn on_a_shard() {
    reports_are_true(Driver::Shard);
}

fn on_a_stream() {
    reports_are_true(Driver::Stream);
}

const SHARD: Model = Model("messages that wait on a shard", on_a_shard);
const STREAM: Model = Model("messages that wait on a stream", on_a_stream);

#[test]
fn holds() {
    for model in [SHARD, STREAM] {
        model.holds(500);
    }
}

#[test]
fn fails_when_a_sender_releases_the_outbox_too_early() {
    for model in [SHARD, STREAM] {
        model.fails(Fault::StaleOutbox, "deadlock");
    }
}
