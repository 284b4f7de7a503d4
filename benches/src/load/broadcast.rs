//! `broadcast`: one publisher sends each message to all subscribers.
//!
//! A message is complete when the last subscriber has received it. Only then does the publisher
//! send the next message of the window. Copies that the server sends to the publisher are not
//! counted, because not every server sends them.

use std::time::Duration;

use super::args::{BroadcastArgs, check_connections};
use super::conn::{Conn, READ};
use super::error::Error;
use super::frames::Ring;
use super::opening;
use super::poll::{Poll, Ready};
use super::reader::Expect;
use super::report::Report;
use super::sys;
use super::window::{Counts, Turn, Window};

/// The largest window.
const MAX_WINDOW: u32 = 4096;
/// The longest wait for events. The clock is read after each wait.
const TICK: Duration = Duration::from_millis(50);
/// The time for a server to add its subscribers after the handshake.
const SETTLE: Duration = Duration::from_millis(300);

/// A published message that is not yet delivered to all subscribers.
#[derive(Debug, Clone, Copy, Default)]
struct Published {
    at: u64,
    due: usize,
}

struct Load<'a> {
    expect: Expect<'a>,
    window: Window,
    counts: Counts,
    buffer: Vec<u8>,
    /// Message `n` is in slot `n % len`.
    in_flight: Vec<Published>,
    published: u64,
    done: u64,
    subscribers: usize,
}

/// Runs the load.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: &BroadcastArgs) -> Result<Report, Error> {
    let common = &args.common;
    check_connections(args.connections)?;
    if args.window == 0 || args.window > MAX_WINDOW {
        return Err(Error::Usage(format!("--window must be between 1 and {MAX_WINDOW}")));
    }
    let offer = args.deflate.offer(common.draft)?;
    let ring = Ring::new(common.draft, &args.message, offer.as_ref())?;
    let expect = Expect { ring: &ring, verify: args.message.verify };
    sys::need_sockets(args.connections + 1)?;

    let mut poll = Poll::new()?;
    let request = opening::request(common.draft, common.target, common.path_or("/broadcast"), offer.as_ref());
    let mut agreed = String::new();
    let patience = Duration::from_secs_f64(common.stall);
    let mut conns = Vec::with_capacity(args.connections + 1);
    for number in 0..=args.connections {
        let opened = opening::open(common.draft, common.target, None, &request, offer.as_ref(), patience)?;
        let conn = Conn::new(opened.stream, common.draft, offer.as_ref(), number, &opened.early, expect)?;
        agreed = opened.agreed;
        poll.add(conn.socket(), number)?;
        conns.push(conn);
    }
    std::thread::sleep(SETTLE);

    // `--messages` counts published messages; the window counts deliveries.
    let mut end = args.end.clone();
    end.messages = end.messages.map(|messages| messages.saturating_mul(args.connections as u64));
    let mut load = Load {
        expect,
        window: Window::new(common, &end)?,
        counts: Counts::new()?,
        buffer: vec![0; READ],
        in_flight: vec![Published::default(); usize::try_from(args.window).unwrap_or(1)],
        published: 0,
        done: 0,
        subscribers: args.connections,
    };
    load.publish(&mut conns[args.connections], args.window.into())?;
    let mut silence = Duration::ZERO;
    while load.done < load.published {
        let ready = poll.wait(TICK)?;
        silence = if ready == 0 { silence + TICK } else { Duration::ZERO };
        if silence >= patience {
            return Err(load.stalled(common.stall));
        }
        let before = load.done;
        for index in 0..ready {
            let event = poll.ready(index);
            load.serve(&mut conns[event.key], event)?;
        }
        if load.window.turn(load.counts.messages)? == Turn::Begin {
            load.counts.clear();
        }
        let finished = load.done - before;
        if finished > 0 && !load.window.is_over() {
            load.publish(&mut conns[args.connections], finished)?;
        }
    }
    for conn in &mut conns {
        conn.close(common.draft);
    }
    let mut report = load.window.report("broadcast", common, &load.counts);
    report.connections = args.connections;
    report.size = args.message.size;
    report.sent_ratio = ring.ratio();
    report.note = agreed;
    report.in_flight = args.window;
    Ok(report)
}

impl Load<'_> {
    fn publish(&mut self, publisher: &mut Conn, count: u64) -> Result<(), Error> {
        let at = self.window.now();
        for _ in 0..count {
            let slot = self.slot(self.published);
            self.in_flight[slot] = Published { at, due: self.subscribers };
            self.published += 1;
        }
        publisher.queue(count, self.expect.ring);
        self.counts.bytes_out += publisher.flush(self.expect.ring)? as u64;
        Ok(())
    }

    fn serve(&mut self, conn: &mut Conn, event: Ready) -> Result<(), Error> {
        let over = self.window.is_over();
        let mut more = event.readable;
        while more {
            let first = conn.messages();
            let step = conn.read(&mut self.buffer, event.hangup, self.expect)?;
            if !over {
                self.counts.bytes_in += step.bytes as u64;
                self.counts.payload_in += step.messages * self.expect.ring.size() as u64;
            }
            if step.messages > 0 && conn.number() < self.subscribers {
                let now = self.window.now();
                for n in first..first + step.messages {
                    self.delivered(n, now, over)?;
                }
            }
            more = step.more;
        }
        if conn.has_pending() {
            let bytes = conn.flush(self.expect.ring)?;
            self.counts.bytes_out += if over { 0 } else { bytes as u64 };
        }
        Ok(())
    }

    fn delivered(&mut self, n: u64, now: u64, over: bool) -> Result<(), Error> {
        let slot = self.slot(n);
        let message = &mut self.in_flight[slot];
        if n >= self.published || message.due == 0 {
            return Err(Error::Usage("a subscriber received a duplicate or unknown message".into()));
        }
        message.due -= 1;
        self.done += u64::from(message.due == 0);
        if !over {
            self.counts.messages += 1;
            self.counts.latency.saturating_record(now - message.at);
        }
        Ok(())
    }

    fn slot(&self, n: u64) -> usize {
        usize::try_from(n % self.in_flight.len() as u64).unwrap_or(0)
    }

    fn stalled(&self, seconds: f64) -> Error {
        let due: usize = self.in_flight.iter().map(|message| message.due).sum();
        let detail = format!(
            "{due} deliveries of {} messages are missing; check that the path broadcasts every message",
            self.published - self.done
        );
        Error::Stalled { seconds, detail }
    }
}
