//! The tables of a comparison.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Outcome;
use super::charts::{Bar, Line, Panel};
use super::rows::{Row, Sweep};
use super::servers::Server;
use crate::load::Report;

/// The minimum, median and maximum.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { least, median, most })
    }

    fn show(self) -> String {
        let digits = |value: f64| match value {
            v if v.abs() >= 1000.0 => format!("{v:.0}"),
            v if v.abs() >= 10.0 => format!("{v:.1}"),
            v if v.abs() >= 1.0 => format!("{v:.2}"),
            v => format!("{v:.3}"),
        };
        format!("{} ({}–{})", digits(self.median), digits(self.least), digits(self.most))
    }
}

/// The notes of a report without compression.
const PLAIN: &str = " tungstenite's read buffer has the fastest size for each row. picows delivers text without UTF-8 \
validation. `BENCHMARKS.md` has the details.\n";

/// The notes of a report with compression.
const DEFLATE: &str = "\n\nMessages are JSON events of a shop. No message repeats within 64 KiB, and all are compressed in both \
directions (the thresholds are 64 bytes). *Compression* is payload bytes per byte received from the server, including frame \
headers. *Level* is zlib's: the default of clws is 4, of ws 6; both servers are shown with both. Each message is compressed by \
itself unless the row says *takeover*, with the bits of both windows. *After one message* is after 1 KiB was echoed with \
compression on each connection (64 KiB in *full* rows). ws compresses in libuv's threads, which run on the server's core too; \
it has no native add-on (bufferutil, utf-8-validate).\n";

/// The input of the head of a report.
pub(super) struct Head<'a> {
    pub(super) rounds: u16,
    pub(super) seconds: f64,
    /// The names of servers that are not installed.
    pub(super) missing: &'a [&'static str],
}

/// The values of one server in one row.
fn figures(row: &Row, number: usize, server: usize, outcomes: &[Outcome]) -> Option<Spread> {
    let of = outcomes.iter().filter(|outcome| outcome.row == number && outcome.server == server);
    Spread::of(of.filter_map(|outcome| row.figure(outcome.result.as_ref().ok()?)).collect())
}

/// Writes the tables of all rows.
pub(super) fn markdown(head: &Head<'_>, rows: &[&Row], servers: &[&Server], outcomes: &[Outcome]) -> String {
    let compressing = rows.iter().any(|row| !row.deflate.is_empty());
    let mut text =
        String::from(if compressing { "# permessage-deflate\n\n" } else { "# clws and its peers\n\n" });
    let _ = writeln!(
        text,
        "{}, {}. Medians of {} interleaved rounds of {} s (minimum–maximum). The server runs on one core and the load generator \
                 on another, unless a row says otherwise. Each measurement starts a new server process.\n\n\
         Command: `{}`\n",
        date(),
        machine(),
        head.rounds,
        head.seconds,
        command()
    );
    text.push_str(
                "*CPU* is the server's CPU time per message (delivery, handshake) and the value to compare. *Ratio* is relative to clws: \
                 above 1 clws needs less. *Load* is the load of the generator: near 1 it limits the rate, not the server.",
    );
    text.push_str(if compressing { DEFLATE } else { PLAIN });
    if !head.missing.is_empty() {
        let _ = writeln!(text, "\nNot installed and not measured: {}.", head.missing.join(", "));
    }
    if !compressing {
        text.push_str("\n![CPU time in each row](compare.svg)\n");
    }
    for (number, row) in rows.iter().enumerate() {
        let of = |server: usize| outcomes.iter().filter(move |o| o.row == number && o.server == server);
        let figures = |server| figures(row, number, server, outcomes);
        let ours = servers.iter().position(|server| server.is_ours()).and_then(figures);
        let words: Vec<&str> = row.load.split(' ').chain(row.deflate()).collect();
        let _ = writeln!(text, "\n## {}\n\n`load {}`\n", row.title, words.join(" "));
        text.push_str(match (row.is_memory(), row.deflate.is_empty()) {
            (true, true) => "| server | PSS each, bytes | ratio | RSS each, bytes |\n|---|---:|---:|---:|\n",
            (true, false) => {
                "| server | PSS each, bytes | after one message | ratio | RSS each, bytes | after one message |\n\
                 |---|---:|---:|---:|---:|---:|\n"
            }
            (false, true) => {
                "| server | CPU, µs | ratio | per second | p50, µs | p99, µs | load |\n|---|---:|---:|---:|---:|---:|---:|\n"
            }
            (false, false) => {
                "| server | CPU, µs | ratio | compression | per second | p50, µs | p99, µs | load |\n\
                 |---|---:|---:|---:|---:|---:|---:|---:|\n"
            }
        });
        let mut lines: Vec<(f64, String)> = (0..servers.len())
            .map(|server| (figures(server).map_or(f64::INFINITY, |figure| figure.median), server))
            .map(|(order, server)| (order, line(row, servers[server], of(server), figures(server), ours)))
            .collect();
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        text.extend(lines.into_iter().map(|(_, line)| line));
    }
    text
}

