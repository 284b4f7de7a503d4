//! Events and their payloads.

use std::fmt;
use std::ops::{Deref, Range};
use std::str::Utf8Error;

use bytes::Bytes;
use bytestring::ByteString;

use crate::buffer::pool::fills_half;
use crate::buffer::slice::BufSlice;
use crate::close::CloseFrame;
use crate::message::piece::Piece;

/// A whole message, a piece of a long message, or a control frame from the peer.
///
/// An event borrows from the buffer given to [`Receiver::receive`](crate::Receiver::receive) if it
/// was in one piece there. [`Payload::into_bytes`] and [`Text::into_string`] make it outlive the
/// buffer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A text message.
    Text(Text<'a>),
    /// A binary message. Draft 0 and hixie-75 have none.
    Binary(Payload<'a>),
    /// A piece of a long message. Only a receiver that
    /// [streams messages](crate::Receiver::stream_messages) returns pieces.
    Piece(Piece<'a>),
    /// A ping. Answer it with [`Sender::answer_ping`](crate::Sender::answer_ping). Draft 0 and
    /// hixie-75 have none.
    Ping(Payload<'a>),
    /// A pong, solicited or not. Draft 0 and hixie-75 have none.
    Pong(Payload<'a>),
    /// A close frame. Answer it with [`Sender::answer_close`](crate::Sender::answer_close). No
    /// event follows it. `None` if the frame had no body. Hixie-75 has no close frame: the TCP
    /// connection just ends.
    Close(Option<CloseFrame<'a>>),
}

/// The bytes of a message or of a control frame.
pub struct Payload<'a>(Data<'a>);

enum Data<'a> {
    Borrowed(&'a [u8]),
    /// Lent by `Events`, which returns the buffer to the pool unless it is taken.
    Assembled(&'a mut BufSlice),
    /// The last bytes that were read into this buffer. They are enough to take the buffer with
    /// them.
    Owned(&'a mut Vec<u8>, Range<usize>),
}

impl<'a> Payload<'a> {
    pub(crate) const fn borrowed(bytes: &'a [u8]) -> Self {
        Self(Data::Borrowed(bytes))
    }

    pub(crate) const fn assembled(bytes: &'a mut BufSlice) -> Self {
        Self(Data::Assembled(bytes))
    }

    pub(crate) const fn owned(buffer: &'a mut Vec<u8>, range: Range<usize>) -> Self {
        Self(Data::Owned(buffer, range))
    }

    /// Takes the bytes with their buffer, to queue them. Fails if the payload does not own a
    /// buffer. Unless `allow_sparse` is set, it also fails if the bytes fill less than half of the
    /// buffer.
    pub(crate) fn into_slice(self, allow_sparse: bool) -> Result<BufSlice, Self> {
        match self.0 {
            Data::Borrowed(_) => Err(self),
            Data::Assembled(ref bytes) if !allow_sparse && !bytes.fills_half() => Err(self),
            Data::Owned(ref buffer, ref range)
                if !allow_sparse && !fills_half(range.len(), buffer.capacity()) =>
            {
                Err(self)
            }
            Data::Assembled(bytes) => Ok(std::mem::take(bytes)),
            Data::Owned(buffer, range) => Ok(BufSlice::new(std::mem::take(buffer), range)),
        }
    }

    /// The bytes, owned. Free if the message was assembled from pieces and fills at least half of
    /// its buffer. Otherwise one exact copy, because the bytes may be kept for a long time.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Data::Assembled(bytes) if bytes.fills_half() => std::mem::take(bytes).into_bytes(),
            Data::Assembled(_) | Data::Borrowed(_) | Data::Owned(..) => Bytes::copy_from_slice(&self),
        }
    }

    /// The bytes, owned and mutable. Costs as much as [`into_bytes`](Self::into_bytes), or a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Data::Assembled(bytes) if bytes.fills_half() => std::mem::take(bytes).into_vec(),
            Data::Assembled(_) | Data::Borrowed(_) | Data::Owned(..) => self.to_vec(),
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Data::Borrowed(bytes) => bytes,
            Data::Assembled(bytes) => bytes,
            Data::Owned(buffer, range) => buffer.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The text of a message, valid UTF-8.
pub struct Text<'a>(TextData<'a>);

enum TextData<'a> {
    Borrowed(&'a str),
    /// Lent by `Events`, which returns the buffer to the pool unless it is taken.
    Assembled(&'a mut String),
    /// Allocated because the received bytes were not UTF-8.
    Replaced(String),
}

impl<'a> Text<'a> {
    pub(crate) const fn borrowed(text: &'a str) -> Self {
        Self(TextData::Borrowed(text))
    }

    pub(crate) const fn assembled(text: &'a mut String) -> Self {
        Self(TextData::Assembled(text))
    }

    pub(crate) const fn replaced(text: String) -> Self {
        Self(TextData::Replaced(text))
    }

    /// Whether the text owns a buffer and can be kept without a copy. Unless `allow_sparse` is set,
    /// the text must also fill at least half of the buffer.
    pub(crate) const fn is_owned(&self, allow_sparse: bool) -> bool {
        match &self.0 {
            TextData::Borrowed(_) => false,
            TextData::Assembled(text) => allow_sparse || fills_half(text.len(), text.capacity()),
            TextData::Replaced(_) => true,
        }
    }

    /// The bytes with the whole buffer that they were assembled in, to queue them.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        match self.0 {
            TextData::Borrowed(text) => text.as_bytes().to_vec(),
            TextData::Assembled(text) => std::mem::take(text).into_bytes(),
            TextData::Replaced(text) => text.into_bytes(),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self
    }

    /// The text, owned. Free if the message was assembled from pieces and fills at least half of
    /// its buffer. Otherwise one exact copy.
    #[must_use]
    pub fn into_string(self) -> String {
        match self.0 {
            TextData::Borrowed(text) => text.to_owned(),
            TextData::Assembled(text) if !fills_half(text.len(), text.capacity()) => text.clone(),
            TextData::Assembled(text) => std::mem::take(text),
            TextData::Replaced(text) => text,
        }
    }

    /// The text, owned and shared: a clone copies nothing. Costs as much as
    /// [`into_string`](Self::into_string).
    #[must_use]
    pub fn into_bytestring(self) -> ByteString {
        match self.0 {
            TextData::Borrowed(text) => ByteString::from(text),
            _ => ByteString::from(self.into_string()),
        }
    }

    /// The bytes of the text, owned. Costs as much as [`into_string`](Self::into_string).
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            TextData::Borrowed(text) => Bytes::copy_from_slice(text.as_bytes()),
            TextData::Assembled(text) if !fills_half(text.len(), text.capacity()) => {
                Bytes::copy_from_slice(text.as_bytes())
            }
            TextData::Assembled(text) => Bytes::from(std::mem::take(text)),
            TextData::Replaced(text) => Bytes::from(text),
        }
    }
}

impl From<Text<'_>> for ByteString {
    fn from(text: Text<'_>) -> Self {
        text.into_bytestring()
    }
}

/// Checks that bytes are UTF-8.
impl<'a> TryFrom<&'a [u8]> for Text<'a> {
    type Error = Utf8Error;

    fn try_from(bytes: &'a [u8]) -> Result<Self, Utf8Error> {
        // `simdutf8` is faster, the standard library reports the position of the error.
        simdutf8::basic::from_utf8(bytes).or_else(|_| std::str::from_utf8(bytes)).map(Self::borrowed)
    }
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            TextData::Borrowed(text) => text,
            TextData::Assembled(text) => text,
            TextData::Replaced(text) => text,
        }
    }
}

impl AsRef<str> for Text<'_> {
    fn as_ref(&self) -> &str {
        self
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Payload<'_> {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl<T: AsRef<str> + ?Sized> PartialEq<T> for Text<'_> {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}
