//! The proxies that may say who a client is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A proxy that the server believes when it reports the client's address: see
/// [`Config::trusted_proxies`](crate::Config#structfield.trusted_proxies).
///
/// | text | trusts |
/// |---|---|
/// | `10.0.0.2`, `2001:db8::2` | one address |
/// | `10.0.0.0/8`, `2001:db8::/32` | a network |
/// | `unix` | every process that can connect to a Unix socket of the server |
///
/// ```
/// use clws_server::{Config, ForwardedHeader};
///
/// let config = Config::default()
///     .listen("unix:/run/chat.sock")
///     .trusted_proxies(["unix", "10.0.0.0/8"])
///     .forwarded(ForwardedHeader::XForwardedFor);
/// assert!(config.check().is_ok());
/// let wrong = Config::default().trusted_proxies(["10.0.0.1/8"]);
/// assert!(wrong.check().unwrap_err().to_string().contains("write `10.0.0.0/8`"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxy(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// The addresses that begin with the same bits as this address.
    Network(IpAddr, u8),
    Unix,
    /// A text that names no proxy, and why. [`Config::check`] reports it.
    Invalid(String, String),
}

impl TrustedProxy {
    /// Every process that can connect to a Unix socket of the server.
    pub const UNIX: Self = Self(Kind::Unix);

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (&self.0, address.to_canonical()) {
            (Kind::Network(IpAddr::V4(network), prefix), IpAddr::V4(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(*prefix)
            }
            (Kind::Network(IpAddr::V6(network), prefix), IpAddr::V6(address)) => {
                (network.to_bits() ^ address.to_bits()).leading_zeros() >= u32::from(*prefix)
            }
            _ => false,
        }
    }

    /// The reason why the text names no proxy.
    pub(super) fn fault(&self) -> Option<&str> {
        if let Kind::Invalid(_, fault) = &self.0 { Some(fault) } else { None }
    }
}

impl From<&str> for TrustedProxy {
    fn from(text: &str) -> Self {
        Self(parse(text).unwrap_or_else(|fault| Kind::Invalid(text.to_owned(), fault)))
    }
}

impl From<String> for TrustedProxy {
    fn from(text: String) -> Self {
        Self::from(text.as_str())
    }
}

/// A proxy with that address.
impl From<IpAddr> for TrustedProxy {
    fn from(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self(Kind::Network(address, if address.is_ipv4() { 32 } else { 128 }))
    }
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Network(address, prefix) if *prefix == if address.is_ipv4() { 32 } else { 128 } => {
                address.fmt(f)
            }
            Kind::Network(address, prefix) => write!(f, "{address}/{prefix}"),
            Kind::Unix => f.write_str("unix"),
            Kind::Invalid(text, _) => f.write_str(text),
        }
    }
}

fn parse(text: &str) -> Result<Kind, String> {
    if text == "unix" {
        return Ok(Kind::Unix);
    }
    let (address, prefix) = text.split_once('/').map_or((text, None), |(ip, prefix)| (ip, Some(prefix)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return Err("names, ports and ranges are not allowed".to_owned());
    };
    if address.to_canonical() != address {
        return Err(format!("write it as IPv4, as in `{}`", address.to_canonical()));
    }
    let Some(prefix) = prefix else { return Ok(TrustedProxy::from(address).0) };
    let longest: u8 = if address.is_ipv4() { 32 } else { 128 };
    let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
    let prefix = Some(prefix).filter(|_| digits).and_then(|prefix| prefix.parse().ok());
    let Some(prefix) = prefix.filter(|prefix| (1..=longest).contains(prefix)) else {
        // With 0, each client would be a trusted proxy, and could choose its address.
        return Err(format!("the number after the slash is from 1 to {longest}"));
    };
    let first: IpAddr = match address {
        IpAddr::V4(address) => {
            Ipv4Addr::from_bits(address.to_bits() & u32::MAX << (32 - u32::from(prefix))).into()
        }
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & u128::MAX << (128 - u32::from(prefix))).into()
        }
    };
    if first != address {
        return Err(format!("the address is not the first of the network: write `{first}/{prefix}`"));
    }
    Ok(Kind::Network(address, prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_with_its_first_bits() {
        for (proxy, inside, outside) in [
            ("10.0.0.2", &["10.0.0.2", "::ffff:10.0.0.2"][..], &["10.0.0.3", "::10.0.0.2"][..]),
            ("10.0.0.0/8", &["10.0.0.0", "10.255.255.255"], &["11.0.0.0", "9.255.255.255", "::1"]),
            ("192.0.2.128/25", &["192.0.2.128", "192.0.2.255"], &["192.0.2.127"]),
            ("192.0.2.1/32", &["192.0.2.1"], &["192.0.2.0"]),
            ("128.0.0.0/1", &["255.255.255.255"], &["127.0.0.1"]),
            ("::1", &["::1"], &["::2", "0.0.0.1", "127.0.0.1"]),
            ("2001:db8::/33", &["2001:db8:7fff::1"], &["2001:db8:8000::", "2001:db9::"]),
            ("fe80::1/128", &["fe80::1"], &["fe80::"]),
            ("unix", &[], &["127.0.0.1"]),
        ] {
            let trusted = TrustedProxy::from(proxy);
            assert_eq!(
                (trusted.fault(), trusted.to_string().as_str()),
                (None, proxy.trim_end_matches("/128").trim_end_matches("/32"))
            );
            for address in inside {
                assert!(trusted.contains(address.parse().unwrap()), "{proxy} {address}");
            }
            for address in outside {
                assert!(!trusted.contains(address.parse().unwrap()), "{proxy} {address}");
            }
        }
    }

    #[test]
    fn other_texts_have_a_fault() {
        for (text, why) in [
            ("", "names, ports"),
            ("localhost", "names, ports"),
            ("10.0.0.1:80", "names, ports"),
            ("[::1]", "names, ports"),
            ("10.0.0", "names, ports"),
            ("fe80::1%eth0", "names, ports"),
            ("UNIX", "names, ports"),
            ("10.0.0.0/33", "from 1 to 32"),
            ("10.0.0.0/0", "from 1 to 32"),
            ("0.0.0.0/0", "from 1 to 32"),
            ("::/129", "from 1 to 128"),
            ("::/0", "from 1 to 128"),
            ("10.0.0.0/", "from 1 to 32"),
            ("10.0.0.0/+8", "from 1 to 32"),
            ("10.0.0.0/255.0.0.0", "from 1 to 32"),
            ("10.0.0.0/8/8", "from 1 to 32"),
            ("10.1.0.0/8", "write `10.0.0.0/8`"),
            ("2001:db8::1/32", "write `2001:db8::/32`"),
            ("::ffff:10.0.0.1", "as IPv4, as in `10.0.0.1`"),
        ] {
            let fault = TrustedProxy::from(text).fault().map(str::to_owned).unwrap_or_default();
            assert!(fault.contains(why), "{text}: {fault}");
        }
    }
}
