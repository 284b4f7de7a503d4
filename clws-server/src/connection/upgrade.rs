//! A handshake whose request another HTTP server has read. That server sends the answer, and the
//! stream comes later.

use std::sync::Arc;

use clws_handshake::{Accepted, HandshakeLimits, HttpRequest, Reject, Request, Status};
use http::Extensions;

use crate::connection::open::Open;
use crate::guard::ApplicationValue;
use crate::stats::kinds::HandshakeOutcome;

/// The data of a handshake over another HTTP server.
pub(crate) struct Upgrade {
    /// Whether the request is an extended CONNECT (RFC 8441).
    pub(crate) is_connect: bool,
    pub(crate) extensions: Arc<ApplicationValue<Extensions>>,
    pub(super) answer: Option<UpgradeAnswer>,
}

/// The answer to a handshake over another HTTP server.
pub(crate) enum UpgradeAnswer {
    /// The response, and the client that waits for its stream.
    Accepted(Accepted, Box<Unserved>),
    Refused(Reject),
}

/// A client that was accepted, and whose stream has not come.
pub(crate) struct Unserved {
    /// `None` once the stream is there.
    pub(super) open: Option<Open>,
    /// The bytes of a handshake over HTTP/1.1, if they may be recorded.
    #[cfg(feature = "capture")]
    pub(crate) recorded: Option<(Vec<u8>, Vec<u8>)>,
}

impl Upgrade {
    pub(crate) fn new(is_connect: bool, extensions: Arc<ApplicationValue<Extensions>>) -> Self {
        Self { is_connect, extensions, answer: None }
    }

    /// Reads a request as an opening handshake.
    pub(super) fn read<'a>(
        &self,
        http: HttpRequest<'a>,
        limits: &HandshakeLimits,
    ) -> Result<Request<'a>, Reject> {
        if self.is_connect {
            return http.extended_connect();
        }
        match http.upgrade(&[], limits)? {
            Status::Complete(request) if !request.version().is_hixie() => Ok(request),
            // Draft 0 has 8 bytes after the head, which an HTTP server does not pass on. Clients of
            // hixie-75 compare the response byte for byte, and an HTTP server writes it in its own
            // way.
            _ => Err(Reject::custom(
                426,
                "hixie-75 and draft 0 (hixie-76) are not supported through an HTTP server; use version 13, 8 or 7",
            )),
        }
    }
}

impl UpgradeAnswer {
    pub(super) fn accepted(open: Open, response: Accepted) -> Self {
        let unserved = Unserved {
            open: Some(open),
            #[cfg(feature = "capture")]
            recorded: None,
        };
        Self::Accepted(response, Box::new(unserved))
    }
}

/// The stream of a client may never come.
impl Drop for Unserved {
    fn drop(&mut self) {
        if let Some(Open { client, .. }) = self.open.take() {
            client.counters().note_handshake(HandshakeOutcome::Abandoned);
            client.abandon();
            #[cfg(feature = "capture")]
            client.forget_capture();
        }
    }
}
