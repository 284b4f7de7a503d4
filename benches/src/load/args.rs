//! The command line, and what it refuses: addresses off this machine, loads without an end.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::deflate::Offer;
use super::error::Error;

/// Most connections one load opens.
pub const MAX_CONNECTIONS: usize = 60_000;
/// Largest message.
pub const MAX_SIZE: usize = 64 << 20;
/// Longest load, in seconds.
pub const MAX_SECONDS: f64 = 600.0;

/// A lean closed-loop WebSocket client that measures a server on this machine.
#[derive(Debug, Parser)]
#[command(name = "load", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub mode: Mode,
}

/// The kinds of load.
#[derive(Debug, Clone, Subcommand)]
pub enum Mode {
    /// Messages echoed back, a fixed number in flight on each connection
    Echo(EchoArgs),
    /// Open connections that say nothing: what each costs in memory
    Idle(IdleArgs),
    /// One publisher, many subscribers: deliveries per second
    Broadcast(BroadcastArgs),
    /// Connect, shake hands, one echo, close: over and over
    Connect(ConnectArgs),
}

impl Mode {
    /// What every mode has.
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

/// The WebSocket drafts that were deployed.
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
    /// The number in `Sec-WebSocket-Version`; 0 for hixie-76.
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

/// Arguments of every mode.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The server: a loopback address and port
    #[arg(value_name = "ADDR:PORT", default_value = "127.0.0.1:12345", value_parser = parse_target)]
    pub target: SocketAddr,
    /// The resource asked for
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// The protocol spoken: 0 (hixie-76), 7, 8 or 13 (RFC 6455)
    #[arg(long, value_enum, default_value = "13")]
    pub draft: Draft,
    /// The server's process: its CPU time and memory are then reported
    #[arg(long, value_name = "PID")]
    pub pid: Option<u32>,
    /// Run on this core only
    #[arg(long, value_name = "N")]
    pub core: Option<usize>,
    /// Give up when nothing comes for so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    pub stall: f64,
    /// Name shown in the row
    #[arg(long, default_value = "")]
    pub name: String,
    /// Print one JSON line on standard output (the table row then goes to standard error)
    #[arg(long)]
    pub json: bool,
}

impl Common {
    /// Refuses what cannot be, before anything is opened.
    ///
    /// # Errors
    /// [`Error::Usage`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        check_loopback(self.target.ip())?;
        in_range("--stall", self.stall, 0.1, MAX_SECONDS)?;
        if let Some(path) = &self.path
            && (!path.starts_with('/') || path.bytes().any(|b| b <= b' ' || b == b'#' || b >= 0x7f))
        {
            return Err(Error::Usage(format!("--path must start with '/' and be plain ASCII: {path:?}")));
        }
        Ok(())
    }

    /// The resource asked for, or else this one.
    #[must_use]
    pub fn path_or<'a>(&'a self, default: &'a str) -> &'a str {
        self.path.as_deref().unwrap_or(default)
    }
}

/// What a message is.
#[derive(Debug, Clone, Args)]
pub struct MessageArgs {
    /// Octets in a message
    #[arg(long, default_value_t = 16, value_name = "OCTETS")]
    pub size: usize,
    /// Send text (always so for draft 0)
    #[arg(long, conflicts_with = "binary")]
    pub text: bool,
    /// Send binary (the default, except for draft 0)
    #[arg(long)]
    pub binary: bool,
    /// Send each message in so many frames
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub fragments: usize,
    /// Compare every octet that comes back, inflating it if it is compressed (else only each connection's first is)
    #[arg(long)]
    pub verify: bool,
}

impl MessageArgs {
    /// Refuses messages that this draft cannot carry.
    ///
    /// # Errors
    /// [`Error::Usage`] with the reason.
    pub fn check(&self, draft: Draft) -> Result<(), Error> {
        if self.size > MAX_SIZE {
            return Err(Error::Usage(format!("--size is at most {MAX_SIZE}")));
        }
        if self.fragments == 0 || self.fragments > self.size.max(1) {
            return Err(Error::Usage("--fragments is between 1 and the message's size".into()));
        }
        if draft == Draft::Hybi00 && self.binary {
            return Err(Error::Usage("draft 0 has no binary messages: use --text".into()));
        }
        if draft == Draft::Hybi00 && self.fragments > 1 {
            return Err(Error::Usage("draft 0 has no fragments".into()));
        }
        Ok(())
    }
}

/// Whether messages are compressed.
#[derive(Debug, Clone, Args)]
pub struct DeflateArgs {
    /// Offer permessage-deflate, each message by itself both ways, and send compressed JSON (as text unless --binary)
    #[arg(long)]
    pub deflate: bool,
    /// The same with context takeover: the server's messages refer back to earlier ones, and it keeps the client's
    #[arg(long)]
    pub deflate_takeover: bool,
    /// The same, with windows of at most 2 to the power of this both ways, 9 to 15
    #[arg(long, value_name = "BITS", value_parser = clap::value_parser!(u8).range(9..=15))]
    pub deflate_window: Option<u8>,
}

