//! Echo servers of other libraries on 127.0.0.1, each set up for speed as its authors recommend.
//!
//! All use `TCP_NODELAY`, no logging and no limits below 64 MiB. They run on a current-thread
//! runtime for one core and on a multi-thread runtime for more. Replies to messages that were read
//! together share one write where the library can buffer writes. Any path echoes. On `/broadcast`
//! each message goes to all clients, including the sender.

mod fast;
mod room;
mod soketto;
mod streams;
mod tls;
mod wtx;
mod yawc;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::thread::available_parallelism;

use clap::{Parser, ValueEnum};

/// A library to compare with. Each name is the name of the crate.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Peer {
    TokioTungstenite,
    Fastwebsockets,
    TokioWebsockets,
    /// On async-std, whose threads ASYNC_STD_THREAD_COUNT sets
    AsyncTungstenite,
    Yawc,
    Wtx,
    Soketto,
}

/// Echo servers of other libraries, on 127.0.0.1: any path echoes, /broadcast sends each message to
/// all clients
#[derive(Parser)]
#[command(name = "peers", version)]
struct Cli {
    /// The library
    #[arg(value_enum)]
    peer: Peer,
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
    /// Serve with TLS, on tokio-rustls with aws-lc-rs: the certificates in PEM (tokio-tungstenite only)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

/// The largest message, for libraries with such a limit.
const MAX_MESSAGE: usize = 64 << 20;

/// The settings of a server.
struct Settings {
    /// The number of runtime threads.
    threads: usize,
    /// tungstenite's read buffer size in bytes; `None` is its default.
    read_buffer: Option<usize>,
}

/// The error of a server or a connection.
type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let cli = Cli::parse();
    let threads = cli.threads.map_or_else(|| available_parallelism().map(Into::into), |n| Ok(n.into()))?;
    let read_buffer = cli.read_buffer.and_then(|bytes| usize::try_from(bytes).ok());
    let settings = Settings { threads, read_buffer };
    let tls = cli.tls_cert.as_deref().zip(cli.tls_key.as_deref());
    let tls = tls.map(|(cert, key)| tls::acceptor(cert, key)).transpose()?;
    if tls.is_some() && !matches!(cli.peer, Peer::TokioTungstenite) {
        return Err("only tokio-tungstenite takes --tls-cert and --tls-key".into());
    }

    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, cli.port)))?;
    listener.set_nonblocking(true)?;
    println!("{:?} listening on {}", cli.peer, listener.local_addr()?);
    if matches!(cli.peer, Peer::AsyncTungstenite) {
        return streams::async_std(listener, &settings);
    }
    let mut builder = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(threads).enable_io().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        match cli.peer {
            Peer::Fastwebsockets => fast::serve(listener).await,
            Peer::TokioWebsockets => streams::tokio_websockets(listener).await,
            Peer::Yawc => yawc::serve(listener, &settings).await,
            Peer::Wtx => wtx::serve(listener).await,
            Peer::Soketto => soketto::serve(listener).await,
            Peer::TokioTungstenite | Peer::AsyncTungstenite => {
                streams::tokio_tungstenite(listener, tls, &settings).await
            }
        }
    })
}
