//! `echo`: every message comes back to its sender.

use std::collections::VecDeque;
use std::time::Duration;

use super::args::{EchoArgs, check_connections};
use super::conn::{Conn, READ};
use super::error::Error;
use super::frames::Ring;
use super::opening;
use super::poll::{Poll, Ready};
use super::reader::Expect;
use super::report::Report;
use super::sys;
use super::window::{Counts, Turn, Window};

/// The maximum number of messages in flight on a connection.
const MAX_IN_FLIGHT: u32 = 65_536;
/// The longest wait for events. The clock is read after each wait.
const TICK: Duration = Duration::from_millis(50);

/// A connection and the send times of its messages, oldest first: (nanoseconds, number of
/// messages).
struct Client {
    conn: Conn,
    sent: VecDeque<(u64, u64)>,
}

struct Load<'a> {
    expect: Expect<'a>,
    window: Window,
    counts: Counts,
    buffer: Vec<u8>,
    outstanding: u64,
}

/// Runs the load.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: &EchoArgs) -> Result<Report, Error> {
    let common = &args.common;
    check_connections(args.connections)?;
    if args.in_flight == 0 || args.in_flight > MAX_IN_FLIGHT {
        return Err(Error::Usage(format!("--in-flight must be between 1 and {MAX_IN_FLIGHT}")));
    }
    let offer = args.deflate.offer(common.draft)?;
    let ring = Ring::new(common.draft, &args.message, offer.as_ref())?;
    let expect = Expect { ring: &ring, verify: args.message.verify };
    sys::need_sockets(args.connections)?;

    let mut poll = Poll::new()?;
    let request = opening::request(common.draft, common.target, common.path_or("/echo"), offer.as_ref());
    let mut agreed = String::new();
    let patience = Duration::from_secs_f64(common.stall);
    let mut clients = Vec::with_capacity(args.connections);
    for number in 0..args.connections {
        let opened = opening::open(common.draft, common.target, None, &request, offer.as_ref(), patience)?;
        let conn = Conn::new(opened.stream, common.draft, offer.as_ref(), number, &opened.early, expect)?;
        agreed = opened.agreed;
        poll.add(conn.socket(), number)?;
        clients.push(Client { conn, sent: VecDeque::new() });
    }

    let mut load = Load {
        expect,
        window: Window::new(common, &args.end)?,
        counts: Counts::new()?,
        buffer: vec![0; READ],
        outstanding: 0,
    };
    for client in &mut clients {
        let now = load.window.now();
        load.send(client, u64::from(args.in_flight), now)?;
    }
    let mut silence = Duration::ZERO;
    while load.outstanding > 0 {
        let ready = poll.wait(TICK)?;
        silence = if ready == 0 { silence + TICK } else { Duration::ZERO };
        if silence >= patience {
            return Err(Error::Stalled {
                seconds: common.stall,
                detail: format!("{} messages did not come back", load.outstanding),
            });
        }
        for index in 0..ready {
            let event = poll.ready(index);
            load.serve(&mut clients[event.key], event)?;
        }
        if load.window.turn(load.counts.messages)? == Turn::Begin {
            load.counts.clear();
        }
    }
    for client in &mut clients {
        client.conn.close(common.draft);
    }
    let mut report = load.window.report("echo", common, &load.counts);
    report.connections = args.connections;
    report.size = args.message.size;
    report.sent_ratio = ring.ratio();
    report.note = agreed;
    report.in_flight = args.in_flight;
    Ok(report)
}

impl Load<'_> {
    /// Reads all input, and sends one message for each that came back.
    fn serve(&mut self, client: &mut Client, event: Ready) -> Result<(), Error> {
        let over = self.window.is_over();
        let mut due = 0;
        let mut now = 0;
        let mut more = event.readable;
        while more {
            let step = client.conn.read(&mut self.buffer, event.hangup, self.expect)?;
            if step.bytes > 0 && !over {
                self.counts.bytes_in += step.bytes as u64;
                self.counts.payload_in += step.messages * self.expect.ring.size() as u64;
            }
            if step.messages > 0 {
                now = self.window.now();
                self.received(client, step.messages, now, over)?;
                due += step.messages;
            }
            more = step.more;
        }
        if due > 0 && !over {
            self.send(client, due, now)?;
        } else if client.conn.has_pending() {
            let bytes = client.conn.flush(self.expect.ring)?;
            self.counts.bytes_out += if over { 0 } else { bytes as u64 };
        }
        Ok(())
    }

    fn send(&mut self, client: &mut Client, count: u64, now: u64) -> Result<(), Error> {
        client.sent.push_back((now, count));
        client.conn.queue(count, self.expect.ring);
        self.outstanding += count;
        self.counts.bytes_out += client.conn.flush(self.expect.ring)? as u64;
        Ok(())
    }

    fn received(&mut self, client: &mut Client, count: u64, now: u64, over: bool) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let Some((at, sent)) = client.sent.front_mut() else {
                return Err(Error::Usage(
                    "the server sent more messages than it received: check that the path echoes".into(),
                ));
            };
            let these = left.min(*sent);
            if !over {
                self.counts.latency.saturating_record_n(now - *at, these);
            }
            *sent -= these;
            left -= these;
            if *sent == 0 {
                client.sent.pop_front();
            }
        }
        self.outstanding -= count;
        if !over {
            self.counts.messages += count;
        }
        Ok(())
    }
}
