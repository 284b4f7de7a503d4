//! Echo servers of other libraries, for comparison with clws. See `peers --help` and
//! `benches/README.md`.

use std::process::ExitCode;

#[cfg(target_os = "linux")]
fn main() -> ExitCode {
    use clap::Parser;
    use clws_benches::{load::sys, peers};

    /// Echo servers of other libraries, on 127.0.0.1: any path echoes, /broadcast sends each
    /// message to all clients
    #[derive(Parser)]
    #[command(name = "peers", version)]
    struct Cli {
        /// The library
        #[arg(value_enum)]
        peer: peers::Peer,
        /// The port; 0 uses a free port and prints it
        #[arg(default_value_t = 0)]
        port: u16,
        /// Threads of its runtime [default: the number of cores available to this process]
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
        threads: Option<u16>,
        /// tungstenite's read buffer: 8192 suits small messages, the default of 131072 suits large
        /// messages
        #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(64..=1 << 24))]
        read_buffer: Option<u32>,
    }

    let cli = Cli::parse();
    let threads = cli.threads.map_or_else(|| sys::cores().map_or(1, |cores| cores.len()), usize::from);
    let read_buffer = cli.read_buffer.and_then(|bytes| usize::try_from(bytes).ok());
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
    eprintln!("peers: runs on Linux only");
    ExitCode::FAILURE
}
