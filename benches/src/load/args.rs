//! The command line. It rejects addresses off this machine and loads without an end.

use std::net::{Ipv4Addr, SocketAddr};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand};
use clws_proto::{DeflateConfig, Version};

use super::error::Error;
use super::tls_args::TlsArgs;

/// The largest message.
pub(super) const MAX_SIZE: u64 = 64 << 20;
/// The longest load, in seconds.
pub(super) const MAX_SECONDS: f64 = 600.0;

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
            Self::Echo(args) => &args.traffic.common,
            Self::Idle(args) => &args.common,
            Self::Broadcast(args) => &args.traffic.common,
            Self::Connect(args) => &args.common,
        }
    }
}

/// The arguments of every mode.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The server's loopback address and port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:12345", value_parser = target)]
    pub target: SocketAddr,
    /// The requested resource
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub path: Option<String>,
    /// The protocol version: 75 (hixie-75), 0 (hixie-76), 7, 8 or 13 (RFC 6455)
    #[arg(long, default_value = "13", value_parser = draft)]
    pub draft: Version,
    /// The server's process id: the report then includes its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// TLS
    #[command(flatten)]
    pub tls: TlsArgs,
    /// The only core to run on
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Fail after this many seconds without a completed message (connect: a completed connection)
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0, value_parser = seconds(0.1, MAX_SECONDS))]
    pub stall: f64,
    /// The name shown in the report
    #[arg(long, default_value = "")]
    pub name: String,
    /// Print one JSON line on standard output and the table on standard error
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// Rejects a server on another machine, also if the address did not come from the parser.
    pub fn check(&self) -> Result<(), Error> {
        let ip = self.target.ip();
        if ip.is_loopback() {
            return Ok(());
        }
        Err(Error::Usage(format!("{ip} is not a loopback address: the server must run on this machine")))
    }

    /// The URL of the requested resource, or of this default.
    #[must_use]
    pub fn url(&self, default: &str) -> String {
        let scheme = if self.tls.tls { "wss" } else { "ws" };
        format!("{scheme}://{}{}", self.target, self.path.as_deref().unwrap_or(default))
    }

    /// The origin of a page of this server.
    #[must_use]
    pub fn origin(&self) -> String {
        let scheme = if self.tls.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.target)
    }
}

/// The properties of a message.
#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// The message size in bytes
    #[arg(long, default_value_t = 16, value_name = "BYTES", value_parser = number(0, MAX_SIZE))]
    pub size: usize,
    /// Send text (the default for drafts 0 and 75)
    #[arg(long, conflicts_with = "binary")]
    pub text: bool,
    /// Send binary (the default for other drafts)
    #[arg(long)]
    pub binary: bool,
    /// Split each message into this number of frames of equal size (fewer if it is very short)
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = number(1, MAX_SIZE))]
    pub fragments: usize,
    /// Compare all content that comes back; without it, only the first compressed message of each
    /// connection is compared
    #[arg(long)]
    pub verify: bool,
}

