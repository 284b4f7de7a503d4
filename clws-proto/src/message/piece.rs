//! Pieces of long messages.

use std::fmt;

/// A piece of a long message: see [`Receiver::stream_messages`](crate::Receiver::stream_messages).
///
/// The pieces of a message come in order, and no other message comes between them. Together they
/// are the whole message. Each text piece is valid UTF-8. Only the last piece may be empty.
///
/// A message is complete when its [`last`](Self::last) piece arrives. After an error, a close frame
/// or the end of the connection, no further piece comes. A message without a last piece is
/// incomplete.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece<'a> {
    /// The bytes of the piece.
    pub data: PieceData<'a>,
    /// Whether this piece begins a message.
    pub first: bool,
    /// Whether this piece ends the message.
    pub last: bool,
}

/// The bytes of a [`Piece`]. All pieces of a message are of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PieceData<'a> {
    /// A piece of a text message.
    Text(&'a str),
    /// A piece of a binary message. Draft 0 and hixie-75 have none.
    Binary(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// Creates a piece, for an application's tests of its handlers.
    #[must_use]
    pub const fn new(data: PieceData<'a>, first: bool, last: bool) -> Self {
        Self { data, first, last }
    }

    /// The bytes, of text or of binary data.
    ///
    /// ```
    /// use clws_proto::{Piece, PieceData};
    ///
    /// let piece = Piece::new(PieceData::Text("Hello, "), true, false);
    /// assert_eq!(piece.bytes(), b"Hello, ");
    /// ```
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        match self.data {
            PieceData::Text(text) => text.as_bytes(),
            PieceData::Binary(bytes) => bytes,
        }
    }

    /// Whether the message is text.
    #[must_use]
    pub const fn is_text(&self) -> bool {
        matches!(self.data, PieceData::Text(_))
    }
}

/// The length instead of the bytes, because a piece may be long.
impl fmt::Debug for Piece<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece")
            .field("is_text", &self.is_text())
            .field("len", &self.bytes().len())
            .field("first", &self.first)
            .field("last", &self.last)
            .finish()
    }
}
