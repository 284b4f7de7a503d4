use std::fmt;
use std::ops::{Deref, Range};
use std::str::Utf8Error;

use bytes::Bytes;
use bytestring::ByteString;

use crate::buffer::pool::is_snug;
use crate::buffer::slice::BufSlice;
use crate::close::CloseFrame;

/// What came from the peer: a whole message, or a control frame.
///
/// It borrows from the buffer that was lent to [`Receiver::receive`](crate::Receiver::receive) where it lay there in
/// one piece; [`Payload::into_bytes`] and [`Text::into_string`] make it last longer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A text message.
    Text(Text<'a>),
    /// A binary message; never in draft 0 and hixie-75.
    Binary(Payload<'a>),
    /// A ping, to be answered by [`Sender::answer_ping`](crate::Sender::answer_ping); never in draft 0 and
    /// hixie-75.
    Ping(Payload<'a>),
    /// A pong, asked for or not; never in draft 0 and hixie-75.
    Pong(Payload<'a>),
    /// The closing handshake, to be answered by [`Sender::answer_close`](crate::Sender::answer_close); nothing
    /// comes behind it. `None` where the frame had no body. Never in hixie-75, where the end of the TCP connection is all
    /// there is.
    Close(Option<CloseFrame<'a>>),
}

/// The octets of a message or of a control frame.
pub struct Payload<'a>(Data<'a>);

enum Data<'a> {
    Borrowed(&'a [u8]),
    /// Lent by the `Events`, which give it back to the pool unless it is taken.
    Assembled(&'a mut BufSlice),
    /// The last octets that were read to that buffer, which is min_adoptable_len them: to be had with it.
    Owned(&'a mut Vec<u8>, Range<usize>),
}

impl<'a> Payload<'a> {
    pub(crate) const fn borrowed(octets: &'a [u8]) -> Self {
        Self(Data::Borrowed(octets))
    }

    pub(crate) const fn assembled(octets: &'a mut BufSlice) -> Self {
        Self(Data::Assembled(octets))
    }

    pub(crate) const fn owned(buffer: &'a mut Vec<u8>, range: Range<usize>) -> Self {
        Self(Data::Owned(buffer, range))
    }

    /// The octets with the buffer that they lie in, for as long as they wait to be sent; the payload itself where that is
    /// not theirs, or, unless it may be `loose`, over twice as long as they are.
    pub(crate) fn into_part(self, loose: bool) -> Result<BufSlice, Self> {
        match self.0 {
            Data::Borrowed(_) => Err(self),
            Data::Assembled(ref octets) if !loose && !octets.is_snug() => Err(self),
            Data::Owned(ref buffer, ref range) if !loose && !is_snug(range.len(), buffer.capacity()) => {
                Err(self)
            }
            Data::Assembled(octets) => Ok(std::mem::take(octets)),
            Data::Owned(buffer, range) => Ok(BufSlice::new(std::mem::take(buffer), range)),
        }
    }

    /// The octets, to keep: free where the message was assembled from pieces, in a buffer that it fills by half at least; one
    /// exact copy otherwise, since what is kept, maybe for long, is not to keep much more than itself.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Data::Assembled(octets) if octets.is_snug() => std::mem::take(octets).into_bytes(),
            Data::Assembled(_) | Data::Borrowed(_) | Data::Owned(..) => Bytes::copy_from_slice(&self),
        }
    }

    /// The octets, to keep and to change; costs what [`into_bytes`](Self::into_bytes) costs, or a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        match self.0 {
            Data::Assembled(octets) if octets.is_snug() => std::mem::take(octets).into_vec(),
            Data::Assembled(_) | Data::Borrowed(_) | Data::Owned(..) => self.to_vec(),
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Data::Borrowed(octets) => octets,
            Data::Assembled(octets) => octets,
            Data::Owned(buffer, range) => buffer.get(range.clone()).unwrap_or_default(),
        }
    }
}

impl AsRef<[u8]> for Payload<'_> {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The text of a message, checked to be UTF-8.
pub struct Text<'a>(Characters<'a>);

enum Characters<'a> {
    Borrowed(&'a str),
    /// Lent by the `Events`, which give it back to the pool unless it is taken.
    Assembled(&'a mut String),
    /// Made anew, because what came was not UTF-8.
    Replaced(String),
}

impl<'a> Text<'a> {
    pub(crate) const fn borrowed(text: &'a str) -> Self {
        Self(Characters::Borrowed(text))
    }

    pub(crate) const fn assembled(text: &'a mut String) -> Self {
        Self(Characters::Assembled(text))
    }

    pub(crate) const fn replaced(text: String) -> Self {
        Self(Characters::Replaced(text))
    }

    /// Whether it lies in a buffer of its own, so that to keep it is free; and, unless it may be `loose`, not one over twice as
    /// long.
    pub(crate) const fn is_assembled(&self, loose: bool) -> bool {
        match &self.0 {
            Characters::Borrowed(_) => false,
            Characters::Assembled(text) => loose || is_snug(text.len(), text.capacity()),
            Characters::Replaced(_) => true,
        }
    }

    /// The octets with the whole buffer that they were assembled in, for as long as they wait to be sent.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        match self.0 {
            Characters::Borrowed(text) => text.as_bytes().to_vec(),
            Characters::Assembled(text) => std::mem::take(text).into_bytes(),
            Characters::Replaced(text) => text.into_bytes(),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self
    }

    /// The text, to keep: free where the message was assembled from pieces, in a buffer that it fills by half at least; one
    /// exact copy otherwise.
    #[must_use]
    pub fn into_string(self) -> String {
        match self.0 {
            Characters::Borrowed(text) => text.to_owned(),
            Characters::Assembled(text) if !is_snug(text.len(), text.capacity()) => text.clone(),
            Characters::Assembled(text) => std::mem::take(text),
            Characters::Replaced(text) => text,
        }
    }

    /// The text, to keep and to share: its clones copy nothing. Costs what [`into_string`](Self::into_string) costs.
    #[must_use]
    pub fn into_bytestring(self) -> ByteString {
        match self.0 {
            Characters::Borrowed(text) => ByteString::from(text),
            _ => ByteString::from(self.into_string()),
        }
    }

    /// The octets of the text, to keep; costs what [`into_string`](Self::into_string) costs.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self.0 {
            Characters::Borrowed(text) => Bytes::copy_from_slice(text.as_bytes()),
            Characters::Assembled(text) if !is_snug(text.len(), text.capacity()) => {
                Bytes::copy_from_slice(text.as_bytes())
            }
            Characters::Assembled(text) => Bytes::from(std::mem::take(text)),
            Characters::Replaced(text) => Bytes::from(text),
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
            Characters::Borrowed(text) => text,
            Characters::Assembled(text) => text,
            Characters::Replaced(text) => text,
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
