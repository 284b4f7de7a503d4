//! The methods of a sender that write the queue.

use std::io::{self, IoSlice};

use crate::buffer::pool::{BufferPool, NoPool};
use crate::send::Sender;
use crate::send::outbox::OutboxBuffer;

impl Sender {
    /// The number of queued bytes that are not yet written. A message that
    /// [waits](Self::queue) counts with its uncompressed length and 128 bytes.
    #[must_use]
    pub const fn queued(&self) -> usize {
        match &self.buffer {
            Some(buffer) => buffer.outbox.queued() + buffer.waiting,
            None => 0,
        }
    }

    /// Memory held, in bytes: the buffers of the queue, which may be longer than the queued bytes,
    /// and the context of compression. A [`SharedMessage`](crate::SharedMessage) that is queued by
    /// reference counts only as a reference; see
    /// [`SharedMessage::set_meter`](crate::SharedMessage::set_meter).
    #[must_use]
    #[inline]
    pub fn held(&self) -> usize {
        let queued = self.buffer.as_ref().map_or(0, |buffer| {
            buffer.outbox.held() + buffer.backlog.as_ref().map_or(0, |backlog| backlog.held())
        });
        #[cfg(feature = "deflate")]
        let queued = queued + self.context_size();
        queued
    }

    /// Starts another buffer if the last one is long, as the next message would do. More messages
    /// can then be queued without moving the queued bytes, which are freed as they are written.
    /// Meant for a slow peer.
    pub fn cut(&mut self) {
        if let Some(buffer) = &mut self.buffer {
            buffer.outbox.start_chunk_if_long();
        }
    }

    /// A number that the driver may store here, such as the memory it was charged for. It takes no
    /// extra memory and is initially 0.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.mark
    }

    /// Sets the number that [`mark`](Self::mark) returns.
    pub const fn set_mark(&mut self, mark: u32) {
        self.mark = mark;
    }

    /// The number of data messages that were queued since the last call, for statistics. The count
    /// is lost if the [buffer is taken](Self::take_buffer) first.
    #[inline]
    pub fn take_message_count(&mut self) -> u32 {
        self.buffer.as_mut().map_or(0, |buffer| std::mem::take(&mut buffer.messages))
    }

    /// The number of slices that [`io_slices`](Self::io_slices) needs for the whole queue.
    #[must_use]
    pub fn slices(&self) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.slices())
    }

    /// Fills `slices` with the next bytes, for one vectored write. Returns the number of filled
    /// slices.
    ///
    /// Too few slices show only a part of the [queued](Self::queued) bytes.
    pub fn io_slices<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.buffer.as_ref().map_or(0, |buffer| buffer.outbox.io_slices(slices))
    }

    /// Writes the whole queue to a blocking writer.
    ///
    /// This is a loop of [`io_slices`](Self::io_slices) and [`consume`](Self::consume).
    ///
    /// # Errors
    ///
    /// The writer's error. The bytes written before it are consumed.
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

    /// Removes `written` bytes from the queue.
    ///
    /// An empty buffer of up to 64 KiB is kept for later frames. [`take_buffer`](Self::take_buffer)
    /// takes it away.
    pub fn consume(&mut self, written: usize) {
        self.consume_with(written, &NoPool);
    }

    /// Like [`consume`](Self::consume), and returns large buffers to a pool.
    pub fn consume_with(&mut self, written: usize, buffers: &dyn BufferPool) {
        let Some(buffer) = &mut self.buffer else { return };
        if buffer.backlog.is_some() {
            return self.consume_before_backlog(written, buffers);
        }
        buffer.outbox.consume(written, buffers);
        if buffer.floor > 0 {
            self.lower_floor(written);
        }
    }

    /// Takes away the buffer of an empty queue, for use by another connection. `None` if bytes are
    /// queued or there is no buffer.
    #[must_use]
    #[inline]
    pub fn take_buffer(&mut self) -> Option<Box<OutboxBuffer>> {
        if self.queued() != 0 {
            return None;
        }
        let mut buffer = self.buffer.take()?;
        buffer.messages = 0; // the next sender counts its own
        Some(buffer)
    }

    /// Provides a buffer to save an allocation. It is dropped if the sender already has one.
    #[inline]
    pub fn give_buffer(&mut self, buffer: Box<OutboxBuffer>) {
        self.buffer.get_or_insert(buffer);
    }
}
