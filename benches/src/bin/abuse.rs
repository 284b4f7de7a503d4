//! The command of [`clws_benches::abuse`]. See `abuse --help`.

use std::process::ExitCode;

use clap::Parser;
use clws_benches::abuse::{self, Args};

fn main() -> ExitCode {
    match abuse::run(&Args::parse()) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => eprintln!("abuse: not every verdict is good"),
        Err(error) => eprintln!("abuse: {error}"),
    }
    ExitCode::FAILURE
}
