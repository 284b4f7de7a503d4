//! TCP sockets: listening, accepting, and the options that detect a vanished peer.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::config::Config;
use crate::config::address::Peer;
use crate::net::send_queue;

/// The number of unanswered probes after which the system ends a connection.
const MAX_PROBES: u32 = 4;

/// The longest idle time and interval that Linux accepts (`MAX_TCP_KEEPIDLE`), in seconds.
const MAX_IDLE: u64 = 32_767;

/// The time after which Linux ends a connection with data in flight anyway (`tcp_retries2`). A
/// longer `TCP_USER_TIMEOUT` would only delay that.
#[cfg(any(target_os = "linux", target_os = "android", test))]
const SYSTEM_TIMEOUT: Duration = Duration::from_secs(15 * 60);

/// The times after which a connection to a vanished peer fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Liveness {
    /// The silence before the first probe.
    idle: Duration,
    /// The time between two probes.
    interval: Duration,
    /// `TCP_USER_TIMEOUT`; `None` for the system's default.
    #[cfg(any(target_os = "linux", target_os = "android", test))]
    user_timeout: Option<Duration>,
}

impl Liveness {
    fn new(keepalive: Duration, write_timeout: Duration) -> Self {
        let seconds = keepalive.as_secs().saturating_add(u64::from(keepalive.subsec_nanos() > 0));
        let seconds = seconds.clamp(1, MAX_IDLE);
        let (idle, interval) = (Duration::from_secs(seconds), Duration::from_secs((seconds / 4).max(1)));
        #[cfg(not(any(target_os = "linux", target_os = "android", test)))]
        let _ = write_timeout;
        Self {
            idle,
            interval,
            // Linux applies it to three kinds of peers (tcp_timer.c): a peer that acknowledges
            // nothing; a peer that answers no probe, instead of the count of probes; and a peer
            // that answers probes but keeps its window closed. The last peer is alive, and has all
            // of `write_timeout`.
            #[cfg(any(target_os = "linux", target_os = "android", test))]
            user_timeout: Some((idle + interval * MAX_PROBES).max(write_timeout.saturating_add(interval)))
                .filter(|timeout| *timeout <= SYSTEM_TIMEOUT),
        }
    }
}

/// Sets the options of a connection.
pub(crate) fn set_options(socket: SockRef<'_>, config: &Config) -> io::Result<()> {
    socket.set_tcp_nodelay(config.nodelay)?;
    send_queue::set(&socket, config)?;
    let Some(keepalive) = config.tcp_keepalive else { return Ok(()) };
    let liveness = Liveness::new(keepalive, config.write_timeout);
    let keepalive = TcpKeepalive::new().with_time(liveness.idle);
    // Other systems choose the interval and the number of probes.
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "netbsd",
        target_os = "illumos",
        target_vendor = "apple",
        windows,
    ))]
    let keepalive = keepalive.with_interval(liveness.interval).with_retries(MAX_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(liveness.user_timeout)?;
    Ok(())
}

pub(super) fn bind(address: SocketAddr, config: &Config) -> io::Result<TcpListener> {
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
    if address.is_ipv6() {
        // It allows a wildcard address of each family on the same port.
        socket.set_only_v6(true)?;
    }
    // On Windows this option would let other processes take the same port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(unix)]
    if config.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    set_options(SockRef::from(&socket), config)?;
    send_queue::log_limited(&SockRef::from(&socket), config);
    socket.bind(&address.into())?;
    socket.listen(config.backlog)?;
    Ok(socket.into())
}

/// The peer with that address. A socket of the application may listen for both families. The system
/// then gives it IPv4 addresses in the form of IPv6 addresses.
fn peer_at(address: SocketAddr) -> Peer {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => Peer::Tcp((ip, address.port()).into()),
        IpAddr::V6(_) => Peer::Tcp(address),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn accept(listener: &TcpListener, _: &Config) -> io::Result<(TcpStream, Peer)> {
    use rustix::net::{SocketFlags, acceptfrom_with};

    // One system call, because it sets the flags and the options are inherited.
    let (socket, address) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let peer = address.and_then(|address| SocketAddr::try_from(address).ok()).map_or(Peer::Stream, peer_at);
    Ok((TcpStream::from(socket), peer))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn accept(listener: &TcpListener, config: &Config) -> io::Result<(TcpStream, Peer)> {
    let (stream, address) = listener.accept()?;
    stream.set_nonblocking(true)?;
    // It fails if the client has disconnected already. The first read reports that.
    let _ = set_options(SockRef::from(&stream), config);
    Ok((stream, peer_at(address)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(idle: u64, interval: u64, user_timeout: Option<u64>) -> Liveness {
        Liveness {
            idle: Duration::from_secs(idle),
            interval: Duration::from_secs(interval),
            user_timeout: user_timeout.map(Duration::from_secs),
        }
    }

    fn of(keepalive: f64, write_timeout: f64) -> Liveness {
        Liveness::new(Duration::from_secs_f64(keepalive), Duration::from_secs_f64(write_timeout))
    }

    #[test]
    fn detects_a_vanished_peer_after_twice_the_silence() {
        assert_eq!(of(60.0, 60.0), seconds(60, 15, Some(120)));
        assert_eq!(of(20.0, 1.0), seconds(20, 5, Some(40)));
    }

    #[test]
    fn a_peer_with_a_closed_window_has_the_write_timeout() {
        assert_eq!(of(60.0, 110.0), seconds(60, 15, Some(125)));
        assert_eq!(of(60.0, 300.0), seconds(60, 15, Some(315)));
        let never = Liveness::new(Duration::from_secs(60), Duration::MAX);
        assert_eq!(never, seconds(60, 15, None));
    }

    #[test]
    fn does_not_delay_the_timeout_of_the_system() {
        assert_eq!(of(450.0, 60.0), seconds(450, 112, Some(898)));
        assert_eq!(of(600.0, 60.0), seconds(600, 150, None));
        assert_eq!(of(60.0, 1000.0), seconds(60, 15, None));
    }

    #[test]
    fn the_system_accepts_all_times() {
        for (keepalive, liveness) in [
            (0.0, seconds(1, 1, Some(5))),
            (0.25, seconds(1, 1, Some(5))),
            (1.25, seconds(2, 1, Some(6))),
            (1e9, seconds(32_767, 8191, None)),
        ] {
            assert_eq!(of(keepalive, 1.0), liveness);
            let config = Config::default()
                .tcp_keepalive(Some(Duration::from_secs_f64(keepalive)))
                .write_timeout(Duration::from_secs(1));
            bind(SocketAddr::from(([127, 0, 0, 1], 0)), &config).unwrap();
        }
    }
}
