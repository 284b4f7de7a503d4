//! Keepalive: pings of silent clients, and clients that do not answer them.

use super::*;

const INTERVAL: Duration = Duration::from_secs(20);
/// Times are kept in ticks.
const TICKS: Duration = Duration::from_millis(200);

impl Harness {
    /// Advances the clock through all checks and deadlines.
    pub(super) fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while !self.dropped {
            let context = context(&self.shared);
            let check = self.connection.next_check(&context);
            let Some(next) = [check, self.deadline].into_iter().flatten().min().filter(|at| *at <= end)
            else {
                break;
            };
            if next > self.now {
                self.now = next;
                virtual_clock::set(Some(self.now));
            }
            if check.is_some_and(|at| at <= self.now) {
                self.connection.check(&context);
            }
            self.advance(Duration::ZERO);
        }
        self.advance(end.saturating_duration_since(self.now));
    }

    /// Takes the payload of a ping that the client has received.
    fn take_ping(&mut self) -> Option<Vec<u8>> {
        let mut out = std::mem::take(&mut self.out);
        let mut events = self.client.receive(&mut out);
        match events.next().unwrap() {
            Some(Event::Ping(payload)) => Some(payload.into_vec()),
            None => None,
            event => panic!("{event:?}"),
        }
    }
}

fn pong(payload: &[u8]) -> Vec<u8> {
    frames(Version::Rfc6455, |sender| sender.pong(payload).unwrap())
}

/// A silent client that has just received a ping.
fn pinged() -> (Harness, Vec<u8>) {
    let mut harness = Harness::with(Config::default().min_rate(0), Version::Rfc6455, "/");
    harness.expect_calls(&["connected"]);
    harness.wait(INTERVAL);
    assert_eq!(harness.take_ping(), None, "a ping before the interval");
    harness.wait(TICKS);
    let ping = harness.take_ping().unwrap();
    (harness, ping)
}

#[test]
fn a_client_that_answers_stays_and_has_a_round_trip_time() {
    let (mut harness, ping) = pinged();
    let client = harness.resource.client();
    assert_eq!(client.rtt(), None);
    harness.wait(Duration::from_millis(700));
    harness.send(&pong(&ping));
    let rtt = client.rtt().unwrap();
    assert!(rtt.abs_diff(Duration::from_millis(700)) < Duration::from_millis(200), "{rtt:?}");
    harness.expect_calls(&[]); // the pong is not delivered
    for _ in 0..10 {
        harness.wait(INTERVAL + TICKS);
        let ping = harness.take_ping().unwrap();
        harness.send(&pong(&ping));
    }
    assert!(!harness.dropped);
    harness.expect_calls(&[]);
}

#[test]
fn a_client_that_does_not_answer_is_dropped() {
    let (mut harness, _) = pinged();
    harness.wait(19 * SECOND);
    assert!(!harness.dropped);
    harness.wait(2 * SECOND);
    harness.expect_calls(&["disconnected 1006 \"\": did not answer a ping"]);
    assert_eq!(harness.received(), [Received::Close(Some((1011, "no answer to a ping".to_owned())))]);
    harness.wait(10 * SECOND);
    assert!(harness.dropped);
}

#[test]
fn any_byte_is_life() {
    // The first byte of a large message, and then each byte.
    let big = frames(Version::Rfc6455, |sender| sender.binary(&[7; 10_000], None).unwrap());
    let (mut harness, _) = pinged();
    harness.wait(19 * SECOND);
    harness.send(&big[..1]);
    harness.wait(19 * SECOND);
    assert!(!harness.dropped && harness.take_ping().is_none());
    for at in 1..10 {
        harness.send(&big[at..=at]);
        harness.wait(19 * SECOND);
    }
    assert!(!harness.dropped && harness.take_ping().is_none());
    // Then the client is silent again.
    harness.wait(2 * SECOND);
    assert!(harness.take_ping().is_some());
    harness.wait(21 * SECOND);
    harness.expect_calls(&["disconnected 1006 \"\": did not answer a ping"]);
}

#[test]
fn input_that_arrived_before_the_deadline_counts() {
    let (mut harness, _) = pinged();
    // The driver is held up for longer than the deadline, and then reads first.
    harness.now += 60 * SECOND;
    virtual_clock::set(Some(harness.now));
    harness.send(&text("here"));
    harness.wait(SECOND);
    harness.expect_calls(&["text here"]);
    assert!(!harness.dropped);
}

#[test]
fn the_clock_stands_still_while_the_client_is_paused() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    harness.wait(15 * SECOND);
    harness.resource.client().pause();
    harness.drive();
    harness.wait(1000 * SECOND);
    assert_eq!(harness.take_ping(), None);
    harness.resource.client().resume();
    harness.drive();
    harness.wait(INTERVAL);
    assert_eq!(harness.take_ping(), None, "the clock restarts");
    harness.wait(TICKS);
    assert!(harness.take_ping().is_some());

    // The same between the ping and the pong.
    harness.wait(10 * SECOND);
    harness.resource.client().pause();
    harness.drive();
    harness.wait(1000 * SECOND);
    assert!(!harness.dropped);
    harness.resource.client().resume();
    harness.drive();
    harness.wait(19 * SECOND);
    harness.expect_calls(&["connected"]);
    harness.wait(2 * SECOND);
    harness.expect_calls(&["disconnected 1006 \"\": did not answer a ping"]);
}

