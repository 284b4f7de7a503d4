//! How a connection ended.

use std::fmt;
use std::io;
use std::sync::Arc;

use clws_proto::{CloseCode, ProtocolError};

use crate::drain::report::EndedBy;

/// The end of a connection, as reported to [`disconnected`](crate::Resource::disconnected).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Disconnect {
    /// The code in the client's close frame, [`NO_STATUS`](CloseCode::NO_STATUS) (1005) if the
    /// frame had none, or [`ABNORMAL`](CloseCode::ABNORMAL) (1006) if no close frame came.
    pub code: CloseCode,
    /// The reason in the client's close frame.
    pub reason: String,
    /// The event that ended the connection.
    pub cause: DisconnectCause,
    /// The number of data messages that the server had read from the client and did not deliver.
    /// They are lost to the application: it had closed the client itself, a deadline passed while
    /// it took no messages, or a handler panicked. 0 whenever the client ended the connection and
    /// the application took all of its messages.
    ///
    /// A message in [pieces](crate::Piece) counts once, if all of it was read and its last piece
    /// was not delivered. A message whose end was not read counts nothing.
    pub undelivered: u64,
}

impl Disconnect {
    /// Whether the closing handshake was completed.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        matches!(self.cause, DisconnectCause::Closed)
    }

    /// Creates an end for an application's tests of its handlers.
    #[must_use]
    pub fn new(code: CloseCode, reason: impl Into<String>, cause: DisconnectCause) -> Self {
        Self { code, reason: reason.into(), cause, undelivered: 0 }
    }

    /// The end as a [`Report`](crate::Report) counts it.
    pub(crate) const fn ended_by(&self) -> EndedBy {
        match self.cause {
            DisconnectCause::Closed => EndedBy::Handshake,
            DisconnectCause::Stopped
            | DisconnectCause::CloseTimeout
            | DisconnectCause::WriteTimeout
            | DisconnectCause::Budget => EndedBy::Server,
            _ => EndedBy::Other,
        }
    }

    pub(crate) const fn abnormal(cause: DisconnectCause) -> Self {
        Self { code: CloseCode::ABNORMAL, reason: String::new(), cause, undelivered: 0 }
    }
}

/// The code, the reason if there is one, and the cause: `1001 going away: closed`,
/// `1006: vanished`.
impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blank = if self.reason.is_empty() { "" } else { " " };
        write!(f, "{}{blank}{}: {}", self.code, self.reason, self.cause)?;
        match self.undelivered {
            0 => Ok(()),
            1 => f.write_str(", 1 message undelivered"),
            many => write!(f, ", {many} messages undelivered"),
        }
    }
}

/// The event that ended a connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum DisconnectCause {
    /// The closing handshake, begun by either side. A client of draft 0 may end the TCP connection
    /// instead, between two messages. Hixie-75 has no other way.
    Closed,
    /// The client ended the TCP connection without a close frame.
    Vanished,
    /// The client violated the protocol, and the server sent it a close frame.
    Protocol(ProtocolError),
    /// The connection failed.
    Io(Arc<io::Error>),
    /// The client did not answer our close frame in time; in hixie-75, the end of our side of the
    /// connection.
    CloseTimeout,
    /// The client read nothing of its queue for
    /// [`write_timeout`](crate::Config#structfield.write_timeout), or read it more slowly than
    /// [`min_rate`](crate::Config#structfield.min_rate).
    WriteTimeout,
    /// The client was silent, and sent nothing for
    /// [`ping_timeout`](crate::Config#structfield.ping_timeout) after the server's ping. The server
    /// sends it close code 1011.
    KeepaliveTimeout,
    /// The client sent no message for [`idle_timeout`](crate::Config#structfield.idle_timeout). The
    /// server sends it close code 1001.
    IdleTimeout,
    /// The client began a message and sent no byte of it for
    /// [`message_timeout`](crate::Config#structfield.message_timeout), or sent it more slowly than
    /// [`min_rate`](crate::Config#structfield.min_rate). The server sends it close code 1008.
    MessageTimeout,
    /// [`Client::abort`](crate::Client::abort) was called.
    Aborted,
    /// A handler panicked.
    Panic,
    /// Too much memory was held for all clients, and most of it for this one: see
    /// [`max_buffered`](crate::Config#structfield.max_buffered).
    Budget,
    /// The client sent faster than a limit allows, and the server closed it with 1008: see
    /// [`excess`](crate::Config#structfield.excess).
    Excess,
    /// The server stopped before the client had answered, or the future that served its stream was
    /// dropped.
    Stopped,
}

impl DisconnectCause {
    /// A short name in lower case, for instance `write_timeout`, as in
    /// [`CloseCount`](crate::CloseCount) and in the metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Vanished => "vanished",
            Self::Protocol(_) => "protocol",
            Self::Io(_) => "io",
            Self::CloseTimeout => "close_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::KeepaliveTimeout => "keepalive_timeout",
            Self::IdleTimeout => "idle_timeout",
            Self::MessageTimeout => "message_timeout",
            Self::Aborted => "aborted",
            Self::Panic => "panic",
            Self::Budget => "budget",
            Self::Excess => "excess",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for DisconnectCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Vanished => f.write_str("vanished"),
            Self::Protocol(error) => write!(f, "broke the protocol: {error}"),
            Self::Io(error) => write!(f, "failed: {error}"),
            Self::CloseTimeout => f.write_str("did not answer a close frame"),
            Self::WriteTimeout => f.write_str("did not read what was sent"),
            Self::KeepaliveTimeout => f.write_str("did not answer a ping"),
            Self::IdleTimeout => f.write_str("sent no message"),
            Self::MessageTimeout => f.write_str("did not complete a message"),
            Self::Aborted => f.write_str("aborted"),
            Self::Panic => f.write_str("a handler panicked"),
            Self::Budget => f.write_str("held too much memory"),
            Self::Excess => f.write_str("sent too fast"),
            Self::Stopped => f.write_str("the server stopped"),
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::stats::kinds::{CAUSES, cause_index};

    /// Lists the causes. It does not compile until it has a line for each cause.
    macro_rules! all_causes {
        ($($pattern:pat => $cause:expr,)*) => {{
            let _ = |cause: DisconnectCause| match cause { $($pattern => {})* };
            [$($cause),*]
        }};
    }

    #[test]
    fn each_cause_has_a_counter() {
        use DisconnectCause::*;
        let causes = all_causes! {
            Closed => Closed,
            Vanished => Vanished,
            Protocol(_) => Protocol(ProtocolError::InvalidUtf8),
            Io(_) => Io(Arc::new(io::ErrorKind::Other.into())),
            CloseTimeout => CloseTimeout,
            WriteTimeout => WriteTimeout,
            KeepaliveTimeout => KeepaliveTimeout,
            IdleTimeout => IdleTimeout,
            MessageTimeout => MessageTimeout,
            Aborted => Aborted,
            Panic => Panic,
            Budget => Budget,
            Excess => Excess,
            Stopped => Stopped,
        };
        for cause in &causes {
            assert_eq!(CAUSES.get(cause_index(cause.name())), Some(&cause.name()));
        }
        assert_eq!(causes.len() + 1, CAUSES.len(), "the last counter is for no cause");
    }
}
