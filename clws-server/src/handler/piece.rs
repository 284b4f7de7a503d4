//! Pieces of long messages that wait for a handler.

use bytes::Bytes;
use bytestring::ByteString;
use clws_proto::{Piece, PieceData};

/// A [`Piece`](crate::Piece) of a long message that owns its bytes.
///
/// A mailbox, a resource listener and a [`WebSocket`](crate::WebSocket) deliver it. Only the
/// clients of a resource that [streams messages](crate::ResourceConfig::stream_messages) send
/// messages in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedPiece {
    /// The bytes of the piece.
    pub data: OwnedPieceData,
    /// Whether this piece begins a message.
    pub first: bool,
    /// Whether this piece ends the message. A message without a last piece is incomplete.
    pub last: bool,
}

/// The bytes of an [`OwnedPiece`]. All pieces of a message are of the same kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedPieceData {
    /// A piece of a text message.
    Text(ByteString),
    /// A piece of a binary message. Draft 0 and hixie-75 have none.
    Binary(Bytes),
}

impl OwnedPiece {
    /// The bytes, of text or of binary data.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            OwnedPieceData::Text(text) => text.as_bytes(),
            OwnedPieceData::Binary(bytes) => bytes,
        }
    }
}

/// Copies the bytes.
impl From<Piece<'_>> for OwnedPiece {
    fn from(piece: Piece<'_>) -> Self {
        let data = match piece.data {
            PieceData::Text(text) => OwnedPieceData::Text(text.into()),
            PieceData::Binary(bytes) => OwnedPieceData::Binary(Bytes::copy_from_slice(bytes)),
        };
        Self { data, first: piece.first, last: piece.last }
    }
}
