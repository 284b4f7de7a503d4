//! `echo`: every message comes back to its sender.

use std::collections::VecDeque;

use super::args::EchoArgs;
use super::client::Client;
use super::drive::{Io, Load, Ready};
use super::error::Error;
use super::meter::Meter;
use super::report::Report;

struct Echo {
    clients: Vec<Client>,
    /// For each connection, the send times of its messages, oldest first: (nanoseconds, number of
    /// messages).
    sent: Vec<VecDeque<(u64, u64)>>,
    outstanding: u64,
}

/// Runs the load.
pub(super) fn run(args: &EchoArgs) -> Result<Report, Error> {
    let (mut io, clients, note) = Io::open(&args.traffic, "/echo", args.connections, 1)?;
    let mut load = Echo { sent: vec![VecDeque::new(); clients.len()], clients, outstanding: 0 };
    for number in 0..args.connections {
        let now = io.meter.now();
        load.send(number, args.in_flight.into(), now, &mut io)?;
    }
    let common = &args.traffic.common;
    io.drive(&mut load, common.stall)?;
    for client in &mut load.clients {
        let _ = client.close(&io.ring); // the measurement is complete, so a failure does not matter
    }
    let report = io.meter.report("echo", common, &io.ring);
    Ok(Report { connections: args.connections, in_flight: args.in_flight, note, ..report })
}

impl Load for Echo {
    /// Reads all input, and sends one message for each that came back.
    fn serve(&mut self, event: Ready, io: &mut Io) -> Result<(), Error> {
        let messages = self.clients[event.key].receive(event, io)?.messages;
        if messages > 0 {
            let now = io.meter.now();
            self.received(event.key, messages, now, &mut io.meter)?;
            if !io.meter.is_over() {
                self.send(event.key, messages, now, io)?;
            }
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.outstanding == 0
    }

    fn missing(&self) -> String {
        format!("{} messages did not come back", self.outstanding)
    }
}

impl Echo {
    fn send(&mut self, number: usize, count: u64, now: u64, io: &mut Io) -> Result<(), Error> {
        self.sent[number].push_back((now, count));
        self.outstanding += count;
        io.meter.sent(self.clients[number].send(count, &io.ring)?);
        Ok(())
    }

    fn received(&mut self, number: usize, count: u64, now: u64, meter: &mut Meter) -> Result<(), Error> {
        let mut left = count;
        while left > 0 {
            let Some((at, sent)) = self.sent[number].front_mut() else {
                return Err(Error::Usage(
                    "the server sent more messages than it received: check that the path echoes".into(),
                ));
            };
            let these = left.min(*sent);
            meter.latency(now - *at, these);
            *sent -= these;
            left -= these;
            if *sent == 0 {
                self.sent[number].pop_front();
            }
        }
        self.outstanding -= count;
        meter.count(count);
        Ok(())
    }
}
