//! The addresses of a server and of its clients.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// An address to listen on: `host:port`, or `unix:` and a path.
///
/// Port 0 takes a free one; [`Server::local_addrs`](crate::Server::local_addrs) tells which.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Listen {
    /// A TCP address, IPv4 or IPv6. An IPv6 one takes no IPv4 clients beside it.
    Tcp(SocketAddr),
    /// A host name and port, resolved when the server binds; it listens on every address the name has.
    Name(String),
    /// A Unix socket at that path. It is removed when the server ends, unless another server has replaced it.
    ///
    /// A socket that no server listens on, as one that was killed leaves it, is replaced. Anything else at that path is left
    /// as it is, and [`Server::bind`](crate::Server::bind) fails: a socket that a server listens on, a file, a directory, a
    /// symbolic link (whatever it points to), a FIFO. While it is decided on, the directory is locked (`flock`), so that of
    /// several servers that start at once one gets the path. The socket's permissions are those that the umask leaves. Abstract
    /// addresses of Linux are not supported.
    Unix(PathBuf),
}

impl Listen {
    /// The URL of the root resource there, `ws://127.0.0.1:12345/`, for those on the same machine: `localhost` stands for an
    /// address that means all of them. `None` for a Unix socket, which has none.
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
    /// Whatever is behind a stream that was given to the server.
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
