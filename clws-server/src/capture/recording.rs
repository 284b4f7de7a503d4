//! Reading a recorded connection.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use crate::capture::error::RecordingError;
use crate::capture::packet::{ACK, FIN, RST, SYN, Segment};
use crate::capture::pcapng::Packets;
use crate::capture::transcript::Transcript;

/// A recorded connection.
///
/// ```
/// use clws_server::capture::{Recording, RecordingError};
///
/// assert_eq!(Recording::parse(b"").unwrap_err(), RecordingError::Truncated { at: 0 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    client: SocketAddr,
    server: SocketAddr,
    started: SystemTime,
    entries: Vec<Entry>,
}

/// One entry of a [`Recording`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// The time since the first entry of the file.
    pub at: Duration,
    /// The side that sent it.
    pub from: Side,
    /// The content.
    pub content: Content,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The client: bytes that the server read.
    Client,
    /// The server: bytes that it wrote.
    Server,
}

/// The content of an [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Content {
    /// Bytes of the stream. One read or write may have several entries.
    Bytes(Vec<u8>),
    /// That many bytes are missing, because the queue of the recorder was full.
    Missing(u32),
    /// The end of the side.
    End,
    /// The connection was dropped, or reading failed.
    Reset,
}

/// The position of one side in its stream.
#[derive(Default)]
struct Position {
    next: Option<u32>,
}

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or [`parse`](Self::parse) fails: [`io::ErrorKind::InvalidData`] with
    /// a [`RecordingError`] inside.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::parse(&fs::read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    /// Reads the bytes of a file. It takes no more memory than the file, whatever the file declares.
    ///
    /// # Errors
    ///
    /// The file ends within a block, is damaged, or is of another program.
    pub fn parse(file: &[u8]) -> Result<Self, RecordingError> {
        let mut packets = Packets::read(file)?;
        let mut recording: Option<(Self, Duration)> = None;
        let (mut client, mut server) = (Position::default(), Position::default());
        while let Some(packet) = packets.next()? {
            let wrong = |why| RecordingError::Format { at: packet.position, why };
            let segment = Segment::read(packet.bytes).ok_or(wrong("a packet is no TCP segment"))?;
            if recording.is_none() && segment.flags & (SYN | ACK) != SYN {
                return Err(wrong("the first packet does not open a connection"));
            }
            let (recording, start) = recording.get_or_insert_with(|| {
                let started = SystemTime::UNIX_EPOCH.checked_add(packet.at).unwrap_or(SystemTime::UNIX_EPOCH);
                let (client, server) = (segment.from, segment.to);
                (Self { client, server, started, entries: Vec::new() }, packet.at)
            });
            let (from, position) = match (segment.from, segment.to) {
                ends if ends == (recording.client, recording.server) => (Side::Client, &mut client),
                ends if ends == (recording.server, recording.client) => (Side::Server, &mut server),
                _ => return Err(wrong("a packet is of another connection")),
            };
            let at = packet.at.saturating_sub(*start);
            let mut push = |content| recording.entries.push(Entry { at, from, content });
            let missing = position.pass(&segment).ok_or(wrong("the bytes of a side are not in order"))?;
            if missing > 0 {
                push(Content::Missing(missing));
            }
            if !segment.payload.is_empty() {
                push(Content::Bytes(segment.payload.to_vec()));
            }
            if segment.flags & RST != 0 {
                push(Content::Reset);
            } else if segment.flags & FIN != 0 {
                push(Content::End);
            }
        }
        recording.map(|(recording, _)| recording).ok_or(RecordingError::Empty)
    }

    /// The address of the client. A client without an address has a port of 127.0.0.1.
    #[must_use]
    pub const fn client(&self) -> SocketAddr {
        self.client
    }

    /// The address of the server. A server without an address has the port 80 of a loopback
    /// address.
    #[must_use]
    pub const fn server(&self) -> SocketAddr {
        self.server
    }

    /// The time at which the recording began.
    #[must_use]
    pub const fn started(&self) -> SystemTime {
        self.started
    }

    /// What happened, in the order in which it was recorded.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the recording lasts to the end of the connection. Otherwise a limit was reached, or
    /// the process ended.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has = |side, content| self.entries.iter().any(|e| e.from == side && e.content == content);
        let ended = |side| has(side, Content::End);
        has(Side::Client, Content::Reset)
            || has(Side::Server, Content::Reset)
            || (ended(Side::Client) && ended(Side::Server))
    }

    /// The bytes of one side, up to the first gap.
    #[must_use]
    pub fn bytes(&self, from: Side) -> Vec<u8> {
        let entries = self.entries.iter().filter(|entry| entry.from == from);
        let mut all = Vec::new();
        for entry in entries {
            match &entry.content {
                Content::Bytes(bytes) => all.extend_from_slice(bytes),
                Content::Missing(_) => break,
                Content::End | Content::Reset => {}
            }
        }
        all
    }

    /// Checks that no byte of the client is missing.
    ///
    /// # Errors
    ///
    /// [`RecordingError::Gap`] for the first gap.
    pub fn check_gaps(&self) -> Result<(), RecordingError> {
        let gap = self.entries.iter().find_map(|entry| match (entry.from, &entry.content) {
            (Side::Client, Content::Missing(missing)) => Some(*missing),
            _ => None,
        });
        match gap {
            Some(missing) => Err(RecordingError::Gap { after: self.bytes(Side::Client).len(), missing }),
            None => Ok(()),
        }
    }

    /// The answers of the server, decoded up to the first gap.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        Transcript::decode(&self.bytes(Side::Client), &self.bytes(Side::Server))
    }
}

impl Position {
    /// Moves behind a segment. Returns the number of bytes missing before it, or `None` if the
    /// segment lies before the position.
    fn pass(&mut self, segment: &Segment<'_>) -> Option<u32> {
        let next = self.next.unwrap_or(segment.sequence);
        let missing = segment.sequence.wrapping_sub(next);
        let has_flag = segment.flags & (SYN | FIN) != 0;
        let length = u32::try_from(segment.payload.len()).ok()?.wrapping_add(has_flag.into());
        self.next = Some(segment.sequence.wrapping_add(length));
        (missing < 1 << 31).then_some(missing)
    }
}