impl MessageArgs {
    /// Rejects messages that this draft cannot carry.
    pub fn check(&self, draft: Version) -> Result<(), Error> {
        if self.fragments > self.size.max(1) {
            return Err(Error::Usage("--fragments must be between 1 and the message size".into()));
        }
        if draft.is_hixie() && (self.binary || self.fragments > 1) {
            let flag =
                if self.binary { "binary messages: use --text" } else { "fragments: omit --fragments" };
            return Err(Error::Usage(format!("draft {draft} has no {flag}")));
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
    /// The offer of permessage-deflate, or `None` without compression. All messages are compressed
    /// at the level that browsers use.
    pub fn offer(&self, draft: Version) -> Result<Option<DeflateConfig>, Error> {
        let wanted = self.deflate || self.deflate_takeover || self.deflate_window.is_some();
        if wanted && !draft.has_extensions() {
            return Err(Error::Usage("only draft 13 (RFC 6455) has permessage-deflate".into()));
        }
        let config = DeflateConfig::default().level(6).threshold(0).context_takeover(self.deflate_takeover);
        Ok(wanted.then(|| config.max_window_bits(self.deflate_window.unwrap_or(15))))
    }
}

/// The end of a load. The first limit that is reached ends it.
#[derive(Debug, Clone, Args)]
pub struct EndArgs {
    /// Measure for this many seconds [default: 3 unless --messages is given]
    #[arg(long, value_name = "SECONDS", value_parser = seconds(0.01, MAX_SECONDS))]
    pub seconds: Option<f64>,
    /// Stop after this many measured messages
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: Option<u64>,
    /// Run for this many seconds before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3, value_parser = seconds(0.0, 60.0))]
    pub warmup: f64,
}

impl EndArgs {
    /// The limits in seconds and messages.
    #[must_use]
    pub fn limits(&self) -> (f64, u64) {
        let default = if self.messages.is_some() { MAX_SECONDS } else { 3.0 };
        (self.seconds.unwrap_or(default), self.messages.unwrap_or(u64::MAX))
    }
}

/// The arguments of a load of messages.
#[derive(Debug, Clone, Args)]
pub struct Traffic {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The properties of a message
    #[command(flatten)]
    pub message: MessageArgs,
    /// The compression
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// The end of the load (for broadcast, --messages counts published messages)
    #[command(flatten)]
    pub end: EndArgs,
}

/// The arguments of `echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArgs {
    /// The arguments of a load of messages
    #[command(flatten)]
    pub traffic: Traffic,
    /// The number of connections
    #[arg(long, short, default_value_t = 64, value_name = "N", value_parser = number(1, 60_000))]
    pub connections: usize,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub in_flight: u32,
}

/// The arguments of `broadcast`. `--messages` counts published messages.
#[derive(Debug, Clone, Args)]
pub struct BroadcastArgs {
    /// The arguments of a load of messages
    #[command(flatten)]
    pub traffic: Traffic,
    /// The number of subscribers (the publisher is one more connection)
    #[arg(long, short, default_value_t = 500, value_name = "N", value_parser = number(1, 60_000))]
    pub connections: usize,
    /// The number of messages that are not yet delivered to all subscribers
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub window: u32,
}

/// The arguments of `idle`.
#[derive(Debug, Clone, Args)]
pub struct IdleArgs {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The number of connections
    #[arg(long, short, default_value_t = 10_000, value_name = "N", value_parser = number(1, 60_000))]
    pub connections: usize,
    /// The number of source addresses: 127.0.0.1, 127.0.0.2, ... [default: one for every 20,000
    /// connections]
    #[arg(long, value_name = "N")]
    pub sources: Option<u8>,
    /// Echo one message on each connection, then measure again
    #[arg(long)]
    pub touch: bool,
    /// The size of that message in bytes [default: 16, or 1024 with compression]
    #[arg(long, value_name = "BYTES", value_parser = number(0, MAX_SIZE))]
    pub size: Option<usize>,
    /// The compression
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// Keep the connections open for this many seconds after the measurement, and answer pings
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS", value_parser = seconds(0.0, MAX_SECONDS))]
    pub hold: f64,
}

/// The arguments of `connect`.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// The arguments that every mode has
    #[command(flatten)]
    pub common: Common,
    /// The number of concurrent connections
    #[arg(long, short, default_value_t = 16, value_name = "N", value_parser = number(1, 1024))]
    pub connections: usize,
    /// The size of the message in bytes
    #[arg(long, default_value_t = 16, value_name = "BYTES", value_parser = number(0, 4000))]
    pub size: usize,
    /// Resume TLS sessions; an error if the server resumes fewer than half of them
    #[arg(long, requires = "tls")]
    pub resume: bool,
    /// The end of the load (--messages counts connections, at most 100,000)
    #[command(flatten)]
    pub end: EndArgs,
}

fn number(low: u64, high: u64) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(low..=high)
}

fn seconds(low: f64, high: f64) -> impl Fn(&str) -> Result<f64, String> + Clone + Send + Sync {
    move |text| {
        let value = text.parse().ok().filter(|value| (low..=high).contains(value)); // never NaN
        value.ok_or_else(|| format!("expected a number of seconds between {low} and {high}"))
    }
}

