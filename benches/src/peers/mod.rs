//! Echo servers of other libraries, each set up for speed as its authors recommend.
//!
//! All use `TCP_NODELAY`, no logging and no limits below 64 MiB. They run on a current-thread
//! runtime for one core and on a multi-thread runtime for more. Replies to messages that were read
//! together share one write where the library can buffer writes. Any path echoes. On `/broadcast`
//! each message goes to all clients, including the sender.

mod fast;
mod room;
mod soketto;
mod streams;
mod wtx;
mod yawc;

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use clap::ValueEnum;

/// A library to compare with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// tokio-tungstenite
    TokioTungstenite,
    /// fastwebsockets with hyper, as in its own example
    Fastwebsockets,
    /// tokio-websockets
    TokioWebsockets,
    /// async-tungstenite on async-std
    AsyncTungstenite,
    /// yawc with hyper, as in its own example
    Yawc,
    /// wtx on tokio
    Wtx,
    /// soketto on tokio
    Soketto,
}

/// The largest message, for libraries with such a limit.
const MAX_MESSAGE: usize = 64 << 20;

impl Peer {
    /// The name and version for tables.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::TokioTungstenite => "tokio-tungstenite 0.30",
            Self::Fastwebsockets => "fastwebsockets 0.10",
            Self::TokioWebsockets => "tokio-websockets 0.13",
            Self::AsyncTungstenite => "async-tungstenite 0.35 (async-std)",
            Self::Yawc => "yawc 0.5",
            Self::Wtx => "wtx 0.46",
            Self::Soketto => "soketto 0.8",
        }
    }
}

/// The settings of a server.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The number of runtime threads.
    pub threads: usize,
    /// tungstenite's read buffer size in bytes; `None` is its default.
    pub read_buffer: Option<usize>,
}

/// The error of a server or a connection.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Serves on 127.0.0.1 until the process is killed, and prints the address.
///
/// # Errors
/// The address is not available.
pub fn serve(peer: Peer, port: u16, settings: &Settings) -> Result<(), Failure> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listener.set_nonblocking(true)?;
    println!("{} listening on {}", peer.title(), listener.local_addr()?);
    match peer {
        Peer::AsyncTungstenite => streams::async_std(listener, settings),
        tokio => {
            let mut builder = match settings.threads {
                1 => tokio::runtime::Builder::new_current_thread(),
                _ => tokio::runtime::Builder::new_multi_thread(),
            };
            let runtime = builder.worker_threads(settings.threads).enable_io().build()?;
            let _guard = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            match tokio {
                Peer::Fastwebsockets => runtime.block_on(fast::serve(listener)),
                Peer::TokioWebsockets => runtime.block_on(streams::tokio_websockets(listener)),
                Peer::Yawc => runtime.block_on(yawc::serve(listener, settings)),
                Peer::Wtx => runtime.block_on(wtx::serve(listener)),
                Peer::Soketto => runtime.block_on(soketto::serve(listener)),
                _ => runtime.block_on(streams::tokio_tungstenite(listener, settings)),
            }
        }
    }
}
