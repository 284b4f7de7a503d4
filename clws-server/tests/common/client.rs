//! A blocking client for all versions.

use std::collections::VecDeque;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use clws_handshake::client::{AnswerError, ClientRequest};
use clws_handshake::{HandshakeLimits, Status};
#[cfg(feature = "deflate")]
use clws_proto::{CodecPool, DeflateConfig, DeflateParams};
use clws_proto::{Event, Limits, Receiver, Role, Sender};
use clws_server::Version;

use super::TIMEOUT;

pub fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, TIMEOUT).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[cfg(unix)]
pub fn unix(path: &std::path::Path) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(TIMEOUT)).unwrap();
    stream
}

/// An event received from the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// In hixie-75 this is the end of the server's side, and precedes `End`.
    Close(Option<(u16, String)>),
    /// The server has ended its side.
    End,
    /// The connection was reset.
    Reset,
}

pub fn text(text: &str) -> Received {
    Received::Text(text.to_owned())
}

pub trait Stream: Read + Write + Send {
    /// Half-closes the stream, as a client of hixie-75 closes.
    fn end(&mut self) {
        panic!("this stream cannot be half-closed");
    }
}

impl Stream for TcpStream {
    fn end(&mut self) {
        let _ = self.shutdown(Shutdown::Write); // the server may have disconnected
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn end(&mut self) {
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// Settings that compress every message.
#[cfg(feature = "deflate")]
pub fn compress_all() -> DeflateConfig {
    DeflateConfig::default().threshold(0)
}

/// A blocking client. It compresses every message if permessage-deflate was negotiated.
pub struct Peer {
    pub stream: Box<dyn Stream>,
    pub sender: Sender,
    pub receiver: Receiver,
    pub headers: Vec<(String, String)>,
    pub subprotocol: Option<String>,
    #[cfg(feature = "deflate")]
    pub deflate: Option<DeflateParams>,
    got: VecDeque<Received>,
    /// Whether `Close` was reported for the end of the server's side.
    closed: bool,
    ended: bool,
}

impl Peer {
    /// Performs the opening handshake. The error is the status of the response.
    pub fn open(
        mut stream: impl Stream + 'static,
        version: Version,
        request: ClientRequest<'_>,
    ) -> Result<Self, u16> {
        let mut seed = 1u8;
        let mut random = |bytes: &mut [u8]| {
            for byte in bytes {
                seed = seed.wrapping_mul(61).wrapping_add(13);
                *byte = seed;
            }
        };
        let (request, mut pending) = request.build(&mut random).unwrap();
        stream.write_all(&request).unwrap();
        let mut received = Vec::new();
        loop {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).unwrap();
            assert!(count > 0, "incomplete response: {:?}", String::from_utf8_lossy(&received));
            received.extend_from_slice(&buffer[..count]);
            match pending.check(&received, &HandshakeLimits::default()) {
                Ok(Status::Partial) => {}
                Ok(Status::Complete(open)) => {
                    let limits = Limits::default()
                        .max_frame_size(usize::MAX)
                        .max_message_size(usize::MAX)
                        .max_fragments(u32::MAX);
                    let (sender, receiver) = (
                        Sender::client(version, || [0xA5, 0x5A, 0x0F, 0xF0]),
                        Receiver::new(version, Role::Client, limits),
                    );
                    let mut peer = Self::established(stream, sender, receiver);
                    peer.headers = open.headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                    peer.subprotocol = open.subprotocol.map(ToOwned::to_owned);
                    #[cfg(feature = "deflate")]
                    if let Some(params) = open.deflate {
                        let codecs = CodecPool::new(&compress_all());
                        peer.sender = peer.sender.deflate(params, &codecs);
                        peer.receiver = peer.receiver.deflate(params, &codecs);
                        peer.deflate = Some(params);
                    }
                    let consumed = open.consumed;
                    peer.decode(&mut received[consumed..]);
                    return Ok(peer);
                }
                Err(AnswerError::Refused { status, .. }) => return Err(status),
                Err(error) => panic!("{error}: {:?}", String::from_utf8_lossy(&received)),
            }
        }
    }

    /// A client on a stream with a completed opening handshake.
    pub fn established(stream: impl Stream + 'static, sender: Sender, receiver: Receiver) -> Self {
        Self {
            stream: Box::new(stream),
            sender,
            receiver,
            headers: Vec::new(),
            subprotocol: None,
            #[cfg(feature = "deflate")]
            deflate: None,
            got: VecDeque::new(),
            closed: false,
            ended: false,
        }
    }

    pub fn text(&mut self, message: &str) {
        self.send(|sender| sender.text(message, None).unwrap());
    }

    pub fn binary(&mut self, message: &[u8]) {
        self.send(|sender| sender.binary(message, None).unwrap());
    }

    pub fn close(&mut self, code: u16, reason: &str) {
        self.send(|sender| sender.close(code.into(), reason).unwrap());
    }

    /// Queues frames and writes them.
    pub fn send(&mut self, queue: impl FnOnce(&mut Sender)) {
        queue(&mut self.sender);
        while self.sender.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.sender.io_slices(&mut slices);
            let written = self.stream.write_vectored(&slices[..filled]).unwrap();
            assert!(written > 0);
            self.sender.consume(written);
        }
        if self.sender.close_sent() && !self.sender.version().has_close_frame() {
            self.stream.end();
        }
    }

    /// Writes raw bytes, valid or not. The server may have disconnected already.
    pub fn raw(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// The next event.
    #[track_caller]
    pub fn next(&mut self) -> Received {
        loop {
            if let Some(got) = self.got.pop_front() {
                return got;
            }
            assert!(!self.ended, "no event follows the end");
            let mut buffer = vec![0; 64 * 1024];
            match self.stream.read(&mut buffer) {
                Ok(0) if !self.receiver.version().has_close_frame() && !self.closed => {
                    self.closed = true;
                    return Received::Close(None);
                }
                Ok(0) => {
                    self.ended = true;
                    return Received::End;
                }
                Ok(count) => self.decode(&mut buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    self.ended = true;
                    return Received::Reset;
                }
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Sends a text and checks its echo.
    #[track_caller]
    pub fn assert_echo(&mut self, message: &str) {
        self.text(message);
        assert_eq!(self.next(), text(message));
    }

    /// Answers the server's close frame, and waits for the end.
    #[track_caller]
    pub fn finish(&mut self) {
        if !self.sender.close_sent() {
            self.send(|sender| sender.answer_close(None));
        }
        assert_eq!(self.next(), Received::End);
    }

    fn decode(&mut self, bytes: &mut [u8]) {
        let mut events = self.receiver.receive(bytes);
        while let Some(event) = events.next().unwrap() {
            self.got.push_back(match event {
                Event::Text(text) => Received::Text(text.into_string()),
                Event::Binary(payload) => Received::Binary(payload.into_vec()),
                Event::Ping(payload) => Received::Ping(payload.into_vec()),
                Event::Pong(payload) => Received::Pong(payload.into_vec()),
                Event::Close(frame) => {
                    Received::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned())))
                }
                event => panic!("{event:?}"),
            });
        }
    }
}

/// Reads to the end or to a reset. Returns the data, and whether the connection ended without a
/// reset.
pub fn read_to_end(stream: &mut impl Read) -> (Vec<u8>, bool) {
    let (mut data, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (data, true),
            Ok(count) => data.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return (data, false),
            Err(error) => panic!("{error}"),
        }
    }
}
