//! The command of [`clws_benches::abuse`]. See `abuse --help`.

use std::process::ExitCode;

use clap::Parser;
use clws_benches::abuse;

fn main() -> ExitCode {
    let failed = |error| eprintln!("abuse: {error}");
    let all_good = abuse::run(&abuse::Args::parse()).map_err(failed) == Ok(true);
    if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
