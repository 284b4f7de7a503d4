//! The measured period of a load, and its counts.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::args::{Common, EndArgs};
use super::error::Error;
use super::report::Report;
use super::sys;

/// Counts of the measured period.
#[derive(Debug)]
pub struct Counts {
    /// Messages that came back (broadcast: deliveries; connect: connections).
    pub messages: u64,
    /// Bytes read from sockets.
    pub bytes_in: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Uncompressed payload bytes of the received messages.
    pub payload_in: u64,
    /// The time from sending to receiving, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Counts {
    /// Creates zeroed counts. Latencies up to a minute are kept with two significant digits.
    ///
    /// # Errors
    /// Never in practice, because the bounds of the histogram are constant.
    pub fn new() -> Result<Self, Error> {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 2)
            .map_err(|e| Error::Usage(format!("latency histogram: {e}")))?;
        Ok(Self { messages: 0, bytes_in: 0, bytes_out: 0, payload_in: 0, latency })
    }

    /// Resets all counts to zero.
    pub fn clear(&mut self) {
        (self.messages, self.bytes_in, self.bytes_out, self.payload_in) = (0, 0, 0, 0);
        self.latency.reset();
    }
}

/// The action that [`Window::turn`] asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Continue.
    Stay,
    /// The measurement begins: clear the counts.
    Begin,
    /// The measurement is complete: keep the counts and send nothing more.
    End,
}

/// The measured period: from the end of the warm-up to the first limit.
#[derive(Debug)]
pub struct Window {
    clock: Instant,
    pid: Option<u32>,
    warmup: Duration,
    length: Duration,
    messages: u64,
    begun: Option<Mark>,
    ended: Option<Mark>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Duration,
    server: Duration,
    own: Duration,
}

impl Window {
    /// Starts the warm-up.
    ///
    /// # Errors
    /// [`Error::Usage`] without a limit, and [`Error::Io`] if the server's process does not exist.
    pub fn new(common: &Common, end: &EndArgs) -> Result<Self, Error> {
        let (seconds, messages) = end.limits()?;
        if let Some(pid) = common.pid {
            sys::cpu(pid)?; // fails early if there is no such process
        }
        Ok(Self {
            clock: Instant::now(),
            pid: common.pid,
            warmup: Duration::from_secs_f64(end.warmup),
            length: Duration::from_secs_f64(seconds),
            messages,
            begun: None,
            ended: None,
        })
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the counts are final.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Advances the period. Call it after every batch of events, with the number of messages so
    /// far.
    ///
    /// # Errors
    /// The server's process has ended.
    pub fn turn(&mut self, messages: u64) -> Result<Turn, Error> {
        let at = self.clock.elapsed();
        match (self.begun, self.ended) {
            (None, _) if at >= self.warmup => {
                self.begun = Some(self.mark(at)?);
                Ok(Turn::Begin)
            }
            (Some(begun), None) if at - begun.at >= self.length || messages >= self.messages => {
                self.ended = Some(self.mark(at)?);
                Ok(Turn::End)
            }
            _ => Ok(Turn::Stay),
        }
    }

    fn mark(&self, at: Duration) -> Result<Mark, Error> {
        let server = self.pid.map_or(Ok(Duration::ZERO), sys::cpu)?;
        Ok(Mark { at, server, own: sys::own_cpu() })
    }

    /// Builds the report.
    #[must_use]
    pub fn report(&self, mode: &'static str, common: &Common, counts: &Counts) -> Report {
        let mut report = Report::new(mode, common);
        if let (Some(begun), Some(ended)) = (self.begun, self.ended) {
            report.seconds = (ended.at - begun.at).as_secs_f64();
            report.server_cpu = self.pid.map(|_| ended.server.saturating_sub(begun.server));
            report.own_cpu = ended.own.saturating_sub(begun.own);
        }
        report.messages = counts.messages;
        report.bytes_in = counts.bytes_in;
        report.bytes_out = counts.bytes_out;
        report.payload_in = counts.payload_in;
        let micros = |quantile| nanos_to_micros(counts.latency.value_at_quantile(quantile));
        report.latency = [micros(0.5), micros(0.99), micros(0.999)];
        report
    }
}

#[expect(clippy::cast_precision_loss, reason = "display only")]
fn nanos_to_micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, EchoArgs, Mode};
    use super::*;

    fn args(line: &str) -> EchoArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().mode {
            Mode::Echo(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_window_begins_and_ends() {
        let args = args("load echo --warmup 0 --messages 10");
        let mut window = Window::new(&args.common, &args.end).unwrap();
        assert_eq!(window.turn(0).unwrap(), Turn::Begin);
        assert_eq!(window.turn(9).unwrap(), Turn::Stay);
        assert_eq!(window.turn(10).unwrap(), Turn::End);
        assert_eq!(window.turn(99).unwrap(), Turn::Stay);
        assert!(window.is_over());
    }
}
