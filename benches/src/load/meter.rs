//! The measured period of a load: from the end of the warm-up to the first limit.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::args::{Common, EndArgs};
use super::error::Error;
use super::report::Report;
use super::ring::Ring;
use super::sys;

/// Counts of the measured period. After its end they are final.
#[derive(Debug)]
pub(super) struct Meter {
    clock: Instant,
    pid: Option<u32>,
    warmup: Duration,
    length: Duration,
    limit: u64,
    begun: Option<Mark>,
    ended: Option<Mark>,
    messages: u64,
    /// The messages of all times, also before and after the period.
    completed: u64,
    bytes_in: u64,
    bytes_out: u64,
    payload_in: u64,
    /// The time from sending to receiving, in nanoseconds.
    latency: Histogram<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Duration,
    server: Duration,
    own: Duration,
}

impl Meter {
    /// Starts the warm-up. Each of `--messages` counts as `deliveries` messages.
    pub(super) fn start(common: &Common, end: &EndArgs, deliveries: u64) -> Result<Self, Error> {
        let (seconds, messages) = end.limits();
        if let Some(pid) = common.pid {
            sys::cpu(pid)?; // fails early if there is no such process
        }
        // Latencies up to a minute are kept with two significant digits.
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 2)
            .map_err(|error| Error::Usage(format!("latency histogram: {error}")))?;
        let mut meter = Self {
            clock: Instant::now(),
            pid: common.pid,
            warmup: Duration::from_secs_f64(end.warmup),
            length: Duration::from_secs_f64(seconds),
            limit: messages.saturating_mul(deliveries),
            begun: None,
            ended: None,
            messages: 0,
            completed: 0,
            bytes_in: 0,
            bytes_out: 0,
            payload_in: 0,
            latency,
        };
        meter.turn()?; // without a warm-up, the period begins now
        Ok(meter)
    }

    /// Starts the warm-up again.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        (self.clock, self.begun) = (Instant::now(), None);
        self.turn()
    }

    /// Nanoseconds since the start.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Whether the period is over: send nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Counts bytes written to sockets.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.bytes_out += if self.is_over() { 0 } else { bytes as u64 };
    }

    /// Counts bytes read from sockets, and the payload bytes of the messages that they completed.
    pub(super) fn received(&mut self, bytes: usize, payload: u64) {
        if !self.is_over() {
            self.bytes_in += bytes as u64;
            self.payload_in += payload;
        }
    }

    /// Counts messages that came back (broadcast: deliveries; connect: connections).
    pub(super) fn count(&mut self, messages: u64) {
        self.completed += messages;
        self.messages += if self.is_over() { 0 } else { messages };
    }

    /// The number of messages that came back so far, also outside the period.
    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    /// Records the latency of this many messages, in nanoseconds.
    pub(super) fn latency(&mut self, nanos: u64, messages: u64) {
        if !self.is_over() {
            self.latency.saturating_record_n(nanos, messages);
        }
    }

    /// Advances the period. Call it after every batch of events.
    pub(super) fn turn(&mut self) -> Result<(), Error> {
        let at = self.clock.elapsed();
        match self.begun {
            None if at >= self.warmup => {
                self.begun = Some(self.mark(at)?);
                (self.messages, self.bytes_in, self.bytes_out, self.payload_in) = (0, 0, 0, 0);
                self.latency.reset();
            }
            Some(begun)
                if self.ended.is_none() && (at - begun.at >= self.length || self.messages >= self.limit) =>
            {
                self.ended = Some(self.mark(at)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// Ends the period of a load that ended before its limits. Fails if the warm-up is not over.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.begun.is_none() {
            return Err(Error::Usage("the load ended during the warm-up: use a shorter --warmup".into()));
        }
        if self.ended.is_none() {
            self.ended = Some(self.mark(self.clock.elapsed())?);
        }
        Ok(())
    }

    fn mark(&self, at: Duration) -> Result<Mark, Error> {
        let server = self.pid.map_or(Ok(Duration::ZERO), sys::cpu)?;
        Ok(Mark { at, server, own: sys::own_cpu() })
    }

    /// Builds the report.
    pub(super) fn report(&self, mode: &'static str, common: &Common, ring: &Ring) -> Report {
        let mut report = Report::new(mode, common);
        (report.size, report.sent_ratio) = (ring.size(), ring.ratio());
        if let (Some(begun), Some(ended)) = (self.begun, self.ended) {
            report.seconds = (ended.at - begun.at).as_secs_f64();
            report.server_cpu = self.pid.map(|_| ended.server.saturating_sub(begun.server));
            report.own_cpu = ended.own.saturating_sub(begun.own);
        }
        report.messages = self.messages;
        report.bytes_in = self.bytes_in;
        report.bytes_out = self.bytes_out;
        report.payload_in = self.payload_in;
        #[expect(clippy::cast_precision_loss, reason = "display only")]
        let micros = |quantile| self.latency.value_at_quantile(quantile) as f64 / 1e3;
        report.latency = [micros(0.5), micros(0.99), micros(0.999)];
        report
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Mode};
    use super::*;

    fn meter(warmup: &str) -> Meter {
        let Mode::Connect(args) = Cli::parse_from(["load", "connect", "--warmup", warmup]).mode else {
            panic!("connect is another mode")
        };
        Meter::start(&args.common, &args.end, 1).unwrap()
    }

    #[test]
    fn a_load_can_end_before_its_limits() {
        let mut early = meter("0");
        early.count(3);
        assert!(!early.is_over());
        early.finish().unwrap();
        assert!(early.is_over());
        early.count(1); // not in the period
        assert_eq!((early.messages, early.completed()), (3, 4));
        assert!(meter("60").finish().unwrap_err().to_string().contains("--warmup"));
    }
}
