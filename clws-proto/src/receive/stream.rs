//! A framing that delivers long messages in pieces.

use crate::buffer::pool::{BufferPool, NoPool};
#[cfg(feature = "deflate")]
use crate::deflate::extension::Skip;
use crate::deflate::extension::{Extension, Plain, Streaming};
#[cfg(feature = "deflate")]
use crate::deflate::inflate::Inflation;
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::message::stream::StreamState;
use crate::receive::Receiver;
use crate::receive::decoded::Decoded;
use crate::receive::framing::Framing;
use crate::receive::hybi::Hybi;
use crate::receive::input::Cursor;
use crate::version::Role;

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
    /// [`max_message_size`](Limits::max_message_size) and
    /// [`max_frame_size`](Limits::max_frame_size), because a peer may send a message in one frame.
    /// A long frame takes no more memory than a short one. [`max_fragments`](Limits::max_fragments)
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

/// The framing of drafts 7, 8 and 13, with messages in pieces.
///
/// It is a framing of its own, so that other receivers do not pay for it.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) hybi: Hybi,
    #[cfg(feature = "deflate")]
    pub(super) inflation: Option<Inflation>,
    state: StreamState,
}

impl Stream {
    const fn new(hybi: Hybi, above: usize) -> Self {
        Self {
            hybi,
            #[cfg(feature = "deflate")]
            inflation: None,
            state: StreamState::new(above),
        }
    }

    /// Decodes the next event.
    pub(super) fn step(
        &mut self,
        input: Cursor<'_>,
        role: Role,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<Decoded, ProtocolError> {
        let state = &mut self.state;
        #[cfg(feature = "deflate")]
        if let Some(inflation) = &mut self.inflation {
            return self.hybi.step(input, role, limits, buffers, &mut Streamed { inner: inflation, state });
        }
        self.hybi.step(input, role, limits, buffers, &mut Streamed { inner: &mut Plain, state })
    }

    /// Decodes the next event of a connection that has ended. Payloads are ignored.
    pub(super) fn skip(
        &mut self,
        input: Cursor<'_>,
        role: Role,
        limits: &Limits,
    ) -> Result<Decoded, ProtocolError> {
        #[cfg(feature = "deflate")]
        if self.inflation.is_some() {
            return self.hybi.step(input, role, limits, &NoPool, &mut Skip);
        }
        self.hybi.step(input, role, limits, &NoPool, &mut Plain)
    }

    /// Whether an event is complete although all input is consumed.
    pub(super) fn has_complete_frame(&self) -> bool {
        self.state.has_output || self.hybi.has_complete_frame()
    }

    /// Memory held by a message in progress, in bytes.
    pub(super) fn held(&self) -> usize {
        let held = self.hybi.held();
        #[cfg(feature = "deflate")]
        let held = held + self.inflation.as_ref().map_or(0, Inflation::held);
        held
    }

    /// Memory held by the context, in bytes.
    #[cfg(feature = "deflate")]
    pub(super) fn context_size(&self) -> usize {
        self.inflation.as_ref().map_or(0, Inflation::context_size)
    }

    /// Drops all data.
    pub(super) fn reset(&mut self) {
        self.hybi = Hybi::default();
        self.state.reset();
        #[cfg(feature = "deflate")]
        if let Some(inflation) = &mut self.inflation {
            inflation.reset();
        }
    }
}

/// An extension of a connection whose long messages are delivered in pieces.
struct Streamed<'a, E> {
    inner: &'a mut E,
    state: &'a mut StreamState,
}

impl<E: Extension + crate::deflate::extension::StreamInflation> Extension for Streamed<'_, E> {
    const ALLOWED_RSV: u8 = E::ALLOWED_RSV;
    const STREAMS: bool = true;

    fn inflate(
        &mut self,
        bytes: &[u8],
        last: bool,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        self.inner.inflate(bytes, last, data, limits, buffers)
    }

    fn finish(&mut self, data: &MessageAssembler) -> Result<(), ProtocolError> {
        self.inner.finish(data)
    }

    fn streaming(&mut self) -> Option<Streaming<'_>> {
        Some(Streaming { state: self.state, inflation: self.inner })
    }
}
