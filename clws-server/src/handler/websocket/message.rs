//! A message of a `WebSocket`.

use bytes::Bytes;
use bytestring::ByteString;

use crate::client::outgoing::Outgoing;
use crate::handler::backlog::MESSAGE_OVERHEAD;
use crate::handler::piece::{OwnedPiece, OwnedPieceData};

/// A message of a [`WebSocket`](crate::WebSocket).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message {
    /// Text.
    Text(ByteString),
    /// Bytes; never in draft 0 and hixie-75.
    Binary(Bytes),
    /// A piece of a long message that was received. Only a resource that [streams
    /// messages](crate::ResourceConfig::stream_messages) gets pieces. If it is sent, it is a
    /// message by itself.
    Piece(OwnedPiece),
    /// A ping to send. None is ever received, because the server answers pings itself.
    Ping(Bytes),
    /// A received pong, or an unsolicited pong to send.
    Pong(Bytes),
}

impl Message {
    /// Whether this is a data message, or ends one.
    pub(super) const fn ends_data(&self) -> bool {
        match self {
            Self::Text(_) | Self::Binary(_) => true,
            Self::Piece(piece) => piece.last,
            Self::Ping(_) | Self::Pong(_) => false,
        }
    }

    /// The bytes that the message counts in the backlog.
    pub(super) fn cost(&self) -> usize {
        let payload = match self {
            Self::Text(text) => text.len(),
            Self::Piece(piece) => piece.bytes().len(),
            Self::Binary(payload) | Self::Ping(payload) | Self::Pong(payload) => payload.len(),
        };
        payload.saturating_add(MESSAGE_OVERHEAD)
    }
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<ByteString> for Message {
    fn from(text: ByteString) -> Self {
        Self::Text(text)
    }
}

impl From<Bytes> for Message {
    fn from(payload: Bytes) -> Self {
        Self::Binary(payload)
    }
}

impl From<Vec<u8>> for Message {
    fn from(payload: Vec<u8>) -> Self {
        Self::Binary(payload.into())
    }
}

impl From<Message> for Outgoing<'_> {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => text.into(),
            Message::Binary(payload) => payload.into(),
            Message::Piece(OwnedPiece { data: OwnedPieceData::Text(text), .. }) => text.into(),
            Message::Piece(OwnedPiece { data: OwnedPieceData::Binary(payload), .. }) => payload.into(),
            Message::Ping(payload) => Outgoing::ping(payload),
            Message::Pong(payload) => Outgoing::pong(payload),
        }
    }
}
