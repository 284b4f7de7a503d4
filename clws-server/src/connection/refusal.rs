//! The answer to a connection that exceeds a limit on the number of connections.

use clws_handshake::Reject;

use crate::admission::ConnectionPermit;
use crate::stats::kinds::HandshakeOutcome;

/// Seconds after which a client may try again when the server stops: about the time of a restart.
pub(crate) const RETRY_AFTER: u32 = 5;

/// The answer to a connection that is refused before its request has arrived.
///
/// A connection whose address has too many gets 429 and not 503, because the server is not at
/// fault. A load balancer takes a server that answers with 503 out of service. Other clients would
/// then lose their server.
pub(crate) fn refusal(permit: ConnectionPermit) -> Option<(Reject, HandshakeOutcome)> {
    match permit {
        ConnectionPermit::Client | ConnectionPermit::Stream => None,
        ConnectionPermit::Refused => Some((Reject::unavailable(None), HandshakeOutcome::Full)),
        ConnectionPermit::Crowded => {
            let reject = Reject::custom(429, "too many connections come from this address");
            Some((reject, HandshakeOutcome::AddressLimit))
        }
    }
}
