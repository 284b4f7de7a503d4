//! Inflation of messages that are delivered in pieces.

use crate::buffer::pool::BufferPool;
use crate::deflate::extension::StreamInflation;
use crate::deflate::inflate::{Inflation, MAX_KEPT_COMPRESSED, append};
use crate::deflate::inflater::{Inflater, OUTPUT_SIZE};
use crate::error::ProtocolError;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::message::stream::StreamState;

impl StreamInflation for Inflation {
    fn inflate_some(
        &mut self,
        bytes: &[u8],
        state: &mut StreamState,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<usize, ProtocolError> {
        let inflater = self.resume()?;
        let delivered = state.delivered();
        let (read, has_output) =
            inflater.run_once(bytes, |output| append(output, delivered, data, limits, buffers))?;
        state.has_output = has_output;
        let len = state.delivered() + data.len();
        // A decompressor that can be returned needs the window before the message, to which pieces
        // are added. So a message of one output buffer is not delivered in pieces.
        state.is_active |= len > OUTPUT_SIZE && state.is_long(len);
        if state.can_replay && len <= OUTPUT_SIZE && self.first_bytes.len() + read <= MAX_KEPT_COMPRESSED {
            self.first_bytes.extend_from_slice(bytes.get(..read).unwrap_or_default());
        } else {
            state.can_replay = false;
            self.first_bytes = Vec::new();
        }
        Ok(read)
    }

    fn pause(&mut self, state: &StreamState) {
        if state.can_replay {
            self.inflater.take().into_iter().for_each(|inflater| self.codecs.return_inflater(inflater));
        }
    }

    fn deliver(&mut self, data: &MessageAssembler) {
        self.history.push(data.bytes());
    }

    fn end(&mut self) -> Result<(), ProtocolError> {
        if self.inflater.is_none() && self.first_bytes.is_empty() {
            return Ok(()); // a message without any byte has nothing to inflate
        }
        self.resume()?;
        self.first_bytes = Vec::new();
        let Some(mut inflater) = self.inflater.take() else { return Ok(()) };
        let end = inflater.end();
        self.codecs.return_inflater(inflater);
        end
    }
}

impl Inflation {
    /// The decompressor of the current message, after all bytes that it has read.
    fn resume(&mut self) -> Result<&mut Inflater, ProtocolError> {
        match &mut self.inflater {
            Some(inflater) => Ok(inflater),
            none => {
                let inflater = none.insert(self.codecs.inflater(self.history.window()));
                if !self.first_bytes.is_empty() {
                    inflater.run(&self.first_bytes, |_| Ok(()))?; // their output was taken before
                }
                Ok(inflater)
            }
        }
    }
}
