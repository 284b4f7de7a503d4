//! Sockets of connections, TCP and Unix, as one type.

use std::io::{self, IoSlice, Read, Write};
#[cfg(feature = "capture")]
use std::net::SocketAddr;
use std::net::{Shutdown, TcpStream};
#[cfg(unix)]
use std::os::unix::net::UnixStream;

/// The non-blocking socket of a connection.
#[derive(Debug)]
pub(crate) enum Socket {
    Tcp(TcpStream),
    /// A TCP socket for TLS. It reads and writes ciphertext.
    #[cfg(feature = "__tls")]
    Tls(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    #[cfg(all(test, unix))]
    Sim(crate::sim::socket::SimSocket),
}

impl Socket {
    /// A TCP socket, with TLS or without.
    pub(crate) const fn tcp(stream: TcpStream, is_tls: bool) -> Self {
        #[cfg(feature = "__tls")]
        if is_tls {
            return Self::Tls(stream);
        }
        let _ = is_tls; // never true without the feature
        Self::Tcp(stream)
    }

    /// Whether a TLS session belongs to the socket.
    #[inline]
    pub(crate) const fn is_tls(&self) -> bool {
        #[cfg(feature = "__tls")]
        let is_tls = matches!(self, Self::Tls(_));
        #[cfg(not(feature = "__tls"))]
        let is_tls = false;
        is_tls
    }

    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => (&mut &*stream).read(buffer),
            #[cfg(feature = "__tls")]
            Self::Tls(stream) => (&mut &*stream).read(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => (&mut &*stream).read(buffer),
            #[cfg(all(test, unix))]
            Self::Sim(socket) => socket.read(buffer),
        }
    }

    /// Copies what has arrived, and leaves it there.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.peek(buffer),
            #[cfg(feature = "__tls")]
            Self::Tls(stream) => stream.peek(buffer),
            #[cfg(unix)]
            Self::Unix(stream) => {
                use rustix::net::{RecvFlags, recv};
                Ok(recv(stream, buffer, RecvFlags::PEEK)?.0)
            }
            #[cfg(all(test, unix))]
            Self::Sim(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    #[inline]
    pub(crate) fn write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        // The kernel has a shorter path for a single slice.
        match (self, slices) {
            (Self::Tcp(stream), [slice]) => (&mut &*stream).write(slice),
            (Self::Tcp(stream), slices) => (&mut &*stream).write_vectored(slices),
            #[cfg(feature = "__tls")]
            (Self::Tls(stream), [slice]) => (&mut &*stream).write(slice),
            #[cfg(feature = "__tls")]
            (Self::Tls(stream), slices) => (&mut &*stream).write_vectored(slices),
            #[cfg(unix)]
            (Self::Unix(stream), slices) => (&mut &*stream).write_vectored(slices),
            #[cfg(all(test, unix))]
            (Self::Sim(socket), slices) => socket.write(slices),
        }
    }

    /// Our address, of a TCP socket.
    #[cfg(feature = "capture")]
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            #[cfg(feature = "__tls")]
            Self::Tls(stream) => stream.local_addr().ok(),
            #[cfg(unix)]
            _ => None,
        }
    }

    /// Ends our side: the peer reads up to an end of file.
    pub(crate) fn shutdown_write(&self) {
        // It fails only if the connection has ended already.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(feature = "__tls")]
            Self::Tls(stream) => stream.shutdown(Shutdown::Write),
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

#[cfg(unix)]
impl std::os::fd::AsFd for Socket {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            #[cfg(feature = "__tls")]
            Self::Tls(stream) => stream.as_fd(),
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

#[cfg(windows)]
mod windows {
    use std::os::windows::io::{AsRawSocket, AsSocket, BorrowedSocket, RawSocket};

    use super::Socket;

    impl AsSocket for Socket {
        fn as_socket(&self) -> BorrowedSocket<'_> {
            match self {
                Self::Tcp(stream) => stream.as_socket(),
                #[cfg(feature = "__tls")]
                Self::Tls(stream) => stream.as_socket(),
            }
        }
    }

    impl AsRawSocket for Socket {
        fn as_raw_socket(&self) -> RawSocket {
            match self {
                Self::Tcp(stream) => stream.as_raw_socket(),
                #[cfg(feature = "__tls")]
                Self::Tls(stream) => stream.as_raw_socket(),
            }
        }
    }
}