#[test]
fn the_clock_stands_still_above_the_high_water_mark() {
    let config = Config::default().write_high_water(1000).write_timeout(Duration::MAX);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 0;
    harness.resource.client().send_text(&"x".repeat(5000)).unwrap();
    harness.drive();
    harness.wait(1000 * SECOND);
    assert!(!harness.dropped);
    harness.space = usize::MAX;
    harness.drive();
    assert_eq!(harness.received(), [Received::Text("x".repeat(5000))]);
    harness.wait(INTERVAL);
    assert_eq!(harness.take_ping(), None);
    harness.wait(TICKS);
    assert!(harness.take_ping().is_some());
}

#[test]
fn the_clock_stands_still_while_memory_is_short() {
    let mut harness = Harness::with(Config::default().message_timeout(Duration::MAX), Version::Rfc6455, "/");
    let shared = Arc::clone(&harness.shared);
    let budget = shared.budget();
    harness.send(&text(&"x".repeat(200_000))[..130_000]);
    budget.charge_bytes(budget.limit());
    harness.wait(1000 * SECOND);
    assert!(!harness.dropped && harness.take_ping().is_none());
    budget.release_bytes(budget.limit());
    budget.give_back();
    harness.drive();
    harness.wait(INTERVAL + 2 * TICKS);
    assert!(harness.take_ping().is_some());
}

#[test]
fn the_deadline_begins_when_the_ping_is_written() {
    let config = Config::default().write_timeout(Duration::MAX).min_rate(0);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 10;
    let client = harness.resource.client();
    for _ in 0..10 {
        client.send_binary(&[7; 100_000]).unwrap();
    }
    harness.drive();
    harness.wait(100 * SECOND);
    assert!(!harness.dropped);
    // The ping passes whole messages. Reading shows life, but it is no answer.
    harness.space = 200_000;
    harness.drive();
    let mut out = std::mem::take(&mut harness.out);
    let mut events = harness.client.receive(&mut out);
    assert!(matches!(events.next().unwrap(), Some(Event::Binary(_))));
    assert!(matches!(events.next().unwrap(), Some(Event::Ping(_))));
    drop(events);
    harness.wait(19 * SECOND);
    assert!(client.is_open());
    harness.wait(2 * SECOND);
    assert!(!client.is_open());
}

#[test]
fn a_client_that_reads_much_data_slowly_is_alive() {
    let config = Config::default().write_high_water(10 << 20);
    let mut harness = Harness::with(config, Version::Rfc6455, "/");
    harness.space = 0;
    let client = harness.resource.client();
    client.send_binary(&[7; 2_000_000]).unwrap();
    harness.drive();
    for _ in 0..50 {
        harness.wait(10 * SECOND);
        harness.space = 20_000;
        harness.drive();
    }
    assert!(client.is_open());
}

#[test]
fn pongs_of_the_application_are_delivered() {
    let (mut harness, ping) = pinged();
    let client = harness.resource.client();
    // The application sends pings of the same length, and even with the same number.
    let mut similar = ping.clone();
    similar[15] ^= 1;
    client.ping(&similar).unwrap();
    harness.drive();
    harness.send(&[pong(&similar), pong(b""), pong(&ping), pong(&ping)].concat());
    harness.expect_calls(&["pong 16", "pong 0"]);
    // A late pong of an earlier keepalive ping is recognised too.
    harness.received_pings();
    harness.wait(INTERVAL + TICKS);
    let next = harness.take_ping().unwrap();
    assert_ne!(next, ping);
    harness.send(&pong(&ping));
    harness.expect_calls(&[]);
}

impl Harness {
    fn received_pings(&mut self) {
        self.take_ping();
        self.out.clear();
    }
}

#[test]
fn versions_without_ping_get_none() {
    for version in [Version::Hybi00, Version::Hixie75] {
        let mut harness = Harness::open(version, "/");
        harness.wait(1000 * SECOND);
        assert!(!harness.dropped && harness.out.is_empty(), "{version}");
    }
}

#[test]
fn there_is_no_ping_without_an_interval() {
    let mut harness = Harness::with(Config::default().ping_interval(None), Version::Rfc6455, "/");
    harness.wait(1000 * SECOND);
    assert!(!harness.dropped && harness.out.is_empty());
}

#[test]
fn a_client_that_is_closed_gets_no_ping() {
    let mut harness = Harness::with(Config::default().close_timeout(Duration::MAX), Version::Rfc6455, "/");
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    harness.wait(1000 * SECOND);
    assert_eq!(harness.received(), [Received::Close(Some((1000, String::new())))]);
    // Nor is a pong awaited any more.
    let (mut harness, _) = pinged();
    harness.resource.client().close(CloseCode::NORMAL);
    harness.drive();
    harness.wait(30 * SECOND);
    harness.expect_calls(&["disconnected 1006 \"\": did not answer a close frame"]);
}

/// After a pong, nothing is left of the wait for it.
#[test]
fn an_idle_client_keeps_no_deadline() {
    let (mut harness, ping) = pinged();
    harness.send(&pong(&ping));
    harness.drive();
    let Stage::Open(open) = &harness.connection.stage else { panic!() };
    assert!(open.waiting.is_none());
}
