//! The read buffers of a shard, and the choice between them.

use std::ops::Range;

use crate::buffer_pool;

/// The sizes of the buffers, including [`ALIGNMENT`] bytes for alignment. A big message that fills
/// about a quarter of a buffer keeps the buffer instead of being copied. So each size is four times
/// the previous size, with some room for headers, and for small messages before a big one.
const SIZES: [usize; 3] = [64 * 1024, (256 + 8) * 1024, (1024 + 8) * 1024];

/// The alignment of a big message's payload, which makes unmasking and copies faster. Reads begin
/// one header of a big frame before a multiple of it.
const ALIGNMENT: usize = 64;
const HEADER: usize = 14;

/// The number of successive reads that must fit into a quarter of the next smaller buffer before
/// that buffer is used again.
const SMALL_READS_TO_SHRINK: u8 = 64;

pub(crate) struct ReadBuffers([Buffer; SIZES.len()]);

struct Buffer {
    /// Empty before the first read, and after a message has kept it.
    bytes: Vec<u8>,
    /// The position at which reads begin.
    start: usize,
}

/// Chooses the size of a connection's reads by the size of its messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadSizer {
    level: u8,
    small_reads: u8,
}

impl ReadSizer {
    /// Records a read of `count` bytes.
    #[inline]
    pub(crate) fn note(&mut self, count: usize) {
        let level = usize::from(self.level);
        if SIZES.get(level).is_some_and(|size| count >= *size - ALIGNMENT) {
            self.small_reads = 0;
            self.level = (self.level + 1).min(2);
        } else if level > 0 {
            self.note_small_read(count);
        }
    }

    fn note_small_read(&mut self, count: usize) {
        let smaller = usize::from(self.level).checked_sub(1).and_then(|level| SIZES.get(level));
        if smaller.is_some_and(|size| count > size / 4) {
            self.small_reads = 0;
        } else if self.small_reads < SMALL_READS_TO_SHRINK {
            self.small_reads += 1;
        } else {
            self.small_reads = 0;
            self.level = self.level.saturating_sub(1);
        }
    }
}

impl ReadBuffers {
    pub(crate) const fn new() -> Self {
        Self([const { Buffer { bytes: Vec::new(), start: 0 } }; SIZES.len()])
    }

    /// The buffer for the next read of that size.
    #[inline]
    pub(crate) fn lend(&mut self, read_sizer: ReadSizer) -> &mut [u8] {
        let (buffer, size) = self.of(read_sizer);
        if buffer.bytes.len() != size {
            buffer.replace(size);
        }
        buffer
            .bytes
            .get_mut(buffer.start..)
            .and_then(|bytes| bytes.get_mut(..size - ALIGNMENT))
            .unwrap_or_default()
    }

    /// The buffer that was lent for that size, and the range of the `count` bytes that were read. A
    /// message may keep the buffer.
    #[inline]
    pub(crate) fn read(&mut self, read_sizer: ReadSizer, count: usize) -> (&mut Vec<u8>, Range<usize>) {
        let (buffer, _) = self.of(read_sizer);
        (&mut buffer.bytes, buffer.start..buffer.start + count)
    }

    #[inline]
    const fn of(&mut self, read_sizer: ReadSizer) -> (&mut Buffer, usize) {
        let [small, middle, big] = &mut self.0;
        match read_sizer.level {
            0 => (small, SIZES[0]),
            1 => (middle, SIZES[1]),
            _ => (big, SIZES[2]),
        }
    }
}

impl Buffer {
    #[inline(never)]
    fn replace(&mut self, bytes: usize) {
        buffer_pool::give(std::mem::take(&mut self.bytes));
        self.bytes = buffer_pool::take(bytes);
        self.bytes.truncate(bytes);
        self.bytes.resize(bytes, 0);
        let misalignment = (self.bytes.as_ptr().addr() + HEADER) % ALIGNMENT;
        self.start = (ALIGNMENT - misalignment) % ALIGNMENT;
        // A simulation must not depend on memory addresses.
        #[cfg(all(test, unix))]
        if crate::sim::executor::is_here() {
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_reads_follows_their_content() {
        let (mut read_buffers, mut read_sizer) = (ReadBuffers::new(), ReadSizer::default());
        let mut sizes = Vec::new();
        for _ in 0..5 {
            sizes.push(read_buffers.lend(read_sizer).len());
            read_sizer.note(read_buffers.lend(read_sizer).len());
        }
        assert_eq!(sizes, [0, 1, 2, 2, 2].map(|level| SIZES[level] - ALIGNMENT));
        for _ in 0..1000 {
            read_sizer.note(SIZES[2] - ALIGNMENT - 1);
            (0..SMALL_READS_TO_SHRINK).for_each(|_| read_sizer.note(1));
            assert_eq!(read_buffers.lend(read_sizer).len(), sizes[2], "some big reads keep the size");
        }
        (0..=SMALL_READS_TO_SHRINK).for_each(|_| read_sizer.note(1));
        assert_eq!(read_buffers.lend(read_sizer).len(), sizes[1]);
        (0..=SMALL_READS_TO_SHRINK).for_each(|_| read_sizer.note(1));
        assert_eq!(read_sizer, ReadSizer::default());
    }

    /// Messages of 16 KiB, 64 KiB and 256 KiB keep the buffer of four times their size.
    #[test]
    fn a_message_of_a_quarter_keeps_the_buffer() {
        for (level, size) in (0..).zip(SIZES) {
            let mut buffer = vec![0; size];
            let len = (16 * 1024) << (2 * level);
            let mut wire = clws_proto::Sender::client(clws_proto::Version::Rfc6455, || [1; 4]);
            wire.binary(&vec![0; len], None).unwrap();
            let count = wire.queued();
            wire.write_to(&mut &mut buffer[..]).unwrap();
            let limits = clws_proto::Limits::default();
            let (version, role) = (clws_proto::Version::Rfc6455, clws_proto::Role::Server);
            let mut receiver = clws_proto::Receiver::new(version, role, limits);
            let mut sender = clws_proto::Sender::server(version);
            let mut events = receiver.receive_owned(&mut buffer, 0..count, &clws_proto::buffer::NoPool);
            while let Some(event) = events.next().unwrap() {
                if let clws_proto::Event::Binary(payload) = event {
                    sender.forward_binary(payload).unwrap();
                }
            }
            drop(events);
            assert!(buffer.is_empty(), "{len} of {size}");
        }
    }

    #[test]
    fn a_buffer_that_was_kept_is_replaced() {
        let (mut read_buffers, read_sizer) = (ReadBuffers::new(), ReadSizer::default());
        read_buffers.lend(read_sizer);
        let (buffer, range) = read_buffers.read(read_sizer, 100);
        let kept = std::mem::take(buffer);
        assert_eq!((kept.as_ptr().addr() + range.start + HEADER) % ALIGNMENT, 0);
        assert_eq!((kept.len(), read_buffers.lend(read_sizer).len()), (SIZES[0], SIZES[0] - ALIGNMENT));
        let lies_at = kept.as_ptr();
        buffer_pool::give(kept);
        drop(std::mem::take(read_buffers.read(read_sizer, 0).0));
        read_buffers.lend(read_sizer);
        assert_eq!(read_buffers.read(read_sizer, 0).0.as_ptr(), lies_at, "the pool's buffer is used");
    }
}
