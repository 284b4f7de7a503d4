//! The kinds of sockets a server listens on and reads from, TCP and Unix, as one type each.

use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::config::Config;
use crate::net::tcp;
#[cfg(unix)]
use crate::net::unix::BoundUnix;

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

/// A connection's socket, not blocking.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(all(test, unix))]
    Sim(crate::sim::socket::SimSocket),
}

/// A listening socket, not blocking.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(BoundUnix),
    #[cfg(all(test, unix))]
    Sim(crate::sim::socket::SimListener),
}

impl Socket {
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => (&mut &*stream).read(buffer),
            #[cfg(all(test, unix))]
            Self::Sim(socket) => socket.read(buffer),
        }
    }

    #[inline]
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // One slice goes by the shorter way through the kernel.
        match (self, slices) {
            (Self::Tcp(stream), [slice]) => (&mut &*stream).write(slice),
            (Self::Tcp(stream), slices) => (&mut &*stream).write_vectored(slices),
            #[cfg(unix)]
            (Self::Unix(stream), slices) => (&mut &*stream).write_vectored(slices),
            #[cfg(all(test, unix))]
            (Self::Sim(socket), slices) => socket.write(slices),
        }
    }

    /// CloseOnDrop our side: the peer reads to an end of file.
    pub(crate) fn shutdown_write(&self) {
        // It fails only where the connection is gone already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(all(test, unix))]
            Self::Sim(socket) => {
                socket.shutdown_write();
                Ok(())
            }
        };
    }
}

impl Acceptor {
    /// Opens the sockets of an address; a name may have several.
    pub(crate) fn bind(listen: &Listen, config: &Config) -> io::Result<Vec<Self>> {
        match listen {
            Listen::Tcp(address) => Ok(vec![Self::Tcp(tcp::bind(*address, config)?)]),
            Listen::Name(name) => {
                let addresses = std::net::ToSocketAddrs::to_socket_addrs(name.as_str())?;
                addresses.map(|address| tcp::bind(address, config).map(Self::Tcp)).collect()
            }
            #[cfg(unix)]
            Listen::Unix(path) => Ok(vec![Self::Unix(BoundUnix::bind(path, config.backlog)?)]),
            #[cfg(not(unix))]
            Listen::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// The address it listens on, with the port that was really taken.
    pub(crate) fn local_addr(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            #[cfg(unix)]
            Self::Unix(bound) => Ok(Listen::Unix(bound.path.clone())),
            #[cfg(all(test, unix))]
            Self::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Refuses all connections from now on, though others may still hold this socket. Not every system can do that; on those
    /// it takes until the last of them has let go.
    pub(crate) fn refuse_all(&self) {
        let _ = match self {
            Self::Tcp(listener) => socket2::SockRef::from(listener).shutdown(Shutdown::Both),
            #[cfg(unix)]
            Self::Unix(bound) => socket2::SockRef::from(&bound.listener).shutdown(Shutdown::Both),
            #[cfg(all(test, unix))]
            Self::Sim(listener) => return listener.refuse_all(),
        };
    }

    /// Takes the next connection.
    pub(crate) fn accept(&self, config: &Config) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp(listener) => tcp::accept(listener, config),
            #[cfg(unix)]
            Self::Unix(bound) => {
                let (stream, _) = bound.listener.accept()?;
                stream.set_nonblocking(true)?;
                Ok((Socket::Unix(stream), Peer::Unix))
            }
            #[cfg(all(test, unix))]
            Self::Sim(listener) => {
                listener.accept().map(|(socket, address)| (Socket::Sim(socket), Peer::Tcp(address)))
            }
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
            #[cfg(test)]
            Self::Sim(_) => unreachable!("a simulated socket has no descriptor"),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for Socket {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsFd::as_fd(self).as_raw_fd()
    }
}

#[cfg(unix)]
impl std::os::fd::AsFd for Acceptor {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(bound) => bound.listener.as_fd(),
            #[cfg(test)]
            Self::Sim(_) => unreachable!("a simulated socket has no descriptor"),
        }
    }
}

#[cfg(unix)]
impl std::os::fd::AsRawFd for Acceptor {
    fn as_raw_fd(&self) -> std::os::fd::RawFd {
        std::os::fd::AsFd::as_fd(self).as_raw_fd()
    }
}

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket, RawSocket};

    use super::{Acceptor, Socket};

    impl AsSocket for Socket {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            let Self::Tcp(stream) = self;
            stream.as_socket()
        }
    }

    impl AsRawSocket for Socket {
        fn as_raw_socket(&self) -> RawSocket {
            let Self::Tcp(stream) = self;
            stream.as_raw_socket()
        }
    }

    impl AsSocket for Acceptor {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            let Self::Tcp(listener) = self;
            listener.as_socket()
        }
    }

    impl AsRawSocket for Acceptor {
        fn as_raw_socket(&self) -> RawSocket {
            let Self::Tcp(listener) = self;
            listener.as_raw_socket()
        }
    }
}
