//! The body of a received close frame.

use crate::close::{CloseCode, CloseFrame};
use crate::error::ProtocolError;
use crate::version::Version;

/// Parses the body of a close frame: either empty, or a code and a reason.
pub(crate) fn parse(body: &[u8], version: Version) -> Result<Option<CloseFrame<'_>>, ProtocolError> {
    // RFC 6455 §5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte
    // unsigned integer (in network byte order) representing a status code"
    let Some((code, reason)) = body.split_first_chunk::<2>() else {
        return if body.is_empty() { Ok(None) } else { Err(ProtocolError::CloseBodyTooShort) };
    };
    let code = u16::from_be_bytes(*code);
    if !CloseCode::new(code).is_allowed_in(version) {
        return Err(ProtocolError::InvalidCloseCode(code));
    }
    // RFC 6455 §5.5.1: "the body MAY contain UTF-8-encoded data with value /reason/"
    let reason = std::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
    Ok(Some(CloseFrame { code: CloseCode::new(code), reason }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_close_bodies() {
        let parse = |body| super::parse(body, Version::Rfc6455);
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::CloseBodyTooShort));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some(CloseFrame { code: CloseCode::NORMAL, reason: "" })));
        assert_eq!(
            parse(b"\x03\xe9bye"),
            Ok(Some(CloseFrame { code: CloseCode::GOING_AWAY, reason: "bye" }))
        );
        assert_eq!(parse(b"\x03\xed"), Err(ProtocolError::InvalidCloseCode(1005)));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(ProtocolError::InvalidCloseReason));
    }
}
