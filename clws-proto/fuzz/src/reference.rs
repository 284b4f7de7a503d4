//! A second implementation of the framings. It parses a whole stream at once, without regard to
//! speed.
//!
//! It is written from the documents (RFC 6455, hybi-07, hybi-08, hixie-76). It shares no code with
//! the crate except the names of errors. It has no extensions.

use clws_proto::{Limits, ProtocolError, Role, Version};

use crate::Got;

/// All events of a stream, including a final error. An incomplete frame at the end has no event,
/// unless it is already invalid.
pub fn events(version: Version, role: Role, limits: &Limits, wire: &[u8]) -> Vec<Got> {
    let mut got = Vec::new();
    let end = match version.is_hixie() {
        true => hixie(version, limits, wire, &mut got),
        false => hybi(version, role, limits, wire, &mut got),
    };
    got.extend(end.err().map(Got::Failed));
    got
}

/// Whether text is valid UTF-8 so far. An invalid byte fails at once, an incomplete character only
/// at the end.
fn check_text(payload: &[u8], is_whole: bool) -> Result<(), ProtocolError> {
    match std::str::from_utf8(payload) {
        Ok(_) => Ok(()),
        Err(error) if error.error_len().is_none() && !is_whole => Ok(()),
        Err(_) => Err(ProtocolError::InvalidUtf8),
    }
}

fn is_close_code(version: Version, code: u16) -> bool {
    match version.number() {
        7 => matches!(code, 1000..=1004 | 3000..=4999),
        8 => matches!(code, 1000..=1004 | 1007..=1011 | 3000..=4999),
        13 => matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999),
        other => panic!("version {other}"),
    }
}

/// A data message in progress.
struct Message {
    is_text: bool,
    payload: Vec<u8>,
    frames: u32,
}

fn hybi(
    version: Version,
    role: Role,
    limits: &Limits,
    mut wire: &[u8],
    got: &mut Vec<Got>,
) -> Result<(), ProtocolError> {
    let mut message: Option<Message> = None;
    loop {
        let [first, after @ ..] = wire else { return Ok(()) };
        if first & 0x70 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0F);
        let is_control = opcode >= 8;
        match opcode {
            0..=2 | 8..=10 => {}
            other => return Err(ProtocolError::ReservedOpcode(other)),
        }
        if is_control && !fin {
            return Err(ProtocolError::FragmentedControl);
        }
        let [second, after @ ..] = after else { return Ok(()) };
        match (role, second & 0x80 != 0) {
            (Role::Server, false) => return Err(ProtocolError::Unmasked),
            (Role::Client, true) => return Err(ProtocolError::Masked),
            _ => {}
        }
        if is_control && second & 0x7F > 125 {
            return Err(ProtocolError::ControlTooLong);
        }
        let bytes = match second & 0x7F {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if after.len() < bytes {
            return Ok(());
        }
        let (length, after) = after.split_at(bytes);
        let length = match bytes {
            0 => u64::from(second & 0x7F),
            _ => length.iter().fold(0u64, |length, byte| length << 8 | u64::from(*byte)),
        };
        if (bytes == 2 && length < 126) || (bytes == 8 && length < 0x1_0000) {
            return Err(ProtocolError::NonMinimalLength);
        }
        if length >= 1 << 63 {
            return Err(ProtocolError::LengthOverflow);
        }
        let (key, after) = match role {
            Role::Server if after.len() < 4 => return Ok(()),
            Role::Server => after.split_at(4),
            Role::Client => (&[0; 4][..], after),
        };
        if !is_control {
            match (opcode, &mut message) {
                (0, None) => return Err(ProtocolError::UnexpectedContinuation),
                (1 | 2, Some(_)) => return Err(ProtocolError::ExpectedContinuation),
                (1 | 2, none) => {
                    *none = Some(Message { is_text: opcode == 1, payload: Vec::new(), frames: 0 });
                }
                _ => {}
            }
            let message = message.as_mut().expect("a message is in progress");
            if length > limits.max_frame_size as u64 {
                return Err(ProtocolError::FrameTooBig { limit: limits.max_frame_size });
            }
            if length + message.payload.len() as u64 > limits.max_message_size as u64 {
                return Err(ProtocolError::MessageTooBig { limit: limits.max_message_size });
            }
            message.frames += 1;
            if message.frames > limits.max_fragments && message.frames > 1 {
                return Err(ProtocolError::TooManyFragments { limit: limits.max_fragments });
            }
        }
        let is_whole = after.len() as u64 >= length;
        let (payload, rest) = after.split_at((length as usize).min(after.len()));
        let payload: Vec<u8> = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        wire = rest;
        if is_control {
            if !is_whole {
                return Ok(());
            }
            match opcode {
                9 => got.push(Got::Ping(payload)),
                10 => got.push(Got::Pong(payload)),
                _ => return close(version, &payload, got),
            }
            continue;
        }
        let Some(open) = &mut message else { unreachable!() };
        open.payload.extend(payload);
        let is_last = fin && is_whole;
        if open.is_text {
            check_text(&open.payload, is_last)?;
        }
        if !is_whole {
            return Ok(());
        }
        if is_last && let Some(Message { is_text, payload, .. }) = message.take() {
            got.push(match is_text {
                true => Got::Text(String::from_utf8(payload).expect("the text was checked")),
                false => Got::Binary(payload),
            });
        }
    }
}

fn close(version: Version, body: &[u8], got: &mut Vec<Got>) -> Result<(), ProtocolError> {
    let frame = match body {
        [] => None,
        [_] => return Err(ProtocolError::CloseBodyTooShort),
        [high, low, reason @ ..] => {
            let code = u16::from(*high) << 8 | u16::from(*low);
            if !is_close_code(version, code) {
                return Err(ProtocolError::InvalidCloseCode(code));
            }
            let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
            Some((code, reason.to_owned()))
        }
    };
    got.push(Got::Close(frame));
    Ok(())
}

fn hixie(
    version: Version,
    limits: &Limits,
    mut wire: &[u8],
    got: &mut Vec<Got>,
) -> Result<(), ProtocolError> {
    let limit = limits.max_frame_size.min(limits.max_message_size);
    loop {
        let [kind, after @ ..] = wire else { return Ok(()) };
        if *kind < 0x80 {
            let end = after.iter().position(|byte| *byte == 0xFF);
            if end.unwrap_or(after.len()) > limit {
                return Err(match kind {
                    0 => ProtocolError::MessageTooBig { limit },
                    _ => ProtocolError::DiscardTooBig { limit },
                });
            }
            let Some(end) = end else { return Ok(()) };
            if *kind == 0 {
                got.push(Got::Text(String::from_utf8_lossy(&after[..end]).into_owned()));
            }
            wire = &after[end + 1..];
            continue;
        }
        let mut length = 0u128;
        let mut rest = after;
        loop {
            let [digit, after @ ..] = rest else { return Ok(()) };
            rest = after;
            length = length * 128 + u128::from(digit & 0x7F);
            if length > limit as u128 {
                return Err(ProtocolError::DiscardTooBig { limit });
            }
            if digit & 0x80 == 0 {
                break;
            }
        }
        // The closing handshake was added in draft 76.
        if *kind == 0xFF && length == 0 && version == Version::Hybi00 {
            got.push(Got::Close(None));
            return Ok(());
        }
        if (rest.len() as u128) < length {
            return Ok(());
        }
        wire = &rest[length as usize..];
    }
}
