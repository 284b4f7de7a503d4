//! TCP sockets: listening, accepting, and their options.

use std::io;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::net::TcpStream;
use std::net::{SocketAddr, TcpListener};

use socket2::{SockRef, TcpKeepalive};

use super::{Peer, Socket};
use crate::Config;

/// Sets the options that each connection of the server has.
pub(crate) fn set_options(socket: SockRef<'_>, config: &Config) -> io::Result<()> {
    socket.set_tcp_nodelay(config.nodelay)?;
    match config.keepalive {
        Some(time) => socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(time)),
        None => Ok(()),
    }
}

pub(super) fn bind(address: SocketAddr, config: &Config) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        // One wildcard of each family may then stand on the same port.
        socket.set_only_v6(true)?;
    }
    // On Windows this option means something else, which nobody wants.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    set_options(SockRef::from(&socket), config)?;
    socket.bind(&address.into())?;
    socket.listen(config.backlog)?;
    Ok(socket.into())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn accept(listener: &TcpListener, _: &Config) -> io::Result<(Socket, Peer)> {
    use rustix::net::{SocketFlags, acceptfrom_with};

    // One system call: the flags come with it, and the options are the listener's.
    let (socket, address) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = address.and_then(|address| SocketAddr::try_from(address).ok()).map_or(Peer::Stream, Peer::Tcp);
    Ok((Socket::Tcp(TcpStream::from(socket)), peer))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn accept(listener: &TcpListener, config: &Config) -> io::Result<(Socket, Peer)> {
    let (stream, address) = listener.accept()?;
    stream.set_nonblocking(true)?;
    // A client that is gone already is found out at the first read.
    let _ = set_options(SockRef::from(&stream), config);
    Ok((Socket::Tcp(stream), Peer::Tcp(address)))
}
