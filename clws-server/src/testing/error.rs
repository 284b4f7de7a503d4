//! The errors of test clients, and the HTTP responses that they get.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::time::Duration;

use clws_handshake::Headers;
use clws_handshake::client::{AnswerError, RequestError};
use clws_proto::{ProtocolError, SendError};

use crate::capture::error::RecordingError;
use crate::client::close::Close;

/// An HTTP response: a refused handshake, or the answer of the [HTTP hook](crate::Resources::http).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TestResponse {
    /// The status, for instance 404.
    pub status: u16,
    /// The header lines: names as the server writes them, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A test client did not get what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TestError {
    /// The server refused the handshake.
    #[error("the server refused the client: {0}")]
    Refused(TestResponse),
    /// The request cannot be sent: its path, origin, subprotocol or header is invalid.
    #[error("the request cannot be sent: {0}")]
    Request(#[from] RequestError),
    /// The response of the server is not valid.
    #[error("the response of the server is not valid: {0}")]
    Response(#[from] AnswerError),
    /// The server ended the connection before its response was complete.
    #[error("the server ended the connection before its response was complete")]
    NoResponse,
    /// The connection has ended. The code is 1005 for a close frame without a code, and 1006 for a
    /// connection that ended without a close frame.
    #[error("the connection has ended: {} {:?}", .0.code, .0.reason)]
    Closed(Close),
    /// The server sent bytes that violate the protocol.
    #[error("the server broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The client cannot send this message: a binary message or a ping in draft 0 or hixie-75, a
    /// ping that is too long, or a close code that must not be sent.
    #[error("the message cannot be sent: {0}")]
    Send(#[from] SendError),
    /// The wait took longer than the [hang limit](crate::testing::TestServer::hang_limit).
    #[error("waited {limit:?} for {waited_for}")]
    Hang {
        /// The event that did not happen.
        waited_for: &'static str,
        /// The hang limit.
        limit: Duration,
    },
    /// The recording cannot be replayed, because bytes of the client are missing.
    #[error("the recording cannot be replayed: {0}")]
    Recording(#[from] RecordingError),
    /// The system refused a thread for the client.
    #[error("there is no thread for the client: {0}")]
    Thread(io::Error),
}

impl TestResponse {
    pub(super) fn new(status: u16, headers: Headers<'_>, body: &[u8]) -> Self {
        Self { status, headers: owned(headers), body: body.to_vec() }
    }

    /// The value of a header. Case does not matter in its name. The first of several.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The body as text. Bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Display for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.status, self.text())
    }
}

impl TestError {
    /// The response that refused the handshake.
    #[must_use]
    pub const fn response(&self) -> Option<&TestResponse> {
        match self {
            Self::Refused(response) => Some(response),
            _ => None,
        }
    }

    /// The status of the response that refused the handshake.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.response().map(|response| response.status)
    }
}

/// The header lines, copied.
pub(super) fn owned(headers: Headers<'_>) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The first value of a header.
pub(super) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}
