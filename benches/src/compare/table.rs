//! The table that a comparison writes.

use std::fmt::Write as _;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Outcome;
use super::rows::Row;
use super::servers::Server;
use crate::load::Report;

/// The least, the median and the most.
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

/// What the report of rows with compression says in addition.
const DEFLATE: &str = "\n\nMessages are JSON as of a shop's events, none of them again within 64 KiB, and all are compressed both ways \
(thresholds are 64 octets). *Compression* is octets of content for each octet that came from the server, frame headers \
counted. *Level* is zlib's: clws has 4 by default, ws 6; the other's is shown too. Each message is compressed by itself \
unless the row says *takeover*, with the bits of both windows. *After one message* is after 1 KiB came and went compressed on \
each connection (64 KiB where it says *full*). ws compresses in libuv's threads, which are on the server's core too; it has \
no native add-on (bufferutil, utf-8-validate).\n";

/// The whole report.
pub(super) fn markdown(
    rows: &[&Row],
    servers: &[Server],
    outcomes: &[Outcome],
    rounds: u16,
    seconds: f64,
) -> String {
    let compressing = rows.iter().any(|row| !row.deflate.is_empty());
    let mut text =
        String::from(if compressing { "# permessage-deflate\n\n" } else { "# clws and its peers\n\n" });
    let _ = writeln!(
        text,
        "{}, {}. Medians of {rounds} interleaved rounds of {seconds} s (least–most). The server has one core, the load \
         generator another; every measurement has a process of its own.\n\n\
         Command: `{}`\n",
        date(),
        machine(),
        command()
    );
    text.push_str(
        "*CPU* is the server's CPU time per message (delivery, handshake): the figure that counts. *Ratio* is against clws: \
         above 1 clws needs less. *Load* is how busy the load generator was: near 1 the rate is its own, not the server's.",
    );
    text.push_str(if compressing {
        DEFLATE
    } else {
        " tungstenite's read buffer is set to what suits it best in each row.\n"
    });
    for (number, row) in rows.iter().enumerate() {
        let of = |server: usize| outcomes.iter().filter(move |o| o.row == number && o.server == server);
        let figures =
            |server| Spread::of(of(server).filter_map(|o| row.figure(o.result.as_ref().ok()?)).collect());
        let ours = servers.iter().position(Server::is_ours).and_then(figures);
        let words: Vec<&str> = row.load.split(' ').chain(row.deflate()).collect();
        let _ = writeln!(text, "\n## {}\n\n`load {}`\n", row.title, words.join(" "));
        text.push_str(match (row.is_memory(), row.deflate.is_empty()) {
            (true, true) => "| server | PSS each, octets | ratio | RSS each, octets |\n|---|---:|---:|---:|\n",
            (true, false) => {
                "| server | PSS each, octets | after one message | ratio | RSS each, octets | after one message |\n\
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
            .map(|(order, server)| (order, line(row, &servers[server], of(server), figures(server), ours)))
            .collect();
        lines.sort_by(|a, b| a.0.total_cmp(&b.0));
        text.extend(lines.into_iter().map(|(_, line)| line));
    }
    text
}

/// One server's line of one row.
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

/// The command that was given, without folders.
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

/// The processor, how many cores of it, and the kernel.
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": a processor");
    let cores = std::thread::available_parallelism()
        .map_or(0, usize::from)
        .max(info.lines().filter(|line| line.starts_with("processor")).count());
    let model = model.trim_start_matches([' ', '\t', ':']);
    format!("{model}, {cores} cores, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// Today (UTC), as 2026-01-31: Howard Hinnant's days-to-civil.
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
    fn medians() {
        assert_eq!(Spread::of(vec![]), None);
        let spread = Spread::of(vec![3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.least, spread.median, spread.most), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(vec![0.125]).unwrap().show(), "0.125 (0.125–0.125)");
    }

    #[test]
    fn days() {
        assert_eq!(civil(0), "1970-01-01");
        assert_eq!(civil(11_016), "2000-02-29");
        assert_eq!(civil(20_454), "2026-01-01");
    }

    #[test]
    fn failures_are_shown() {
        let servers = super::super::servers::list(&[]).unwrap();
        let rows = [&super::super::rows::ROWS[0]];
        let outcomes = [Outcome { row: 0, server: 1, result: Err("it fell|over".into()), busy: false }];
        let text = markdown(&rows, &servers, &outcomes, 1, 1.0);
        assert!(text.contains("| tokio-tungstenite 0.30 | failed: it fell over |"), "{text}");
    }
}
