//! The addresses of a server and of its clients.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// An address to listen on: `host:port`, or `unix:` and a path.
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
    /// gets the path. The umask determines the permissions of the socket. Abstract addresses of
    /// Linux are not supported.
    Unix(PathBuf),
}

impl Listen {
    /// The URL of the root resource for clients on the same machine, such as
    /// `ws://127.0.0.1:12345/`. An unspecified address becomes `localhost`. A Unix socket has no
    /// URL.
    #[must_use]
    pub fn url(&self) -> Option<String> {
        match self {
            Self::Tcp(address) if address.ip().is_unspecified() => {
                Some(format!("ws://localhost:{}/", address.port()))
            }
            Self::Tcp(address) => Some(format!("ws://{address}/")),
            Self::Name(name) => Some(format!("ws://{name}/")),
            Self::Unix(_) => None,
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
        match (address.strip_prefix("unix:"), address.parse()) {
            (Some(path), _) => Self::Unix(path.into()),
            (None, Ok(address)) => Self::Tcp(address),
            (None, Err(_)) => Self::Name(address.to_owned()),
        }
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

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
            Self::Stream => f.write_str("stream"),
        }
    }
}
