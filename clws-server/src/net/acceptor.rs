//! Listening sockets, TCP and Unix, as one type.

use std::io;
use std::net::{Shutdown, TcpListener};

use crate::config::Config;
use crate::config::address::{Listen, Peer};
use crate::net::socket::Socket;
use crate::net::tcp;
#[cfg(unix)]
use crate::net::unix::BoundUnix;

/// A listening socket, not blocking.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(BoundUnix),
    #[cfg(all(test, unix))]
    Sim(crate::sim::socket::SimListener),
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

    use super::Acceptor;

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
