//! The decompressor.

use std::fmt;

use zlib_rs::{Inflate, InflateFlush, Status};

use crate::deflate::{MAX_BITS, TAIL};
use crate::error::ProtocolError;

/// The size of the output buffer.
pub(super) const OUTPUT_SIZE: usize = 16 * 1024;

/// The tail that each message omits, followed by an empty last block. Inflation ends with it
/// exactly if the message's own blocks are complete.
const MESSAGE_END: [u8; 6] = [TAIL[0], TAIL[1], TAIL[2], TAIL[3], 0x03, 0x00];

/// A decompressor and its output buffer.
pub(super) struct Inflater {
    inflate: Inflate,
    output: Box<[u8]>,
    /// The last block was marked as the final one.
    ended: bool,
}

/// The result of one call of the decompressor.
struct Step {
    /// Bytes read.
    read: usize,
    /// Bytes written, including those before an error.
    written: usize,
    /// No error was found.
    is_ok: bool,
}

impl Inflater {
    /// The memory of one decompressor. In zlib-rs every window has the maximum size.
    pub(super) const SIZE: usize = OUTPUT_SIZE + 47 * 1024;

    pub(super) fn new() -> Self {
        // The largest window can read messages with any smaller one.
        let inflate = Inflate::new(false, MAX_BITS);
        Self { inflate, output: vec![0; OUTPUT_SIZE].into_boxed_slice(), ended: false }
    }

    /// Starts a message that may refer to the bytes in `window`.
    pub(super) fn begin(&mut self, window: &[u8]) {
        self.inflate.reset(false);
        self.ended = false;
        if !window.is_empty() {
            // This cannot fail at the start of a raw stream. If it did, the message's references
            // would be refused.
            let _ = self.inflate.set_dictionary(window);
        }
    }

    /// Inflates `bytes` and passes the output to `take`, piece by piece.
    pub(super) fn run(
        &mut self,
        mut bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        loop {
            let (read, has_output) = self.run_once(bytes, &mut take)?;
            bytes = bytes.get(read..).unwrap_or_default();
            if bytes.is_empty() && !has_output {
                return Ok(());
            }
        }
    }

    /// Inflates some of `bytes` and passes one buffer of output to `take`. Returns the number of
    /// bytes read, and whether there may be more output without more input.
    #[inline]
    pub(super) fn run_once(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(usize, bool), ProtocolError> {
        if self.ended && !bytes.is_empty() {
            // RFC 7692 §7.2.3.4 shows a message with more blocks after a block whose BFINAL is 1.
            // To zlib, these are a new stream.
            self.inflate.reset(false);
            self.ended = false;
        }
        let step = self.step(bytes);
        // The output before an error is checked first. The first error of the message is reported,
        // for any division into reads.
        take(self.output.get(..step.written).unwrap_or_default())?;
        let Step { read, written, is_ok: true } = step else {
            return Err(ProtocolError::CorruptDeflate);
        };
        // A full output buffer may leave pending output in the decompressor.
        let has_output = !self.ended && written == self.output.len();
        if read == 0 && written == 0 && !self.ended && !bytes.is_empty() {
            // Unreachable: there is input and output space.
            return Err(ProtocolError::CorruptDeflate);
        }
        Ok((read, has_output))
    }

    /// Calls the decompressor once.
    fn step(&mut self, bytes: &[u8]) -> Step {
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let status = self.inflate.decompress(bytes, &mut self.output, InflateFlush::SyncFlush);
        self.ended = status == Ok(Status::StreamEnd);
        let since = |now: u64, before: u64| usize::try_from(now - before).unwrap_or(usize::MAX);
        Step {
            read: since(self.inflate.total_in(), read),
            written: since(self.inflate.total_out(), written),
            is_ok: status.is_ok(),
        }
    }

    /// Ends the message.
    pub(super) fn end(&mut self) -> Result<(), ProtocolError> {
        if self.ended {
            return Ok(()); // some peers omit the empty block after the last one
        }
        // RFC 7692 §7.2.2: "Append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload
        // of the message."
        match self.step(&MESSAGE_END) {
            Step { read, written: 0, is_ok: true } if self.ended && read == MESSAGE_END.len() => Ok(()),
            _ => Err(ProtocolError::CorruptDeflate), // the message is truncated
        }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("ended", &self.ended).finish_non_exhaustive()
    }
}
