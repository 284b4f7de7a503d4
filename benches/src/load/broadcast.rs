//! `broadcast`: one publisher sends each message to all subscribers.
//!
//! A message is complete when the last subscriber has received it. Only then does the publisher
//! send the next message of the window. Copies that the server sends to the publisher are not
//! counted, because not every server sends them.

use std::time::Duration;

use super::args::BroadcastArgs;
use super::client::Client;
use super::drive::{Io, Load, Ready};
use super::error::Error;
use super::meter::Meter;
use super::report::Report;

/// The time for a server to add its subscribers after the handshake.
const SETTLE: Duration = Duration::from_millis(300);

/// A published message that is not yet delivered to all subscribers.
#[derive(Debug, Clone, Copy, Default)]
struct Published {
    at: u64,
    due: usize,
}

struct Broadcast {
    /// The subscribers, and then the publisher.
    clients: Vec<Client>,
    subscribers: usize,
    /// Message `n` is in slot `n % len`.
    in_flight: Vec<Published>,
    published: u64,
    done: u64,
}

/// Runs the load.
pub(super) fn run(args: &BroadcastArgs) -> Result<Report, Error> {
    let subscribers = args.connections;
    let (mut io, clients, note) = Io::open(&args.traffic, "/broadcast", subscribers + 1, subscribers)?;
    std::thread::sleep(SETTLE);
    io.meter.restart()?;
    let in_flight = vec![Published::default(); usize::try_from(args.window).unwrap_or(1)];
    let mut load = Broadcast { clients, subscribers, in_flight, published: 0, done: 0 };
    load.publish(args.window.into(), &mut io)?;
    let common = &args.traffic.common;
    io.drive(&mut load, common.stall)?;
    for client in &mut load.clients {
        let _ = client.close(&io.ring); // the measurement is complete, so a failure does not matter
    }
    let report = io.meter.report("broadcast", common, &io.ring);
    Ok(Report { connections: subscribers, in_flight: args.window, note, ..report })
}

impl Load for Broadcast {
    fn serve(&mut self, event: Ready, io: &mut Io) -> Result<(), Error> {
        let client = &mut self.clients[event.key];
        let first = client.received();
        let messages = client.receive(event, io)?.messages;
        if messages > 0 && event.key < self.subscribers {
            let now = io.meter.now();
            for n in first..first + messages {
                self.delivered(n, now, &mut io.meter)?;
            }
        }
        Ok(())
    }

    /// Publishes until the window is full.
    fn after_batch(&mut self, io: &mut Io) -> Result<(), Error> {
        let free = self.in_flight.len() as u64 - (self.published - self.done);
        if free > 0 && !io.meter.is_over() {
            self.publish(free, io)?;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.done == self.published
    }

    fn missing(&self) -> String {
        let due: usize = self.in_flight.iter().map(|message| message.due).sum();
        let messages = self.published - self.done;
        format!(
            "{due} deliveries of {messages} messages are missing; check that the path broadcasts every message"
        )
    }
}

impl Broadcast {
    fn publish(&mut self, count: u64, io: &mut Io) -> Result<(), Error> {
        let at = io.meter.now();
        for _ in 0..count {
            let slot = self.slot(self.published);
            self.in_flight[slot] = Published { at, due: self.subscribers };
            self.published += 1;
        }
        io.meter.sent(self.clients[self.subscribers].send(count, &io.ring)?);
        Ok(())
    }

    fn delivered(&mut self, n: u64, now: u64, meter: &mut Meter) -> Result<(), Error> {
        let slot = self.slot(n);
        let message = &mut self.in_flight[slot];
        if n >= self.published || message.due == 0 {
            return Err(Error::Usage("a subscriber received a duplicate or unknown message".into()));
        }
        message.due -= 1;
        self.done += u64::from(message.due == 0);
        meter.count(1);
        meter.latency(now - message.at, 1);
        Ok(())
    }

    fn slot(&self, n: u64) -> usize {
        usize::try_from(n % self.in_flight.len() as u64).unwrap_or(0)
    }
}