/// Parses a path. The handshake rejects other characters than printable ASCII.
fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') { Ok(text.to_owned()) } else { Err("it must start with '/'".to_owned()) }
}

fn draft(text: &str) -> Result<Version, String> {
    let version = text.parse().ok().and_then(Version::from_number);
    version.ok_or_else(|| "expected 0, 7, 8, 13 or 75".to_owned())
}

/// Parses `127.0.0.1:9001`, `[::1]:9001` or `localhost:9001`.
fn target(text: &str) -> Result<SocketAddr, String> {
    let port = text.strip_prefix("localhost:").and_then(|port| port.parse::<u16>().ok());
    let address = match port {
        Some(port) => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse().ok(),
    };
    // `is_loopback` is false for IPv4-mapped IPv6 addresses, so they are rejected too.
    address.filter(|address| address.ip().is_loopback()).ok_or_else(|| {
        "expected a loopback address and a port, such as 127.0.0.1:12345 or [::1]:12345".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Mode, String> {
        let words = ["load"].into_iter().chain(line.split(' '));
        Cli::try_parse_from(words).map(|cli| cli.mode).map_err(|error| error.to_string())
    }

    fn echo(flags: &str) -> EchoArgs {
        match parse(format!("echo {flags}").trim_end()).unwrap() {
            Mode::Echo(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn accepts_only_loopback_addresses() {
        for good in ["127.0.0.1:1", "127.8.9.10:65535", "[::1]:80", "localhost:80"] {
            assert!(parse(&format!("echo {good}")).is_ok(), "{good}");
        }
        let bad = "10.0.0.1:80 0.0.0.0:80 [::]:80 [2001:db8::1]:80 example.com:80 [::ffff:10.0.0.1]:80";
        for bad in bad.split(' ') {
            assert!(parse(&format!("echo {bad}")).is_err(), "{bad}");
        }
        let mut args = echo("");
        args.traffic.common.target = SocketAddr::from(([10, 0, 0, 1], 80)); // not from the parser
        assert!(matches!(super::super::run(&Mode::Echo(args)), Err(Error::Usage(_))));
    }

    #[test]
    fn every_load_has_an_end() {
        assert_eq!(echo("").traffic.end.limits(), (3.0, u64::MAX));
        assert_eq!(echo("--messages 5").traffic.end.limits(), (MAX_SECONDS, 5));
        assert_eq!(echo("--messages 5 --seconds 2").traffic.end.limits(), (2.0, 5));
    }

    #[test]
    fn rejects_values_out_of_range() {
        let bad = "echo --seconds 0, echo --seconds NaN, echo --seconds inf, echo --seconds 601, \
                   echo --messages 0, echo --warmup 61, echo --stall 0, echo --connections 0, \
                   echo --connections 60001, echo --in-flight 0, echo --in-flight 65537, \
                   echo --size 67108865, echo --fragments 0, echo --text --binary, echo --draft 9, \
                   echo --path chat, echo --deflate-window 8, broadcast --window 4097, \
                   connect --connections 1025, connect --size 4001, connect --deflate, idle --hold 601, \
                   echo --cipher aes-256-gcm, echo --tls --tls-version 1.1, connect --resume, \
                   echo --tls --cipher rc4, echo --shared-records";
        for bad in bad.split(", ") {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rejects_messages_that_the_draft_cannot_carry() {
        let check = |flags: &str| {
            let args = echo(flags).traffic;
            args.message.check(args.common.draft).and(args.deflate.offer(args.common.draft))
        };
        for good in ["", "--draft 0 --text", "--draft 75", "--fragments 2", "--size 0", "--deflate"] {
            assert!(check(good).is_ok(), "{good}");
        }
        let bad = "--draft 0 --binary, --draft 0 --fragments 2, --fragments 17, --deflate --draft 8, \
                   --deflate-takeover --draft 0";
        for bad in bad.split(", ") {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
