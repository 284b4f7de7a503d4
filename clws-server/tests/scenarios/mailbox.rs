//! Mailboxes as streams of events, and their limit.

use std::io::Write;
use std::time::Duration;

use crate::common;
use crate::common::{Received, Running, text};
use clws_server::{
    Accept, CloseCode, Config, Event, Mailbox, MailboxClosed, MailboxSender, Origins, Reject, Server,
    Version, mailbox,
};
use futures::StreamExt;
use futures::executor::block_on;

in_both_modes!(
    is_a_stream_of_events,
    yields_openings_to_decide_on,
    a_full_mailbox_pauses_reading_and_loses_nothing,
    a_full_mailbox_accepts_other_clients,
    a_dropped_mailbox_closes_its_clients,
    a_closed_mailbox_ends_when_it_is_empty,
    a_dropped_mailbox_frees_the_last_client_and_resource,
);

fn start(config: Config, asks: bool) -> (Running, MailboxSender<u32>, Mailbox<u32>) {
    let (sender, events) = mailbox();
    let sender = if asks { sender.openings() } else { sender };
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), sender.clone()).unwrap();
    (Running::run(server), sender, events)
}

fn next(events: &mut Mailbox<u32>) -> Event<u32> {
    block_on(events.next()).expect("an event")
}

fn is_a_stream_of_events(config: Config) {
    let (server, sender, mut events) = start(config, false);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let Event::Connected(client) = next(&mut events) else { panic!() };
    peer.text("hello");
    peer.binary(&[1]);
    assert!(matches!(next(&mut events), Event::Text(from, text) if from == client && text == "hello"));
    assert!(matches!(next(&mut events), Event::Binary(from, bytes) if from == client && bytes[..] == [1]));
    client.ping(b"are you there?").unwrap();
    assert_eq!(peer.next(), Received::Ping(b"are you there?".into()));
    peer.send(|sender| sender.pong(b"yes").unwrap());
    assert!(matches!(next(&mut events), Event::Pong(_, payload) if payload == "yes"));
    sender.send(7).unwrap();
    assert!(matches!(next(&mut events), Event::Message(7)));
    client.close(CloseCode::new(4000));
    assert_eq!(peer.next(), Received::Close(Some((4000, String::new()))));
    peer.close(4001, "you too");
    let Event::Disconnected(from, end) = next(&mut events) else { panic!() };
    assert!(from == client && end.is_clean());
    assert_eq!((end.code.value(), &*end.reason), (4001, "you too"));
}

