//! One connection under a script from a fuzzer: input, output, network, application and time.
//! `clws-server/fuzz` runs it, and the tests run it on the seeds.
//!
//! The [`Harness`](harness::Harness) drives the connection as a shard does. [`check`] has the
//! invariants.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code, also built for the fuzz target"
)]
#![allow(clippy::cast_possible_truncation, reason = "only the low byte is used")]

mod app;
mod check;
mod harness;
mod peer;
mod wire;

use std::time::Duration;

use crate::connection::fuzzing::harness::Harness;

/// Choices from the fuzzer's bytes. After the last byte, every choice is 0.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    /// A length, usually a small one.
    fn length(&mut self) -> usize {
        let (high, low) = (self.byte(), usize::from(self.byte()));
        match high >> 5 {
            7 => (usize::from(high & 31) << 12) + low,
            6 => usize::from(high & 31) << 8 | low,
            _ => low & 127,
        }
    }

    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// Pads a text with spaces up to `len`.
fn padded(text: String, len: usize) -> String {
    let blanks = len.saturating_sub(text.len());
    text + &" ".repeat(blanks)
}

/// The maximal number of steps of a script.
const STEPS: usize = 300;

/// Runs the script, and then ends the connection. Panics if an invariant is broken.
#[cfg_attr(not(fuzzing), expect(unreachable_pub, reason = "only the fuzz target's build exports it"))]
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut harness = Harness::new([input.byte(), input.byte(), input.byte(), input.byte()]);
    let mut steps = 0;
    while !input.0.is_empty() && steps < STEPS && !harness.is_over() {
        step(&mut harness, &mut input);
        harness.drive();
        steps += 1;
    }
    harness.finish(input.byte());
}

/// Runs one step of the script.
fn step(harness: &mut Harness, input: &mut Input<'_>) {
    let choice = input.byte();
    let more = choice >> 5;
    match choice & 31 {
        0 | 1 => harness.wire.peer.send_request(more),
        2..=6 => {
            let (command, len) = (input.byte(), input.length());
            harness.wire.peer.send_message(command, len, more);
        }
        7 => harness.wire.peer.send_control(more, usize::from(input.byte() % 126)),
        8 => {
            let len = input.length();
            harness.wire.peer.send_raw(input.take(len));
        }
        9 => harness.wire.peer.send_close(more),
        10..=13 => {
            let count = if more == 7 { input.length() } else { usize::MAX };
            harness.arrive(count);
        }
        14 => harness.advance(TIMES[usize::from(more)]),
        15 => {
            let time = harness.until_deadline();
            harness.advance(if more == 0 { time.saturating_sub(Duration::from_nanos(1)) } else { time });
        }
        16 => {
            let space = if more == 7 { input.length() } else { usize::MAX };
            harness.peer_reads(space);
        }
        17 => harness.peer_stops_reading(),
        18 => harness.wire.peer.end(),
        19 => harness.reset(),
        20 => harness.break_writing(),
        21 | 22 => {
            let len = input.length();
            harness.app().send(more, len);
        }
        23 => harness.app().pause(),
        24 => harness.app().resume(),
        25 => harness.app().close(more),
        26 => harness.app().abort(),
        27 => harness.app().decide(more),
        28 => harness.stop(),
        29 if more == 7 => harness.drop_for_memory(),
        30 if more == 7 => harness.kill(),
        _ => {}
    }
}

/// The steps of the clock.
const TIMES: [Duration; 8] = [
    Duration::from_nanos(1),
    Duration::from_millis(1),
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(11),
    Duration::from_secs(61),
    Duration::from_secs(86_400),
];

#[cfg(test)]
mod tests {
    /// Replays the fuzzer's seeds and its earlier findings.
    #[test]
    fn every_seed_keeps_the_invariants() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/connection");
        let seeds: Vec<_> = std::fs::read_dir(folder).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(seeds.len() > 10, "{} seeds", seeds.len());
        for seed in seeds {
            eprintln!("{}", seed.display()); // shown if it fails
            super::run(&std::fs::read(&seed).unwrap());
        }
    }
}
