//! The client of a connection that comes through a trusted proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;

use clws_handshake::{ForwardedClient, ForwardedHeader, Headers, Reject};

use crate::config::address::{Peer, Remote};
use crate::connection::context::Context;
use crate::guard::log;

/// The reasons to refuse a request because of its proxy's report.
pub(super) enum ProxiedFault {
    /// The client's address has as many connections as it may have.
    Crowded,
    /// A header is malformed.
    Malformed(Reject),
}

/// The client that trusted proxies report for a request. `source` comes from the header of the PROXY
/// protocol. The result is `None` if the peer is the client.
pub(super) fn remote(
    peer: Peer,
    source: Option<SocketAddr>,
    headers: &Headers<'_>,
    context: &Context<'_>,
) -> Result<Option<Remote>, ProxiedFault> {
    let config = context.config();
    // The header of the PROXY protocol names the machine that has written the request.
    if config.forwarded == ForwardedHeader::None || !config.trusts(source.map_or(peer, Peer::Tcp)) {
        return Ok(source.map(by_address));
    }
    let found = config
        .forwarded
        .read(headers, |address| config.trusts_ip(address))
        .map_err(ProxiedFault::Malformed)?;
    let is_secure = found.is_secure;
    match found.client {
        ForwardedClient::Address(ip, port) => {
            if !take_address(peer, ip, context) {
                return Err(ProxiedFault::Crowded);
            }
            Ok(Some(Remote { ip: Some(ip), port, is_secure }))
        }
        ForwardedClient::Unknown => Ok(Some(Remote { ip: None, port: None, is_secure })),
        ForwardedClient::Peer if source.is_none() && !is_secure => Ok(None),
        ForwardedClient::Peer => {
            let (ip, port) = source.or_else(|| peer.tcp()).map(|near| (near.ip(), near.port())).unzip();
            Ok(Some(Remote { ip, port, is_secure }))
        }
    }
}

pub(super) fn by_address(address: SocketAddr) -> Remote {
    Remote { ip: Some(address.ip()), port: Some(address.port()), is_secure: false }
}

/// Counts a connection for the address of its client, in place of an earlier one. Returns false if
/// the address has as many as it may have. Trusted proxies are not limited.
pub(super) fn take_address(peer: Peer, client: IpAddr, context: &Context<'_>) -> bool {
    let Some(addresses) = &context.clients.shared.addresses else { return true };
    if context.config().trusts_ip(client) {
        return true;
    }
    let Some(place) = context.address else { return true };
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    *place = None; // a proxy may send another request on a connection whose first was refused
    *place = addresses.take(client);
    if place.is_none() {
        log(|| tracing::debug!(%peer, %client, "refused: too many connections come from this address"));
    }
    place.is_some()
}
