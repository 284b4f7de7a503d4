//! The load generator's command. See `load --help` and `benches/README.md`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;
    use clws_benches::load::{self, Cli};

    let cli = Cli::parse();
    match load::run(&cli.mode) {
        Ok(report) if cli.mode.common().json => {
            eprintln!("{}", report.table());
            println!("{}", report.json());
            ExitCode::SUCCESS
        }
        Ok(report) => {
            println!("{}", report.table());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("load: runs on Linux only (needs epoll and /proc)");
    ExitCode::FAILURE
}
