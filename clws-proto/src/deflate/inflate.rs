use crate::buffer::pool::BufferPool;
use crate::deflate::extension::Extension;
use crate::deflate::inflater::{AT_ONCE, Inflater};
use crate::deflate::params::DeflateParams;
use crate::deflate::pool::CodecPool;
use crate::deflate::window::History;
use crate::error::ProtocolError;
use crate::frame::header::RSV1;
use crate::limits::Limits;
use crate::message::assembler::MessageAssembler;
use crate::version::Role;

/// As long as so few octets of a message have come, they are kept as they came and the decompressor is given back in between:
/// it reads them anew when more come. So nobody holds one by sending seven octets and going silent.
const BEGUN: usize = 1024;

/// The receiving half of the extension.
#[derive(Debug)]
pub(crate) struct Inflation {
    codecs: CodecPool,
    /// The first octets of a message in progress, while there are few.
    begun: Vec<u8>,
    /// Borrowed while more of it is in progress.
    inflater: Option<Box<Inflater>>,
    history: History,
}

impl Inflation {
    pub(crate) fn new(role: Role, params: DeflateParams, codecs: &CodecPool) -> Self {
        let (bits, takeover) = params.received_by(role);
        Self {
            codecs: codecs.clone(),
            begun: Vec::new(),
            inflater: None,
            history: History::new(bits, takeover),
        }
    }

    /// Octets of the context.
    pub(crate) const fn context_size(&self) -> usize {
        self.history.capacity()
    }

    /// Octets that a message in progress holds.
    pub(crate) const fn held(&self) -> usize {
        self.begun.capacity() + if self.inflater.is_some() { Inflater::SIZE } else { 0 }
    }

    /// Gives back and forgets everything.
    pub(crate) fn reset(&mut self) {
        if let Some(inflater) = self.inflater.take() {
            self.codecs.put_inflater(inflater);
        }
        self.begun = Vec::new();
        self.history.clear();
    }
}

impl Extension for Inflation {
    const ALLOWED_RSV: u8 = RSV1;

    fn inflate(
        &mut self,
        octets: &[u8],
        last: bool,
        data: &mut MessageAssembler,
        limits: &Limits,
        buffers: &dyn BufferPool,
    ) -> Result<(), ProtocolError> {
        if octets.is_empty() && (self.begun.is_empty() || !last) {
            return Ok(());
        }
        let (mut begun, short) = (std::mem::take(&mut self.begun), self.inflater.is_none());
        let inflater = match &mut self.inflater {
            Some(inflater) => inflater,
            none => none.insert(self.codecs.inflater(self.history.window())),
        };
        if !begun.is_empty() {
            inflater.run(&begun, |_| Ok(()))?; // what comes of them is in the message already
        }
        if !octets.is_empty() {
            inflater.run(octets, |piece| {
                let room = limits.max_message_size.saturating_sub(data.len());
                // What fits is checked to be text before the rest is too much, as it would be if it had come alone.
                data.append(piece.get(..room).unwrap_or(piece), limits.max_message_size, buffers)?;
                if piece.len() > room {
                    return Err(ProtocolError::MessageTooBig { limit: limits.max_message_size });
                }
                Ok(())
            })?;
        }
        if short && !last && begun.len() + octets.len() <= BEGUN && data.len() <= AT_ONCE {
            begun.extend_from_slice(octets);
            self.begun = begun;
            self.inflater.take().into_iter().for_each(|inflater| self.codecs.put_inflater(inflater));
        }
        Ok(())
    }

    fn finish(&mut self, data: &MessageAssembler) -> Result<(), ProtocolError> {
        // Without a single octet there is nothing to inflate; RFC 7692 §7.2.3.6 has one even for an empty message.
        if let Some(mut inflater) = self.inflater.take() {
            let end = inflater.end();
            self.codecs.put_inflater(inflater);
            end?;
        }
        // RFC 7692 §7.2.2: "Otherwise, the server MUST decompress each new message using the LZ77 sliding window used to
        // process the last compressed message."
        self.history.push(data.octets());
        Ok(())
    }
}

impl Drop for Inflation {
    fn drop(&mut self) {
        self.reset();
    }
}
