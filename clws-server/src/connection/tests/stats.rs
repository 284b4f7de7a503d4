//! The statistics of one connection.

use super::*;
use crate::stats::kinds::DropReason;

fn outcomes(harness: &Harness) -> Vec<(HandshakeOutcome, Option<u16>, u64)> {
    let stats = harness.shared.stats();
    stats.handshakes.iter().map(|entry| (entry.outcome, entry.status, entry.count)).collect()
}

#[test]
fn each_handshake_has_one_outcome() {
    let mut harness = Harness::new(Config::default());
    assert_eq!(outcomes(&harness), []);
    harness.advance(harness.shared.config().handshake_timeout);
    assert_eq!(outcomes(&harness), [(HandshakeOutcome::TimedOut, Some(408), 1)]);

    let mut harness = Harness::new(Config::default());
    harness.send(&request(Version::Rfc6455, "/?later"));
    assert_eq!(outcomes(&harness), []);
    harness.advance(harness.shared.config().handshake_timeout);
    assert_eq!(outcomes(&harness), [(HandshakeOutcome::Undecided, Some(503), 1)]);

    for begins in [false, true] {
        let mut harness = Harness::new(Config::default());
        if begins {
            harness.send(b"GET / HTTP/1.1\r\n");
        }
        harness.connection.stop(&context(&harness.shared));
        harness.drive();
        assert_eq!(outcomes(&harness), [(HandshakeOutcome::Stopping, Some(503), 1)]);
    }

    let mut harness = Harness::new(Config::default());
    harness.end_of_input();
    assert_eq!(outcomes(&harness), [(HandshakeOutcome::Abandoned, None, 1)]);

    for (target, status) in
        [("/?forbidden", 403), ("/?panic-accept", 500), ("/origin-panics", 500), ("/none", 404)]
    {
        let mut harness = Harness::new(Config::default());
        harness.send(&request(Version::Rfc6455, target));
        assert_eq!(outcomes(&harness), [(HandshakeOutcome::Rejected, Some(status), 1)], "{target}");
        harness.end_of_input();
        assert_eq!(harness.shared.stats().handshakes.len(), 1, "{target}");
    }

    let mut harness = Harness::new(Config::default());
    harness.send(&request(Version::Rfc6455, "/?later"));
    harness.resource.decision.lock().unwrap().take().unwrap().accept(Accept::new());
    harness.drive();
    assert_eq!(outcomes(&harness), [(HandshakeOutcome::Accepted, Some(101), 1)]);
}

#[test]
fn a_refused_client_was_accepted_and_has_an_end() {
    for version in Version::ALL {
        let mut harness = Harness::new(Config::default());
        harness.send(&request(version, "/?refuse"));
        assert_eq!(harness.shared.stats().client_count(), 1, "{version:?}");
        harness.advance(harness.shared.config().close_timeout);
        let stats = harness.shared.stats();
        assert_eq!((stats.client_count(), stats.closed_by("close_timeout")), (0, 1), "{version:?}");
    }
}

#[test]
fn a_dropped_connection_is_counted() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.resource.client().send_text("queued").unwrap();
    harness.connection = Connection::new(Peer::Stream, &context(&harness.shared));
    let stats = harness.shared.stats();
    assert_eq!((stats.closed_by("stopped"), stats.sent.messages, stats.discarded_bytes), (1, 1, 8));
}

#[test]
fn a_message_is_sent_once() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    let client = harness.resource.client();
    harness.space = 0;
    for _ in 0..3 {
        client.send_text("a").unwrap();
    }
    harness.drive();
    assert_eq!(harness.shared.stats().sent.messages, 3);
    harness.space = 5; // a message and a half
    harness.drive();
    client.send_text("b").unwrap();
    let _ = client.ping(b"no message");
    harness.space = usize::MAX;
    harness.drive();
    assert_eq!(harness.shared.stats().sent.messages, 4);
    harness.send(&close(CloseCode::NORMAL, ""));
    assert_eq!(client.send_text("too late"), Err(crate::client::outcome::SendError::Closed));
    let stats = harness.shared.stats();
    // `disconnected` of the recorder tries to send too.
    assert_eq!((stats.sent.messages, stats.dropped_for(DropReason::Closed)), (4, 2));
}
