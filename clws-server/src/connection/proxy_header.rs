//! What the header of the PROXY protocol means for its connection.

use std::net::SocketAddr;

use clws_handshake::{ProxyHeader, ProxyHeaderError, Reject};

use crate::admission::ConnectionPermit;
use crate::connection::closing::Closing;
use crate::connection::context::Context;
use crate::connection::proxied::{by_address, take_address};
use crate::connection::refusal::refusal;
use crate::connection::{Connection, Stage};
use crate::guard::log;

impl Connection {
    /// Records the source in the header of the PROXY protocol. `None` means that the peer itself is
    /// the client. Refuses the client if its address has as many connections as it may have.
    pub(crate) fn proxied(&mut self, source: Option<SocketAddr>, context: &Context<'_>) {
        let (Stage::Handshake(handshake), Some(source)) = (&mut self.stage, source) else { return };
        handshake.source = Some(source);
        handshake.remote = Some(by_address(source));
        if take_address(handshake.peer, source.ip(), context) {
            return;
        }
        if let Some((reject, outcome)) = refusal(ConnectionPermit::Crowded) {
            context.counters().note_handshake(outcome);
            let reply = handshake.refusal(&reject, &[], context);
            self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
        }
    }

    /// Refuses a connection of a trusted proxy that does not begin with a header of the PROXY
    /// protocol. The settings of the proxy contradict the settings of the server.
    pub(crate) fn refuse_proxy_header(&mut self, error: ProxyHeaderError, context: &Context<'_>) {
        let Stage::Handshake(handshake) = &self.stage else { return };
        log(|| tracing::warn!(peer = %handshake.peer, "refused a trusted proxy: {error}"));
        let reject = Reject::bad_request(error.to_string());
        context.counters().note_rejected(reject.status());
        let reply = handshake.refusal(&reject, &[], context);
        self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
    }
}

/// Names the fault of a request that begins with a header of the PROXY protocol. Its sender is no
/// trusted proxy, the server does not expect such headers, or it is the second one.
pub(super) fn explained(reject: Reject, request: &[u8]) -> Reject {
    /// Enough bytes of either version to tell it from an HTTP request.
    const ENOUGH: usize = 5;
    let is_other = request.len() < ENOUGH || ProxyHeader::parse(request) == Err(ProxyHeaderError::Missing);
    if reject.status() != 400 || is_other {
        return reject;
    }
    Reject::bad_request(
        "only a trusted proxy may begin with a PROXY protocol header, and only if `proxy_protocol` is on",
    )
}
