//! The state of a connection, and its end.

use crate::close::{CloseCode, CloseFrame};
use crate::error::ProtocolError;
use crate::version::Version;

/// The progress of a [`Connection`](crate::Connection) through the closing handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages go both ways.
    Open,
    /// This side has sent a close frame and waits for the peer's. It sends no more messages.
    Closing,
    /// The peer has closed, violated the protocol, or ended the stream. Further input is discarded.
    ///
    /// The last frames may still be queued: [`transmit`](crate::Connection::transmit) them.
    Closed,
}

/// The reason why a [`Connection`](crate::Connection) failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The peer violated the protocol. A close frame with the code of the error was queued.
    #[error("the peer broke the protocol: {0}")]
    Protocol(#[from] ProtocolError),
    /// The stream ended without the peer's close frame.
    #[error("the connection ended without the peer's close frame")]
    UnexpectedEnd,
}

impl ConnectionError {
    /// The close code for this error: the [code of the protocol error](ProtocolError::close_code),
    /// or 1006.
    #[must_use]
    pub const fn close_code(&self, version: Version) -> CloseCode {
        match self {
            Self::Protocol(error) => error.close_code(version),
            // RFC 6455 §7.1.5: "If _The WebSocket Connection is Closed_ and no Close control frame
            // was received by the endpoint [...], _The WebSocket Connection Close Code_ is
            // considered to be 1006."
            Self::UnexpectedEnd => CloseCode::ABNORMAL,
        }
    }
}

/// The end of a connection, kept after its last read.
#[derive(Debug)]
pub(super) struct End(Result<Option<(CloseCode, Box<str>)>, ConnectionError>);

impl End {
    pub(super) fn closed(frame: Option<CloseFrame<'_>>) -> Self {
        Self(Ok(frame.map(|frame| (frame.code, frame.reason.into()))))
    }

    pub(super) fn without_close_frame(result: Result<(), ConnectionError>) -> Self {
        Self(result.map(|()| None))
    }

    pub(super) const fn failed(error: ProtocolError) -> Self {
        Self(Err(ConnectionError::Protocol(error)))
    }

    pub(super) fn get(&self) -> Result<Option<CloseFrame<'_>>, ConnectionError> {
        match &self.0 {
            Ok(close) => Ok(close.as_ref().map(|(code, reason)| CloseFrame { code: *code, reason })),
            Err(error) => Err(*error),
        }
    }
}
