//! What happened in a run: a hash over all of it, and, where a run is repeated to be looked at, the lines.

use std::fmt;

/// No connection in particular.
pub(super) const NOBODY: u32 = u32::MAX;

/// What an entry of the trace is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    time: u64,
    pub(super) conn: u32,
    what: &'static str,
    numbers: [u64; 2],
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, conn, what, numbers: [a, b] } = self;
        let (micros, nanos) = (time / 1000, time % 1000);
        match *conn {
            NOBODY => write!(f, "{micros:>9}.{nanos:03} us      {what} {a} {b}"),
            conn => write!(f, "{micros:>9}.{nanos:03} us #{conn:<4} {what} {a} {b}"),
        }
    }
}

/// The trace of one run.
#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    entries: Vec<Entry>,
    keeps: bool,
}

impl Trace {
    /// With `keeps` it has the entries too.
    pub(super) const fn new(keeps: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, entries: Vec::new(), keeps }
    }

    pub(super) fn note(&mut self, time: u64, conn: u32, what: &'static str, numbers: [u64; 2]) {
        for byte in what.bytes() {
            self.mix(u64::from(byte));
        }
        for number in [time, u64::from(conn), numbers[0], numbers[1]] {
            self.mix(number);
        }
        if self.keeps {
            self.entries.push(Entry { time, conn, what, numbers });
        }
    }

    const fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last entries about that connection, and about what concerns all, as lines.
    pub(super) fn last(&self, conn: u32, count: usize) -> Vec<String> {
        let routine = |entry: &Entry| matches!(entry.what, "task" | "poll" | "shard sleeps");
        let about = |entry: &&Entry| {
            conn == NOBODY || entry.conn == conn || (entry.conn == NOBODY && !routine(entry))
        };
        let mut lines: Vec<_> =
            self.entries.iter().rev().filter(about).take(count).map(ToString::to_string).collect();
        lines.reverse();
        lines
    }
}
