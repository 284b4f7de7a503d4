//! Echo servers of other libraries, to be measured beside clws: see `peers --help`, and `benches/README.md`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;
    use clws_benches::{load::sys, peers};

    /// Echo servers of other libraries, on 127.0.0.1: any path echoes, /broadcast sends each message to all.
    #[derive(Parser)]
    #[command(name = "peers", version)]
    struct Cli {
        /// The library
        #[arg(value_enum)]
        peer: peers::Peer,
        /// The port; 0 takes a free one and prints it
        #[arg(default_value_t = 0)]
        port: u16,
        /// Threads of its runtime [default: as many as there are cores it may run on]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
        threads: Option<u16>,
        /// tungstenite's read buffer: 8192 suits small messages, its default of 131072 large ones
        #[arg(long, value_name = "OCTETS", value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
        read_buffer: Option<u32>,
    }

    let cli = Cli::parse();
    let threads = cli.threads.map_or_else(|| sys::cores().map_or(1, |cores| cores.len()), usize::from);
    let read_buffer = cli.read_buffer.and_then(|octets| usize::try_from(octets).ok());
    let settings = peers::Settings { threads, read_buffer };
    match sys::raise_file_limit()
        .map_err(Into::into)
        .and_then(|_| peers::serve(cli.peer, cli.port, &settings))
    {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() -> ExitCode {
    eprintln!("peers: written for Linux");
    ExitCode::FAILURE
}
