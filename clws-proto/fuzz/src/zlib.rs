//! permessage-deflate with zlib in C and with miniz_oxide, to compare with.

use flate2::{Decompress, FlushDecompress, Status};

/// The inflated bytes of a message, and whether it is valid.
#[derive(Debug)]
pub struct Inflated {
    /// All bytes up to the first error.
    pub bytes: Vec<u8>,
    pub is_valid: bool,
}

/// The tail that the sender strips (RFC 7692 §7.2.2), and an empty final block.
const END: [u8; 6] = [0x00, 0x00, 0xff, 0xff, 0x03, 0x00];

/// Inflates the payload of a message, which may refer back to `history`. Stops after `most` bytes.
pub fn inflate(payload: &[u8], history: &[u8], bits: u8, most: usize) -> Inflated {
    let mut bytes = Vec::new();
    if payload.is_empty() {
        return Inflated { bytes, is_valid: true };
    }
    let mut zlib = Decompress::new_with_window_bits(false, bits);
    if !history.is_empty() {
        zlib.set_dictionary(history).expect("at the start of a raw stream");
    }
    let mut rest = payload;
    let mut ended = false;
    while !rest.is_empty() {
        if ended {
            // Blocks follow a final block (RFC 7692 §7.2.3.4), and start a new stream.
            zlib = Decompress::new_with_window_bits(false, bits);
        }
        let Some((read, end)) = step(&mut zlib, rest, &mut bytes, most) else {
            return Inflated { bytes, is_valid: false };
        };
        rest = &rest[read..];
        ended = end;
        if bytes.len() > most {
            return Inflated { bytes, is_valid: true };
        }
    }
    if ended {
        return Inflated { bytes, is_valid: true };
    }
    let before = bytes.len();
    let end = step(&mut zlib, &END, &mut bytes, most);
    let is_valid = end == Some((END.len(), true)) && bytes.len() == before;
    bytes.truncate(before);
    Inflated { bytes, is_valid }
}

/// Inflates until the input is used up or the stream has ended. Returns the number of bytes read,
/// and whether the stream has ended.
fn step(zlib: &mut Decompress, input: &[u8], bytes: &mut Vec<u8>, most: usize) -> Option<(usize, bool)> {
    let mut room = [0; 4096];
    let mut read = 0;
    loop {
        let (before_in, before_out) = (zlib.total_in(), zlib.total_out());
        let result = zlib.decompress(&input[read..], &mut room, FlushDecompress::Sync);
        let written = (zlib.total_out() - before_out) as usize;
        bytes.extend_from_slice(&room[..written]);
        read += (zlib.total_in() - before_in) as usize;
        match result {
            Err(_) => return None,
            Ok(Status::StreamEnd) => return Some((read, true)),
            Ok(_) if bytes.len() > most => return Some((read, false)),
            Ok(_) if read == input.len() && written < room.len() => return Some((read, false)),
            Ok(_) => {}
        }
    }
}

/// The same with miniz_oxide, for messages without a final block. `None` if it reports an error.
pub fn miniz(payload: &[u8], history: &[u8], len: usize) -> Option<Vec<u8>> {
    use miniz_oxide::inflate::TINFLStatus;
    use miniz_oxide::inflate::core::inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    use miniz_oxide::inflate::core::{DecompressorOxide, decompress};
    let input = [payload, &END].concat();
    let mut out = history.to_vec();
    out.resize(history.len() + len + 1, 0);
    let mut state = DecompressorOxide::new();
    let flags = TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    let (status, read, written) = decompress(&mut state, &input, &mut out, history.len(), flags);
    (status == TINFLStatus::Done && read == input.len())
        .then(|| out[history.len()..history.len() + written].to_vec())
}
