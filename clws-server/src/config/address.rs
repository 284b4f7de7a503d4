//! The addresses of a server and of its clients.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// An address to listen on: `host:port`, or `unix:` and a path.
///
/// A server with [TLS](crate::guide::tls) speaks it at every `host:port`. `ws://host:port`
/// is an address without TLS, and `wss://host:port` is an address that needs it.
///
/// Port 0 takes a free port, which [`Server::local_addrs`](crate::Server::local_addrs) returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listen {
    /// A TCP address, IPv4 or IPv6. An IPv6 address accepts no IPv4 clients.
    Tcp(SocketAddr),
    /// A host name and port. The server resolves it when it binds, and listens on every address.
    Name(String),
    /// A Unix socket at a path. It is removed when the server ends, unless another server has
    /// replaced it.
    ///
    /// A socket without a server, such as a killed server leaves, is replaced. In all other cases
    /// [`Server::bind`](crate::Server::bind) fails and changes nothing: another server listens
    /// there, or the path is a file, a directory, a FIFO or a symbolic link.
    ///
    /// The directory is locked meanwhile (`flock`), so that only one of several starting servers
    /// gets the path. [`unix_mode`](crate::Config#structfield.unix_mode) sets the permissions of the
    /// socket. Abstract addresses of Linux are not supported.
    Unix(PathBuf),
    /// `wss://` and a TCP address or a name: with [TLS](crate::guide::tls). A server that
    /// has no certificate cannot bind it. [`Server::local_addrs`](crate::Server::local_addrs)
    /// returns this form for each socket with TLS.
    Tls(Box<Self>),
    /// `ws://` and a TCP address or a name: without TLS, even if the server has certificates.
    Plain(Box<Self>),
}

impl Listen {
    /// The URL of the root resource for clients on the same machine, such as
    /// `ws://127.0.0.1:12345/`, or `wss://` for a socket with TLS. An unspecified address becomes
    /// `localhost`. A Unix socket has no URL.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        let scheme = if let Self::Tls(_) = self { "wss" } else { "ws" };
        match self.without_scheme() {
            Self::Tcp(address) if address.ip().is_unspecified() => {
                Some(format!("{scheme}://localhost:{}/", address.port()))
            }
            Self::Tcp(address) => Some(format!("{scheme}://{address}/")),
            Self::Name(name) => Some(format!("{scheme}://{name}/")),
            Self::Unix(_) | Self::Tls(_) | Self::Plain(_) => None,
        }
    }

    /// The TCP address, with TLS or without. `None` for a name and for a Unix socket.
    ///
    /// ```
    /// use clws_server::Listen;
    ///
    /// let address = Listen::from("wss://127.0.0.1:443").socket_addr().unwrap();
    /// assert_eq!(address.port(), 443);
    /// ```
    #[must_use]
    pub fn socket_addr(&self) -> Option<SocketAddr> {
        if let Self::Tcp(address) = self.without_scheme() { Some(*address) } else { None }
    }

    /// The address without `ws://` or `wss://`.
    pub(crate) fn without_scheme(&self) -> &Self {
        match self {
            Self::Tls(address) | Self::Plain(address) => address,
            address => address,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<(IpAddr, u16)> for Listen {
    fn from(address: (IpAddr, u16)) -> Self {
        Self::Tcp(address.into())
    }
}

impl From<&str> for Listen {
    fn from(address: &str) -> Self {
        if let Some(rest) = address.strip_prefix("wss://") {
            return Self::Tls(Box::new(Self::host_and_port(rest)));
        }
        if let Some(rest) = address.strip_prefix("ws://") {
            return Self::Plain(Box::new(Self::host_and_port(rest)));
        }
        match (address.strip_prefix("unix:"), address.parse()) {
            (Some(path), _) => Self::Unix(path.into()),
            (None, Ok(address)) => Self::Tcp(address),
            (None, Err(_)) => Self::Name(address.to_owned()),
        }
    }
}

impl Listen {
    fn host_and_port(address: &str) -> Self {
        // The slash at the end of a URL means nothing here.
        let address = address.strip_suffix('/').unwrap_or(address);
        address.parse().map_or_else(|_| Self::Name(address.to_owned()), Self::Tcp)
    }
}

impl From<String> for Listen {
    fn from(address: String) -> Self {
        Self::from(address.as_str())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Tls(address) => write!(f, "wss://{address}"),
            Self::Plain(address) => write!(f, "ws://{address}"),
        }
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Peer {
    /// A TCP client's address.
    Tcp(SocketAddr),
    /// A process on the same machine, through a Unix socket.
    Unix,
    /// The unknown other end of a stream that the application provided.
    Stream,
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Stream => f.write_str("stream"),
        }
    }
}

impl Peer {
    /// The IP address and the port, if there is one. A listener of the application for both families
    /// has IPv4 addresses in the form of IPv6 addresses. They become IPv4 here.
    pub(crate) fn tcp(self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => match address.ip().to_canonical() {
                IpAddr::V4(ip) => Some((ip, address.port()).into()),
                IpAddr::V6(_) => Some(address),
            },
            Self::Unix | Self::Stream => None,
        }
    }
}

/// The client of a connection that came through a trusted proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Remote {
    /// `None` if the proxy does not know it.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: Option<u16>,
    /// Whether the client uses TLS, as the proxy says.
    pub(crate) is_secure: bool,
}

/// Shows the IP address, or `unknown`.
impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) => ip.fmt(f),
            None => f.write_str("unknown"),
        }
    }
}
