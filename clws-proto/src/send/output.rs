//! The way of queued bytes to the socket.

use std::io::{self, IoSlice};

use crate::buffer::pool::{BufferPool, NoPool};
use crate::send::Sender;
use crate::send::outbox::OutboxBuffer;

impl Sender {
    /// Octets that are queued and not written.
    #[must_use]
    pub const fn queued(&self) -> usize {
        match &self.buffer {
            Some(buffer) => buffer.outbox.queued(),
            None => 0,
        }
    }

    /// Bytes of memory that it holds: the buffers of what is queued, which may be longer, and the end of earlier messages that
    /// compressed ones refer back to. A [`SharedMessage`] that is queued without a copy counts as a reference to it; see
    /// [`SharedMessage::set_meter`].
    #[must_use]
    #[inline]
    pub fn held(&self) -> usize {
        let queued = self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.held());
        #[cfg(feature = "deflate")]
        let queued = queued + self.context_size();
        queued
    }

    /// Begins another buffer where the last one has got long, which the next message would do else. What is queued need not be
    /// moved then to queue more, and is free as it is written: for a peer that is behind.
    pub fn cut(&mut self) {
        if let Some(buffer) = &mut self.buffer {
            buffer.outbox.cut();
        }
    }

    /// A number that its driver keeps here: what it was charged for [what is held](Self::held), for instance. It takes no
    /// memory of its own, and is 0 at first.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.mark
    }

    /// Sets that number.
    pub const fn set_mark(&mut self, mark: u32) {
        self.mark = mark;
    }

    /// How many slices [`io_slices`](Self::io_slices) fills to show all that is queued.
    #[must_use]
    pub fn slices(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.slices())
    }

    /// Puts the octets to be written next into `slices`, for one vectored write; returns how many slices are filled.
    ///
    /// With as many slices as it is given it may show less than is [queued](Self::queued).
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.io_slices(slices))
    }

    /// Writes what is queued to a blocking writer, until all of it is written.
    ///
    /// It is [`io_slices`](Self::io_slices) and [`consume`](Self::consume) in a loop, for whoever needs no other.
    ///
    /// # Errors
    ///
    /// The writer's; what it took before is consumed.
    pub fn write_to(&mut self, writer: &mut impl io::Write) -> io::Result<()> {
        while self.queued() > 0 {
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.io_slices(&mut slices);
            match writer.write_vectored(slices.get(..filled).unwrap_or_default()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.consume(written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes note that so many octets were written.
    ///
    /// An emptied buffer of up to 64 KiB is kept for what comes next; [`take_buffer`](Self::take_buffer) takes it away.
    pub fn consume(&mut self, written: usize) {
        self.consume_with(written, &NoPool);
    }

    /// The same, with a pool that big buffers go to when they are written.
    pub fn consume_with(&mut self, written: usize, buffers: &dyn BufferPool) {
        let Some(buffer) = &mut self.buffer else { return };
        buffer.outbox.consume(written, buffers);
        if buffer.floor > 0 {
            self.lower_floor(written);
        }
    }

    /// Takes away the buffer of an outbox that is empty, for another connection to use. `None` where something is queued,
    /// or where it has none.
    #[must_use]
    #[inline]
    pub fn take_buffer(&mut self) -> Option<Box<OutboxBuffer>> {
        if self.queued() == 0 { self.buffer.take() } else { None }
    }

    /// Gives an outbox without a buffer that one, to save it the allocation. One that has its own drops it.
    #[inline]
    pub fn give_buffer(&mut self, buffer: Box<OutboxBuffer>) {
        self.buffer.get_or_insert(buffer);
    }
}
