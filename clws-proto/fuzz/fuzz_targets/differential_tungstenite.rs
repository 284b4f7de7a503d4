//! Gives the same bytes to tungstenite and to a connection of version 13. Both must deliver the
//! same messages, send the same pongs and close frame, and end in the same way. The README lists
//! the intended differences.
#![no_main]

use std::io::{self, Read, Write};

use clws_proto::{Connection, ConnectionError, Limits, ProtocolError, Receiver, Role, Version};
use clws_proto_fuzz::{Got, Input, feed, limits, other, owned};
use libfuzzer_sys::fuzz_target;
use tungstenite::Message;
use tungstenite::error::{Error, ProtocolError as Theirs};
use tungstenite::protocol::{WebSocket, WebSocketConfig};

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The input ended before a close frame.
    Cut,
    /// The peer sent a close frame.
    Closed,
    /// The peer violated the protocol, with this close code.
    Failed(u16),
}

/// The result of one implementation for a stream.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    events: Vec<Got>,
    end: End,
    /// The sent pongs, and the code of the sent close frame.
    answers: Vec<Got>,
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let role = if input.byte() & 0x80 != 0 { Role::Client } else { Role::Server };
    let mut limits = limits(input.byte() & 0x3F).max_fragments(u32::MAX);
    // README, 4: tungstenite applies its limit on frames to control frames.
    limits.max_frame_size = limits.max_frame_size.max(125);
    let (wire, oversized) = whole(input.rest(), &limits);
    let (ours, error) = self::ours(&wire, role, limits);
    let theirs = self::theirs(&wire, role, limits);
    if let Some(error) = error
        && ours != theirs
        && is_stricter(&error, &ours, &theirs, oversized.map(|at| self::ours(&wire[..at], role, limits).0))
    {
        return;
    }
    // 6. tungstenite does not know 1014, which IANA registered in 2015.
    if let Some((Got::Close(Some((1014, _))), before)) = ours.events.split_last() {
        assert_eq!((before, End::Failed(1002)), (&theirs.events[..], theirs.end));
        return;
    }
    assert_eq!(ours.events, theirs.events);
    assert_eq!(ours.end, theirs.end, "{error:?}");
    assert_eq!(ours.answers, theirs.answers);
});

/// Completes the last frame, because tungstenite checks whole frames and clws checks each byte
/// (README, 1). Also returns the position of the first frame that exceeds the limit.
fn whole(bytes: &[u8], limits: &Limits) -> (Vec<u8>, Option<usize>) {
    let mut wire = bytes.to_vec();
    let mut at = 0;
    while at < wire.len() {
        let second = wire.get(at + 1).copied().unwrap_or_default();
        let bytes = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let header = 2 + bytes + if second & 0x80 != 0 { 4 } else { 0 };
        if wire.len() < at + header {
            wire.resize(at + header, 0);
        }
        let length = match bytes {
            0 => u64::from(second & 0x7F),
            _ => {
                wire[at + 2..at + 2 + bytes].iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte))
            }
        };
        if length > limits.max_frame_size as u64 {
            return (wire, Some(at));
        }
        let end = at + header + length as usize;
        if end > wire.len() {
            wire.resize(end, 0);
        }
        at = end;
    }
    (wire, None)
}

/// The result of clws.
fn ours(wire: &[u8], role: Role, limits: Limits) -> (Seen, Option<ProtocolError>) {
    let mut ws = match role {
        Role::Server => Connection::server(Version::Rfc6455, limits),
        Role::Client => Connection::client(Version::Rfc6455, limits, || [1, 2, 3, 4]),
    };
    let (mut seen, mut out, mut wire) = (Vec::new(), Vec::new(), wire.to_vec());
    let mut events = ws.receive(&mut wire);
    while let Some((event, sender)) = events.next() {
        seen.push(owned(event));
        sender.write_to(&mut out).expect("a Vec takes all bytes");
    }
    drop(events);
    ws.transmit(|slices| out.write_vectored(slices)).expect("into a Vec");
    let (end, failure) = match ws.end() {
        None => (End::Cut, None),
        Some(Ok(_)) => (End::Closed, None),
        Some(Err(ConnectionError::Protocol(error))) => {
            (End::Failed(error.close_code(Version::Rfc6455).value()), Some(error))
        }
        Some(Err(error)) => panic!("{error}"),
    };
    (Seen { answers: answers(&out, role, end), events: seen, end }, failure)
}

