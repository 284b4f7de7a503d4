use thiserror::Error;

use crate::http::head_lines::{Lines, LinesError};
use crate::http::headers::Headers;
use crate::http::request_line::version_of;

/// An answer that opens no connection: what [`AnswerError::Refused`] says in short.
///
/// It is borrowed from the bytes that were received, and [`Pending::refusal`](super::Pending::refusal) finds it there.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// The status code: 302 with a `Location` to go to instead, 401 with a challenge, 426 with the versions that are
    /// spoken. Never 1xx.
    pub status: u16,
    /// The header lines.
    pub headers: Headers<'a>,
    /// What came behind the head: the body or its beginning, in the transfer coding that the headers name.
    pub body: &'a [u8],
}

/// The answer does not open a connection: close it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The server refused in good HTTP; [`Pending::refusal`] has its headers.
    #[error("the server answered {status} {reason}")]
    Refused {
        /// The status code, 404 for instance; never 1xx.
        status: u16,
        /// The reason phrase, which may be empty.
        reason: Box<str>,
    },
    /// What came is not a well-formed HTTP/1.x answer, or opens the connection in HTTP/1.0; the text says where.
    /// Folded header lines are malformed.
    #[error("the response is not valid HTTP/1.1: {0}")]
    Malformed(&'static str),
    /// The head is longer, or has more lines, than the [`HandshakeLimits`] allow; or interim answers together are longer.
    #[error("the head of the answer is too large")]
    TooLarge,
    /// A header that a right answer has once is missing, repeated, or has another value.
    #[error("the {0} header of the response is missing or wrong")]
    Header(&'static str),
    /// Draft 0: the 16 bytes behind the head do not prove that the keys were read.
    #[error("the answer's digest is wrong")]
    Digest,
    /// The server chose a subprotocol that was not offered, or in draft 0 and hixie-75 not the one that was.
    #[error("the server chose a subprotocol that was not offered")]
    Subprotocol,
    /// The server uses an extension that was not offered, or in a way that was not.
    #[error("the server uses an extension that was not offered, or not so")]
    Extension,
}

/// The head of an answer.
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

/// RFC 9112 §4: `status-line = HTTP-version SP status-code SP [ reason-phrase ]`. The second space may be missing: there
/// are servers that leave it away with the phrase.
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

/// Whether another answer follows the one of that status. 101 is the last one in HTTP.
pub(super) const fn is_interim(status: u16) -> bool {
    matches!(status, 100..=199) && status != 101
}
