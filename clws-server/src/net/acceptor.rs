//! Listening sockets, TCP and Unix, as one type.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixListener;

use socket2::{SockRef, Type};

use crate::config::Config;
use crate::config::address::{Listen, Peer};
use crate::net::handover;
use crate::net::socket::Socket;
#[cfg(unix)]
use crate::net::unix::UnixSocket;
use crate::net::{send_queue, tcp};

/// A non-blocking listening socket.
#[derive(Debug)]
pub(crate) enum Acceptor {
    Tcp {
        listener: TcpListener,
        /// The application has opened the socket, and others may use it.
        is_foreign: bool,
        /// Its connections begin with a TLS handshake.
        is_tls: bool,
    },
    #[cfg(unix)]
    Unix(UnixSocket),
    #[cfg(all(test, unix))]
    Sim(crate::sim::socket::SimListener),
}

impl Acceptor {
    /// Opens the sockets of an address. A name may have several. With `is_tls`, TCP connections have
    /// TLS, unless the address has a scheme.
    pub(crate) fn bind(listen: &Listen, config: &Config, is_tls: bool) -> io::Result<Vec<Self>> {
        let tcp =
            |address| Ok(Self::Tcp { listener: tcp::bind(address, config)?, is_foreign: false, is_tls });
        match listen {
            Listen::Tls(listen) => Self::bind(listen, config, true),
            Listen::Plain(listen) => Self::bind(listen, config, false),
            Listen::Tcp(address) => Ok(vec![tcp(*address)?]),
            Listen::Name(name) => {
                let resolved = name.to_socket_addrs().map_err(|error| {
                    io::Error::new(error.kind(), format!("the name cannot be resolved: {error}"))
                })?;
                distinct(resolved).into_iter().map(tcp).collect()
            }
            #[cfg(unix)]
            Listen::Unix(path) => {
                Ok(vec![Self::Unix(UnixSocket::bind(path, config.backlog, config.unix_mode)?)])
            }
            #[cfg(not(unix))]
            Listen::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Takes a listening TCP socket of the application. Its backlog stays.
    pub(crate) fn from_tcp(listener: TcpListener, config: &Config, is_tls: bool) -> io::Result<Self> {
        let is_tcp = listener.local_addr().is_ok();
        check_listening(SockRef::from(&listener), is_tcp, "TCP")?;
        listener.set_nonblocking(true)?;
        tcp::set_options(SockRef::from(&listener), config)?;
        send_queue::log_limited(&SockRef::from(&listener), config);
        Ok(Self::Tcp { listener, is_foreign: true, is_tls })
    }

    /// Takes a listening Unix socket of the application. Its backlog and its file stay.
    #[cfg(unix)]
    pub(crate) fn from_unix(listener: UnixListener) -> io::Result<Self> {
        let is_unix = listener.local_addr().is_ok();
        check_listening(SockRef::from(&listener), is_unix, "Unix")?;
        listener.set_nonblocking(true)?;
        UnixSocket::foreign(listener).map(Self::Unix)
    }

    /// The address of the socket, with the port that the system has chosen.
    pub(crate) fn local_addr(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp { listener, is_tls, .. } => {
                let address = Listen::Tcp(listener.local_addr()?);
                Ok(if *is_tls { Listen::Tls(Box::new(address)) } else { address })
            }
            #[cfg(unix)]
            Self::Unix(socket) => Ok(Listen::Unix(socket.path.clone())),
            #[cfg(all(test, unix))]
            Self::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Refuses all connections from now on, although other shards still hold this socket. Systems
    /// that cannot do that refuse connections when the last shard has closed it.
    ///
    /// A socket of the application stays open: another process may listen on it too.
    pub(crate) fn refuse_all(&self) {
        let _ = match self {
            Self::Tcp { is_foreign: true, .. } => return,
            Self::Tcp { listener, .. } => SockRef::from(listener).shutdown(Shutdown::Both),
            #[cfg(unix)]
            Self::Unix(socket) if socket.is_foreign() => return,
            #[cfg(unix)]
            Self::Unix(socket) => SockRef::from(&socket.listener).shutdown(Shutdown::Both),
            #[cfg(all(test, unix))]
            Self::Sim(listener) => return listener.refuse_all(),
        };
    }

    /// Whether the application has opened the socket, so that another process may listen on it too.
    /// It must not be emptied or shut down.
    pub(crate) const fn is_foreign(&self) -> bool {
        match self {
            Self::Tcp { is_foreign, .. } => *is_foreign,
            #[cfg(unix)]
            Self::Unix(socket) => socket.is_foreign(),
            #[cfg(all(test, unix))]
            Self::Sim(_) => false,
        }
    }

    /// Prepares the end of a socket whose port another socket may take over. Returns whether
    /// connections may still arrive for a while: see [`handover`].
    pub(crate) fn hand_over(&self, config: &Config) -> bool {
        match self {
            Self::Tcp { listener, is_foreign: false, .. } if config.reuse_port => {
                handover::ignore_requests(listener)
            }
            _ => false,
        }
    }

    /// Accepts the next connection.
    pub(crate) fn accept(&self, config: &Config) -> io::Result<(Socket, Peer)> {
        match self {
            Self::Tcp { listener, is_tls, .. } => {
                let (stream, peer) = tcp::accept(listener, config)?;
                Ok((Socket::tcp(stream, *is_tls), peer))
            }
            #[cfg(unix)]
            Self::Unix(socket) => {
                let (stream, _) = socket.listener.accept()?;
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

/// The addresses without repetitions. The system reports an address twice if the file of its hosts has
/// it twice, and nobody can bind it twice.
fn distinct(resolved: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut addresses = Vec::new();
    for address in resolved {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses
}

/// Checks the socket of a descriptor, which may come from another process and be of any kind.
fn check_listening(socket: SockRef<'_>, is_of_family: bool, family: &str) -> io::Result<()> {
    // Other systems cannot say whether a socket listens.
    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    let listens = socket.is_listener()?;
    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    let listens = true;
    if is_of_family && socket.r#type()? == Type::STREAM && listens {
        return Ok(());
    }
    let fault = format!("it is not a listening {family} socket");
    Err(io::Error::new(io::ErrorKind::InvalidInput, fault))
}

#[cfg(unix)]
impl std::os::fd::AsFd for Acceptor {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp { listener, .. } => listener.as_fd(),
            Self::Unix(socket) => socket.listener.as_fd(),
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
            let Self::Tcp { listener, .. } = self;
            listener.as_socket()
        }
    }

    impl AsRawSocket for Acceptor {
        fn as_raw_socket(&self) -> RawSocket {
            let Self::Tcp { listener, .. } = self;
            listener.as_raw_socket()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_a_name_has_twice_is_bound_once() {
        let [one, two] = ["[::1]:80", "127.0.0.1:80"].map(|address| address.parse().unwrap());
        assert_eq!(distinct([one, two, two, one].into_iter()), [one, two]);
    }
}