impl DeflateArgs {
    /// What is offered, if anything is.
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

/// When a load ends: whatever comes first.
#[derive(Debug, Clone, Args)]
pub struct EndArgs {
    /// Measure for so many seconds [default: 3 unless --messages is given]
    #[arg(long, value_name = "SECONDS")]
    pub seconds: Option<f64>,
    /// Stop after so many measured messages
    #[arg(long, value_name = "N")]
    pub messages: Option<u64>,
    /// Run so many seconds before measuring
    #[arg(long, value_name = "SECONDS", default_value_t = 0.3)]
    pub warmup: f64,
}

impl EndArgs {
    /// The limits: seconds and messages.
    ///
    /// # Errors
    /// [`Error::Usage`] when they are no limits.
    pub fn limits(&self) -> Result<(f64, u64), Error> {
        in_range("--warmup", self.warmup, 0.0, 60.0)?;
        let seconds = self.seconds.unwrap_or(if self.messages.is_some() { MAX_SECONDS } else { 3.0 });
        in_range("--seconds", seconds, 0.01, MAX_SECONDS)?;
        if self.messages == Some(0) {
            return Err(Error::Usage("--messages is at least 1".into()));
        }
        Ok((seconds, self.messages.unwrap_or(u64::MAX)))
    }
}

/// Arguments of `echo`.
#[derive(Debug, Clone, Args)]
pub struct EchoArgs {
    /// What every mode has
    #[command(flatten)]
    pub common: Common,
    /// Connections
    #[arg(long, short, default_value_t = 64, value_name = "N")]
    pub connections: usize,
    /// Messages in flight on each connection
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub in_flight: u32,
    /// What a message is
    #[command(flatten)]
    pub message: MessageArgs,
    /// Whether it is compressed
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// When to stop
    #[command(flatten)]
    pub end: EndArgs,
}

/// Arguments of `broadcast`.
#[derive(Debug, Clone, Args)]
pub struct BroadcastArgs {
    /// What every mode has
    #[command(flatten)]
    pub common: Common,
    /// Subscribers (the publisher is one connection more)
    #[arg(long, short, default_value_t = 500, value_name = "N")]
    pub connections: usize,
    /// Messages published and not yet delivered to all
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub window: u32,
    /// What a message is
    #[command(flatten)]
    pub message: MessageArgs,
    /// Whether it is compressed
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// When to stop (--messages counts messages published)
    #[command(flatten)]
    pub end: EndArgs,
}

/// Arguments of `idle`.
#[derive(Debug, Clone, Args)]
pub struct IdleArgs {
    /// What every mode has
    #[command(flatten)]
    pub common: Common,
    /// Connections
    #[arg(long, short, default_value_t = 10_000, value_name = "N")]
    pub connections: usize,
    /// Source addresses to spread them over: 127.0.0.1, 127.0.0.2, ... [default: one for each 20,000 connections]
    #[arg(long, value_name = "N")]
    pub sources: Option<u8>,
    /// Then echo one message on each, and measure again
    #[arg(long)]
    pub touch: bool,
    /// Octets in that message [default: 16, and 1024 compressed]
    #[arg(long, value_name = "OCTETS")]
    pub size: Option<usize>,
    /// Whether it is compressed
    #[command(flatten)]
    pub deflate: DeflateArgs,
    /// Keep the connections open for so many seconds after that
    #[arg(long, default_value_t = 0.0, value_name = "SECONDS")]
    pub hold: f64,
}

/// Arguments of `connect`.
#[derive(Debug, Clone, Args)]
pub struct ConnectArgs {
    /// What every mode has
    #[command(flatten)]
    pub common: Common,
    /// Connections under way at a time
    #[arg(long, short, default_value_t = 16, value_name = "N")]
    pub connections: usize,
    /// Octets in the one message
    #[arg(long, default_value_t = 16, value_name = "OCTETS")]
    pub size: usize,
    /// When to stop (--messages counts connections, 100,000 at most)
    #[command(flatten)]
    pub end: EndArgs,
}

/// Checks a number of connections.
///
/// # Errors
/// [`Error::Usage`] when there are none, or too many.
pub fn check_connections(connections: usize) -> Result<(), Error> {
    if connections == 0 || connections > MAX_CONNECTIONS {
        return Err(Error::Usage(format!("--connections is between 1 and {MAX_CONNECTIONS}")));
    }
    Ok(())
}

/// Checks that a number lies within its limits (and is one).
///
/// # Errors
/// [`Error::Usage`] naming the flag.
pub fn in_range(flag: &str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::Usage(format!("{flag} is between {low} and {high}, not {value}")))
}

fn check_loopback(ip: IpAddr) -> Result<(), Error> {
    if ip.is_loopback() {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{ip} is not a loopback address; this load generator tests servers on its own machine only"
    )))
}

