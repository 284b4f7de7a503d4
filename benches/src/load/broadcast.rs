//! `broadcast`: one publisher, and every message goes to every subscriber.
//!
//! A message is done when the last subscriber has it; only then does the next one of the window go out. The publisher's own
//! copies are read and not counted, since some servers send them and some do not.

use std::time::Duration;

use super::args::{BroadcastArgs, check_connections};
use super::conn::{Conn, READ};
use super::error::Error;
use super::frames::Ring;
use super::opening;
use super::poll::{Poll, Ready};
use super::reader::Expect;
use super::report::{Counts, Report, Turn, Window};
use super::sys;

/// Most messages under way.
const MAX_WINDOW: u32 = 4096;
/// How long one wait for events may take: the clock is looked at in between.
const TICK: Duration = Duration::from_millis(50);
/// Servers may add a subscriber a little after they answered its handshake.
const SETTLE: Duration = Duration::from_millis(300);

/// A message under way.
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
    under_way: Vec<Published>,
    published: u64,
    done: u64,
    subscribers: usize,
}

/// Runs the load to its end.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: &BroadcastArgs) -> Result<Report, Error> {
    let common = &args.common;
    check_connections(args.connections)?;
    if args.window == 0 || args.window > MAX_WINDOW {
        return Err(Error::Usage(format!("--window is between 1 and {MAX_WINDOW}")));
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
        let conn = Conn::new(opened.stream, common.draft, offer.as_ref(), number, &opened.came, expect)?;
        agreed = opened.agreed;
        poll.add(conn.socket(), number)?;
        conns.push(conn);
    }
    std::thread::sleep(SETTLE);

    // `--messages` counts messages published, the window counts deliveries.
    let mut end = args.end.clone();
    end.messages = end.messages.map(|messages| messages.saturating_mul(args.connections as u64));
    let mut load = Load {
        expect,
        window: Window::new(common, &end)?,
        counts: Counts::new()?,
        buffer: vec![0; READ],
        under_way: vec![Published::default(); usize::try_from(args.window).unwrap_or(1)],
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
            self.under_way[slot] = Published { at, due: self.subscribers };
            self.published += 1;
        }
        publisher.queue(count, self.expect.ring);
        self.counts.octets_out += publisher.flush(self.expect.ring)? as u64;
        Ok(())
    }

    fn serve(&mut self, conn: &mut Conn, event: Ready) -> Result<(), Error> {
        let over = self.window.is_over();
        let mut more = event.readable;
        while more {
            let first = conn.messages();
            let step = conn.read(&mut self.buffer, event.hangup, self.expect)?;
            if !over {
                self.counts.octets_in += step.octets as u64;
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
            let octets = conn.flush(self.expect.ring)?;
            self.counts.octets_out += if over { 0 } else { octets as u64 };
        }
        Ok(())
    }

    fn delivered(&mut self, n: u64, now: u64, over: bool) -> Result<(), Error> {
        let slot = self.slot(n);
        let message = &mut self.under_way[slot];
        if n >= self.published || message.due == 0 {
            return Err(Error::Usage("a subscriber got a message twice, or one never sent".into()));
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
        usize::try_from(n % self.under_way.len() as u64).unwrap_or(0)
    }

    fn stalled(&self, seconds: f64) -> Error {
        let due: usize = self.under_way.iter().map(|message| message.due).sum();
        let detail = format!(
            "{due} deliveries of {} messages are due; does this path send every message to all clients?",
            self.published - self.done
        );
        Error::Stalled { seconds, detail }
    }
}
