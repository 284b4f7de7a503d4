//! What came out of a load: counts, the stretch of time they belong to, and the row that shows them.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::args::{Common, EndArgs};
use super::error::Error;
use super::sys;

/// Counts of the stretch that is measured.
#[derive(Debug)]
pub struct Counts {
    /// Messages that came back (broadcast: deliveries; connect: connections).
    pub messages: u64,
    /// Octets read from sockets.
    pub octets_in: u64,
    /// Octets written to sockets.
    pub octets_out: u64,
    /// Octets of the messages that came, uncompressed.
    pub payload_in: u64,
    /// From sending to receiving, in nanoseconds.
    pub latency: Histogram<u64>,
}

impl Counts {
    /// All zero. Latencies up to a minute are kept, to two digits.
    ///
    /// # Errors
    /// Never in practice: the histogram's bounds are fixed.
    pub fn new() -> Result<Self, Error> {
        let latency = Histogram::new_with_bounds(1, 60_000_000_000, 2)
            .map_err(|e| Error::Usage(format!("latency histogram: {e}")))?;
        Ok(Self { messages: 0, octets_in: 0, octets_out: 0, payload_in: 0, latency })
    }

    /// Back to zero.
    pub fn clear(&mut self) {
        (self.messages, self.octets_in, self.octets_out, self.payload_in) = (0, 0, 0, 0);
        self.latency.reset();
    }
}

/// What [`Window::turn`] tells its caller to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Go on.
    Stay,
    /// Measuring begins now: clear the counts.
    Begin,
    /// Measuring is over: keep the counts, send nothing more.
    End,
}

