//! The comparison: every server and every row in one run, on one machine.
//!
//! The server runs on one core and the load generator on another. Each measurement starts a new
//! server process. Rounds are interleaved: each row goes through all servers before the next row
//! begins. Other work on the machine therefore affects all servers alike. Tables show the median
//! with the minimum and the maximum. Failures are shown as failures.
//!
//! | module | holds |
//! |---|---|
//! | `rows` | the measured rows |
//! | `servers`, `scripts` | the measured servers, and how to start them |
//! | `measure`, `calm` | rounds, and detection of other load on the machine |
//! | `table`, `charts` | the written files |

mod calm;
mod charts;
mod measure;
mod rows;
mod scripts;
mod servers;
mod table;

use std::path::PathBuf;
use std::{fs, io};

use clap::Parser;

use crate::load::{self, Report, sys};
use charts::Line;
use measure::Measure;
use rows::{DEFLATE_ROWS, ROWS, Row, SWEEPS, Sweep};
use servers::Server;
use table::Head;

/// Measures clws and its peers side by side, and writes tables into benches/results
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
pub struct Cli {
    /// Measure permessage-deflate, compared with npm ws if it is installed; writes deflate.md
    #[arg(long)]
    deflate: bool,
    /// Number of rounds; tables show the medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Seconds to measure each row and server in each round
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// How often to repeat a measurement that other programs disturbed
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(0..=99))]
    retries: u16,
    /// Only rows whose title contains TEXT (repeatable)
    #[arg(long, value_name = "TEXT")]
    row: Vec<String>,
    /// Only servers whose name contains TEXT (repeatable)
    #[arg(long, value_name = "TEXT")]
    server: Vec<String>,
    /// An additional server, as 'NAME|COMMAND --port {port}': it must echo on any path of
    /// 127.0.0.1:{port} (repeatable)
    #[arg(long, value_name = "NAME|COMMAND")]
    extra: Vec<String>,
    /// The server's core [default: the first]
    #[arg(long, value_name = "N")]
    server_core: Option<usize>,
    /// The load generator's core [default: the last]
    #[arg(long, value_name = "N")]
    load_core: Option<usize>,
    /// The output folder
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
    /// Use the existing server binaries
    #[arg(long)]
    no_build: bool,
}

/// Errors that end a comparison. A failing server does not end it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments are invalid.
    #[error("{0}")]
    Usage(String),
    /// The operating system reported an error.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// The load generator failed for a reason that does not depend on the server.
    #[error(transparent)]
    Load(#[from] load::Error),
    /// A chart could not be drawn.
    #[error("cannot draw a chart: {0}")]
    Chart(String),
}

/// One measurement.
struct Outcome {
    row: usize,
    server: usize,
    result: Result<Report, String>,
    busy: bool,
}

/// Runs the comparison.
///
/// # Errors
/// See [`Error`].
pub fn run(cli: &Cli) -> Result<(), Error> {
    if cfg!(debug_assertions) {
        return Err(Error::Usage(
            "this is a debug build, which would measure debug servers: use cargo run --release".into(),
        ));
    }
    load::args::in_range("--seconds", cli.seconds, 0.1, 60.0)?;
    let cores = sys::cores()?;
    let server_core = cli.server_core.or(cores.first().copied()).unwrap_or(0);
    let load_core = cli.load_core.or(cores.last().copied()).unwrap_or(0);
    if server_core == load_core {
        return Err(Error::Usage(
            "the server and the load generator need different cores: change --server-core or --load-core"
                .into(),
        ));
    }
    sys::raise_file_limit()?;
    let ((servers, missing), all, sweeps, file) = match cli.deflate {
        true => ((servers::compressing(&cli.extra)?, Vec::new()), DEFLATE_ROWS, &[][..], "deflate"),
        false => (servers::list(&cli.extra)?, ROWS, SWEEPS, "compare"),
    };
    let servers: Vec<Server> =
        servers.into_iter().filter(|server| wanted(&cli.server, server.name())).collect();
    let rows: Vec<&Row> = all.iter().filter(|row| wanted(&cli.row, row.title)).collect();
    let sweeps: Vec<&Sweep> = sweeps.iter().filter(|sweep| wanted(&cli.row, sweep.title)).collect();
    if servers.is_empty() || (rows.is_empty() && sweeps.is_empty()) {
        return Err(Error::Usage("no row or no server matches: check --row and --server".into()));
    }
    if !cli.no_build {
        servers::build(&servers)?;
    }

    let (rounds, retries, seconds) = (cli.rounds, cli.retries, cli.seconds);
    let measure = Measure { rounds, retries, seconds, server_core, load_core, cores };
    let all: Vec<&Server> = servers.iter().collect();
    let (table, jsonl) = (format!("{file}.md"), format!("{file}.jsonl"));
    let mut text = String::new();
    let mut log = String::new();
    let outcomes = measure.rounds(&rows, &all, |rounds, outcomes| {
        text =
            table::markdown(&Head { rounds, seconds: cli.seconds, missing: &missing }, &rows, &all, outcomes);
        log = lines(outcomes);
        save(cli, &table, &text)?;
        save(cli, &jsonl, &log)
    })?;
    if !rows.is_empty() && !cli.deflate {
        save(cli, "compare.svg", &charts::bars(&table::panels(&rows, &all, &outcomes))?)?;
    }

    let some = table::ours_and_the_best(&rows, &all, &outcomes);
    let some: Vec<&Server> = some.into_iter().map(|server| all[server]).collect();
    for sweep in sweeps {
        let points: Vec<&Row> = sweep.points.iter().map(|(_, row)| row).collect();
        let before = (text.clone(), log.clone());
        let outcomes = measure.rounds(&points, &some, |_, outcomes| {
            text = before.0.clone() + &table::sweep(sweep, &some, outcomes);
            log = before.1.clone() + &lines(outcomes);
            save(cli, &table, &text)?;
            save(cli, &jsonl, &log)
        })?;
        let chart: Vec<Line> = table::curves(sweep, &some, &outcomes);
        save(cli, sweep.file, &charts::lines(sweep.title, sweep.axis, &chart)?)?;
    }
    println!("{text}");
    println!("written to {}", cli.out.join(table).display());
    Ok(())
}

fn wanted(filters: &[String], name: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.to_lowercase().contains(&filter.to_lowercase()))
}

fn save(cli: &Cli, name: &str, text: &str) -> Result<(), Error> {
    let path = cli.out.join(name);
    let write = || {
        fs::create_dir_all(&cli.out)?;
        fs::write(&path, text)
    };
    write().map_err(|error| Error::Io(path.display().to_string(), error))
}

/// The JSON lines of all successful measurements.
fn lines(outcomes: &[Outcome]) -> String {
    outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok())
        .map(|report| report.json() + "\n")
        .collect()
}
