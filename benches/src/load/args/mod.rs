//! The command line. It rejects addresses off this machine and loads without an end.

use std::net::SocketAddr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::deflate::Offer;
use super::error::Error;
use checks::{check_loopback, parse_target};

pub use checks::{check_connections, in_range, source};

mod checks;

/// The maximum number of connections of one load.
pub const MAX_CONNECTIONS: usize = 60_000;
/// The largest message.
pub const MAX_SIZE: usize = 64 << 20;
/// The longest load, in seconds.
pub const MAX_SECONDS: f64 = 600.0;

/// A closed-loop WebSocket load generator for a server on this machine
#[derive(Debug, Parser)]
#[command(name = "load", version, about)]
pub struct Cli {
    /// The kind of load.
    #[command(subcommand)]
    pub mode: Mode,
}

/// The kinds of load.
#[derive(Debug, Clone, Subcommand)]
pub enum Mode {
    /// Echoes messages, with a fixed number in flight on each connection
    Echo(EchoArgs),
    /// Opens connections without traffic and measures the memory of each
    Idle(IdleArgs),
    /// Sends messages from one publisher to many subscribers and counts deliveries
    Broadcast(BroadcastArgs),
    /// Connects, shakes hands, echoes one message and closes, repeatedly
    Connect(ConnectArgs),
}

impl Mode {
    /// The arguments that every mode has.
    #[must_use]
    pub fn common(&self) -> &Common {
        match self {
            Self::Echo(args) => &args.common,
            Self::Idle(args) => &args.common,
            Self::Broadcast(args) => &args.common,
            Self::Connect(args) => &args.common,
        }
    }
}

/// The deployed WebSocket protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Draft {
    /// hixie-76 / hybi-00
    #[value(name = "0")]
    Hybi00,
    /// hybi-07
    #[value(name = "7")]
    Hybi07,
    /// hybi-08 .. 12
    #[value(name = "8")]
    Hybi08,
    /// RFC 6455
    #[value(name = "13")]
    Rfc6455,
}

impl Draft {
    /// The value of `Sec-WebSocket-Version`; 0 for hixie-76.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Hybi00 => 0,
            Self::Hybi07 => 7,
            Self::Hybi08 => 8,
            Self::Rfc6455 => 13,
        }
    }
}

/// The arguments of every mode.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The server's loopback address and port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:12345", value_parser = parse_target)]
    pub target: SocketAddr,
    /// The requested resource
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// The protocol version: 0 (hixie-76), 7, 8 or 13 (RFC 6455)
    #[arg(long, value_enum, default_value = "13")]
    pub draft: Draft,
    /// The server's process id: the report then includes its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// The only core to run on
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Fail after this many seconds without input
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub stall: f64,
    /// The name shown in the report
    #[arg(long, default_value = "")]
    pub name: String,
    /// Print one JSON line on standard output and the table on standard error
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// Rejects invalid arguments before any connection opens.
    ///
    /// # Errors
    /// [`Error::Usage`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        check_loopback(self.target.ip())?;
        in_range("--stall", self.stall, 0.1, MAX_SECONDS)?;
        if let Some(path) = &self.path
            && (!path.starts_with('/') || path.bytes().any(|b| b <= b' ' || b == b'#' || b >= 0x7f))
        {
            return Err(Error::Usage(format!("--path must start with '/' and be printable ASCII: {path:?}")));
        }
        Ok(())
    }

    /// The requested resource, or this default.
    #[must_use]
    pub fn path_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.path.as_deref().unwrap_or(default)
    }
}

/// The properties of a message.
#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// The message size in bytes
    #[arg(long, default_value_t = 16, value_name = "BYTES")]
    pub size: usize,
    /// Send text (the default for draft 0)
    #[arg(long, conflicts_with = "binary")]
    pub text: bool,
    /// Send binary (the default for other drafts)
    #[arg(long)]
    pub binary: bool,
    /// The number of frames per message
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub fragments: usize,
    /// Compare all content that comes back; without it, only the first compressed message of each
    /// connection is compared
    #[arg(long)]
    pub verify: bool,
}

impl MessageArgs {
    /// Rejects messages that this draft cannot carry.
    ///
    /// # Errors
    /// [`Error::Usage`] with the reason.
    pub fn check(&self, draft: Draft) -> Result<(), Error> {
        if self.size > MAX_SIZE {
            return Err(Error::Usage(format!("--size must be at most {MAX_SIZE}")));
        }
        if self.fragments == 0 || self.fragments > self.size.max(1) {
            return Err(Error::Usage("--fragments must be between 1 and the message size".into()));
        }
        if draft == Draft::Hybi00 && self.binary {
            return Err(Error::Usage("draft 0 has no binary messages: use --text".into()));
        }
        if draft == Draft::Hybi00 && self.fragments > 1 {
            return Err(Error::Usage("draft 0 has no fragments: omit --fragments".into()));
        }
        Ok(())
    }
}

