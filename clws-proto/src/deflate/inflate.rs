//! Inflation of received messages.

use crate::buffer::pool::BufferPool;
use crate::deflate::extension::Extension;
use crate::deflate::inflater::{Inflater, OUTPUT_SIZE};
use crate::deflate::params::DeflateParams;
use crate::deflate::pool::CodecPool;
use crate::deflate::window::History;
use crate::error::ProtocolError;
use crate::frame::header::RSV1;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::version::Role;

/// The maximum length of a message's beginning that is kept compressed.
///
/// The decompressor returns to the pool in the meantime and reads these bytes again later. A peer
/// that sends seven bytes and then nothing does not hold a decompressor.
pub(super) const MAX_KEPT_COMPRESSED: usize = 1024;

/// The receiving half of the extension.
#[derive(Debug)]
pub(crate) struct Inflation {
    pub(super) codecs: CodecPool,
    /// The beginning of a message in progress, while it is short.
    pub(super) first_bytes: Vec<u8>,
    /// Borrowed once the beginning exceeds that length.
    pub(super) inflater: Option<Box<Inflater>>,
    pub(super) history: History,
}

impl Inflation {
    pub(crate) fn new(role: Role, params: DeflateParams, codecs: &CodecPool) -> Self {
        let (bits, takeover) = params.received_by(role);
        Self {
            codecs: codecs.clone(),
            first_bytes: Vec::new(),
            inflater: None,
            history: History::new(bits, takeover),
        }
    }

    /// Memory held by the context, in bytes.
    pub(crate) const fn context_size(&self) -> usize {
        self.history.capacity()
    }

    /// Memory held by a message in progress, in bytes.
    pub(crate) const fn held(&self) -> usize {
        self.first_bytes.capacity() + if self.inflater.is_some() { Inflater::SIZE } else { 0 }
    }

    /// Returns the decompressor and drops all data.
    pub(crate) fn reset(&mut self) {
        if let Some(inflater) = self.inflater.take() {
            self.codecs.return_inflater(inflater);
        }
        self.first_bytes = Vec::new();
        self.history.clear();
    }
}

/// Adds inflated data to a message of which `delivered` bytes were delivered before.
pub(super) fn append(
    output: &[u8],
    delivered: usize,
    data: &mut MessageAssembler,
    limits: &Limits,
    buffers: &dyn BufferPool,
) -> Result<(), ProtocolError> {
    let limit = limits.max_message_size;
    let max = limit.saturating_sub(delivered + data.len());
    // The part within the limit is checked as text first. The result is then the same for any
    // division into reads.
    data.append(output.get(..max).unwrap_or(output), limit, buffers)?;
    if output.len() > max { Err(ProtocolError::MessageTooBig { limit }) } else { Ok(()) }
}

impl Extension for Inflation {
    const ALLOWED_RSV: u8 = RSV1;

    fn inflate(
        &mut self,
        bytes: &[u8],
        last: bool,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        if bytes.is_empty() && (self.first_bytes.is_empty() || !last) {
            return Ok(());
        }
        let (mut first_bytes, is_short) = (std::mem::take(&mut self.first_bytes), self.inflater.is_none());
        let inflater = match &mut self.inflater {
            Some(inflater) => inflater,
            none => none.insert(self.codecs.inflater(self.history.window())),
        };
        if !first_bytes.is_empty() {
            inflater.run(&first_bytes, |_| Ok(()))?; // their output is already in the message
        }
        if !bytes.is_empty() {
            inflater.run(bytes, |output| append(output, 0, data, limits, buffers))?;
        }
        if is_short
            && !last
            && first_bytes.len() + bytes.len() <= MAX_KEPT_COMPRESSED
            && data.len() <= OUTPUT_SIZE
        {
            first_bytes.extend_from_slice(bytes);
            self.first_bytes = first_bytes;
            self.inflater.take().into_iter().for_each(|inflater| self.codecs.return_inflater(inflater));
        }
        Ok(())
    }

    fn finish(&mut self, data: &MessageAssembler) -> Result<(), ProtocolError> {
        // A message without any byte has nothing to inflate. RFC 7692 §7.2.3.6 has one byte even
        // for an empty message.
        if let Some(mut inflater) = self.inflater.take() {
            let end = inflater.end();
            self.codecs.return_inflater(inflater);
            end?;
        }
        // RFC 7692 §7.2.2: "Otherwise, the server MUST decompress each new message using the LZ77
        // sliding window used to process the last compressed message."
        self.history.push(data.bytes());
        Ok(())
    }
}

impl Drop for Inflation {
    fn drop(&mut self) {
        self.reset();
    }
}
