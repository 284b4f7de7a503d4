//! `Client::pause` and `Client::resume`, and the numbers of clients.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::{Callback, Peer, Probe, Received, Recorder, Running, within};
use clws_server::{Client, CloseCode, Config, Event, Origins, Server, Version, mailbox};
use futures::StreamExt;

in_both_modes!(
    messages_wait_and_none_is_lost,
    a_handler_pauses_after_the_message_at_hand,
    resumes_from_any_thread,
    pauses_do_not_nest,
    a_mailbox_does_not_end_the_pause,
    messages_are_sent_to_a_paused_client,
    pings_of_a_paused_client_wait,
    a_paused_client_can_be_closed,
    a_paused_client_can_be_aborted,
    a_server_with_a_paused_client_stops,
    ids_are_unique_and_in_order,
);

/// Long enough for a message that is not held back to arrive.
const MOMENT: Duration = Duration::from_millis(100);

fn start(config: Config) -> (Running, Recorder, Peer, Client) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    (server, recorder, peer, client)
}

#[track_caller]
fn assert_no_text(recorder: &Recorder) {
    thread::sleep(MOMENT);
    assert_eq!(recorder.count(|seen| matches!(seen, Callback::Text(_))), 0, "a paused client was heard");
}

#[track_caller]
fn assert_text(recorder: &Recorder, expected: &str) {
    let seen = recorder.next();
    assert!(matches!(&seen, Callback::Text(text) if text == expected), "{seen:?} is not {expected}");
}

fn messages_wait_and_none_is_lost(config: Config) {
    let (_server, recorder, mut peer, client) = start(config);
    client.pause();
    for number in 0..100 {
        peer.text(&number.to_string());
    }
    assert_no_text(&recorder);
    client.resume();
    for number in 0..100 {
        assert_text(&recorder, &number.to_string());
    }
}

fn a_handler_pauses_after_the_message_at_hand(config: Config) {
    let (probe, recorder) = Probe::with(|client, text| {
        if text == "pause" {
            client.pause();
        }
    });
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    // All three arrive in one read.
    peer.send(|sender| {
        for text in ["pause", "pause", "last"] {
            sender.text(text, None).unwrap();
        }
    });
    assert_text(&recorder, "pause");
    assert_no_text(&recorder);
    client.resume();
    assert_text(&recorder, "pause");
    assert_no_text(&recorder);
    client.resume();
    assert_text(&recorder, "last");
}

fn resumes_from_any_thread(config: Config) {
    let (_server, recorder, mut peer, client) = start(config);
    for number in 0..20 {
        client.pause();
        peer.text(&number.to_string());
        let handle = client.clone();
        thread::spawn(move || handle.resume()).join().unwrap();
        assert_text(&recorder, &number.to_string());
    }
}

fn pauses_do_not_nest(config: Config) {
    let (_server, recorder, mut peer, client) = start(config);
    client.resume(); // has no effect
    client.pause();
    client.pause();
    peer.text("one");
    assert_no_text(&recorder);
    client.resume();
    assert_text(&recorder, "one");
}

/// The mailbox pauses and resumes its clients when it is full.
fn a_mailbox_does_not_end_the_pause(config: Config) {
    let (sender, mut events) = mailbox::<()>();
    let server = Server::bind(config.listen("127.0.0.1:0").max_handler_read_backlog(1000)).unwrap();
    server.resources().register("/", Origins::any(), sender).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let Some(Event::Connected(client)) = within(events.next()) else { panic!() };
    let filled = 10;
    for number in 0..filled {
        peer.text(&format!("{number:0500}"));
    }
    let Some(Event::Text(_, first)) = within(events.next()) else { panic!() };
    assert_eq!(first, format!("{:0500}", 0));
    client.pause();
    peer.text("after the pause");
    // The mailbox is emptied, which ends its own pause only.
    let mut taken = 1;
    while let Ok(Some(event)) = async_std::task::block_on(async_std::future::timeout(MOMENT, events.next())) {
        let Event::Text(_, text) = event else { panic!("{event:?}") };
        assert_eq!(text, format!("{taken:0500}"));
        taken += 1;
    }
    assert!(taken <= filled);
    client.resume();
    for number in taken..filled {
        let Some(Event::Text(_, text)) = within(events.next()) else { panic!() };
        assert_eq!(text, format!("{number:0500}"));
    }
    let Some(Event::Text(_, text)) = within(events.next()) else { panic!() };
    assert_eq!(text, "after the pause");
}

fn messages_are_sent_to_a_paused_client(config: Config) {
    let (_server, _diary, mut peer, client) = start(config);
    client.pause();
    client.send("to a paused client").unwrap();
    assert_eq!(peer.next(), common::text("to a paused client"));
}

fn pings_of_a_paused_client_wait(config: Config) {
    let (_server, recorder, mut peer, client) = start(config);
    client.pause();
    peer.send(|sender| sender.ping(b"are you there?").unwrap());
    peer.text("one");
    assert_no_text(&recorder);
    client.send("before the pong").unwrap();
    assert_eq!(peer.next(), common::text("before the pong"));
    client.resume();
    assert_eq!(peer.next(), Received::Pong(b"are you there?".into()));
    assert_text(&recorder, "one");
}

fn a_paused_client_can_be_closed(config: Config) {
    let (_server, recorder, mut peer, client) = start(config);
    client.pause();
    peer.text("unread");
    client.close((CloseCode::new(4000), "enough"));
    assert_eq!(peer.next(), Received::Close(Some((4000, "enough".to_owned()))));
    peer.close(4000, "");
    assert_eq!(recorder.disconnected().0, 4000);
}

fn a_paused_client_can_be_aborted(config: Config) {
    let (_server, recorder, _peer, client) = start(config);
    client.pause();
    client.abort();
    assert_eq!(recorder.disconnected().2, "aborted");
}

fn a_server_with_a_paused_client_stops(config: Config) {
    let (server, _diary, mut peer, client) = start(config);
    client.pause();
    server.handle.stop();
    assert!(matches!(peer.next(), Received::Close(Some((1001, _)))));
    peer.close(1001, "");
    server.wait().unwrap();
}

fn ids_are_unique_and_in_order(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut ids = Vec::new();
    for _ in 0..10 {
        let peer = server.connect(Version::Rfc6455, "/");
        let client = recorder.connected();
        assert_eq!(client.id(), client.clone().id());
        assert!(client.id().to_string().parse::<u64>().is_ok());
        ids.push(client.id());
        // The memory of a disconnected client may be reused for the next client.
        drop((peer, client));
        recorder.disconnected();
        server.wait_for_clients(0);
    }
    assert!(ids.is_sorted());
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
}