/// Reads `127.0.0.1:9001`, `[::1]:9001` or `localhost:9001`.
fn parse_target(text: &str) -> Result<SocketAddr, String> {
    let target = match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse::<u16>().map_err(|error| format!("port: {error}"))?;
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        }
        None => {
            text.parse().map_err(|_| "expected ADDR:PORT, as 127.0.0.1:12345 or [::1]:12345".to_owned())?
        }
    };
    check_loopback(target.ip()).map_err(|error| error.to_string())?;
    Ok(target)
}

/// The source address of connection `index`, when they are spread over `sources` of them (IPv4 only; `None` is the system's choice).
///
/// More than one only where a single one has too few ports: a port that was bound to an address is lost for a minute to
/// every connection that leaves its own to the system.
#[must_use]
pub fn source(target: SocketAddr, sources: u8, index: usize) -> Option<IpAddr> {
    if sources <= 1 || target.is_ipv6() {
        return None;
    }
    let last = u8::try_from(index % usize::from(sources.min(254))).unwrap_or(0) + 1;
    Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Mode, String> {
        Cli::try_parse_from(line.split(' ')).map(|cli| cli.mode).map_err(|error| error.to_string())
    }

    fn echo(line: &str) -> EchoArgs {
        match parse(line).unwrap() {
            Mode::Echo(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn loopback_addresses_only() {
        for good in ["127.0.0.1:1", "127.8.9.10:65535", "[::1]:80", "localhost:80"] {
            assert!(parse(&format!("load echo {good}")).is_ok(), "{good}");
        }
        for bad in [
            "10.0.0.1:80",
            "0.0.0.0:80",
            "192.168.1.1:80",
            "[::]:80",
            "[2001:db8::1]:80",
            "example.com:80",
            "8.8.8.8:443",
        ] {
            assert!(parse(&format!("load echo {bad}")).is_err(), "{bad}");
        }
        // IPv4 addresses mapped into IPv6 are not loopback to the standard library: refused as well.
        assert!(parse("load echo [::ffff:10.0.0.1]:80").is_err());
    }

    #[test]
    fn the_check_does_not_trust_the_parser() {
        let mut args = echo("load echo 127.0.0.1:80");
        args.common.target = SocketAddr::from(([10, 0, 0, 1], 80));
        assert!(matches!(super::super::run(&Mode::Echo(args)), Err(Error::Usage(_))));
    }

    #[test]
    fn every_load_has_an_end() {
        assert_eq!(echo("load echo").end.limits().unwrap(), (3.0, u64::MAX));
        assert_eq!(echo("load echo --messages 5").end.limits().unwrap(), (MAX_SECONDS, 5));
        assert_eq!(echo("load echo --messages 5 --seconds 2").end.limits().unwrap(), (2.0, 5));
        for bad in
            ["--seconds 0", "--seconds NaN", "--seconds inf", "--seconds 601", "--messages 0", "--warmup 61"]
        {
            assert!(echo(&format!("load echo {bad}")).end.limits().is_err(), "{bad}");
        }
    }

    #[test]
    fn draft_0_has_text_in_one_frame() {
        let draft = Draft::Hybi00;
        assert!(echo("load echo --text").message.check(draft).is_ok());
        assert!(echo("load echo").message.check(draft).is_ok());
        assert!(echo("load echo --binary").message.check(draft).is_err());
        assert!(echo("load echo --fragments 2").message.check(draft).is_err());
        assert!(echo("load echo --fragments 2").message.check(Draft::Rfc6455).is_ok());
        assert!(echo("load echo --fragments 17").message.check(Draft::Rfc6455).is_err());
        assert!(echo("load echo --size 0 --fragments 1").message.check(Draft::Rfc6455).is_ok());
        assert!(parse("load echo --text --binary").is_err());
        assert!(parse("load echo --draft 9").is_err());
    }

    #[test]
    fn compression_is_for_draft_13() {
        let offer = |line: &str| {
            let args = echo(line);
            args.deflate.offer(args.common.draft)
        };
        assert_eq!(offer("load echo").unwrap(), None);
        assert_eq!(offer("load echo --deflate").unwrap(), Some(Offer::new(false, 15)));
        assert_eq!(offer("load echo --deflate-window 9").unwrap(), Some(Offer::new(false, 9)));
        assert_eq!(offer("load echo --deflate-takeover").unwrap(), Some(Offer::new(true, 15)));
        assert!(offer("load echo --deflate --draft 8").is_err());
        assert!(parse("load echo --deflate-window 8").is_err());
        assert!(parse("load connect --deflate").is_err());
    }

    #[test]
    fn paths_are_plain() {
        assert!(echo("load echo --path /chat?room=1").common.check().is_ok());
        assert!(echo("load echo --path chat").common.check().is_err());
        let mut args = echo("load echo");
        args.common.path = Some("/a\r\nHost: b".into());
        assert!(args.common.check().is_err());
    }

    #[test]
    fn sources_are_loopback_too() {
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(source(target, 1, 7), None);
        for index in 0..600 {
            assert!(source(target, 255, index).unwrap().is_loopback());
        }
        assert_eq!(source(target, 8, 9), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(source("[::1]:80".parse().unwrap(), 8, 9), None);
    }
}
