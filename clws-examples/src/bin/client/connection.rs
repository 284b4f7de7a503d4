//! The open connection: sends lines of stdin and shows received frames.

use std::borrow::Cow;
use std::error::Error;
use std::io::{self, ErrorKind, Write};
use std::net::Shutdown;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use clws_handshake::Version;
use clws_proto::connection::State;
use clws_proto::{CloseCode, CloseFrame, ConnectionError, Event, Limits, SendError, Sender};

use crate::stream::Stream;

const HELP: &str = "\
any other line       a text message (//x sends /x)
/binary HEX          a binary message: /binary 00 ff 10
/ping [TEXT]         a ping
/pong [TEXT]         an unsolicited pong
/close [CODE] [WHY]  the closing handshake; at the end of input with 1000";

/// A sent or received frame. A fragmented message is shown as one frame.
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Binary(Cow<'a, [u8]>),
    Ping(&'a [u8]),
    Pong(&'a [u8]),
    Close(Option<CloseFrame<'a>>),
    /// The end of one side of the connection, which is the closing handshake of hixie-75.
    End,
}

impl<'a> Frame<'a> {
    /// Parses a line of stdin.
    fn parse(line: &'a str) -> Result<Self, String> {
        let Some(command) = line.strip_prefix('/') else { return Ok(Self::Text(line)) };
        let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
        match name {
            _ if command.starts_with('/') => Ok(Self::Text(command)),
            "binary" => from_hex(rest)
                .map(|bytes| Self::Binary(bytes.into()))
                .ok_or(format!("not hexadecimal: {rest}")),
            "ping" => Ok(Self::Ping(rest.as_bytes())),
            "pong" => Ok(Self::Pong(rest.as_bytes())),
            "close" if rest.is_empty() => Ok(Self::close(CloseCode::NORMAL)),
            "close" => {
                let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
                if reason.len() > 123 {
                    return Err(format!(
                        "the reason has {} bytes, but at most 123 are allowed",
                        reason.len()
                    ));
                }
                let code = code.parse::<u16>().map_err(|error| format!("{code}: {error}"))?.into();
                Ok(Self::Close(Some(CloseFrame { code, reason })))
            }
            "help" => Err(HELP.to_owned()),
            _ => Err(format!("there is no /{name}; /help lists the commands")),
        }
    }

    fn close(code: CloseCode) -> Self {
        Self::Close(Some(CloseFrame { code, reason: "" }))
    }

    fn queue(&self, sender: &mut Sender) -> Result<(), SendError> {
        match self {
            Self::Text(text) => sender.text(text, None),
            Self::Binary(payload) => sender.binary(payload, None),
            Self::Ping(payload) => sender.ping(payload),
            Self::Pong(payload) => sender.pong(payload),
            Self::Close(Some(frame)) => sender.close(frame.code, frame.reason),
            Self::Close(None) | Self::End if sender.close_sent() => Err(SendError::Closed),
            Self::Close(None) | Self::End => {
                sender.close_without_code();
                Ok(())
            }
        }
    }
}

impl fmt::Display for Frame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "text {} {}", text.len(), visible(text)),
            Self::Binary(payload) => write!(f, "binary {} {}", payload.len(), hex(payload)),
            Self::Ping(payload) => write!(f, "ping {} {}", payload.len(), readable(payload)),
            Self::Pong(payload) => write!(f, "pong {} {}", payload.len(), readable(payload)),
            Self::Close(Some(frame)) => write!(f, "close {} {}", frame.code, visible(frame.reason)),
            Self::Close(None) => f.write_str("close without a code"),
            Self::End => f.write_str("end"),
        }
    }
}

/// The connection, shared by the reading and the typing thread.
pub(crate) struct Connection {
    stream: Stream,
    ws: Mutex<clws_proto::Connection>,
    patience: Duration,
    version: Version,
    quiet: bool,
}

impl Connection {
    pub(crate) fn new(stream: Stream, version: Version, patience: Duration, quiet: bool) -> Self {
        let ws = Mutex::new(clws_proto::Connection::client(version, Limits::default(), || {
            let mut key = [0; 4];
            crate::random(&mut key);
            key
        }));
        Self { stream, ws, patience, version, quiet }
    }

    /// Sends and shows a frame. One lock covers both, so frames are shown in wire order.
    pub(crate) fn send(&self, frame: &Frame<'_>) -> Result<(), Box<dyn Error>> {
        let mut ws = self.lock();
        self.queue(ws.sender(), frame)?;
        Ok(self.write(&mut ws)?)
    }

    fn queue(&self, sender: &mut Sender, frame: &Frame<'_>) -> Result<(), SendError> {
        frame.queue(sender)?;
        self.show_sent(frame);
        Ok(())
    }

