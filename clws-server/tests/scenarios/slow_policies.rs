//! Clients that do not read, with each policy for them. The kernel takes some megabytes first.

use std::num::ParseIntError;

use crate::common::wire::{CLOSE, SHORT_TIMEOUT, TEXT, Wire};
use crate::common::{Probe, Recorder, Running, eventually, within};
use clws_server::{Client, Config, DropReason, Fate, Group, SendError, SendOptions, Sent, SlowPolicy};

in_both_modes!(
    the_oldest_messages_are_dropped,
    the_newest_messages_are_dropped,
    a_member_is_closed_early,
    the_newest_message_of_each_key_arrives,
    all_waiting_messages_are_written_before_a_close,
    a_tracked_message_is_reported,
);

const SIZE: usize = 10_000;
const LIMIT: usize = 200_000;

/// More messages than the socket buffers and the limit hold.
const MOST: usize = (64 << 20) / SIZE;

/// The client disconnects before the server waits for it.
struct Slow {
    wire: Wire,
    client: Client,
    server: Running,
    recorder: Recorder,
}

fn start(config: Config) -> Slow {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (wire, client) = (Wire::connect(&server, "/"), recorder.connected());
    Slow { wire, client, server, recorder }
}

fn message(number: usize) -> String {
    format!("{number:0SIZE$}")
}

impl Slow {
    /// Sends until `is_enough`. Returns the number of sends.
    fn fill(
        &self,
        mut send: impl FnMut(&str) -> Result<Sent, SendError>,
        is_enough: impl Fn(usize) -> bool,
    ) -> usize {
        let mut sent = 0;
        while !is_enough(sent) {
            assert!(sent < MOST, "nothing is dropped");
            send(&message(sent)).unwrap();
            sent += 1;
            assert!(self.client.buffered_amount() < LIMIT + 2 * SIZE);
        }
        sent
    }

    /// The numbers of the texts up to `last`.
    fn read_to(&mut self, last: usize) -> Result<Vec<usize>, ParseIntError> {
        let (mut payload, mut numbers) = (Vec::new(), Vec::new());
        while numbers.last() != Some(&last) {
            assert_eq!(self.wire.next_into(&mut payload), Some(TEXT), "{:?}", numbers.last());
            numbers.push(std::str::from_utf8(&payload).unwrap().parse()?);
        }
        Ok(numbers)
    }
}

#[track_caller]
fn assert_in_order(numbers: &[usize]) {
    assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
}

fn the_oldest_messages_are_dropped(config: Config) {
    let mut slow = start(config);
    let client = slow.client.clone();
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    let sent = slow.fill(|message| client.send_text(message), |_| client.dropped() >= 100);
    let numbers = slow.read_to(sent - 1).unwrap();
    assert_in_order(&numbers);
    assert_eq!(numbers.len() as u64, sent as u64 - client.dropped());
    assert_eq!(slow.server.handle.stats().dropped_for(DropReason::Oldest), client.dropped());
    slow.wire.assert_answered_within(SHORT_TIMEOUT);
    // A client that reads misses nothing.
    let before = client.dropped();
    client.send_text(&message(7)).unwrap();
    assert_eq!((slow.read_to(7).unwrap(), client.dropped()), (vec![7], before));
}

fn the_newest_messages_are_dropped(config: Config) {
    let mut slow = start(config);
    let (client, group) = (slow.client.clone(), Group::new());
    group.join(&client);
    group.set_slow_policy(Some(SlowPolicy::drop_newest().max_queued(LIMIT)));
    let mut accepted = Vec::new();
    for number in 0..MOST {
        let delivery = group.send_text(message(number));
        assert!(delivery.failed.is_empty());
        assert_eq!(delivery.sent + delivery.dropped, 1);
        if delivery.sent == 1 {
            accepted.push(number);
        }
        if client.dropped() >= 100 {
            break;
        }
    }
    assert!(client.dropped() >= 100, "nothing is dropped");
    assert_eq!(slow.read_to(*accepted.last().unwrap()).unwrap(), accepted);
    slow.wire.assert_answered_within(SHORT_TIMEOUT);
    assert_eq!(group.send_text("again").sent, 1);
    assert_eq!(slow.wire.next().unwrap().1, b"again");
}

fn a_member_is_closed_early(config: Config) {
    let mut slow = start(config);
    let (client, group) = (slow.client.clone(), Group::new());
    group.join(&client);
    group.set_slow_policy(Some(SlowPolicy::close().max_queued(LIMIT)));
    let mut accepted = 0;
    while group.send_text(message(accepted)).is_complete() {
        accepted += 1;
        assert!(accepted < MOST, "the client is never closed");
    }
    assert!(!client.is_open() && client.buffered_amount() < LIMIT + 2 * SIZE);
    assert_eq!(slow.read_to(accepted - 1).unwrap(), (0..accepted).collect::<Vec<_>>());
    let (opcode, close) = slow.wire.next().expect("a close frame");
    assert_eq!((opcode, &close[..2]), (CLOSE, &1013u16.to_be_bytes()[..]));
    slow.wire.finish();
    slow.recorder.disconnected();
}

