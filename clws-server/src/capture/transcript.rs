//! The answers of a server, decoded from its bytes.

use std::fmt;

use clws_handshake::{HandshakeLimits, Status, Version, parse};
#[cfg(feature = "deflate")]
use clws_proto::{CodecPool, DeflateConfig, DeflateParams};
use clws_proto::{Event, Limits, Receiver, Role};

/// The most payload bytes that are decoded, because a recording may be hostile.
const MAX_DECODED: usize = 256 << 20;

/// The answers of a server on one connection.
///
/// ```
/// use clws_server::capture::{Answer, Transcript};
///
/// let request = b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
/// let output = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello";
/// let transcript = Transcript::decode(request, output);
/// assert_eq!((transcript.status, transcript.answers), (Some(101), vec![Answer::Text("hello".into())]));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Transcript {
    /// The status of the response to the handshake. `None` if there is no whole response.
    pub status: Option<u16>,
    /// The header lines of the response.
    pub headers: Vec<(String, String)>,
    /// The body of a response without an upgrade.
    pub body: Vec<u8>,
    /// The messages and control frames, in their order. Compressed messages are decompressed.
    pub answers: Vec<Answer>,
    /// The reason for which the rest cannot be decoded.
    pub error: Option<String>,
}

/// A message or a control frame of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// A ping.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame: the code, or 1005 for none, and the reason.
    Close(u16, String),
}

impl Transcript {
    /// Decodes the bytes that a server sent in answer to `request`, which begins with the request
    /// of the handshake. What cannot be decoded sets [`error`](Self::error).
    #[must_use]
    pub fn decode(request: &[u8], output: &[u8]) -> Self {
        let mut transcript = Self::default();
        let mut rest = output;
        loop {
            let Some(end) = rest.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                transcript.error = (!rest.is_empty()).then(|| "there is no whole HTTP response".to_owned());
                return transcript;
            };
            let (head, body) = rest.split_at_checked(end + 4).unwrap_or((rest, &[]));
            let head = String::from_utf8_lossy(head);
            let mut lines = head.lines();
            let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
            rest = body;
            if status == Some(100) {
                continue; // an interim response
            }
            transcript.status = status;
            let lines = lines.filter_map(|line| line.split_once(':'));
            transcript.headers =
                lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect();
            break;
        }
        if transcript.status == Some(101) {
            transcript.decode_frames(request, rest);
        } else {
            transcript.body = rest.to_vec();
        }
        transcript
    }

    /// The first difference between two transcripts, as a sentence. `None` if they agree.
    ///
    /// The header `Date` may differ, and so may the pings: both depend on the time. Pongs are
    /// compared with pongs, because they may pass messages.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if self.status != other.status {
            return Some(format!("the status is {:?} and {:?}", self.status, other.status));
        }
        let lines = |transcript: &Self| {
            let stays = |(name, _): &&(String, String)| !name.eq_ignore_ascii_case("Date");
            transcript.headers.iter().filter(stays).cloned().collect::<Vec<_>>()
        };
        if let Some(difference) = first("header", &lines(self), &lines(other)) {
            return Some(difference);
        }
        if self.body != other.body {
            return Some("the bodies of the responses differ".to_owned());
        }
        let pick = |transcript: &Self, fits: fn(&Answer) -> bool| {
            transcript.answers.iter().filter(|answer| fits(answer)).cloned().collect::<Vec<_>>()
        };
        let is_pong = |answer: &Answer| matches!(answer, Answer::Pong(_));
        let is_other = |answer: &Answer| !matches!(answer, Answer::Ping(_) | Answer::Pong(_));
        first("message", &pick(self, is_other), &pick(other, is_other))
            .or_else(|| first("pong", &pick(self, is_pong), &pick(other, is_pong)))
            .or_else(|| {
                let differs = self.error != other.error;
                differs.then(|| format!("one cannot be decoded: {:?} and {:?}", self.error, other.error))
            })
    }

    fn decode_frames(&mut self, request: &[u8], mut rest: &[u8]) {
        let limits = HandshakeLimits::default().max_head_bytes(usize::MAX).hixie(true).hixie_75(true);
        let version = match parse(request, &limits) {
            Ok(Status::Complete(request)) => request.version(),
            _ => return self.error = Some("the version of the handshake is unknown".to_owned()),
        };
        if version == Version::Hybi00 {
            rest = rest.get(16..).unwrap_or_default(); // the proof that the server read the keys
        }
        let limits = Limits::default()
            .max_frame_size(MAX_DECODED)
            .max_message_size(MAX_DECODED)
            .max_fragments(u32::MAX);
        let mut receiver = Receiver::new(version, Role::Client, limits);
        #[cfg(feature = "deflate")]
        if let Some(params) = self.deflate() {
            receiver = receiver.deflate(params, &CodecPool::new(&DeflateConfig::default()));
        }
        let mut bytes = rest.to_vec();
        let mut decoded = 0;
        let mut events = receiver.receive(&mut bytes);
        loop {
            let answer = match events.next() {
                Ok(None) => return,
                Ok(Some(Event::Text(text))) => Answer::Text(text.into_string()),
                Ok(Some(Event::Binary(payload))) => Answer::Binary(payload.into_vec()),
                Ok(Some(Event::Ping(payload))) => Answer::Ping(payload.into_vec()),
                Ok(Some(Event::Pong(payload))) => Answer::Pong(payload.into_vec()),
                Ok(Some(Event::Close(frame))) => {
                    let (code, reason) = frame.map_or((1005, ""), |frame| (frame.code.value(), frame.reason));
                    Answer::Close(code, reason.to_owned())
                }
                Ok(Some(_)) => continue,
                Err(error) => return self.error = Some(error.to_string()),
            };
            decoded += answer.len();
            self.answers.push(answer);
            if decoded > MAX_DECODED {
                return self.error = Some(format!("there are more than {MAX_DECODED} bytes of messages"));
            }
        }
    }

    /// The parameters of permessage-deflate in the response.
    #[cfg(feature = "deflate")]
    fn deflate(&self) -> Option<DeflateParams> {
        let is_name = |name: &str| name.eq_ignore_ascii_case("Sec-WebSocket-Extensions");
        let (_, value) = self.headers.iter().find(|(name, _)| is_name(name))?;
        let mut parts = value.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        Some(parts.fold(DeflateParams::default(), |params, part| match part.split_once('=') {
            None if part == "server_no_context_takeover" => params.server_no_context_takeover(true),
            None if part == "client_no_context_takeover" => params.client_no_context_takeover(true),
            Some(("server_max_window_bits", bits)) => {
                params.server_max_window_bits(bits.parse().unwrap_or(15))
            }
            Some(("client_max_window_bits", bits)) => {
                params.client_max_window_bits(bits.parse().unwrap_or(15))
            }
            _ => params,
        }))
    }
}

impl Answer {
    fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload.len(),
            Self::Close(_, reason) => reason.len(),
        }
    }
}

/// The first difference between two lists.
fn first<T: PartialEq + fmt::Debug>(what: &str, left: &[T], right: &[T]) -> Option<String> {
    let show =
        |item: Option<&T>| item.map_or_else(|| "missing".to_owned(), |item| shortened(format!("{item:?}")));
    let at = (0..left.len().max(right.len())).find(|&at| left.get(at) != right.get(at))?;
    Some(format!("{what} {} is {} and {}", at + 1, show(left.get(at)), show(right.get(at))))
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(200) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