/// The stretch of time that is measured: after the warm-up, until the first of the limits.
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
    /// Starts the warm-up now.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no end.
    pub fn new(common: &Common, end: &EndArgs) -> Result<Self, Error> {
        let (seconds, messages) = end.limits()?;
        if let Some(pid) = common.pid {
            sys::cpu(pid)?; // tells at once that there is no such process
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

    /// To be asked after every batch of events, with the messages counted so far.
    ///
    /// # Errors
    /// When the server's process is gone.
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

    /// The row's figures.
    #[must_use]
    pub fn report(&self, mode: &'static str, common: &Common, counts: &Counts) -> Report {
        let mut report = Report::new(mode, common);
        if let (Some(begun), Some(ended)) = (self.begun, self.ended) {
            report.seconds = (ended.at - begun.at).as_secs_f64();
            report.server_cpu = self.pid.map(|_| ended.server.saturating_sub(begun.server));
            report.own_cpu = ended.own.saturating_sub(begun.own);
        }
        report.messages = counts.messages;
        report.octets_in = counts.octets_in;
        report.octets_out = counts.octets_out;
        report.payload_in = counts.payload_in;
        let micros = |quantile| nanos_to_micros(counts.latency.value_at_quantile(quantile));
        report.latency = [micros(0.5), micros(0.99), micros(0.999)];
        report
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn nanos_to_micros(nanos: u64) -> f64 {
    nanos as f64 / 1e3
}

/// One load's outcome.
#[derive(Debug, Clone)]
pub struct Report {
    /// `echo`, `idle`, `broadcast` or `connect`.
    pub mode: &'static str,
    /// The name given with `--name`.
    pub name: String,
    /// The draft's number.
    pub draft: u8,
    /// Connections.
    pub connections: usize,
    /// Octets in a message.
    pub size: usize,
    /// Messages in flight on each connection (broadcast: the window).
    pub in_flight: u32,
    /// Length of the measured stretch.
    pub seconds: f64,
    /// Messages that came back (broadcast: deliveries; connect, idle: connections).
    pub messages: u64,
    /// Octets read.
    pub octets_in: u64,
    /// Octets written.
    pub octets_out: u64,
    /// Octets of the messages that came (broadcast: the publisher's too), uncompressed.
    pub payload_in: u64,
    /// With compression: octets of the messages that were sent, for each octet written.
    pub sent_ratio: Option<f64>,
    /// p50, p99 and p99.9, in microseconds.
    pub latency: [f64; 3],
    /// CPU time of the server's process, if that is known.
    pub server_cpu: Option<Duration>,
    /// CPU time of the load generator.
    pub own_cpu: Duration,
    /// `idle`: growth of the server's RSS and PSS, in octets per connection.
    pub memory: Option<[f64; 2]>,
    /// `idle --touch`: the same after one message on each connection.
    pub memory_touched: Option<[f64; 2]>,
    /// Something the reader should know.
    pub note: String,
}

impl Report {
    /// An empty one.
    #[must_use]
    pub fn new(mode: &'static str, common: &Common) -> Self {
        Self {
            mode,
            name: common.name.clone(),
            draft: common.draft.number(),
            connections: 0,
            size: 0,
            in_flight: 0,
            seconds: 0.0,
            messages: 0,
            octets_in: 0,
            octets_out: 0,
            payload_in: 0,
            sent_ratio: None,
            latency: [0.0; 3],
            server_cpu: None,
            own_cpu: Duration::ZERO,
            memory: None,
            memory_touched: None,
            note: String::new(),
        }
    }

    /// With compression: octets of the messages that came, for each octet read.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn ratio(&self) -> Option<f64> {
        let known = self.sent_ratio.is_some() && self.octets_in > 0;
        known.then(|| self.payload_in as f64 / self.octets_in as f64)
    }

    /// Messages per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.messages as f64 / self.seconds } else { 0.0 }
    }

    /// The server's CPU time per message, in microseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub fn server_micros(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.messages > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.messages as f64)
    }

    /// How busy the load generator was: 1.0 is a core. Near 1 it, and not the server, sets the pace.
    #[must_use]
    pub fn own_load(&self) -> f64 {
        if self.seconds > 0.0 { self.own_cpu.as_secs_f64() / self.seconds } else { 0.0 }
    }

    /// How busy the server was, in cores.
    #[must_use]
    pub fn server_load(&self) -> Option<f64> {
        self.server_cpu.filter(|_| self.seconds > 0.0).map(|cpu| cpu.as_secs_f64() / self.seconds)
    }

    /// A table of one row, with its heading.
    #[must_use]
    pub fn table(&self) -> String {
        let mut cells: Vec<(&str, String)> = Vec::new();
        if !self.name.is_empty() {
            cells.push(("name", self.name.clone()));
        }
        cells.push(("mode", self.mode.to_owned()));
        cells.push(("draft", self.draft.to_string()));
        cells.push(("conns", self.connections.to_string()));
        if let Some(memory) = self.memory {
            for (heads, memory) in [
                (["RSS B/conn", "PSS B/conn"], Some(memory)),
                (["RSS touched", "PSS touched"], self.memory_touched),
            ] {
                if let Some([rss, pss]) = memory {
                    cells.push((heads[0], format!("{rss:.0}")));
                    cells.push((heads[1], format!("{pss:.0}")));
                }
            }
        } else {
            cells.push(("size", self.size.to_string()));
            cells.push(("in flight", self.in_flight.to_string()));
            let (rate, each) = match self.mode {
                "broadcast" => ("deliveries/s", "server µs/delivery"),
                "connect" => ("handshakes/s", "server µs/handshake"),
                _ => ("messages/s", "server µs/msg"),
            };
            cells.push((rate, format!("{:.0}", self.rate())));
            for (head, micros) in ["p50 µs", "p99 µs", "p99.9 µs"].into_iter().zip(self.latency) {
                cells.push((head, format!("{micros:.1}")));
            }
            cells.push((each, self.server_micros().map_or("-".into(), |micros| format!("{micros:.3}"))));
            cells
                .push(("server cores", self.server_load().map_or("-".into(), |cores| format!("{cores:.2}"))));
            cells.push(("load cores", format!("{:.2}", self.own_load())));
            if let (Some(ratio), Some(sent)) = (self.ratio(), self.sent_ratio) {
                cells.push(("octets in", self.octets_in.to_string()));
                cells.push(("payload in", self.payload_in.to_string()));
                cells.push(("ratio", format!("{ratio:.2}")));
                cells.push(("ratio sent", format!("{sent:.2}")));
            }
        }
        let mut lines = [String::new(), String::new()];
        for (head, value) in &cells {
            let width = head.chars().count().max(value.chars().count());
            let _ = write!(lines[0], "{head:>width$}  ");
            let _ = write!(lines[1], "{value:>width$}  ");
        }
        let mut table = lines.map(|line| line.trim_end().to_owned()).join("\n");
        if !self.note.is_empty() {
            let _ = write!(table, "\nnote: {}", self.note);
        }
        table
    }

    /// One line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.4}"));
        let pair = |pair: Option<[f64; 2]>| {
            pair.map_or("null".to_owned(), |[rss, pss]| format!("[{rss:.1},{pss:.1}]"))
        };
        format!(
            "{{\"mode\":\"{}\",\"name\":{},\"draft\":{},\"connections\":{},\"size\":{},\"in_flight\":{},\"seconds\":{:.4},\
             \"messages\":{},\"octets_in\":{},\"octets_out\":{},\"rate\":{:.1},\"p50_us\":{:.2},\"p99_us\":{:.2},\
             \"p999_us\":{:.2},\"server_us_per_message\":{},\"server_cores\":{},\"load_cores\":{:.4},\
             \"rss_pss_per_connection\":{},\"rss_pss_touched\":{},\"payload_in\":{},\"ratio\":{},\"ratio_sent\":{},\"note\":{}}}",
            self.mode,
            quoted(&self.name),
            self.draft,
            self.connections,
            self.size,
            self.in_flight,
            self.seconds,
            self.messages,
            self.octets_in,
            self.octets_out,
            self.rate(),
            self.latency[0],
            self.latency[1],
            self.latency[2],
            number(self.server_micros()),
            number(self.server_load()),
            self.own_load(),
            pair(self.memory),
            pair(self.memory_touched),
            self.payload_in,
            number(self.ratio()),
            number(self.sent_ratio),
            quoted(&self.note),
        )
    }
}

