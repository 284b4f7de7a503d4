//! The client's side of the opening handshake.
//!
//! It uses the example keys of the specifications, so the expected answers are constants.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use super::args::Draft;
use super::deflate::Offer;
use super::error::Error;

/// RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// draft-hixie-thewebsocketprotocol-76 §1.2.
const KEY_1: &str = "4 @1  46546xW%0l 1 5";
const KEY_2: &str = "12998 5 Y3 1  .P00";
const KEY_3: &str = "^n:ds[4U";
const DIGEST: &[u8; 16] = b"8jKS'y:G*Co,Wxa-";
/// The largest response head.
const MAX_HEAD: usize = 16 << 10;

/// Builds the opening request, with an extension offer if there is one.
#[must_use]
pub fn request(draft: Draft, target: SocketAddr, path: &str, offer: Option<&Offer>) -> Vec<u8> {
    let mut head = format!("GET {path} HTTP/1.1\r\nHost: {target}\r\nConnection: Upgrade\r\n");
    if let Some(offer) = offer {
        head += &offer.header();
    }
    let origin = format!("http://{target}");
    let rest = match draft {
        Draft::Hybi00 => format!(
            "Upgrade: WebSocket\r\nOrigin: {origin}\r\nSec-WebSocket-Key1: {KEY_1}\r\nSec-WebSocket-Key2: {KEY_2}\r\n\r\n{KEY_3}"
        ),
        Draft::Hybi07 | Draft::Hybi08 => format!(
            "Upgrade: websocket\r\nSec-WebSocket-Origin: {origin}\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: {}\r\n\r\n",
            draft.number()
        ),
        Draft::Rfc6455 => format!(
            "Upgrade: websocket\r\nOrigin: {origin}\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ),
    };
    (head + &rest).into_bytes()
}

/// Parses the response. Returns its length in bytes, or `None` while it is incomplete.
///
/// # Errors
/// [`Error::Handshake`] for an invalid response.
pub fn answer(draft: Draft, input: &[u8]) -> Result<Option<usize>, Error> {
    let Some(end) = memchr::memmem::find(input, b"\r\n\r\n").map(|at| at + 4) else {
        if input.len() > MAX_HEAD {
            return Err(Error::Handshake(format!("the response head is longer than {MAX_HEAD} bytes")));
        }
        return Ok(None);
    };
    let head = &input[..end];
    if !head.starts_with(b"HTTP/1.1 101") {
        let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
        return Err(Error::Handshake(format!(
            "the server answered {:?} instead of 101",
            String::from_utf8_lossy(line)
        )));
    }
    if draft == Draft::Hybi00 {
        return match input.get(end..end + DIGEST.len()) {
            None => Ok(None),
            Some(digest) if digest == DIGEST => Ok(Some(end + DIGEST.len())),
            Some(_) => Err(Error::Handshake("the response digest is wrong".into())),
        };
    }
    if memchr::memmem::find(head, ACCEPT.as_bytes()).is_none() {
        return Err(Error::Handshake("Sec-WebSocket-Accept is missing or wrong".into()));
    }
    Ok(Some(end))
}

/// Opens an unconnected socket, bound to this source address if there is one.
///
/// # Errors
/// System errors.
pub fn socket(target: SocketAddr, source: Option<IpAddr>) -> Result<Socket, Error> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))
        .map_err(|e| Error::io("opening a socket", e))?;
    socket.set_tcp_nodelay(true).map_err(|e| Error::io("TCP_NODELAY", e))?;
    if let Some(source) = source {
        socket
            .bind(&SocketAddr::new(source, 0).into())
            .map_err(|e| Error::io(format!("binding to {source}"), e))?;
    }
    Ok(socket)
}

/// A connection after its handshake.
#[derive(Debug)]
pub struct Opened {
    /// The socket, in blocking mode.
    pub stream: TcpStream,
    /// Input after the handshake.
    pub early: Vec<u8>,
    /// The accepted extension parameters; empty without an offer.
    pub agreed: String,
}

/// Connects and shakes hands, blocking.
///
/// # Errors
/// System errors, and invalid responses.
pub fn open(
    draft: Draft,
    target: SocketAddr,
    source: Option<IpAddr>,
    request: &[u8],
    offer: Option<&Offer>,
    patience: Duration,
) -> Result<Opened, Error> {
    let socket = socket(target, source)?;
    socket
        .connect_timeout(&target.into(), patience)
        .map_err(|e| Error::io(format!("connecting to {target}"), e))?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(patience)).map_err(|e| Error::io("SO_RCVTIMEO", e))?;
    stream.set_write_timeout(Some(patience)).map_err(|e| Error::io("SO_SNDTIMEO", e))?;
    stream.write_all(request).map_err(|e| Error::io("sending the opening handshake", e))?;
    let mut input = Vec::new();
    let mut part = [0; 1024];
    loop {
        let n = stream.read(&mut part).map_err(|e| Error::io("waiting for the handshake response", e))?;
        if n == 0 {
            return Err(Error::Handshake("the server closed the connection instead of answering".into()));
        }
        input.extend_from_slice(&part[..n]);
        if let Some(end) = answer(draft, &input)? {
            let agreed = offer.map_or(Ok(String::new()), |offer| offer.agreed(&input[..end]))?;
            return Ok(Opened { stream, early: input.split_off(end), agreed });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    #[test]
    fn checks_the_response() {
        let frames = [GOOD.as_bytes(), b"\x82\x00"].concat();
        assert_eq!(answer(Draft::Rfc6455, &frames).unwrap(), Some(GOOD.len()));
        for end in 0..GOOD.len() {
            assert_eq!(answer(Draft::Hybi08, &GOOD.as_bytes()[..end]).unwrap(), None);
        }
        assert!(answer(Draft::Rfc6455, GOOD.replace("s3p", "S3p").as_bytes()).is_err());
        assert!(answer(Draft::Rfc6455, b"HTTP/1.1 404 Not Found\r\n\r\n").is_err());
        assert!(answer(Draft::Rfc6455, &[b'a'; MAX_HEAD + 1]).is_err());
    }

    #[test]
    fn draft_0_responses_end_with_the_digest() {
        let head =
            b"HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\r\n";
        let whole = [&head[..], DIGEST, b"\x00"].concat();
        assert_eq!(answer(Draft::Hybi00, &whole).unwrap(), Some(head.len() + 16));
        assert_eq!(answer(Draft::Hybi00, &whole[..head.len() + 15]).unwrap(), None);
        let wrong = [&head[..], b"fQJ,fN/4F4!~K~MH"].concat();
        assert!(answer(Draft::Hybi00, &wrong).is_err());
    }

    #[test]
    fn requests_contain_the_version() {
        let target = "127.0.0.1:80".parse().unwrap();
        let text = |draft| String::from_utf8(request(draft, target, "/a?b", None)).unwrap();
        assert!(text(Draft::Rfc6455).starts_with("GET /a?b HTTP/1.1\r\nHost: 127.0.0.1:80\r\n"));
        assert!(text(Draft::Rfc6455).contains("Version: 13\r\n"));
        assert!(text(Draft::Hybi07).contains("Version: 7\r\n"));
        assert!(text(Draft::Hybi08).contains("Sec-WebSocket-Origin: "));
        assert!(text(Draft::Hybi00).ends_with("\r\n\r\n^n:ds[4U"));
    }
}
