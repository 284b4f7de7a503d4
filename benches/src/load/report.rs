//! The results of a load.

use std::fmt::Write as _;
use std::time::Duration;

use super::args::Common;

/// The results of one load.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// `echo`, `idle`, `broadcast` or `connect`.
    pub mode: &'static str,
    /// The argument of `--name`.
    pub name: String,
    /// The number of the draft.
    pub draft: u8,
    /// The number of connections.
    pub connections: usize,
    /// The message size in bytes.
    pub size: usize,
    /// Messages in flight on each connection (broadcast: the window).
    pub in_flight: u32,
    /// The length of the measured period.
    pub seconds: f64,
    /// Messages that came back (broadcast: deliveries; connect, idle: connections).
    pub messages: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Uncompressed payload bytes of the received messages (broadcast: including the publisher's
    /// copies).
    pub payload_in: u64,
    /// With compression: payload bytes sent per byte written.
    pub sent_ratio: Option<f64>,
    /// p50, p99 and p99.9 in microseconds.
    pub latency: [f64; 3],
    /// The CPU time of the server's process, if its id is known.
    pub server_cpu: Option<Duration>,
    /// The CPU time of the load generator.
    pub own_cpu: Duration,
    /// `connect --tls`: the share of connections that resumed a TLS session.
    pub resumed: Option<f64>,
    /// `idle`: the growth of the server's RSS and PSS in bytes per connection.
    pub memory: Option<[f64; 2]>,
    /// `idle --touch`: the same after one message on each connection.
    pub memory_touched: Option<[f64; 2]>,
    /// Additional information, such as the accepted extension parameters.
    pub note: String,
}

impl Report {
    /// Creates an empty report.
    #[must_use]
    pub fn new(mode: &'static str, common: &Common) -> Self {
        Self { mode, name: common.name.clone(), draft: common.draft.number(), ..Self::default() }
    }

    /// With compression: received payload bytes per byte read.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    pub fn ratio(&self) -> Option<f64> {
        let known = self.sent_ratio.is_some() && self.bytes_in > 0;
        known.then(|| self.payload_in as f64 / self.bytes_in as f64)
    }

    /// The number of messages per second.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.messages as f64 / self.seconds } else { 0.0 }
    }

    /// The server's CPU time per message in microseconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "display only")]
    pub fn server_micros(&self) -> Option<f64> {
        let cpu = self.server_cpu.filter(|_| self.messages > 0)?;
        Some(cpu.as_secs_f64() * 1e6 / self.messages as f64)
    }

    /// The load of the generator in cores. Near 1.0 the generator limits the rate, not the server.
    #[must_use]
    pub fn own_load(&self) -> f64 {
        if self.seconds > 0.0 { self.own_cpu.as_secs_f64() / self.seconds } else { 0.0 }
    }

    /// The load of the server in cores.
    #[must_use]
    pub fn server_load(&self) -> Option<f64> {
        self.server_cpu.filter(|_| self.seconds > 0.0).map(|cpu| cpu.as_secs_f64() / self.seconds)
    }

    /// Formats a table of one row, with its heading.
    #[must_use]
    pub fn table(&self) -> String {
        let mut cells: Vec<(&str, String)> = Vec::new();
        if !self.name.is_empty() {
            cells.push(("name", self.name.clone()));
        }
        cells.push(("mode", self.mode.to_owned()));
        cells.push(("draft", self.draft.to_string()));
        cells.push(("conns", self.connections.to_string()));
        let pairs = [
            (["RSS B/conn", "PSS B/conn"], self.memory),
            (["RSS touched", "PSS touched"], self.memory_touched),
        ];
        for (heads, memory) in pairs {
            for (head, bytes) in heads.into_iter().zip(memory.into_iter().flatten()) {
                cells.push((head, format!("{bytes:.0}")));
            }
        }
        if self.memory.is_none() {
            let (rate, each) = match self.mode {
                "broadcast" => ("deliveries/s", "server µs/delivery"),
                "connect" => ("handshakes/s", "server µs/handshake"),
                _ => ("messages/s", "server µs/msg"),
            };
            let number =
                |value: Option<f64>, digits| value.map_or("-".into(), |value| format!("{value:.digits$}"));
            cells.push(("size", self.size.to_string()));
            cells.push(("in flight", self.in_flight.to_string()));
            cells.push((rate, format!("{:.0}", self.rate())));
            for (head, micros) in ["p50 µs", "p99 µs", "p99.9 µs"].into_iter().zip(self.latency) {
                cells.push((head, format!("{micros:.1}")));
            }
            cells.push((each, number(self.server_micros(), 3)));
            cells.push(("server cores", number(self.server_load(), 2)));
            cells.push(("load cores", format!("{:.2}", self.own_load())));
        }
        if let (Some(ratio), Some(sent)) = (self.ratio(), self.sent_ratio) {
            cells.push(("bytes in", self.bytes_in.to_string()));
            cells.push(("payload in", self.payload_in.to_string()));
            cells.push(("ratio", format!("{ratio:.2}")));
            cells.push(("ratio sent", format!("{sent:.2}")));
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

    /// Formats one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        let number = |value: Option<f64>| value.map_or("null".to_owned(), |value| format!("{value:.4}"));
        let pair = |pair: Option<[f64; 2]>| {
            pair.map_or("null".to_owned(), |[rss, pss]| format!("[{rss:.1},{pss:.1}]"))
        };
        let [p50, p99, p999] = self.latency.map(|micros| format!("{micros:.2}"));
        let fields = [
            ("mode", quoted(self.mode)),
            ("name", quoted(&self.name)),
            ("draft", self.draft.to_string()),
            ("connections", self.connections.to_string()),
            ("size", self.size.to_string()),
            ("in_flight", self.in_flight.to_string()),
            ("seconds", number(Some(self.seconds))),
            ("messages", self.messages.to_string()),
            ("bytes_in", self.bytes_in.to_string()),
            ("bytes_out", self.bytes_out.to_string()),
            ("rate", format!("{:.1}", self.rate())),
            ("p50_us", p50),
            ("p99_us", p99),
            ("p999_us", p999),
            ("server_us_per_message", number(self.server_micros())),
            ("server_cores", number(self.server_load())),
            ("load_cores", number(Some(self.own_load()))),
            ("rss_pss_per_connection", pair(self.memory)),
            ("rss_pss_touched", pair(self.memory_touched)),
            ("payload_in", self.payload_in.to_string()),
            ("ratio", number(self.ratio())),
            ("ratio_sent", number(self.sent_ratio)),
            ("resumed", number(self.resumed)),
            ("note", quoted(&self.note)),
        ];
        format!("{{{}}}", fields.map(|(name, value)| format!("\"{name}\":{value}")).join(","))
    }
}

/// Quotes a JSON string.
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
    use super::*;

    #[test]
    fn tables_and_json_contain_the_results() {
        let mut report =
            Report { name: "a\"b".into(), seconds: 2.0, messages: 1_000_000, ..Report::default() };
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
