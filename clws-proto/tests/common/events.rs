//! Events that own their payload. The fuzz targets include this file too.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::panic,
    clippy::expect_used,
    clippy::len_without_is_empty,
    reason = "test code; each user needs a part of it"
)]

use clws_proto::{Event, Events, ProtocolError};

/// An event that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    /// A piece of a message: whether it is text, its bytes, and whether it is the first and the
    /// last one.
    Piece(bool, Vec<u8>, bool, bool),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Failed(ProtocolError),
}

impl Got {
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    /// The length of a message.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
            _ => 0,
        }
    }

    /// Whether no event may follow.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Failed(_))
    }
}

/// Joins the pieces of each message, which is then one event at the place of its last piece. Checks
/// that the pieces are a message. With `above`, checks that exactly longer messages are in pieces. Returns the bytes of
/// an incomplete message too.
pub fn join_pieces(all: Vec<Got>, above: Option<usize>) -> (Vec<Got>, Vec<u8>) {
    let (mut joined, mut message) = (Vec::new(), None);
    for event in all {
        match event {
            Got::Piece(is_text, bytes, first, last) => {
                assert_eq!(first, message.is_none(), "a piece is the first one or not");
                assert!(last || !bytes.is_empty(), "an empty piece");
                let (kind, mut before) = message.take().unwrap_or((is_text, Vec::new()));
                assert_eq!(kind, is_text, "the kind of a message");
                before.extend(bytes);
                match (last, kind) {
                    (false, _) => message = Some((kind, before)),
                    (true, false) => joined.push(Got::Binary(before)),
                    (true, true) => joined.push(Got::Text(String::from_utf8(before).expect("UTF-8"))),
                }
                let is_short = last
                    && joined.last().is_some_and(|whole| above.is_some_and(|above| whole.len() <= above));
                assert!(!is_short, "a short message in pieces");
            }
            whole => {
                assert!(message.is_none() || !whole.is_data(), "a message within another one");
                assert!(
                    !whole.is_data() || above.is_none_or(|above| whole.len() <= above),
                    "a long message in one event"
                );
                joined.push(whole);
            }
        }
    }
    (joined, message.map_or(Vec::new(), |(_, bytes)| bytes))
}

/// The next event of a read, or `None` at its end.
pub fn pull(events: &mut Events<'_>) -> Option<Got> {
    match events.next() {
        Ok(event) => event.map(owned),
        Err(error) => Some(Got::Failed(error)),
    }
}

/// An event with its own memory.
pub fn owned(event: Event<'_>) -> Got {
    match event {
        Event::Text(text) => {
            // The type promises UTF-8, but the receiver may have built it without a check.
            assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "text that is not UTF-8");
            Got::Text(text.into_string())
        }
        Event::Binary(payload) => Got::Binary(payload.into_vec()),
        Event::Piece(piece) => {
            let bytes = piece.bytes().to_vec();
            assert!(!piece.is_text() || std::str::from_utf8(&bytes).is_ok(), "text that is not UTF-8");
            Got::Piece(piece.is_text(), bytes, piece.first, piece.last)
        }
        Event::Ping(payload) => Got::Ping(payload.to_vec()),
        Event::Pong(payload) => Got::Pong(payload.into_bytes().to_vec()),
        Event::Close(frame) => Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned()))),
        other => panic!("unexpected event: {other:?}"),
    }
}
