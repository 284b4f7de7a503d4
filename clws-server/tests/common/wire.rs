//! A client of RFC 6455 at the level of bytes. It can half-close, reset, and write without reading.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use clws_server::Listen;
use socket2::Socket;

use super::Running;

/// The time limit of each read and write of a [`Wire`].
pub const SHORT_TIMEOUT: Duration = Duration::from_secs(20);

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A blocking client after its opening handshake.
pub struct Wire {
    pub socket: Socket,
}

/// A complete frame of a client. The mask is zero.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(opcode, payload.len());
    frame.extend_from_slice(payload);
    frame
}

/// A frame of a client with any first byte: FIN, the reserved bits and the opcode.
pub fn raw_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame(0, payload);
    frame[0] = first;
    frame
}

/// The header of a client's frame with a payload of `len` bytes.
pub fn header(opcode: u8, len: usize) -> Vec<u8> {
    let mut header = vec![0x80 | opcode];
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(len @ 0..=125), _) => header.push(0x80 | len),
        (_, Ok(len)) => {
            header.push(0x80 | 126);
            header.extend(len.to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend((len as u64).to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// Text messages `0`, `1`, `2` and so on, each padded to `width` digits.
pub fn numbered_texts(count: usize, width: usize) -> Vec<u8> {
    (0..count).flat_map(|number| frame(TEXT, format!("{number:0width$}").as_bytes())).collect()
}

/// An upgrade request.
pub fn request(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: here.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

impl Wire {
    /// Connects to the first address of the server.
    pub fn connect(server: &Running, target: &str) -> Self {
        Self::to(&server.addresses[0], target)
    }

    pub fn to(address: &Listen, target: &str) -> Self {
        let mut wire = Self { socket: dial(address) };
        wire.raw(request(target).as_bytes());
        let head = wire.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{target}: {head}");
        wire
    }

    /// Reads the head of an HTTP response.
    pub fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            self.socket.read_exact(&mut byte).expect("no response to the request");
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    pub fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.raw(&frame(opcode, payload));
    }

    pub fn text(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    /// The opcode and the payload of the next frame, or `None` at the end of the connection.
    #[track_caller]
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut payload = Vec::new();
        let opcode = self.next_into(&mut payload)?;
        Some((opcode, payload))
    }

    /// Like `next`, but reads the payload into a buffer.
    #[track_caller]
    pub fn next_into(&mut self, payload: &mut Vec<u8>) -> Option<u8> {
        let mut start = [0; 2];
        if !self.fill(&mut start) {
            return None;
        }
        let mut long = [0; 8];
        let len = match start[1] & 0x7F {
            126 if self.fill(&mut long[..2]) => usize::from(u16::from_be_bytes([long[0], long[1]])),
            127 if self.fill(&mut long) => usize::try_from(u64::from_be_bytes(long)).unwrap(),
            126 | 127 => return None,
            len => usize::from(len),
        };
        payload.resize(len, 0);
        self.fill(payload).then_some(start[0] & 0x0F)
    }

    #[track_caller]
    fn fill(&mut self, buffer: &mut [u8]) -> bool {
        match self.socket.read_exact(buffer) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("the server sends nothing"),
            Err(_) => false,
        }
    }

    /// Sends bytes that arrive in a single read, and waits until the server has read them.
    #[track_caller]
    pub fn send_and_wait_until_read(&mut self, bytes: &[u8]) {
        assert!(bytes.len() < 32 * 1024, "the system may split the bytes");
        self.raw(&[&frame(PING, b"read?"), bytes].concat());
        assert_eq!(self.next(), Some((PONG, b"read?".to_vec())));
    }

    /// The code of the next close frame. Skips messages.
    #[track_caller]
    pub fn close_code(&mut self) -> Option<u16> {
        while let Some((opcode, payload)) = self.next() {
            if opcode == CLOSE {
                return Some(u16::from_be_bytes([*payload.first()?, *payload.get(1)?]));
            }
        }
        None
    }

    /// Sends a close frame, and waits for the end of the connection.
    #[track_caller]
    pub fn finish(mut self) {
        self.send(CLOSE, &1000u16.to_be_bytes());
        while self.next().is_some() {}
    }

    /// Half-closes the connection with a FIN.
    pub fn shutdown_write(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Drops the connection with a RST, which discards unread data.
    pub fn reset(self) {
        reset(self.socket);
    }

    /// Sends a text and waits for its echo. Returns the elapsed time.
    #[track_caller]
    pub fn assert_answered_within(&mut self, timeout: Duration) -> Duration {
        self.socket.set_read_timeout(Some(timeout)).unwrap();
        let start = Instant::now();
        self.text("still there?");
        let mut answer = [0; 14];
        let read = self.socket.read_exact(&mut answer);
        assert!(read.is_ok(), "another client is not answered within {timeout:?}: {read:?}");
        assert_eq!(&answer, b"\x81\x0Cstill there?");
        start.elapsed()
    }
}

/// Connects a socket whose reads and writes time out after [`SHORT_TIMEOUT`].
pub fn dial(address: &Listen) -> Socket {
    let socket: Socket = match address {
        Listen::Tcp(address) => {
            let stream = TcpStream::connect_timeout(address, SHORT_TIMEOUT).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.into()
        }
        #[cfg(unix)]
        Listen::Unix(path) => std::os::fd::OwnedFd::from(super::unix(path)).into(),
        other => panic!("{other}"),
    };
    socket.set_read_timeout(Some(SHORT_TIMEOUT)).unwrap();
    socket.set_write_timeout(Some(SHORT_TIMEOUT)).unwrap();
    socket
}

/// Drops a connection with a RST.
pub fn reset(socket: Socket) {
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

/// Waits until the condition holds, for at most [`SHORT_TIMEOUT`].
#[track_caller]
pub fn soon(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + SHORT_TIMEOUT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not in time");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Gives the server time to handle its input. No test depends on how much it handles.
pub fn wait_a_moment() {
    thread::sleep(Duration::from_millis(300));
}
