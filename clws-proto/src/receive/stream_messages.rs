//! Receivers that deliver long messages in pieces.

use crate::error::ProtocolError;
use crate::message::event::Event;
use crate::message::piece::{Piece, PieceData};
use crate::message::stream::StreamState;
use crate::receive::decoded::PieceBytes;
use crate::receive::framing::Framing;
#[cfg(feature = "deflate")]
use crate::receive::hybi::Hybi;
use crate::receive::stream::Stream;
use crate::receive::{Events, Receiver};

impl Receiver {
    /// Delivers messages longer than `above` bytes in [`Piece`](crate::Piece)s, as they arrive.
    ///
    /// Messages of at most `above` bytes stay [`Text`](crate::Event::Text) and
    /// [`Binary`](crate::Event::Binary) events. The division of the stream into reads decides about
    /// the length of the pieces, but not about the kind of the event. So an application of short
    /// commands and long uploads handles its commands as before.
    ///
    /// The receiver holds at most `above` bytes of a message. A piece borrows from the buffer of
    /// the read and is not copied. An incomplete character at the end of a read becomes a piece
    /// with the next read. Between the pieces of a message, control frames are delivered.
    ///
    /// Set the limits for the longest message, for example to 1 GiB: both
    /// [`max_message_size`](crate::Limits::max_message_size) and
    /// [`max_frame_size`](crate::Limits::max_frame_size), because a peer may send a message in one frame.
    /// A long frame takes no more memory than a short one. [`max_fragments`](crate::Limits::max_fragments)
    /// applies too.
    ///
    /// An error is returned as soon as the received bytes show it. A length is checked when it is
    /// declared. The message then gets no [last](crate::Piece::last) piece.
    ///
    /// Compressed messages are inflated in pieces of at most 32 KiB, whatever their ratio. They
    /// stay whole up to 16 KiB of inflated data if `above` is less.
    ///
    /// A receiver that streams takes about 100 bytes more. Call this before the first input.
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// use clws_proto::{Event, Limits, Receiver, Role, Version};
    ///
    /// let limits = Limits::default().max_frame_size(1 << 30).max_message_size(1 << 30);
    /// let mut receiver =
    ///     Receiver::new(Version::Rfc6455, Role::Client, limits).stream_messages(64 * 1024);
    ///
    /// // The upload of 100,000 bytes arrives in two reads.
    /// let mut read = [&[0x82, 127, 0, 0, 0, 0, 0, 0x01, 0x86, 0xA0][..], &[7; 60_000]].concat();
    /// let (mut file, mut is_complete) = (Vec::new(), false);
    /// for mut read in [read, vec![7; 40_000]] {
    ///     let mut events = receiver.receive(&mut read);
    ///     while let Some(event) = events.next()? {
    ///         if let Event::Piece(piece) = event {
    ///             file.write_all(piece.bytes())?;
    ///             is_complete = piece.last;
    ///         }
    ///     }
    /// }
    /// assert_eq!((file.len(), is_complete), (100_000, true));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stream_messages(mut self, above: usize) -> Self {
        match &mut self.framing {
            Framing::Hybi(status, hybi) => {
                let stream = Stream::new(std::mem::take(hybi), above);
                self.framing = Framing::Stream(*status, Box::new(stream));
            }
            Framing::Hixie(_, hixie) => hixie.stream_messages(above),
            #[cfg(feature = "deflate")]
            Framing::Deflate(..) => {
                let status = self.framing.status();
                if let Framing::Deflate(_, deflate) =
                    std::mem::replace(&mut self.framing, Framing::Hybi(status, Hybi::default()))
                {
                    let (hybi, inflation) = *deflate;
                    let stream = Stream { inflation: Some(inflation), ..Stream::new(hybi, above) };
                    self.framing = Framing::Stream(status, Box::new(stream));
                }
            }
            Framing::Stream(_, stream) => stream.state = StreamState::new(above),
        }
        self
    }
}

impl Events<'_> {
    /// Lends a piece of a long message.
    #[inline(never)]
    pub(super) fn lend_piece(
        &mut self,
        data: PieceBytes,
        first: bool,
        last: bool,
    ) -> Result<Option<Event<'_>>, ProtocolError> {
        let data = match data {
            PieceBytes::Text(text) => {
                self.text = text;
                PieceData::Text(&self.text)
            }
            PieceBytes::Binary(slice) => {
                self.slice = slice;
                PieceData::Binary(&self.slice)
            }
            PieceBytes::BinaryInPlace { start, end } => {
                let buffer = if self.held.is_empty() { self.input.bytes() } else { &mut self.held };
                PieceData::Binary(buffer.get(start..end).unwrap_or_default())
            }
            PieceBytes::TextInPlace { start, end } => {
                let buffer = if self.held.is_empty() { self.input.bytes() } else { &mut self.held };
                match simdutf8::basic::from_utf8(buffer.get(start..end).unwrap_or_default()) {
                    Ok(text) => PieceData::Text(text),
                    Err(_) => {
                        self.receiver.finish();
                        return Err(ProtocolError::InvalidUtf8);
                    }
                }
            }
        };
        Ok(Some(Event::Piece(Piece::new(data, first, last))))
    }
}