fn yields_openings_to_decide_on(config: Config) {
    let (server, _sender, mut events) = start(config, true);
    let deciding = std::thread::spawn(move || {
        let (mut decided, mut connected) = (0, 0);
        while decided < 2 {
            match next(&mut events) {
                Event::Opening(opening, decision) if opening.query_string() == Some("yes") => {
                    decision.accept(Accept::new().header("X-A", "b"));
                    decided += 1;
                }
                Event::Opening(_, decision) => {
                    decision.reject(Reject::forbidden("no"));
                    decided += 1;
                }
                Event::Connected(_) => connected += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(connected, 1);
        events
    });
    let peer = server.connect(Version::Rfc6455, "/?yes");
    assert!(peer.headers.contains(&("X-A".into(), "b".into())));
    assert_eq!(server.try_connect(Version::Rfc6455, "/?no").err(), Some(403));
    drop(deciding.join().unwrap());
    assert_eq!(server.try_connect(Version::Rfc6455, "/?yes").err(), Some(503));
}

/// The digits at the start of each message of `flood`.
const DIGITS: usize = 7;

/// Sends until the server reads no more, and the rest on another thread.
fn flood(server: &Running, messages: u32) -> (std::thread::JoinHandle<()>, std::sync::mpsc::Receiver<bool>) {
    let mut peer = server.connect(Version::Rfc6455, "/");
    let (stuck, is_stuck) = std::sync::mpsc::channel();
    let sending = std::thread::spawn(move || {
        // This thread blocks while the server does not read.
        let mut bytes = Vec::new();
        let padding = "x".repeat(1000 - DIGITS);
        for number in 0..messages {
            peer.sender.text(&format!("{number:0DIGITS$}{padding}"), None).unwrap();
            peer.sender.write_to(&mut bytes).unwrap();
        }
        let half_sent = bytes.len() / 2;
        peer.stream.write_all(&bytes[..half_sent]).unwrap();
        let _ = stuck.send(false);
        peer.stream.write_all(&bytes[half_sent..]).unwrap();
        peer.close(1000, "");
        while !matches!(peer.next(), Received::End | Received::Reset) {}
    });
    (sending, is_stuck)
}

fn a_full_mailbox_pauses_reading_and_loses_nothing(config: Config) {
    const MESSAGES: u32 = 40_000; // 40 MB, more than the socket buffers hold
    let (server, _sender, mut events) = start(config.max_handler_read_backlog(100_000), false);
    let (sending, half_sent) = flood(&server, MESSAGES);
    let refused = half_sent.recv_timeout(Duration::from_millis(500));
    assert!(refused.is_err(), "a mailbox of 100 KB accepted 20 MB");
    assert!(matches!(next(&mut events), Event::Connected(_)));
    for number in 0..MESSAGES {
        let Event::Text(_, text) = next(&mut events) else { panic!() };
        assert_eq!(text[..DIGITS].parse(), Ok(number));
        assert_eq!(text.len(), 1000);
    }
    assert!(matches!(next(&mut events), Event::Disconnected(_, end) if end.is_clean()));
    sending.join().unwrap();
}

fn a_full_mailbox_accepts_other_clients(config: Config) {
    let (server, sender, mut events) = start(config.max_handler_read_backlog(100_000), false);
    let (sending, half_sent) = flood(&server, 40_000);
    assert!(half_sent.recv_timeout(Duration::from_millis(500)).is_err());
    // Other clients connect while the mailbox is full, and one message of each is accepted.
    let mut others: Vec<_> = (0..3).map(|_| server.connect(Version::Hybi00, "/")).collect();
    for peer in &mut others {
        peer.text("from another");
    }
    let (mut seen, mut answered) = (0, 0);
    while seen < 40_000 + others.len() {
        if let Event::Text(client, text) = next(&mut events) {
            seen += 1;
            if text == "from another" {
                answered += 1;
                client.send_text("seen").unwrap();
            }
        }
    }
    assert_eq!(answered, others.len());
    for peer in &mut others {
        assert_eq!(peer.next(), text("seen"));
    }
    drop(sender);
    sending.join().unwrap();
}

fn a_dropped_mailbox_closes_its_clients(config: Config) {
    let (server, sender, mut events) = start(config.max_handler_read_backlog(0), false);
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert!(matches!(next(&mut events), Event::Connected(_)));
    // Reading from the client is paused when the mailbox is dropped.
    peer.text("one");
    peer.text("two");
    assert!(matches!(next(&mut events), Event::Text(_, text) if text == "one"));
    drop(events);
    assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
    peer.finish();
    assert!(sender.is_closed());
    assert_eq!(sender.send(1), Err(MailboxClosed));
    assert_eq!(server.try_connect(Version::Rfc6455, "/").err(), Some(503));
}

fn a_closed_mailbox_ends_when_it_is_empty(config: Config) {
    let (server, sender, mut events) = start(config, false);
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert!(matches!(next(&mut events), Event::Connected(_)));
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    sender.close();
    sender.send(3).unwrap_err();
    assert!(matches!(next(&mut events), Event::Message(1)));
    assert!(matches!(next(&mut events), Event::Message(2)));
    let closing = std::thread::spawn(move || {
        assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
        peer.finish();
    });
    assert!(matches!(next(&mut events), Event::Disconnected(_, end) if end.is_clean()));
    assert!(block_on(events.next()).is_none());
    closing.join().unwrap();
}

/// A disconnected client with queued input is held only by the mailbox. The client holds the
/// resource, which holds the mailbox.
fn a_dropped_mailbox_frees_the_last_client_and_resource(config: Config) {
    // The connection does not end at once, because an undelivered message remains.
    let config = config.max_handler_read_backlog(0).close_timeout(std::time::Duration::from_millis(100));
    let (server, sender, mut events) = start(config, false);
    let mut peer = server.connect(Version::Rfc6455, "/");
    assert!(matches!(next(&mut events), Event::Connected(_)));
    peer.text("one");
    common::eventually("the message is queued", || server.handle.clients() == 1 && !sender.is_closed());
    assert!(matches!(next(&mut events), Event::Text(_, text) if text == "one"));
    peer.text("two"); // pauses reading from the client
    drop(peer);
    server.handle.stop();
    server.wait().unwrap();
    drop((server, sender));
    drop(events); // must not wait for itself
}