/// Writes the table of a sweep, with a line for each point and a column for each server.
pub(super) fn sweep(sweep: &Sweep, servers: &[&Server], outcomes: &[Outcome]) -> String {
    let names: Vec<&str> = servers.iter().map(|server| server.name()).collect();
    let mut text = format!("\n## {}\n\n![{}]({})\n\n", sweep.title, sweep.title, sweep.file);
    let _ = writeln!(
        text,
        "CPU per message, µs.\n\n| | {} |\n|---|{}",
        names.join(" | "),
        "---:|".repeat(names.len())
    );
    for (number, (_, row)) in sweep.points.iter().enumerate() {
        let cell = |server| match figures(row, number, server, outcomes) {
            Some(figure) => figure.show(),
            None => outcomes
                .iter()
                .filter(|outcome| outcome.row == number && outcome.server == server)
                .find_map(|outcome| outcome.result.as_ref().err())
                .map_or("-".into(), |why| format!("failed: {}", why.replace(['|', '\n'], " "))),
        };
        let cells: Vec<String> = (0..servers.len()).map(cell).collect();
        let _ = writeln!(text, "| {} | {} |", row.title, cells.join(" | "));
    }
    text
}

/// The bar charts of all rows. Servers are sorted by value; failed servers come last.
pub(super) fn panels(rows: &[&Row], servers: &[&Server], outcomes: &[Outcome]) -> Vec<Panel> {
    let panel = |(number, row): (usize, &&Row)| {
        let figure = |server| figures(row, number, server, outcomes).map(|figure| figure.median);
        let mut bars: Vec<Bar> = (0..servers.len())
            .map(|server| Bar {
                name: servers[server].name().to_owned(),
                ours: servers[server].is_ours(),
                value: figure(server),
            })
            .collect();
        let order = |bar: &Bar| bar.value.unwrap_or(f64::INFINITY);
        bars.sort_by(|a, b| order(a).total_cmp(&order(b)));
        Panel { title: format!("{}, {}", row.title, row.unit), bars }
    };
    rows.iter().enumerate().map(panel).collect()
}

/// The curves of a sweep.
pub(super) fn curves(sweep: &Sweep, servers: &[&Server], outcomes: &[Outcome]) -> Vec<Line> {
    let curve = |(server, of): (usize, &&Server)| {
        let point = |(number, (x, row)): (usize, &(u32, Row))| {
            Some((f64::from(*x), figures(row, number, server, outcomes)?.median))
        };
        let points = sweep.points.iter().enumerate().filter_map(point).collect();
        Line { name: of.name().to_owned(), ours: of.is_ours(), points }
    };
    servers.iter().enumerate().map(curve).collect()
}

/// The indices of clws and of the two other servers that need the least CPU time.
///
/// Servers are compared by the sum of the logarithms of their CPU times. A server that failed in a
/// row is left out. All indices are returned if there is nothing to compare.
pub(super) fn ours_and_the_best(rows: &[&Row], servers: &[&Server], outcomes: &[Outcome]) -> Vec<usize> {
    let measured = || rows.iter().enumerate().filter(|(_, row)| !row.is_memory());
    let mean = |server: usize| {
        let logs: Option<Vec<f64>> = measured()
            .map(|(number, row)| Some(figures(row, number, server, outcomes)?.median.ln()))
            .collect();
        logs.map(|logs| logs.iter().sum::<f64>())
    };
    let mut others: Vec<(f64, usize)> = (0..servers.len())
        .filter(|server| !servers[*server].is_ours())
        .filter_map(|server| Some((mean(server)?, server)))
        .collect();
    if measured().next().is_none() || others.is_empty() {
        return (0..servers.len()).collect();
    }
    others.sort_by(|a, b| a.0.total_cmp(&b.0));
    let ours = (0..servers.len()).filter(|server| servers[*server].is_ours());
    ours.chain(others.into_iter().take(2).map(|(_, server)| server)).collect()
}

