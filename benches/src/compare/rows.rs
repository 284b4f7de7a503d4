//! The rows of the comparison.

use std::time::Duration;

use crate::load::Report;

/// A row of the comparison.
#[derive(Debug)]
pub(super) struct Row {
    /// The title in tables.
    pub(super) title: &'static str,
    /// The arguments of `load`, without the server's address.
    pub(super) load: &'static str,
    /// The unit of the compared value. Less is better.
    pub(super) unit: &'static str,
    /// The fastest read buffer size for tungstenite, which zeroes the buffer before each read.
    pub(super) read_buffer: usize,
    /// The number of server threads. With more than one, nothing is pinned to a core.
    pub(super) threads: usize,
    /// The compression flags, which `load` and the servers share; empty without compression.
    pub(super) deflate: &'static str,
    /// Additional flags for the clws server.
    pub(super) ours: &'static str,
}

/// Rows that differ in one number and form a chart.
#[derive(Debug)]
pub(super) struct Sweep {
    /// The title of the chart.
    pub(super) title: &'static str,
    /// The label of the number.
    pub(super) axis: &'static str,
    /// The file of the chart.
    pub(super) file: &'static str,
    /// The values of the number, with a row for each.
    pub(super) points: &'static [(u32, Row)],
}

const CPU: &str = "µs of CPU";
const MEMORY: &str = "bytes";

/// All rows.
pub(super) const ROWS: &[Row] = &[
    row("echo 16 B, 1 connection", "echo -c 1 --size 16", CPU, 8 << 10),
    row("echo 16 B, 64 connections", "echo -c 64 --size 16", CPU, 8 << 10),
    row("echo 16 B, 1000 connections", "echo -c 1000 --size 16", CPU, 8 << 10),
    row(
        "echo 125 B text, 64 connections, 64 in flight",
        "echo -c 64 --size 125 --text --in-flight 64",
        CPU,
        8 << 10,
    ),
    row("echo 16 KiB, 64 connections", "echo -c 64 --size 16384", CPU, 16 << 10),
    row("echo 1 MiB, 4 connections", "echo -c 4 --size 1048576", CPU, 128 << 10),
    row("broadcast 125 B to 500, window 1", "broadcast -c 500 --size 125 --window 1", CPU, 8 << 10),
    row("broadcast 125 B to 500, window 16", "broadcast -c 500 --size 125 --window 16", CPU, 8 << 10),
    row("connect, shake hands, echo, close", "connect -c 16 --size 16", CPU, 8 << 10),
    row("10,000 idle connections, PSS each", "idle -c 10000", MEMORY, 4 << 10),
    Row {
        ours: "--forget-headers",
        ..row("10,000 idle connections, clws without their headers", "idle -c 10000", MEMORY, 4 << 10)
    },
    two("two threads, nothing pinned: echo 16 B, 64 connections", "echo -c 64 --size 16"),
    two(
        "two threads, nothing pinned: echo 125 B text, 64 connections, 64 in flight",
        "echo -c 64 --size 125 --text --in-flight 64",
    ),
];

/// All sweeps.
pub(super) const SWEEPS: &[Sweep] = &[
    Sweep {
        title: "scaling: connections, echo 16 B",
        axis: "connections",
        file: "scaling-connections.svg",
        points: &[
            (1, row("1 connection", "echo -c 1 --size 16", CPU, 8 << 10)),
            (10, row("10 connections", "echo -c 10 --size 16", CPU, 8 << 10)),
            (100, row("100 connections", "echo -c 100 --size 16", CPU, 8 << 10)),
            (1000, row("1000 connections", "echo -c 1000 --size 16", CPU, 8 << 10)),
            (10_000, row("10,000 connections", "echo -c 10000 --size 16", CPU, 8 << 10)),
        ],
    },
    Sweep {
        title: "scaling: size, echo on 4 connections",
        axis: "bytes per message",
        file: "scaling-size.svg",
        points: &[
            (16, row("16 B", "echo -c 4 --size 16", CPU, 8 << 10)),
            (256, row("256 B", "echo -c 4 --size 256", CPU, 8 << 10)),
            (4096, row("4 KiB", "echo -c 4 --size 4096", CPU, 8 << 10)),
            (65_536, row("64 KiB", "echo -c 4 --size 65536", CPU, 64 << 10)),
            (1 << 20, row("1 MiB", "echo -c 4 --size 1048576", CPU, 128 << 10)),
            (16 << 20, row("16 MiB", "echo -c 4 --size 16777216", CPU, 128 << 10)),
        ],
    },
];

