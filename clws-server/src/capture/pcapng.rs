//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), as far as recordings need them.

use std::time::Duration;

use crate::capture::error::RecordingError;

const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;

const BYTE_ORDER: u32 = 0x1A2B_3C4D;

/// Packets begin with an IP header.
const LINKTYPE_RAW: u16 = 101;

const COMMENT: u16 = 1;
const USER_APPLICATION: u16 = 4;
const TIME_RESOLUTION: u16 = 9;

/// The bytes that a packet block adds to its packet, without a comment.
pub(super) const PACKET_BLOCK: usize = 32;

/// A packet of a file. The time is since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) at: Duration,
    /// The position of its block in the file.
    pub(super) position: usize,
    pub(super) bytes: &'a [u8],
}

/// Appends the blocks at the beginning of a file.
pub(super) fn write_header(into: &mut Vec<u8>, comment: &str) {
    write_block(into, SECTION, |into| {
        into.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        into.extend_from_slice(&[1, 0, 0, 0]); // version 1.0
        into.extend_from_slice(&u64::MAX.to_le_bytes()); // the section ends with the file
        write_option(into, COMMENT, comment.as_bytes());
        write_option(into, USER_APPLICATION, concat!("clws-server ", env!("CARGO_PKG_VERSION")).as_bytes());
        write_option(into, 0, &[]);
    });
    write_block(into, INTERFACE, |into| {
        into.extend_from_slice(&u32::from(LINKTYPE_RAW).to_le_bytes());
        into.extend_from_slice(&[0; 4]); // packets are not cut
        write_option(into, TIME_RESOLUTION, &[9]); // nanoseconds
        write_option(into, 0, &[]);
    });
}

/// Appends a packet. The time is since 1970.
pub(super) fn write_packet(into: &mut Vec<u8>, at: Duration, packet: &[u8], comment: Option<&str>) {
    let nanoseconds = u64::try_from(at.as_nanos()).unwrap_or(u64::MAX);
    let length = u32::try_from(packet.len()).unwrap_or(u32::MAX);
    write_block(into, PACKET, |into| {
        into.extend_from_slice(&[0; 4]); // the first interface
        let [a, b, c, d, high @ ..] = nanoseconds.to_le_bytes();
        into.extend_from_slice(&high);
        into.extend_from_slice(&[a, b, c, d]);
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(&length.to_le_bytes());
        into.extend_from_slice(packet);
        pad(into);
        if let Some(comment) = comment {
            write_option(into, COMMENT, comment.as_bytes());
            write_option(into, 0, &[]);
        }
    });
}

/// Appends a block. It must begin at a multiple of 4 bytes. Its length is a multiple of 4 too.
fn write_block(into: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = into.len();
    into.extend_from_slice(&kind.to_le_bytes());
    into.extend_from_slice(&[0; 4]);
    body(into);
    let length = u32::try_from(into.len() - start + 4).unwrap_or(u32::MAX).to_le_bytes();
    if let Some(place) = into.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&length);
    }
    into.extend_from_slice(&length);
}

fn write_option(into: &mut Vec<u8>, code: u16, value: &[u8]) {
    into.extend_from_slice(&code.to_le_bytes());
    into.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    into.extend_from_slice(value);
    pad(into);
}

fn pad(into: &mut Vec<u8>) {
    into.resize(into.len().next_multiple_of(4), 0);
}

/// The packets of a file. Unknown blocks are skipped.
pub(super) struct Packets<'a> {
    file: &'a [u8],
    at: usize,
    /// Decimal digits of a second in the times of the interface.
    digits: Option<u8>,
}

impl<'a> Packets<'a> {
    pub(super) fn read(file: &'a [u8]) -> Result<Self, RecordingError> {
        let kind = file.first_chunk().copied().map(u32::from_le_bytes);
        let order = file.get(8..).and_then(|rest| rest.first_chunk()).copied().map(u32::from_le_bytes);
        match (kind, order) {
            (Some(SECTION), Some(BYTE_ORDER)) => Ok(Self { file, at: 0, digits: None }),
            (None, _) | (Some(SECTION), None) => Err(RecordingError::Truncated { at: 0 }),
            _ => Err(RecordingError::Format { at: 0, why: "it is no pcapng file in little-endian order" }),
        }
    }

    /// The next packet. Returns `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Packet<'a>>, RecordingError> {
        while self.at < self.file.len() {
            let at = self.at;
            let wrong = |why| RecordingError::Format { at, why };
            let rest = self.file.get(at..).unwrap_or_default();
            let Some((kind, length)) = word(rest, 0).zip(word(rest, 4)) else {
                return Err(RecordingError::Truncated { at });
            };
            let size = usize::try_from(length).unwrap_or(usize::MAX);
            if size < 12 || !size.is_multiple_of(4) {
                return Err(wrong("a block has an impossible length"));
            }
            let Some(block) = rest.get(..size) else { return Err(RecordingError::Truncated { at }) };
            if word(block, size - 4) != Some(length) {
                return Err(wrong("the two lengths of a block differ"));
            }
            self.at += size;
            let body = block.get(8..size - 4).unwrap_or_default();
            match kind {
                INTERFACE if self.digits.is_some() => return Err(wrong("it has more than one interface")),
                INTERFACE => self.digits = Some(interface(body).map_err(wrong)?),
                PACKET => return self.packet(at, body).map(Some).map_err(wrong),
                SECTION if at > 0 => return Err(wrong("it has more than one section")),
                _ => {}
            }
        }
        Ok(None)
    }

    fn packet(&self, position: usize, body: &'a [u8]) -> Result<Packet<'a>, &'static str> {
        let digits = self.digits.ok_or("a packet comes before its interface")?;
        let header =
            word(body, 0).zip(word(body, 4)).zip(word(body, 8)).zip(word(body, 12)).zip(word(body, 16));
        let Some(((((interface, high), low), captured), original)) = header else {
            return Err("a packet block is too short");
        };
        if interface != 0 || captured != original {
            return Err("a packet is cut, or is of another interface");
        }
        let length = usize::try_from(captured).unwrap_or(usize::MAX);
        let bytes = body.get(20..).and_then(|rest| rest.get(..length)).ok_or("a packet exceeds its block")?;
        let ticks = u64::from(high) << 32 | u64::from(low);
        let per_second = 10_u64.pow(digits.into());
        let nanoseconds = u32::try_from(ticks % per_second * (1_000_000_000 / per_second)).unwrap_or(0);
        Ok(Packet { at: Duration::new(ticks / per_second, nanoseconds), position, bytes })
    }
}

/// Reads an interface block. Returns the number of digits of its times.
fn interface(body: &[u8]) -> Result<u8, &'static str> {
    let link = body.first_chunk().copied().map(u16::from_le_bytes);
    if link != Some(LINKTYPE_RAW) {
        return Err("its packets do not begin with an IP header (link type 101)");
    }
    let mut options = body.get(8..).unwrap_or_default();
    while let Some(([code, code_high, length, length_high], rest)) = options.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([*length, *length_high]));
        let value = rest.get(..length).ok_or("an option exceeds its block")?;
        match (u16::from_le_bytes([*code, *code_high]), value) {
            (0, _) => break,
            (TIME_RESOLUTION, [digits @ 0..=9]) => return Ok(*digits),
            (TIME_RESOLUTION, _) => {
                return Err("its times have another unit than a decimal part of a second");
            }
            _ => options = rest.get(length.next_multiple_of(4)..).unwrap_or_default(),
        }
    }
    Ok(6)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
