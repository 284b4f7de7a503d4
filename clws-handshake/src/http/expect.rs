//! The `Expect` header (RFC 9110 §10.1.1) and the interim response to it.

use crate::http::headers::Headers;
use crate::http::reject::Reject;
use crate::token;

/// The interim response to a request that [expects](crate::HttpRequest::expects_continue) it. A
/// final response must follow.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Whether the client expects 100 (Continue). Rejects other expectations.
pub(crate) fn expects_continue(headers: Headers<'_>, minor: u8) -> Result<bool, Reject> {
    // RFC 9110 §10.1.1: "A server that receives a 100-continue expectation in an HTTP/1.0 request
    // MUST ignore that expectation." HTTP/1.0 has no other expectations.
    if minor == 0 {
        return Ok(false);
    }
    let mut expects = false;
    for value in headers.all_bytes("Expect") {
        let members = token::list(str::from_utf8(value).map_err(|_| Reject::expectation_failed())?);
        for member in members {
            // RFC 9110 §10.1.1: "A server that receives an Expect field value containing a member
            // other than 100-continue MAY respond with a 417 (Expectation Failed) status code"
            if !member.eq_ignore_ascii_case("100-continue") {
                return Err(Reject::expectation_failed());
            }
            expects = true;
        }
    }
    Ok(expects)
}
