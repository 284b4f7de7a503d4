//! Writes header lines, and checks those of a caller.

use thiserror::Error;

use crate::token;

/// A header that would break the message or contradict the handshake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The name is not a token (RFC 9110 §5.6.2).
    #[error("{0:?} is not a valid header name")]
    Name(Box<str>),
    /// The value contains control characters, or has whitespace at an end.
    #[error("the value of the header {0} has control characters or whitespace at an end")]
    Value(Box<str>),
    /// This crate writes the header itself.
    #[error("the header {0} is written automatically: remove it")]
    Reserved(Box<str>),
}

/// Checks a header of a caller.
pub(crate) fn check_header(name: &str, value: &str) -> Result<(), HeaderError> {
    if !token::is_token(name) {
        return Err(HeaderError::Name(name.into()));
    }
    let prefix = "sec-websocket-";
    let reserved = name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        || ["Upgrade", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding", "Host"]
            .iter()
            .chain(&["WebSocket-Origin", "WebSocket-Location", "WebSocket-Protocol"])
            .any(|own| name.eq_ignore_ascii_case(own));
    if reserved {
        return Err(HeaderError::Reserved(name.into()));
    }
    if !token::is_field_value(value) {
        return Err(HeaderError::Value(name.into()));
    }
    Ok(())
}

/// Appends `name: value` and CRLF.
pub(crate) fn push_line(out: &mut Vec<u8>, name: &str, value: &[&str]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for part in value {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}
