//! The peers that a server trusts to report their clients.

use std::net::IpAddr;

use crate::config::Config;
use crate::config::address::Peer;
use crate::config::proxies::TrustedProxy;

impl Config {
    /// Whether the peer of a connection is a trusted proxy.
    pub(crate) fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Tcp(address) => self.trusts_ip(address.ip()),
            Peer::Unix => self.trusted_proxies.contains(&TrustedProxy::UNIX),
            Peer::Stream => false,
        }
    }

    pub(crate) fn trusts_ip(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|proxy| proxy.contains(address))
    }

    /// Whether a connection of that peer begins with a header of the PROXY protocol.
    pub(crate) fn expects_proxy_header(&self, peer: Peer) -> bool {
        self.proxy_protocol && self.trusts(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_of_a_socket_is_trusted() {
        let config = Config::default().trusted_proxies(["127.0.0.1"]).proxy_protocol(true);
        let tcp = Peer::Tcp(([127, 0, 0, 1], 5).into());
        assert!(config.trusts(tcp) && config.expects_proxy_header(tcp));
        assert!(!config.trusts(Peer::Unix) && !config.trusts(Peer::Stream));
        let unix = Config::default().trusted_proxies([TrustedProxy::UNIX]);
        assert!(unix.trusts(Peer::Unix) && !unix.trusts(tcp) && !unix.expects_proxy_header(Peer::Unix));
    }
}