/// The table line of one server in one row.
fn line<'a>(
    row: &Row,
    server: &Server,
    outcomes: impl Iterator<Item = &'a Outcome> + Clone,
    figure: Option<Spread>,
    ours: Option<Spread>,
) -> String {
    let name = if server.is_ours() { format!("**{}**", server.name()) } else { server.name().to_owned() };
    let failure = outcomes.clone().find_map(|outcome| outcome.result.as_ref().err());
    let Some(figure) = figure else {
        let why = failure.map_or("", String::as_str).replace(['|', '\n'], " ");
        return format!("| {name} | failed: {why} |\n");
    };
    let ratio = ours.map_or("-".into(), |ours| format!("{:.2}", figure.median / ours.median));
    let median = |value: fn(&Report) -> f64, digits: usize| {
        let values = outcomes.clone().filter_map(|outcome| outcome.result.as_ref().ok().map(value)).collect();
        Spread::of(values).map_or("-".into(), |spread| format!("{:.digits$}", spread.median))
    };
    let mut notes = String::new();
    if let Some(failure) = failure {
        let _ = write!(notes, " (failed in some rounds: {})", failure.replace(['|', '\n'], " "));
    }
    if outcomes.clone().any(|outcome| outcome.busy) {
        notes.push_str(" (the machine was busy)");
    }
    if row.is_memory() && !row.deflate.is_empty() {
        let touched = |report: &Report| Some(report.memory_touched?[1]);
        let touched = outcomes.clone().filter_map(|outcome| touched(outcome.result.as_ref().ok()?)).collect();
        return format!(
            "| {name}{notes} | {} | {} | {ratio} | {} | {} |\n",
            figure.show(),
            Spread::of(touched).map_or("-".into(), Spread::show),
            median(|report| report.memory.map_or(0.0, |[rss, _]| rss), 0),
            median(|report| report.memory_touched.map_or(0.0, |[rss, _]| rss), 0),
        );
    }
    if row.is_memory() {
        let rss = median(|report| report.memory.map_or(0.0, |[rss, _]| rss), 0);
        return format!("| {name}{notes} | {} | {ratio} | {rss} |\n", figure.show());
    }
    let compression = match row.deflate {
        "" => String::new(),
        _ => median(|report| report.ratio().unwrap_or_default(), 2) + " | ",
    };
    format!(
        "| {name}{notes} | {} | {ratio} | {compression}{} | {} | {} | {} |\n",
        figure.show(),
        median(Report::rate, 0),
        median(|report| report.latency[0], 1),
        median(|report| report.latency[1], 1),
        median(Report::own_load, 2),
    )
}

/// The command line of this run, without folders.
fn command() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    let separator = if arguments.is_empty() { "" } else { " -- " };
    format!(
        "cargo run --release -p clws-benches --features peers --bin compare{separator}{}",
        arguments.join(" ")
    )
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '|']) { format!("'{word}'") } else { word.to_owned() }
}

/// The processor, its number of cores, the kernel, the compiler and the clws revision.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": a processor");
    let cores = std::thread::available_parallelism()
        .map_or(0, usize::from)
        .max(info.lines().filter(|line| line.starts_with("processor")).count());
    let model = model.trim_start_matches([' ', '\t', ':']);
    let mut text = format!("{model}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim());
    // The compiler and the revision are omitted where they cannot be determined.
    for (program, arguments) in [("rustc", &["--version"][..]), ("git", &["describe", "--always", "--dirty"])]
    {
        let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
        if let Some(output) = output.ok().filter(|output| output.status.success()) {
            let clws =
                if program == "git" { concat!("clws ", env!("CARGO_PKG_VERSION"), " at ") } else { "" };
            let _ = write!(text, ", {clws}{}", String::from_utf8_lossy(&output.stdout).trim());
        }
    }
    text
}

/// Today's date in UTC, such as 2026-01-31. The algorithm is Howard Hinnant's `civil_from_days`.
fn date() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    civil(seconds / 86_400)
}

fn civil(days: u64) -> String {
    let z = days + 719_468;
    let (era, doe) = (z / 146_097, z % 146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let (day, month) = (doy - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = yoe + era * 400 + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn computes_medians() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(vec![0.125]).unwrap().show(), "0.125 (0.125–0.125)");
    }

    #[test]
    fn computes_dates() {
        assert_eq!(civil(0), "1970-01-01");
        assert_eq!(civil(11_016), "2000-02-29");
        assert_eq!(civil(20_454), "2026-01-01");
    }

    #[test]
    fn shows_failures() {
        let (servers, _) = super::super::servers::list(&[]).unwrap();
        let servers: Vec<&Server> = servers.iter().collect();
        let rows = [&super::super::rows::ROWS[0]];
        let outcomes = [Outcome { row: 0, server: 1, result: Err("it fell|over".into()), busy: false }];
        let head = Head { rounds: 1, seconds: 1.0, missing: &["a server"] };
        let text = markdown(&head, &rows, &servers, &outcomes);
        assert!(text.contains("| tokio-tungstenite 0.30 | failed: it fell over |"), "{text}");
        assert!(text.contains("not measured: a server."), "{text}");
        let text = sweep(&super::super::rows::SWEEPS[0], &servers, &outcomes);
        assert!(text.contains("| 1 connection | - | failed: it fell over |"), "{text}");
    }
}