fn the_newest_message_of_each_key_arrives(config: Config) {
    const KEYS: usize = 7;
    let mut slow = start(config);
    let (client, group) = (slow.client.clone(), Group::new());
    group.join(&client);
    let mut sent = 0;
    while client.replaced() < 100 {
        assert!(sent < MOST, "nothing is replaced");
        let options = SendOptions::new().coalesce((sent % KEYS) as u64);
        assert!(group.send_with(message(sent), options).is_complete());
        sent += 1;
    }
    // A message without a key waits behind the others.
    client.send_text(&message(sent)).unwrap();
    let numbers = slow.read_to(sent).unwrap();
    assert_in_order(&numbers);
    assert_eq!(numbers[numbers.len() - KEYS - 1..], (sent - KEYS..=sent).collect::<Vec<_>>());
    assert_eq!(numbers.len() as u64, sent as u64 + 1 - client.replaced());
    assert_eq!(slow.server.handle.stats().dropped_for(DropReason::Replaced), client.replaced());
    assert_eq!(client.dropped(), 0);
}

fn all_waiting_messages_are_written_before_a_close(config: Config) {
    let mut slow = start(config);
    let client = slow.client.clone();
    client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
    let sent = slow.fill(|message| client.send_text(message), |_| client.dropped() > 0);
    slow.server.handle.stop();
    eventually("the server closes its client", || !client.is_open());
    assert_eq!(client.send_text("late"), Err(SendError::Closed));
    let numbers = slow.read_to(sent - 1).unwrap();
    assert_eq!(numbers.len() as u64, sent as u64 - client.dropped());
    let (opcode, close) = slow.wire.next().expect("a close frame");
    assert_eq!((opcode, &close[..2]), (CLOSE, &1001u16.to_be_bytes()[..]));
    slow.wire.send(CLOSE, &close);
    slow.wire.finish();
}

fn a_tracked_message_is_reported(config: Config) {
    let mut slow = start(config);
    let client = slow.client.clone();
    let oldest = SendOptions::new().slow_policy(SlowPolicy::drop_oldest().max_queued(LIMIT));
    let mut written = Vec::new();
    slow.fill(
        |message| {
            let (sent, future) = client.send_tracked(message, oldest)?;
            written.push(future);
            Ok(sent)
        },
        |_| client.dropped() >= 20,
    );
    let fates = |fate| written.iter().filter(|written| written.fate() == Some(fate)).count();
    assert_eq!(fates(Fate::Dropped) as u64, client.dropped());
    let last = written.len() - 1;
    assert_eq!((written[last].fate(), fates(Fate::Lost)), (None, 0));
    slow.read_to(last).unwrap();
    assert_eq!(within(written.pop().unwrap()), Fate::Written);

    // The client ends first.
    let sent = slow.fill(|message| client.send_with(message, oldest), |sent| sent > 0);
    assert_eq!(sent, 1);
    slow.read_to(0).unwrap();
    let dropped = client.dropped();
    slow.fill(|message| client.send_with(message, oldest), |_| client.dropped() > dropped);
    let (_, future) = client.send_tracked("never", oldest).unwrap();
    drop(slow.wire);
    assert_eq!(within(future), Fate::Lost);
    assert!(client.send_tracked("late", oldest).is_err());
}

/// Dropped messages leave no gap in the compression context.
#[cfg(feature = "deflate")]
mod deflate {
    use super::*;
    use crate::common::client::compress_all;
    use crate::common::{Peer, Received};
    use clws_handshake::client::ClientRequest;
    use clws_server::Version;

    in_both_modes!(dropped_messages_do_not_disturb_compression);

    /// Text that hardly compresses, so that the socket buffers fill.
    fn noise(number: usize) -> String {
        let mut state = (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let digits = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b' ' + u8::try_from(state % 90).unwrap())
        });
        format!("{number:08}").chars().chain(digits.take(SIZE)).collect()
    }

    fn dropped_messages_do_not_disturb_compression(config: Config) {
        let takeover = compress_all().context_takeover(true);
        let (probe, recorder) = Probe::new();
        let server = Running::start(config.deflate(Some(takeover)), probe);
        let url = format!("ws://{}/", server.address());
        let request =
            ClientRequest::new(Version::Rfc6455, &url).origin("http://here.example").deflate(&takeover);
        let mut peer = Peer::open(server.tcp(), Version::Rfc6455, request).unwrap();
        let client = recorder.connected();
        assert!(!client.deflate().unwrap().server_no_context_takeover);
        client.set_slow_policy(Some(SlowPolicy::drop_oldest().max_queued(LIMIT)));
        let mut sent = 0;
        while client.dropped() < 30 {
            assert!(sent < MOST, "nothing is dropped");
            let options = SendOptions::new();
            let options = if sent % 5 == 0 { options.uncompressed() } else { options };
            client.send_with(noise(sent), options).unwrap();
            sent += 1;
        }
        let mut numbers = Vec::new();
        while numbers.last() != Some(&(sent - 1)) {
            let Received::Text(text) = peer.next() else { panic!("no text") };
            let number = text[..8].parse().unwrap();
            assert!(text == noise(number), "{number}");
            numbers.push(number);
        }
        assert_in_order(&numbers);
        assert_eq!(numbers.len() as u64, sent as u64 - client.dropped());
        peer.assert_echo("still alive");
    }
}
