//! A command-line client for any WebSocket server and any draft, on `clws-handshake` and
//! `clws-proto` alone. One thread reads the socket and another the lines of stdin.
//!
//! Run `cargo run --release -p clws-examples --bin client -- ws://127.0.0.1:12345/echo`, then type;
//! `/help` lists the commands. It shows sent (`>`) and received (`<`) frames with type, number of
//! bytes and payload. `client replay FILE` repeats a recorded connection. `--once MESSAGE` is for scripts: it prints only the first answer, and the
//! exit status says whether there was one.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use clws_handshake::client::{AnswerError, ClientRequest};
use clws_handshake::{HandshakeLimits, Status, Version};
use clws_proto::CloseCode;

use crate::connection::{Connection, Frame, visible};
use crate::stream::{Stream, Trust};

mod connection;
mod replay;
mod stream;
#[cfg(feature = "tls")]
mod tls;

/// A WebSocket client: lines of stdin are messages, /help lists the other commands
#[derive(Parser)]
#[command(disable_version_flag = true, disable_help_subcommand = true)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Flags {
    #[command(subcommand)]
    command: Option<Command>,
    /// The URL: `ws://HOST[:PORT][/PATH][?QUERY]`, or `wss://..` with the feature `tls`
    #[arg(required = true)]
    url: Option<String>,
    /// The version: 0 (hixie-76), 7, 8, 13 (RFC 6455), or 75 for hixie-75
    #[arg(long, default_value = "13", value_parser = version)]
    version: Version,
    /// The origin; draft 0 and hixie-75 require one and default to `http://localhost`
    #[arg(long)]
    origin: Option<String>,
    /// A subprotocol to offer (repeatable, in order of preference)
    #[arg(long, value_name = "NAME")]
    subprotocol: Vec<String>,
    /// A request header (repeatable)
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// A cookie (repeatable)
    #[arg(long, value_name = "NAME=VALUE")]
    cookie: Vec<String>,
    /// Send one text message, print one answer, and exit; fails without an answer
    #[arg(long, value_name = "MESSAGE")]
    once: Option<String>,
    /// Seconds to wait for the handshake and for the answer to a close frame; with --once, for
    /// everything
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
    /// Show the handshake; with --once, show frames too
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    trust: Trust,
}

#[derive(clap::Subcommand)]
enum Command {
    Replay(replay::Flags),
}

fn version(number: &str) -> Result<Version, &'static str> {
    number.parse().ok().and_then(Version::from_number).ok_or("expected 0, 7, 8, 13 or 75")
}

fn header(line: &str) -> Result<(String, String), &'static str> {
    let (name, value) = line.split_once(':').ok_or("expected NAME: VALUE")?;
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    if let Some(Command::Replay(flags)) = &flags.command {
        return replay::run(flags);
    }
    let url = flags.url.as_deref().unwrap_or_default(); // clap requires it
    let patience = Duration::from_secs(flags.timeout.max(1).into());
    let deadline = Instant::now() + patience;
    let stream = Stream::connect(url, patience, &flags.trust)?;
    let (greeting, early) = shake_hands(&stream, flags, url, deadline)?;
    let quiet = flags.once.is_some() && !flags.verbose;
    let connection = Arc::new(Connection::new(stream, flags.version, patience, quiet));
    let closing = Arc::clone(&connection);
    clws_examples::on_stop_signal(move || closing.close(CloseCode::GOING_AWAY))?;
    let Some(message) = &flags.once else {
        say(&greeting);
        let typing = Arc::clone(&connection);
        thread::spawn(move || typing.read_stdin());
        return connection.receive(early, None);
    };
    connection.send(&Frame::Text(message))?;
    connection.receive(early, Some(deadline))
}

/// Prints a line. Exits if standard output is closed.
fn say(line: &str) {
    if writeln!(io::stdout(), "{line}").is_err() {
        std::process::exit(1);
    }
}

/// RFC 6455 §5.3 requires unpredictable masks, so nothing can be sent without random numbers.
fn random(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        eprintln!("client: cannot get random numbers from the system: {error}");
        std::process::exit(1);
    }
}

/// Sends the request and checks the answer. Returns a summary and the input after the head.
fn shake_hands(
    mut stream: &Stream,
    flags: &Flags,
    url: &str,
    deadline: Instant,
) -> Result<(String, Vec<u8>), Box<dyn Error>> {
    let cookies = flags.cookie.join("; ");
    let mut request = ClientRequest::new(flags.version, url);
    if let Some(origin) = flags.origin.as_deref().or(flags.version.is_hixie().then_some("http://localhost")) {
        request = request.origin(origin);
    }
    request = flags.subprotocol.iter().fold(request, |request, name| request.subprotocol(name));
    request = flags.header.iter().fold(request, |request, (name, value)| request.header(name, value));
    if !cookies.is_empty() {
        request = request.header("Cookie", &cookies);
    }
    let (bytes, mut pending) = request.build(&mut random)?;
    let show = |direction, bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        for line in head.lines().filter(|_| flags.verbose) {
            eprintln!("{direction} {}", visible(line));
        }
        body.to_owned()
    };
    show('>', &bytes);
    stream.write_all(&bytes)?;
    let mut received = Vec::new();
    loop {
        match pending.check(&received, &HandshakeLimits::default()) {
            Ok(Status::Partial) => {}
            Ok(Status::Complete(open)) => {
                show('<', &received);
                let subprotocol = open.subprotocol.map(|name| format!(", subprotocol {name}"));
                let greeting =
                    format!("connected, version {}{}", open.version, subprotocol.unwrap_or_default());
                let consumed = open.consumed;
                return Ok((greeting, received.split_off(consumed)));
            }
            Err(error @ AnswerError::Refused { .. }) => {
                stream.set_read_timeout(Some(Duration::from_secs(1)))?;
                let _ = stream.take(64 * 1024).read_to_end(&mut received); // a partial body is useful too
                let body = show('<', &received);
                return Err(format!("{error}: {}", visible(body.trim())).trim_end_matches(": ").into());
            }
            Err(error) => {
                show('<', &received);
                return Err(error.into());
            }
        }
        let mut buffer = [0; 4096];
        match read(stream, &mut buffer, Some(deadline))? {
            0 => return Err("the server ended the connection without an answer".into()),
            count => received.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Reads available input, at most until the deadline.
fn read(mut stream: &Stream, buffer: &mut [u8], deadline: Option<Instant>) -> io::Result<usize> {
    let late = || io::Error::new(ErrorKind::TimedOut, "the server did not answer in time");
    let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
    if left == Some(Duration::ZERO) {
        return Err(late());
    }
    stream.set_read_timeout(left)?;
    match stream.read(buffer) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Err(late()),
        read => read,
    }
}