/// The compression of messages.
#[derive(Debug, Clone, Args)]
pub struct DeflateArgs {
    /// Offer permessage-deflate without context takeover, and send compressed JSON (as text unless
    /// --binary is given)
    #[arg(long)]
    pub deflate: bool,
    /// Like --deflate, with context takeover in both directions
    #[arg(long)]
    pub deflate_takeover: bool,
    /// Like --deflate, with windows of at most 2 to the power of BITS in both directions, 9 to 15
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(9..=15))]
    pub deflate_window: Option<u8>,
}

impl DeflateArgs {
    /// The offer, if compression is requested.
    ///
    /// # Errors
    /// [`Error::Usage`] for a draft that has no extensions.
    pub fn offer(&self, draft: Draft) -> Result<Option<Offer>, Error> {
        let wanted = self.deflate || self.deflate_takeover || self.deflate_window.is_some();
        if wanted && draft != Draft::Rfc6455 {
            return Err(Error::Usage("only draft 13 (RFC 6455) has permessage-deflate".into()));
        }
        Ok(wanted.then(|| Offer::new(self.deflate_takeover, self.deflate_window.unwrap_or(15))))
    }
}

/// The end of a load. The first limit that is reached ends it.
#[derive(Debug, Clone, Args)]
pub struct EndArgs {
    /// Measure for this many seconds [default: 3 unless --messages is given]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Stop after this many measured messages
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,
    /// Run for this many seconds before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3)]
    pub warmup: f64,
}

impl EndArgs {
    /// The limits in seconds and messages.
    ///
    /// # Errors
    /// [`Error::Usage`] for invalid limits.
    pub fn limits(&self) -> Result<(f64, u64), Error> {
        in_range("--warmup", self.warmup, 0.0, 60.0)?;
        let seconds = self.seconds.unwrap_or(if self.messages.is_some() { MAX_SECONDS } else { 3.0 });
        in_range("--seconds", seconds, 0.01, MAX_SECONDS)?;
        if self.messages == Some(0) {
            return Err(Error::Usage("--messages must be at least 1".into()));
        }
        Ok((seconds, self.messages.unwrap_or(u64::MAX)))
    }
}

/// The arguments of `echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArgs {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The number of connections
    #[arg(long, short, default_value_t = 64, value_name = "N")]
    pub connections: usize,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub in_flight: u32,
    /// The properties of a message
    #[command(flatten)]
    pub message: MessageArgs,
    /// The compression
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// The end of the load
    #[command(flatten)]
    pub end: EndArgs,
}

/// The arguments of `broadcast`.
#[derive(Debug, Clone, Args)]
pub struct BroadcastArgs {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The number of subscribers (the publisher is one more connection)
    #[arg(long, short, default_value_t = 500, value_name = "N")]
    pub connections: usize,
    /// The number of messages that are not yet delivered to all subscribers
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub window: u32,
    /// The properties of a message
    #[command(flatten)]
    pub message: MessageArgs,
    /// The compression
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// The end of the load (--messages counts published messages)
    #[command(flatten)]
    pub end: EndArgs,
}

/// The arguments of `idle`.
#[derive(Debug, Clone, Args)]
pub struct IdleArgs {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The number of connections
    #[arg(long, short, default_value_t = 10_000, value_name = "N")]
    pub connections: usize,
    /// The number of source addresses: 127.0.0.1, 127.0.0.2, ... [default: one for every 20,000
    /// connections]
    #[arg(long, value_name = "N")]
    pub sources: Option<u8>,
    /// Echo one message on each connection, then measure again
    #[arg(long)]
    pub touch: bool,
    /// The size of that message in bytes [default: 16, or 1024 with compression]
    #[arg(long, value_name = "BYTES")]
    pub size: Option<usize>,
    /// The compression
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// Keep the connections open for this many seconds after the measurement
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub hold: f64,
}

/// The arguments of `connect`.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The number of concurrent connections
    #[arg(long, short, default_value_t = 16, value_name = "N")]
    pub connections: usize,
    /// The size of the message in bytes
    #[arg(long, default_value_t = 16, value_name = "BYTES")]
    pub size: usize,
    /// The end of the load (--messages counts connections, at most 100,000)
    #[command(flatten)]
    pub end: EndArgs,
}

#[cfg(test)]
mod tests;
