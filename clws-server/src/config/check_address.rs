//! The check of the addresses in a [`Config`](crate::Config).

use std::borrow::Cow;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::config::address::Listen;
use crate::config::error::ConfigError;

const ALLOWED: &str = "`ADDRESS:PORT` as `0.0.0.0:80` or `[::1]:80`, `NAME:PORT` as `localhost:80`, both also after `ws://` or `wss://`, or `unix:PATH`";

/// Checks that each address can be bound on some system, and that none is there twice.
pub(super) fn check_addresses(listen: &[Listen]) -> Result<(), ConfigError> {
    let mut earlier = listen.iter();
    while let Some(address) = earlier.next_back() {
        let text = address.to_string();
        let bare = address.without_scheme();
        let fault = match bare {
            Listen::Tcp(address) => ip_fault(*address),
            Listen::Name(name) => name_fault(name),
            Listen::Unix(_) if bare != address => Some("a Unix socket has no TLS: write `unix:PATH`".into()),
            Listen::Unix(path) => path_fault(path),
            Listen::Tls(_) | Listen::Plain(_) => Some("it has two schemes".into()),
        };
        if let Some(fault) = fault {
            return Err(ConfigError::new("listen", format!("{text:?}"), format!("{ALLOWED}; {fault}")));
        }
        // A server can take any number of free ports at an address.
        let is_bare = |other: &Listen| other.without_scheme() == bare;
        if !takes_free_port(bare) && earlier.as_slice().iter().any(is_bare) {
            return Err(ConfigError::new("listen", format!("{text:?} twice"), "each address once"));
        }
    }
    Ok(())
}

fn takes_free_port(address: &Listen) -> bool {
    match address {
        Listen::Tcp(address) => address.port() == 0,
        Listen::Name(name) => name.rsplit_once(':').is_some_and(|(_, port)| port.parse() == Ok(0u16)),
        Listen::Unix(_) | Listen::Tls(_) | Listen::Plain(_) => false,
    }
}

fn ip_fault(address: SocketAddr) -> Option<Cow<'static, str>> {
    let ip = address.ip();
    if ip.to_canonical() != ip {
        // The socket would be one for IPv6 alone, which has no such addresses.
        return Some(
            format!("write it as IPv4, as in `{}`", SocketAddr::new(ip.to_canonical(), address.port()))
                .into(),
        );
    }
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    (ip.is_multicast() || is_broadcast).then_some("TCP has neither multicast nor broadcast".into())
}

const PORT: &str = "a port is a number from 1 to 65535, or 0 for a free port";

/// The reason why no system can resolve a name with a port, and what to write instead.
fn name_fault(name: &str) -> Option<Cow<'static, str>> {
    if name.is_empty() {
        return Some("it is empty: write an address and a port, such as `127.0.0.1:12345`".into());
    }
    if let Some((_, rest)) = name.split_once("://") {
        let address = rest.split(['/', '?', '#']).next().unwrap_or_default();
        // The suggestion is an address that a second attempt accepts.
        let is_ip = address.parse().is_ok_and(|address| ip_fault(address).is_none());
        let is_accepted = is_ip || name_fault(address).is_none();
        let address = if is_accepted { address } else { "127.0.0.1:12345" };
        return Some(format!("it is a URL: write only the address and port, as `{address}`").into());
    }
    if name.parse::<Ipv6Addr>().is_ok() {
        return Some("put an IPv6 address in brackets, as in `[::1]:80`".into());
    }
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let Some((host, port)) = name.rsplit_once(':') else {
        return Some(if name.parse::<u16>().is_ok() {
            format!("the address is missing: {}", at_port(name)).into()
        } else if is_number(name) {
            PORT.into()
        } else {
            let host = if host_fault(name).is_none() { name } else { "127.0.0.1" };
            format!("the port is missing, as in `{host}:12345`").into()
        });
    };
    if name.starts_with('[') && name.ends_with(']') {
        return Some(format!("the port is missing, as in `{name}:12345`").into());
    }
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some("put an IPv6 address in brackets, as in `[::1]:80`".into());
    }
    if host.is_empty() {
        let port = if port.parse::<u16>().is_ok() { port } else { "12345" };
        return Some(format!("the address is missing: {}", at_port(port)).into());
    }
    if !is_number(port) || port.parse::<u16>().is_err() {
        return Some(PORT.into());
    }
    if host == "*" {
        return Some(
            format!("for all addresses of the machine, write `0.0.0.0:{port}` and `[::]:{port}`").into(),
        );
    }
    let fault = host_fault(host)?;
    Some(fault.into())
}

/// The addresses that a user may mean who wrote only a port.
fn at_port(port: &str) -> String {
    format!("write `127.0.0.1:{port}` for this machine alone, or `0.0.0.0:{port}` and `[::]:{port}` for all")
}

fn host_fault(host: &str) -> Option<&'static str> {
    if let Some((address, zone)) = host.split_once('%') {
        let is_zone = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && byte != b']');
        let is_valid = is_zone && address.parse::<Ipv6Addr>().is_ok(); // the system resolves the zone
        return (!is_valid).then_some("write an IPv6 zone as in `fe80::1%eth0:80` or `[fe80::1%2]:80`");
    }
    if !host.is_ascii() {
        return Some("write a name that is not ASCII in Punycode, as `xn--...`");
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Some(
            "a name is made of letters, digits, `-`, `_` and `.`, and brackets contain an IPv6 address",
        );
    }
    None
}

#[cfg(unix)]
fn path_fault(path: &Path) -> Option<Cow<'static, str>> {
    use std::os::unix::net::SocketAddr;

    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() {
        return Some("the path is empty".into()); // Linux would choose an abstract address
    }
    if bytes.contains(&0) {
        return Some("the path contains a NUL".into());
    }
    SocketAddr::from_pathname(path).is_err().then(|| {
        // 107 on Linux
        let fits = |length: &usize| SocketAddr::from_pathname("x".repeat(*length)).is_ok();
        let longest = (1..4096).take_while(fits).last().unwrap_or(0);
        format!("the path has {} bytes, and the system takes at most {longest}", bytes.len()).into()
    })
}

#[cfg(not(unix))]
fn path_fault(_: &Path) -> Option<Cow<'static, str>> {
    Some("this system has no Unix sockets: write an address with a port".into())
}
