//! The head of a response, and the errors of a response.

use thiserror::Error;

use crate::http::head_lines::{Lines, LinesError};
use crate::http::headers::Headers;
use crate::http::request_line::version_of;

/// A response that refuses the handshake: the details of [`AnswerError::Refused`].
///
/// Borrowed from the received bytes by [`Pending::refusal`](super::Pending::refusal).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// The status code, for example 302 with a `Location`, 401 with a challenge, or 426 with the
    /// supported versions. Never 1xx.
    pub status: u16,
    /// The header lines.
    pub headers: Headers<'a>,
    /// The bytes after the head: the body or its beginning, in the transfer coding of the headers.
    pub body: &'a [u8],
}

/// The response does not open a connection. Close the socket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The server refused the handshake with a valid HTTP response.
    /// [`Pending::refusal`](super::Pending::refusal) has its headers.
    #[error("the server answered {status} {reason}")]
    Refused {
        /// The status code, for example 404. Never 1xx.
        status: u16,
        /// The reason phrase. May be empty.
        reason: Box<str>,
    },
    /// The response is not valid HTTP/1.x, or it is a 1xx of HTTP/1.0. The text names the invalid
    /// part. Folded header lines are invalid.
    #[error("the response is not valid HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The head is longer or has more lines than the [`HandshakeLimits`](crate::HandshakeLimits)
    /// allow. Also if all interim responses together are longer.
    #[error("the head of the response is too large")]
    TooLarge,
    /// A header that must appear once is missing, repeated, or has the wrong value.
    #[error("the {0} header of the response is missing or wrong")]
    Header(&'static str),
    /// Draft 0: the 16 bytes after the head do not prove that the server read the keys.
    #[error("the digest of the response is wrong")]
    Digest,
    /// The server chose a subprotocol that was not offered. In draft 0 and hixie-75, also if it did
    /// not choose the offered one.
    #[error("the server chose a subprotocol that was not offered")]
    Subprotocol,
    /// The server uses an extension that was not offered, or with parameters that the offer
    /// excludes.
    #[error("the server uses an extension that was not offered, or with other parameters")]
    Extension,
}

/// The head of a response.
pub(super) struct AnswerHead<'a> {
    pub(super) status: u16,
    pub(super) reason: &'a [u8],
    pub(super) headers: Headers<'a>,
}

impl<'a> AnswerHead<'a> {
    pub(super) fn parse(head: &'a [u8], max_headers: usize) -> Result<Self, AnswerError> {
        let lines = Lines::split(head);
        let (status, reason) = status_line(lines.first).ok_or(AnswerError::Malformed("the status line"))?;
        let headers = lines.headers(max_headers).map_err(|error| match error {
            LinesError::TooMany => AnswerError::TooLarge,
            LinesError::Malformed => AnswerError::Malformed("a header line"),
        })?;
        Ok(Self { status, reason, headers })
    }
}

/// RFC 9112 §4: `status-line = HTTP-version SP status-code SP [ reason-phrase ]`. The second space
/// may be missing, because some servers omit it together with the phrase.
fn status_line(line: &[u8]) -> Option<(u16, &[u8])> {
    let (version, rest) = line.split_at_checked(b"HTTP/1.1".len())?;
    let (code, reason) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let status = code
        .iter()
        .try_fold(0, |status, digit| digit.is_ascii_digit().then(|| status * 10 + u16::from(digit - b'0')))?;
    let reason = if reason.is_empty() { reason } else { reason.strip_prefix(b" ")? };
    let is_text = reason.iter().all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f));
    let is_known = match version_of(version)? {
        // RFC 9110 §15.2: "HTTP/1.0 did not define any 1xx status codes".
        (1, 0) => !is_interim(status) && status != 101,
        (1, _) => true,
        _ => false,
    };
    (is_text && is_known).then_some((status, reason))
}

/// Whether another response follows a response with this status. 101 is the last response in HTTP.
pub(super) const fn is_interim(status: u16) -> bool {
    matches!(status, 100..=199) && status != 101
}
