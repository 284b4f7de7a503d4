//! The trace of a run: a hash of all entries and, for a repeated run, the entries.

use std::fmt;

/// Stands for no particular connection.
pub(super) const NO_CONN: u32 = u32::MAX;

/// An entry of the trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    time: u64,
    pub(super) conn: u32,
    label: &'static str,
    numbers: [u64; 2],
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { time, conn, label, numbers: [a, b] } = self;
        let (micros, nanos) = (time / 1000, time % 1000);
        match *conn {
            NO_CONN => write!(f, "{micros:>9}.{nanos:03} us      {label} {a} {b}"),
            conn => write!(f, "{micros:>9}.{nanos:03} us #{conn:<4} {label} {a} {b}"),
        }
    }
}

#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    entries: Vec<Entry>,
    keeps: bool,
}

impl Trace {
    /// Creates a trace. With `keeps` it keeps the entries.
    pub(super) const fn new(keeps: bool) -> Self {
        Self { hash: 0xCBF2_9CE4_8422_2325, entries: Vec::new(), keeps }
    }

    pub(super) fn note(&mut self, time: u64, conn: u32, label: &'static str, numbers: [u64; 2]) {
        for byte in label.bytes() {
            self.mix(u64::from(byte));
        }
        for number in [time, u64::from(conn), numbers[0], numbers[1]] {
            self.mix(number);
        }
        if self.keeps {
            self.entries.push(Entry { time, conn, label, numbers });
        }
    }

    const fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0100_0000_01B3).rotate_left(23);
    }

    pub(super) const fn hash(&self) -> u64 {
        self.hash
    }

    /// The last entries of a connection, with the entries of no connection except routine ones.
    pub(super) fn last(&self, conn: u32, count: usize) -> Vec<String> {
        let routine = |entry: &Entry| matches!(entry.label, "task" | "poll" | "shard sleeps");
        let about = |entry: &&Entry| {
            conn == NO_CONN || entry.conn == conn || (entry.conn == NO_CONN && !routine(entry))
        };
        let mut lines: Vec<_> =
            self.entries.iter().rev().filter(about).take(count).map(ToString::to_string).collect();
        lines.reverse();
        lines
    }
}