/// A JSON string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out + "\""
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Cli, Mode};
    use super::*;

    fn args(line: &str) -> super::super::args::EchoArgs {
        match Cli::try_parse_from(line.split(' ')).unwrap().mode {
            Mode::Echo(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_window_opens_and_ends() {
        let args = args("load echo --warmup 0 --messages 10");
        let mut window = Window::new(&args.common, &args.end).unwrap();
        assert_eq!(window.turn(0).unwrap(), Turn::Begin);
        assert_eq!(window.turn(9).unwrap(), Turn::Stay);
        assert_eq!(window.turn(10).unwrap(), Turn::End);
        assert_eq!(window.turn(99).unwrap(), Turn::Stay);
        assert!(window.is_over());
    }

    #[test]
    fn rows_and_lines_hold_the_figures() {
        let mut report = Report::new("echo", &args("load echo --name a\"b").common);
        (report.seconds, report.messages) = (2.0, 1_000_000);
        report.server_cpu = Some(Duration::from_secs(1));
        assert_eq!(report.server_micros(), Some(1.0));
        assert_eq!(report.rate(), 500_000.0);
        assert!(report.table().contains("500000"));
        let json = report.json();
        assert!(
            json.contains("\"name\":\"a\\\"b\"") && json.contains("\"server_us_per_message\":1.0000"),
            "{json}"
        );
        report.messages = 0;
        assert_eq!(report.server_micros(), None);
        assert_eq!(quoted("a\n"), "\"a\\u000a\"");
    }
}
