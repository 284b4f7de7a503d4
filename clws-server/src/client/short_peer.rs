//! A compact form of a client's address.

use std::net::SocketAddr;

use crate::config::address::Peer;

/// A [`Peer`] in 20 bytes instead of 32: without a scope and a flow label, which only link-local
/// IPv6 addresses have.
pub(super) enum ShortPeer {
    V4([u8; 4], u16),
    V6([u8; 16], u16),
    Unix,
    Stream,
    /// The address has a scope or a flow label, and is stored elsewhere.
    Long,
}

impl ShortPeer {
    pub(super) fn new(peer: Peer) -> Self {
        match peer {
            Peer::Tcp(SocketAddr::V4(address)) => Self::V4(address.ip().octets(), address.port()),
            Peer::Tcp(SocketAddr::V6(address)) if address.scope_id() == 0 && address.flowinfo() == 0 => {
                Self::V6(address.ip().octets(), address.port())
            }
            Peer::Tcp(SocketAddr::V6(_)) => Self::Long,
            Peer::Unix => Self::Unix,
            Peer::Stream => Self::Stream,
        }
    }

    pub(super) fn long(&self) -> Option<Peer> {
        match *self {
            Self::V4(ip, port) => Some(Peer::Tcp((ip, port).into())),
            Self::V6(ip, port) => Some(Peer::Tcp((ip, port).into())),
            Self::Unix => Some(Peer::Unix),
            Self::Stream => Some(Peer::Stream),
            Self::Long => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_scope_or_a_flow_label_needs_the_long_form() {
        let v6 = |scope, flow| std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 2, flow, scope);
        for (peer, short) in [
            (Peer::Tcp("1.2.3.4:5".parse().unwrap()), true),
            (Peer::Tcp("[::1]:5".parse().unwrap()), true),
            (Peer::Tcp(v6(0, 0).into()), true),
            (Peer::Tcp(v6(3, 0).into()), false),
            (Peer::Tcp(v6(0, 4).into()), false),
            (Peer::Unix, true),
            (Peer::Stream, true),
        ] {
            assert_eq!(ShortPeer::new(peer).long(), short.then_some(peer));
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size_of::<ShortPeer>(), 20);
    }
}
