//! Helpers of the fuzz targets: choices from the fuzzer's bytes, and a second parser of heads to
//! compare with.
#![forbid(unsafe_code)]

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

/// Takes choices from the front of the fuzzer's bytes. At their end, every choice is 0.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or_default()
    }

    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Text of up to 63 bytes. Invalid UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        let len = usize::from(self.byte() & 63);
        String::from_utf8_lossy(self.take(len)).into_owned()
    }

    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

/// A head, split as simply as possible: at each CRLF, and at the first colon of each line.
pub struct Head {
    pub first: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub len: usize,
}

impl Head {
    /// The head at the start of these bytes. `None` if it has no end, or a line without a colon.
    pub fn split(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let mut lines = Vec::new();
        let mut rest = &bytes[..end];
        while let Some(at) = rest.windows(2).position(|two| two == b"\r\n") {
            lines.push(&rest[..at]);
            rest = &rest[at + 2..];
        }
        lines.push(rest);
        let mut headers = Vec::new();
        for line in &lines[1..] {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let value = trim_whitespace(&line[colon + 1..]).to_vec();
            headers.push((String::from_utf8(line[..colon].to_vec()).ok()?.to_ascii_lowercase(), value));
        }
        Some(Self { first: lines[0].to_vec(), headers, len: end + 4 })
    }

    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| &value[..]).collect()
    }

    /// The value of a header that is present exactly once.
    pub fn one(&self, name: &str) -> Option<&[u8]> {
        match self.all(name)[..] {
            [value] => Some(value),
            _ => None,
        }
    }

    /// Whether a list, in one line or in several, has this member in any case.
    pub fn lists(&self, name: &str, member: &str) -> bool {
        self.all(name).iter().any(|value| {
            value
                .split(|byte| *byte == b',')
                .any(|one| trim_whitespace(one).eq_ignore_ascii_case(member.as_bytes()))
        })
    }
}

/// The `Sec-WebSocket-Accept` value for a key: RFC 6455 §4.2.2, /key/.
pub fn accept_key(key: &[u8]) -> String {
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    base64::engine::general_purpose::STANDARD.encode(sha1.finalize())
}

/// The number of bytes that a key encodes, decoded leniently. `None` if it is not base64.
pub fn key_len(key: &[u8]) -> Option<usize> {
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/".contains(byte);
    let digits = key.iter().take_while(|byte| is_digit(byte)).count();
    let padding = &key[digits..];
    if padding.len() > 2 || padding.iter().any(|byte| *byte != b'=') || digits % 4 == 1 {
        return None;
    }
    Some(digits * 6 / 8)
}

/// RFC 3986 §3.2: a host and an optional port, parsed as leniently as any parser may.
pub fn is_authority(text: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
    let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text[colon..].contains(&b']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, &b""[..]),
    };
    let port = std::str::from_utf8(port).unwrap_or("x");
    let is_port =
        port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_host = match host {
        [b'[', inner @ .., b']'] => {
            inner.first() == Some(&b'v')
                || inner.first() == Some(&b'V')
                || std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok())
        }
        name => {
            let escapes = name.split(|byte| *byte == b'%').skip(1);
            let are_hex =
                escapes.into_iter().all(|rest| rest.len() > 1 && rest[..2].iter().all(u8::is_ascii_hexdigit));
            !name.is_empty() && name.iter().all(is_name) && are_hex
        }
    };
    is_host && is_port
}

/// A valid response.
pub struct ParsedResponse {
    pub status: u16,
    /// In the order of the response, with names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// Parses a response of the server with another parser. It must be valid HTTP/1.1.
pub fn parse_response(bytes: &[u8]) -> ParsedResponse {
    // An interim response comes first if the client waits for it.
    let bytes = bytes.strip_prefix(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(bytes);
    let mut room = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut room);
    let end = match response.parse(bytes) {
        Ok(httparse::Status::Complete(end)) => end,
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(bytes)),
    };
    assert_eq!(response.version, Some(1));
    let status = response.code.expect("a status");
    let headers: Vec<_> =
        response.headers.iter().map(|line| (line.name.to_ascii_lowercase(), line.value.to_vec())).collect();
    // CRLF is the only line ending, and there are no unexpected lines.
    let head = &bytes[..end];
    let lines = head.iter().filter(|byte| **byte == b'\n').count();
    assert_eq!(lines, headers.len() + 2);
    assert_eq!(lines, head.iter().filter(|byte| **byte == b'\r').count());
    ParsedResponse { status, headers, body: bytes[end..].to_vec() }
}

impl ParsedResponse {
    pub fn one(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.headers.iter().filter(|(found, _)| found == name);
        let (_, value) = values.next()?;
        assert!(values.next().is_none(), "the header {name} is present twice");
        Some(value)
    }
}

/// RFC 9110 §5.6.3: `OWS = *( SP / HTAB )`. Other whitespace is part of the value, where a form
/// feed is an error.
pub fn trim_whitespace(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}
