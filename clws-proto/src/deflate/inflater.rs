use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::deflate::{MAX_BITS, TAIL};
use crate::error::ProtocolError;

/// Octets that are inflated at once, checked and appended to the message.
pub(super) const AT_ONCE: usize = 16 * 1024;

/// The tail that each message lacks, and a last block without content: inflating ends with it exactly where the message's
/// own blocks have ended.
const END: [u8; 6] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x03, 0x00];

/// A decompressor, and room for what comes out of it.
pub(super) struct Inflater {
    inflate: Inflate,
    room: Box<[u8]>,
    /// The octets before ended with a block that says it is the last one.
    ended: bool,
}

/// What one call of the decompressor did.
struct Step {
    /// Bytes that it read.
    read: usize,
    /// Bytes that it wrote, those before an error too.
    written: usize,
    /// It found no error.
    is_sound: bool,
}

impl Inflater {
    /// Octets that one takes: zlib-rs has all windows as large as the largest.
    pub(super) const SIZE: usize = AT_ONCE + 47 * 1024;

    pub(super) fn new() -> Self {
        // With the largest window, whatever was agreed: it reads all smaller ones.
        let inflate = Inflate::new(false, MAX_BITS);
        Self { inflate, room: vec![0; AT_ONCE].into_boxed_slice(), ended: false }
    }

    /// Starts a message that may refer back to these octets.
    pub(super) fn begin(&mut self, window: &[u8]) {
        self.inflate.reset(false);
        self.ended = false;
        if !window.is_empty() {
            // It cannot fail at the start of a raw stream; if it did, the message's references would be refused.
            let _ = self.inflate.set_dictionary(window);
        }
    }

    /// Inflates, and gives what comes out to `take` piece by piece.
    pub(super) fn run(
        &mut self,
        mut octets: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        loop {
            if self.ended && !octets.is_empty() {
                // RFC 7692 §7.2.3.4 has a message with a block whose BFINAL is 1, and blocks behind it: to zlib, a new
                // stream.
                self.inflate.reset(false);
                self.ended = false;
            }
            let step = self.step(octets);
            // What came out before an error is looked at first: the error that is reported is the first one of the message,
            // however it was cut into reads.
            take(self.room.get(..step.written).unwrap_or_default())?;
            let Step { read, written, is_sound: true } = step else {
                return Err(ProtocolError::CorruptDeflate);
            };
            octets = octets.get(read..).unwrap_or_default();
            // A room that was filled may have left something behind in the decompressor.
            if octets.is_empty() && (self.ended || written < self.room.len()) {
                return Ok(());
            }
            if read == 0 && written == 0 && !self.ended {
                return Err(ProtocolError::CorruptDeflate); // never: octets and room are there
            }
        }
    }

    /// One call of the decompressor.
    fn step(&mut self, octets: &[u8]) -> Step {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(octets, &mut self.room, InflateFlush::SyncFlush);
        self.ended = status == Ok(Status::StreamEnd);
        let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        Step {
            read: since(self.inflate.total_in(), read),
            written: since(self.inflate.total_out(), written),
            is_sound: status.is_ok(),
        }
    }

    /// Ends the message.
    pub(super) fn end(&mut self) -> Result<(), ProtocolError> {
        if self.ended {
            return Ok(()); // its last block says so, and some leave out the empty one behind it
        }
        // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message."
        match self.step(&END) {
            Step { read, written: 0, is_sound: true } if self.ended && read == END.len() => Ok(()),
            _ => Err(ProtocolError::CorruptDeflate), // the message was cut off
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("ended", &self.ended).finish_non_exhaustive()
    }
}
