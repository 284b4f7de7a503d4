//! The comparison: every server, every row, in one run on one machine.
//!
//! The server has one core and the load generator another. Every measurement has a server process of its own, and rounds are
//! interleaved (each row goes through all servers before the next begins), so that what else the machine does falls on all
//! alike. Medians stand in the table, with the least and the most beside them. What fails is shown as such.

mod rows;
mod servers;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, io};

use clap::Parser;

use crate::load::{self, Cli as LoadCli, Report, sys};
use rows::{DEFLATE_ROWS, ROWS, Row};
use servers::Server;

/// The load generator waited for its core for more than this share of a measurement: somebody else was busy there.
const BUSY: f64 = 0.05;
/// How often such a measurement is taken again.
const RETRIES: usize = 2;

/// Measures clws and its peers side by side, and writes a table into benches/results.
#[derive(Debug, Parser)]
#[command(name = "compare", version)]
pub struct Cli {
    /// Measure permessage-deflate, beside npm ws if it is installed; writes deflate.md
    #[arg(long)]
    deflate: bool,
    /// Rounds; the table shows medians of them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Seconds to measure each row and server in each round
    #[arg(long, default_value_t = 1.5)]
    seconds: f64,
    /// Only rows whose title contains this (repeatable)
    #[arg(long, value_name = "TEXT")]
    row: Vec<String>,
    /// Only servers whose name contains this (repeatable)
    #[arg(long, value_name = "TEXT")]
    server: Vec<String>,
    /// One more server, as 'NAME|COMMAND --port {port}': it must echo on any path of 127.0.0.1:{port} (repeatable)
    #[arg(long, value_name = "NAME|COMMAND")]
    extra: Vec<String>,
    /// The server's core [default: the first]
    #[arg(long, value_name = "N")]
    server_core: Option<usize>,
    /// The load generator's core [default: the last]
    #[arg(long, value_name = "N")]
    load_core: Option<usize>,
    /// Where to write
    #[arg(long, value_name = "FOLDER", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    out: PathBuf,
    /// Take the server binaries as they are
    #[arg(long)]
    no_build: bool,
}

/// What ends a comparison early. (A server that fails does not.)
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments ask for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// The operating system refused something.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// The load generator could not do what does not depend on the server.
    #[error(transparent)]
    Load(#[from] load::Error),
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
            "this is a debug build, and so would be what it measures: use cargo run --release".into(),
        ));
    }
    load::args::in_range("--seconds", cli.seconds, 0.1, 60.0)?;
    let cores = sys::cores()?;
    let server_core = cli.server_core.or(cores.first().copied()).unwrap_or(0);
    let load_core = cli.load_core.or(cores.last().copied()).unwrap_or(0);
    if server_core == load_core {
        return Err(Error::Usage("the server and the load generator need a core each".into()));
    }
    sys::raise_file_limit()?;
    let (servers, all, file) = match cli.deflate {
        true => (servers::compressing(&cli.extra)?, DEFLATE_ROWS, "deflate"),
        false => (servers::list(&cli.extra)?, ROWS, "compare"),
    };
    let servers: Vec<Server> =
        servers.into_iter().filter(|server| wanted(&cli.server, server.name())).collect();
    let rows: Vec<&Row> = all.iter().filter(|row| wanted(&cli.row, row.title)).collect();
    if servers.is_empty() || rows.is_empty() {
        return Err(Error::Usage("nothing is left to measure: look at --row and --server".into()));
    }
    if !cli.no_build {
        servers::build(&servers)?;
    }

    let total = usize::from(cli.rounds) * rows.len() * servers.len();
    let start = Instant::now();
    let mut outcomes = Vec::with_capacity(total);
    for round in 1..=cli.rounds {
        for (row_number, row) in rows.iter().enumerate() {
            for (server_number, server) in servers.iter().enumerate() {
                let (result, busy) = steady(row, server, cli.seconds, server_core, load_core);
                progress(outcomes.len() + 1, total, start.elapsed(), round, row, server, &result, busy);
                outcomes.push(Outcome { row: row_number, server: server_number, result, busy });
            }
        }
        // After each round, so that a run that is cut off has not been for nothing.
        let text = table::markdown(&rows, &servers, &outcomes, round, cli.seconds);
        save(cli, &format!("{file}.md"), &text)?;
        save(cli, &format!("{file}.jsonl"), &lines(&outcomes))?;
    }
    println!("{}", table::markdown(&rows, &servers, &outcomes, cli.rounds, cli.seconds));
    println!("written to {}", cli.out.join(file).with_extension("md").display());
    Ok(())
}

/// Measures, again if somebody else was busy on the load generator's core; whether that was so to the end. (Memory is the
/// same however busy the machine is.)
fn steady(
    row: &Row,
    server: &Server,
    seconds: f64,
    server_core: usize,
    load_core: usize,
) -> (Result<Report, String>, bool) {
    let mut tries = 0;
    loop {
        let before = (Instant::now(), sys::own_wait().unwrap_or_default());
        let result = measure(row, server, seconds, server_core, load_core).map_err(|error| error.to_string());
        let waited = sys::own_wait().unwrap_or_default().saturating_sub(before.1);
        let busy = !row.is_memory() && waited.as_secs_f64() > BUSY * before.0.elapsed().as_secs_f64();
        if !busy || tries == RETRIES {
            return (result, busy);
        }
        tries += 1;
    }
}

fn measure(
    row: &Row,
    server: &Server,
    seconds: f64,
    server_core: usize,
    load_core: usize,
) -> Result<Report, Error> {
    // What is started from this thread stays on its core.
    sys::pin_this_thread(server_core)?;
    let running = server.start(row);
    sys::pin_this_thread(load_core)?;
    let mut running = running?;
    running.wait_until_it_listens()?;
    let line = row.line(running.port(), running.pid(), seconds, server.name());
    let cli = LoadCli::try_parse_from(&line).map_err(|error| Error::Usage(error.to_string()))?;
    load::run(&cli.mode).map_err(|error| match running.ended() {
        Some(how) => Error::Usage(format!("{error}; the server ended: {how}")),
        None => error.into(),
    })
}

fn wanted(filters: &[String], name: &str) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.to_lowercase().contains(&filter.to_lowercase()))
}

#[expect(clippy::too_many_arguments, reason = "one line of text")]
fn progress(
    done: usize,
    total: usize,
    so_far: Duration,
    round: u16,
    row: &Row,
    server: &Server,
    result: &Result<Report, String>,
    busy: bool,
) {
    let left = so_far.as_secs() / done as u64 * (total - done) as u64;
    let figure = match result {
        Ok(report) => {
            row.figure(report).map_or("no figure".into(), |figure| format!("{figure:.3} {}", row.unit))
        }
        Err(error) => format!("failed: {error}"),
    };
    let busy = if busy { "  (the machine was busy)" } else { "" };
    eprintln!(
        "[{done:>3}/{total}] {:>2}:{:02} left  round {round}  {:<44} {:<36} {figure}{busy}",
        left / 60,
        left % 60,
        row.title,
        server.name()
    );
}

fn save(cli: &Cli, name: &str, text: &str) -> Result<(), Error> {
    let path = cli.out.join(name);
    let write = || {
        fs::create_dir_all(&cli.out)?;
        fs::write(&path, text)
    };
    write().map_err(|error| Error::Io(path.display().to_string(), error))
}

/// Every measurement that ended well, as the load generator prints it.
fn lines(outcomes: &[Outcome]) -> String {
    outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().ok())
        .map(|report| report.json() + "\n")
        .collect()
}
