//! Rounds of measurements. Each measurement starts a new server process.

use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;

use super::calm::Meter;
use super::rows::Row;
use super::servers::Server;
use super::{Error, Outcome};
use crate::load::{self, Cli as LoadCli, Report, sys};

/// The share of a core used by other programs above which a measurement counts as disturbed.
const BUSY: f64 = 0.1;
/// The pause before a disturbed measurement is repeated.
const PAUSE: Duration = Duration::from_millis(500);

/// How to measure.
#[derive(Debug)]
pub(super) struct Measure {
    pub(super) rounds: u16,
    /// How often a disturbed measurement is repeated.
    pub(super) retries: u16,
    pub(super) seconds: f64,
    pub(super) server_core: usize,
    pub(super) load_core: usize,
    /// All available cores, for rows without pinning.
    pub(super) cores: Vec<usize>,
}

impl Measure {
    /// Measures every row with every server, round by round. `after` is called at the end of each
    /// round.
    pub(super) fn rounds(
        &self,
        rows: &[&Row],
        servers: &[&Server],
        mut after: impl FnMut(u16, &[Outcome]) -> Result<(), Error>,
    ) -> Result<Vec<Outcome>, Error> {
        let total = usize::from(self.rounds) * rows.len() * servers.len();
        let start = Instant::now();
        let mut outcomes = Vec::with_capacity(total);
        for round in 1..=self.rounds {
            for (row_number, row) in rows.iter().enumerate() {
                for (server_number, server) in servers.iter().enumerate() {
                    let (result, others) = self.steady(row, server);
                    let outcome =
                        Outcome { row: row_number, server: server_number, result, busy: others > BUSY };
                    outcomes.push(outcome);
                    progress(&outcomes, total, start.elapsed(), row, server, others);
                }
            }
            // Results of complete rounds survive an interrupted run.
            after(round, &outcomes)?;
        }
        Ok(outcomes)
    }

    /// Measures, and repeats the measurement while other programs disturb it. Returns the least
    /// disturbed try and the share of a core that other programs used. Memory rows are never
    /// repeated, because memory does not depend on the load of the machine.
    fn steady(&self, row: &Row, server: &Server) -> (Result<Report, String>, f64) {
        let mut best = self.once(row, server);
        for _ in 0..self.retries {
            if best.1 <= BUSY {
                break;
            }
            thread::sleep(PAUSE);
            let next = self.once(row, server);
            if next.1 < best.1 {
                best = next;
            }
        }
        best
    }

    fn once(&self, row: &Row, server: &Server) -> (Result<Report, String>, f64) {
        let meter = Meter::start();
        let mut others = 0.0;
        let result = self.measure(row, server, &meter, &mut others).map_err(|error| error.to_string());
        (result, if row.is_memory() { 0.0 } else { others })
    }

    fn measure(&self, row: &Row, server: &Server, meter: &Meter, others: &mut f64) -> Result<Report, Error> {
        // Processes inherit the affinity of the thread that starts them.
        let free = row.threads > 1;
        if free {
            sys::run_on(&self.cores)?;
        } else {
            sys::pin_this_thread(self.server_core)?;
        }
        let running = server.start(row);
        if !free {
            sys::pin_this_thread(self.load_core)?;
        }
        let mut running = running?;
        running.wait_until_it_listens()?;
        let line = row.line(running.port(), running.pid(), self.seconds, server.name());
        let cli = LoadCli::try_parse_from(&line).map_err(|error| Error::Usage(error.to_string()))?;
        let result = load::run(&cli.mode);
        *others = meter.share(running.pid());
        result.map_err(|error| match running.ended() {
            Some(how) => Error::Usage(format!("{error}; the server ended: {how}")),
            None => error.into(),
        })
    }
}

/// Prints one line for each measurement: progress, remaining time and result.
fn progress(outcomes: &[Outcome], total: usize, so_far: Duration, row: &Row, server: &Server, others: f64) {
    let (done, Some(outcome)) = (outcomes.len(), outcomes.last()) else { return };
    let left = so_far.as_millis() * (total - done) as u128 / done as u128 / 1000;
    let figure = match &outcome.result {
        Ok(report) => {
            row.figure(report).map_or("no figure".into(), |figure| format!("{figure:.3} {}", row.unit))
        }
        Err(error) => format!("failed: {error}"),
    };
    let busy = if outcome.busy {
        format!("  (the machine was busy: other programs used {others:.2} of a core)")
    } else {
        String::new()
    };
    let bar = "█".repeat(20 * done / total);
    eprintln!(
        "{bar:░<20} {done:>3}/{total} {:>2}:{:02} left  {:<44} {:<36} {figure}{busy}",
        left / 60,
        left % 60,
        row.title,
        server.name()
    );
}