/// The rows of `compare --deflate`.
pub(super) const DEFLATE_ROWS: &[Row] = &[
    deflate("echo 125 B, 64 connections", "echo -c 64 --size 125", CPU, BY_ITSELF),
    deflate("echo 125 B, 64 connections, takeover 12", "echo -c 64 --size 125", CPU, TAKEOVER_12),
    deflate("echo 125 B, 64 connections, takeover 15", "echo -c 64 --size 125", CPU, TAKEOVER_15),
    deflate("echo 1 KiB, 64 connections", "echo -c 64 --size 1024", CPU, BY_ITSELF),
    deflate("echo 1 KiB, 64 connections, takeover 12", "echo -c 64 --size 1024", CPU, TAKEOVER_12),
    deflate("echo 1 KiB, 64 connections, takeover 15", "echo -c 64 --size 1024", CPU, TAKEOVER_15),
    deflate("echo 1 KiB, 4 connections, takeover 15", "echo -c 4 --size 1024", CPU, TAKEOVER_15),
    deflate("echo 16 KiB, 64 connections", "echo -c 64 --size 16384", CPU, BY_ITSELF),
    deflate("echo 16 KiB, 64 connections, takeover 15", "echo -c 64 --size 16384", CPU, TAKEOVER_15),
    deflate("echo 256 KiB, 4 connections", "echo -c 4 --size 262144", CPU, BY_ITSELF),
    deflate("10,000 idle connections", "idle -c 10000 --touch", MEMORY, BY_ITSELF),
    deflate("10,000 idle connections, takeover 12", "idle -c 10000 --touch", MEMORY, TAKEOVER_12),
    deflate("10,000 idle connections, takeover 15", "idle -c 10000 --touch", MEMORY, TAKEOVER_15),
    deflate("1,000 idle connections, takeover 12, full", FULL, MEMORY, TAKEOVER_12),
    deflate("1,000 idle connections, takeover 15, full", FULL, MEMORY, TAKEOVER_15),
];

/// A message that fills every compression window.
const FULL: &str = "idle -c 1000 --touch --size 65536";

const BY_ITSELF: &str = "--deflate";
const TAKEOVER_12: &str = "--deflate-takeover --deflate-window 12";
const TAKEOVER_15: &str = "--deflate-takeover";

const fn row(title: &'static str, load: &'static str, unit: &'static str, read_buffer: usize) -> Row {
    Row { title, load, unit, read_buffer, threads: 1, deflate: "", ours: "" }
}

/// A row in which the server has two threads and the kernel places them.
const fn two(title: &'static str, load: &'static str) -> Row {
    Row { title, load, unit: CPU, read_buffer: 8 << 10, threads: 2, deflate: "", ours: "" }
}

const fn deflate(title: &'static str, load: &'static str, unit: &'static str, deflate: &'static str) -> Row {
    Row { title, load, unit, read_buffer: 8 << 10, threads: 1, deflate, ours: "" }
}

impl Row {
    /// The command line of `load`.
    pub(super) fn line(&self, port: u16, pid: u32, seconds: f64, name: &str) -> Vec<String> {
        let mut line = vec!["load".to_owned()];
        line.extend(self.load.split(' ').chain(self.deflate()).map(str::to_owned));
        line.push(format!("127.0.0.1:{port}"));
        line.extend(["--pid".to_owned(), pid.to_string(), "--name".to_owned(), name.to_owned()]);
        if !self.is_memory() {
            line.extend(["--seconds".to_owned(), seconds.to_string()]);
        }
        line
    }

    /// The compression flags, separated.
    pub(super) fn deflate(&self) -> impl Iterator<Item = &'static str> {
        self.deflate.split_whitespace()
    }

    /// The compared value. Less is better.
    pub(super) fn figure(&self, report: &Report) -> Option<f64> {
        if self.is_memory() { report.memory.map(|[_, pss]| pss) } else { report.server_micros() }
    }

    /// Whether the compared value is memory.
    pub(super) fn is_memory(&self) -> bool {
        self.unit == MEMORY
    }

    /// The time that a server may take until it listens.
    pub(super) const PATIENCE: Duration = Duration::from_secs(10);
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::load::Cli;

    #[test]
    fn every_row_has_valid_load_arguments() {
        let points = SWEEPS.iter().flat_map(|sweep| sweep.points).map(|(_, row)| row);
        for row in ROWS.iter().chain(DEFLATE_ROWS).chain(points) {
            let line = row.line(1, 1, 1.5, "a server");
            let cli = Cli::try_parse_from(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
            assert!(cli.mode.common().check().is_ok());
        }
    }
}
