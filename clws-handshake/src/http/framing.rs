//! The framing of request bodies (RFC 9112 §6).

use crate::http::headers::Headers;
use crate::http::reject::Reject;
use crate::token;

/// Whether a body follows the head. Rejects a request if two recipients could disagree on the end
/// of the body.
pub(crate) fn has_body(headers: Headers<'_>, minor: u8) -> Result<bool, Reject> {
    let mut lengths = headers.all_bytes("Content-Length");
    if headers.get_bytes("Transfer-Encoding").is_none() {
        let Some(first) = lengths.next() else { return Ok(false) };
        let length = content_length(first)?;
        // RFC 9112 §6.3: a list is invalid unless "all values in the list are valid, and all values
        // in the list are the same".
        for another in lengths {
            if content_length(another)? != length {
                return Err(Reject::bad_request("the Content-Length headers differ"));
            }
        }
        return Ok(!length.is_empty());
    }
    // RFC 9112 §6.1: "A server MAY reject a request that contains both Content-Length and
    // Transfer-Encoding"; such a message "might indicate an attempt to perform request smuggling".
    if lengths.next().is_some() {
        return Err(Reject::bad_request("the request has both Content-Length and Transfer-Encoding"));
    }
    // RFC 9112 §6.1: a server that receives an HTTP/1.0 message with Transfer-Encoding "MUST treat
    // the message as if the framing is faulty".
    if minor == 0 {
        return Err(Reject::bad_request("HTTP/1.0 has no Transfer-Encoding"));
    }
    let malformed = || Reject::bad_request("the Transfer-Encoding does not end in chunked");
    let mut ends_in_chunked = false;
    let mut is_known = true;
    for value in headers.all_bytes("Transfer-Encoding") {
        for coding in token::list(str::from_utf8(value).map_err(|_| malformed())?) {
            // RFC 9112 §6.1: "A sender MUST NOT apply the chunked transfer coding more than once",
            // and §6.3: if "the chunked transfer coding is not the final encoding ... the server
            // MUST respond with the 400".
            if ends_in_chunked {
                return Err(malformed());
            }
            ends_in_chunked = coding.eq_ignore_ascii_case("chunked");
            is_known &= ends_in_chunked;
        }
    }
    if !ends_in_chunked {
        return Err(malformed());
    }
    // RFC 9112 §6.1: "A server that receives a request message with a transfer coding it does not
    // understand SHOULD respond with 501 (Not Implemented)."
    if is_known {
        Ok(true)
    } else {
        Err(Reject::custom(501, "the only supported transfer coding is chunked"))
    }
}

/// Refuses a handshake that declares a body, because the bytes after its head are frames.
///
/// Stricter than [`has_body`]: only the literal `0` is a valid length.
pub(crate) fn require_no_body(headers: Headers<'_>) -> Result<(), Reject> {
    let has_length = headers.all_bytes("Content-Length").any(|length| length != b"0");
    if has_length || headers.get_bytes("Transfer-Encoding").is_some() {
        return Err(Reject::bad_request("a WebSocket handshake must not have a body"));
    }
    Ok(())
}

/// The digits of a length without leading zeros, so that numbers of any size compare. Empty for 0.
fn content_length(value: &[u8]) -> Result<&[u8], Reject> {
    let malformed = || Reject::bad_request("the Content-Length is not a number");
    let mut common: Option<&[u8]> = None;
    // RFC 9110 §8.6: a recipient may accept "a list of identical values".
    for member in value.split(|&byte| byte == b',') {
        let digits = member.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(malformed());
        }
        let significant = digits.iter().position(|&digit| digit != b'0').unwrap_or(digits.len());
        let digits = digits.get(significant..).unwrap_or_default();
        if common.replace(digits).is_some_and(|earlier| earlier != digits) {
            return Err(Reject::bad_request("the Content-Length headers differ"));
        }
    }
    common.ok_or_else(malformed)
}