/// A stream that has all its input and keeps its output.
struct Memory<'a> {
    input: &'a [u8],
    output: Vec<u8>,
}

impl Read for Memory<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The result of tungstenite.
fn theirs(wire: &[u8], role: Role, limits: Limits) -> Seen {
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_message_size(Some(limits.max_message_size))
        .max_frame_size(Some(limits.max_frame_size));
    let their_role = match role {
        Role::Server => tungstenite::protocol::Role::Server,
        Role::Client => tungstenite::protocol::Role::Client,
    };
    let stream = Memory { input: wire, output: Vec::new() };
    let mut socket = WebSocket::from_raw_socket(stream, their_role, Some(config));
    let (mut events, mut end) = (Vec::new(), None);
    let end = loop {
        match socket.read() {
            Ok(Message::Text(text)) => events.push(Got::Text(text.to_string())),
            Ok(Message::Binary(bytes)) => events.push(Got::Binary(bytes.to_vec())),
            Ok(Message::Ping(payload)) => events.push(Got::Ping(payload.to_vec())),
            Ok(Message::Pong(payload)) => events.push(Got::Pong(payload.to_vec())),
            Ok(Message::Close(frame)) => match frame {
                // tungstenite reports its own error as a close frame.
                Some(frame) if u16::from(frame.code) == 1002 && frame.reason == "Protocol violation" => {
                    end = Some(End::Failed(1002));
                }
                frame => {
                    let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    events.push(Got::Close(frame));
                    end = Some(End::Closed);
                }
            },
            Ok(Message::Frame(frame)) => panic!("unexpected raw frame: {frame:?}"),
            Err(Error::ConnectionClosed | Error::Protocol(Theirs::ReceivedAfterClosing)) if end.is_some() => {
                break end;
            }
            // README, 9: as a client, tungstenite parses data after a close frame.
            Err(_) if end.is_some() => break end,
            Err(Error::Protocol(Theirs::ResetWithoutClosingHandshake)) => break Some(End::Cut),
            Err(Error::Protocol(_)) => break Some(End::Failed(1002)),
            Err(Error::Utf8(_)) => break Some(End::Failed(1007)),
            Err(Error::Capacity(_)) => break Some(End::Failed(1009)),
            Err(error) => panic!("{error:?}"),
        }
    };
    // tungstenite writes a queued pong with the next read, which never comes after the end.
    let _ = socket.flush();
    let end = end.expect("the loop sets an end");
    Seen { answers: answers(&socket.get_ref().output, role, end), events, end }
}

/// The pongs and the close frame in the written bytes.
///
/// The reason of a close frame is omitted, because echoing it is optional (RFC 6455 §5.5.1). After
/// a failure the close frame is omitted, because tungstenite leaves sending it to its user.
fn answers(out: &[u8], role: Role, end: End) -> Vec<Got> {
    let mut got = Vec::new();
    feed(&mut Receiver::new(Version::Rfc6455, other(role), Limits::default()), out, &mut got);
    got.retain(|event| !matches!(end, End::Failed(_)) || !matches!(event, Got::Close(_)));
    for event in &mut got {
        match event {
            Got::Close(Some((_, reason))) => reason.clear(),
            Got::Close(None) | Got::Pong(_) => {}
            other => panic!("{other:?} is not an answer"),
        }
    }
    got
}

/// Whether clws correctly refuses input that tungstenite accepts or refuses for another reason. The
/// numbers are those of the README. `prefix` is the result before the first frame that exceeds the
/// limit.
fn is_stricter(error: &ProtocolError, ours: &Seen, theirs: &Seen, prefix: Option<Seen>) -> bool {
    match error {
        // 2. tungstenite accepts lengths in more bytes than needed, in control frames too.
        ProtocolError::NonMinimalLength | ProtocolError::ControlTooLong => {
            theirs.events.starts_with(&ours.events)
        }
        // 5. If code and reason are both invalid, tungstenite reports the reason.
        ProtocolError::InvalidCloseCode(_) if theirs.end == End::Failed(1007) => ours.events == theirs.events,
        // 3. tungstenite checks its limit on frames before all other rules.
        _ => {
            let same = ours.events == theirs.events && ours.answers == theirs.answers;
            let ends = (ours.end, theirs.end) == (End::Failed(1002), End::Failed(1009));
            same && ends && prefix.is_some_and(|prefix| prefix.end == End::Cut)
        }
    }
}
