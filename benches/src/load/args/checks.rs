//! Checks of values from the command line, and socket addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::error::Error;
use super::MAX_CONNECTIONS;

/// Checks the number of connections.
///
/// # Errors
/// [`Error::Usage`] for 0 and for more than [`MAX_CONNECTIONS`].
pub fn check_connections(connections: usize) -> Result<(), Error> {
    if connections == 0 || connections > MAX_CONNECTIONS {
        return Err(Error::Usage(format!("--connections must be between 1 and {MAX_CONNECTIONS}")));
    }
    Ok(())
}

/// Checks that a number lies within its limits. NaN fails.
///
/// # Errors
/// [`Error::Usage`] naming the flag.
pub fn in_range(flag: &str, value: f64, low: f64, high: f64) -> Result<(), Error> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(Error::Usage(format!("{flag} must be between {low} and {high}, not {value}")))
}

pub(super) fn check_loopback(ip: IpAddr) -> Result<(), Error> {
    if ip.is_loopback() {
        return Ok(());
    }
    Err(Error::Usage(format!("{ip} is not a loopback address: the server must run on this machine")))
}

/// Parses `127.0.0.1:9001`, `[::1]:9001` or `localhost:9001`.
pub(super) fn parse_target(text: &str) -> Result<SocketAddr, String> {
    let target = match text.strip_prefix("localhost:") {
        Some(port) => {
            let port = port.parse::<u16>().map_err(|error| format!("port: {error}"))?;
            SocketAddr::from((Ipv4Addr::LOCALHOST, port))
        }
        None => text
            .parse()
            .map_err(|_| "expected ADDR:PORT, such as 127.0.0.1:12345 or [::1]:12345".to_owned())?,
    };
    check_loopback(target.ip()).map_err(|error| error.to_string())?;
    Ok(target)
}

/// The source address of connection `index`, spread over `sources` addresses. `None` lets the
/// system choose.
///
/// Only IPv4 has several addresses. Several are used only if one has too few ports, because a port
/// bound to an explicit address is unavailable to automatic binding for a minute.
#[must_use]
pub fn source(target: SocketAddr, sources: u8, index: usize) -> Option<IpAddr> {
    if sources <= 1 || target.is_ipv6() {
        return None;
    }
    let last = u8::try_from(index % usize::from(sources.min(254))).unwrap_or(0) + 1;
    Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Cli;
    use super::*;

    fn parses(line: &str) -> bool {
        Cli::try_parse_from(line.split(' ')).is_ok()
    }

    #[test]
    fn accepts_only_loopback_addresses() {
        for good in ["127.0.0.1:1", "127.8.9.10:65535", "[::1]:80", "localhost:80"] {
            assert!(parses(&format!("load echo {good}")), "{good}");
        }
        for bad in [
            "10.0.0.1:80",
            "0.0.0.0:80",
            "192.168.1.1:80",
            "[::]:80",
            "[2001:db8::1]:80",
            "example.com:80",
            "8.8.8.8:443",
        ] {
            assert!(!parses(&format!("load echo {bad}")), "{bad}");
        }
        // `Ipv6Addr::is_loopback` is false for IPv4-mapped addresses, so they are rejected too.
        assert!(!parses("load echo [::ffff:10.0.0.1]:80"));
    }

    #[test]
    fn source_addresses_are_loopback() {
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(source(target, 1, 7), None);
        for index in 0..600 {
            assert!(source(target, 255, index).unwrap().is_loopback());
        }
        assert_eq!(source(target, 8, 9), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(source("[::1]:80".parse().unwrap(), 8, 9), None);
    }
}