    fn write(&self, ws: &mut clws_proto::Connection) -> io::Result<()> {
        if !ws.transmit(|slices| (&self.stream).write_vectored(slices))? {
            return Err(io::Error::new(ErrorKind::TimedOut, "the server reads nothing"));
        }
        if ws.wants_shutdown() {
            let _ = self.stream.shutdown(Shutdown::Write); // it fails if the server has reset the connection
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, clws_proto::Connection> {
        self.ws.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows a frame as this version sends it.
    fn show_sent(&self, frame: &Frame<'_>) {
        match frame {
            Frame::Close(_) if !self.version.has_close_frame() => self.show('>', &Frame::End),
            Frame::Close(_) if !self.version.has_close_codes() => self.show('>', &Frame::Close(None)),
            frame => self.show('>', frame),
        }
    }

    fn show(&self, direction: char, frame: &Frame<'_>) {
        if !self.quiet {
            crate::say(format!("{direction} {frame}").trim_end());
        }
    }

    /// Sends the lines of stdin, then closes.
    pub(crate) fn read_stdin(&self) {
        for line in io::stdin().lines().map_while(Result::ok) {
            match Frame::parse(&line).map(|frame| self.send(&frame)) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("not sent: {error}"),
                Err(usage) => eprintln!("{usage}"),
            }
        }
        self.close(CloseCode::NORMAL);
    }

    /// Begins the closing handshake, and hangs up if the server does not answer in time.
    pub(crate) fn close(&self, code: CloseCode) {
        let _ = self.send(&Frame::close(code)); // fails if one side has closed already
        thread::sleep(self.patience);
        let _ = self.stream.shutdown(Shutdown::Both); // fails if the connection has ended
    }

    /// Shows received frames until the connection is closed. With a deadline, only the first
    /// message is received.
    pub(crate) fn receive(&self, mut input: Vec<u8>, once: Option<Instant>) -> Result<(), Box<dyn Error>> {
        let mut wanted = once.is_some();
        while !self.handle(&mut input, &mut wanted)? {
            let mut buffer = vec![0; 64 * 1024];
            let count = crate::read(&self.stream, &mut buffer, once)?;
            if count == 0 {
                return self.handle_end(wanted);
            }
            buffer.truncate(count);
            input = buffer;
        }
        Ok(())
    }

    /// Shows the events of one read and the answers. Returns whether the connection is closed.
    fn handle(&self, input: &mut [u8], wanted: &mut bool) -> Result<bool, Box<dyn Error>> {
        let mut ws = self.lock();
        let mut is_open = ws.state() == State::Open; // otherwise nothing is answered
        let mut events = ws.receive(input);
        while let Some((event, sender)) = events.next() {
            let frame = match &event {
                Event::Text(text) => Frame::Text(text),
                Event::Binary(payload) => Frame::Binary(Cow::Borrowed(payload)),
                Event::Ping(payload) => Frame::Ping(payload),
                Event::Pong(payload) => Frame::Pong(payload),
                Event::Close(close) => Frame::Close(*close),
                _ => continue,
            };
            self.show('<', &frame);
            let answer = match &frame {
                Frame::Text(text) if *wanted => (*text).to_owned(),
                Frame::Binary(payload) if *wanted => hex(payload),
                Frame::Ping(payload) if is_open => {
                    self.show_sent(&Frame::Pong(payload));
                    continue;
                }
                Frame::Close(close) if is_open => {
                    self.show_sent(&Frame::Close(close.map(|close| CloseFrame { reason: "", ..close })));
                    continue;
                }
                _ => continue,
            };
            crate::say(&answer);
            *wanted = false;
            self.queue(sender, &Frame::close(CloseCode::NORMAL))?;
            is_open = false;
        }
        drop(events);
        if let Some(Err(ConnectionError::Protocol(error))) = ws.end()
            && is_open
        {
            let (code, reason) = (error.close_code(self.version), &error.to_string());
            self.show_sent(&Frame::Close(Some(CloseFrame { code, reason })));
        }
        let written = self.write(&mut ws);
        match ws.end() {
            None => written.map(|()| false).map_err(Into::into),
            Some(Ok(close)) if *wanted => {
                Err(format!("received instead of an answer: {}", Frame::Close(close)).into())
            }
            Some(Ok(_)) => Ok(true),
            Some(Err(ConnectionError::Protocol(error))) => {
                Err(format!("the server violated the protocol: {error}").into())
            }
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// Handles the end of the server's side of the stream.
    fn handle_end(&self, wanted: bool) -> Result<(), Box<dyn Error>> {
        let mut ws = self.lock();
        let is_open = ws.state() == State::Open;
        ws.end_of_input();
        match ws.end() {
            Some(Ok(_)) if !wanted => {
                self.show('<', &Frame::End);
                if is_open {
                    self.show('>', &Frame::End);
                }
                let _ = self.write(&mut ws); // it fails if the server is gone
                Ok(())
            }
            Some(Err(_)) if self.version.has_close_frame() => {
                Err("the connection ended without the server's close frame".into())
            }
            _ => Err("the connection ended too early".into()),
        }
    }
}

/// Escapes control characters, so that received text cannot control the terminal.
pub(crate) fn visible(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_debug().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

fn readable(payload: &[u8]) -> String {
    str::from_utf8(payload).map_or_else(|_| hex(payload), visible)
}

fn hex(payload: &[u8]) -> String {
    payload.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<_> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    digits.chunks(2).map(|pair| u8::try_from(pair.first()? * 16 + pair.get(1)?).ok()).collect()
}
