//! The addresses that a server can listen on.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use super::ConfigError;
use crate::Listen;

const ALLOWED: &str =
    "`ADDRESS:PORT` as `0.0.0.0:80` or `[::1]:80`, `NAME:PORT` as `localhost:80`, or `unix:PATH`";

pub(super) fn check(listen: &[Listen]) -> Result<(), ConfigError> {
    let mut earlier = listen.iter();
    while let Some(address) = earlier.next_back() {
        let text = address.to_string();
        let fault = match address {
            Listen::Tcp(address) => ip_fault(address.ip()),
            Listen::Name(name) => name_fault(name),
            Listen::Unix(path) => path_fault(path),
        };
        if let Some(fault) = fault {
            return Err(ConfigError::new("listen", format!("{text:?}"), format!("{ALLOWED}; {fault}")));
        }
        // Any number of free ports can be taken at an address.
        if !takes_free_port(address) && earlier.as_slice().contains(address) {
            return Err(ConfigError::new("listen", format!("{text:?} twice"), "each address once"));
        }
    }
    Ok(())
}

fn takes_free_port(address: &Listen) -> bool {
    match address {
        Listen::Tcp(address) => address.port() == 0,
        Listen::Name(name) => name.rsplit_once(':').is_some_and(|(_, port)| port.parse() == Ok(0u16)),
        Listen::Unix(_) => false,
    }
}

fn ip_fault(ip: IpAddr) -> Option<&'static str> {
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    (ip.is_multicast() || is_broadcast).then_some("TCP has neither multicast nor broadcast")
}

/// Why no system resolves such a name and port.
fn name_fault(name: &str) -> Option<&'static str> {
    if name.parse::<Ipv6Addr>().is_ok() {
        return Some("an IPv6 address is in brackets");
    }
    let Some((host, port)) = name.rsplit_once(':') else { return Some("the port is missing") };
    if host.parse::<Ipv6Addr>().is_ok() {
        return Some("an IPv6 address is in brackets");
    }
    if host.is_empty() {
        return Some("all addresses of the machine are `0.0.0.0` and `[::]`");
    }
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return Some("a port is a number from 0, for a free one, to 65535");
    }
    if !host.is_ascii() {
        return Some("a name that is not ASCII is in Punycode, as `xn--`...");
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Some(
            "a name is made of letters, digits, `-`, `_` and `.`, and brackets contain an IPv6 address",
        );
    }
    None
}

/// The longest path that fits into a `sockaddr_un`, before the NUL.
#[cfg(unix)]
const LONGEST_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 107 } else { 103 };

#[cfg(unix)]
fn path_fault(path: &Path) -> Option<&'static str> {
    let path = path.as_os_str().as_encoded_bytes();
    if path.is_empty() {
        return Some("the path is empty");
    }
    if path.len() > LONGEST_PATH {
        return Some("the path is longer than the system takes, which is about 100 bytes");
    }
    path.contains(&0).then_some("the path has a NUL in it")
}

#[cfg(not(unix))]
fn path_fault(_: &Path) -> Option<&'static str> {
    Some("this system has no Unix sockets")
}
