//! An entry of a list of origins: its grammar, and the origins it admits.

use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};

/// An origin or a prefix of one, as the application wrote it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) text: Box<str>,
    pub(super) kind: Result<Kind, Fault>,
}

/// The reason why no browser sends such an origin, as a clause of an error message.
pub(super) type Fault = Cow<'static, str>;

/// The part of an origin that an entry names. Any other entry is invalid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `null`
    Null,
    /// `scheme://`
    Scheme,
    /// `scheme://host`
    Host,
    /// `scheme://host:`
    HostAndColon,
    /// `scheme://host:port`
    HostAndPort,
}

impl Entry {
    pub(super) fn exact(text: Box<str>) -> Self {
        let kind = kind(&text).and_then(|kind| match kind {
            // Chromium sends `file://` for local files. WebKit sends similar origins for custom
            // schemes of apps.
            Kind::Scheme if is_web(&text) || text.to_ascii_lowercase().ends_with("extension://") => {
                Err("the host is missing, and Origins::prefix admits every host of a scheme".into())
            }
            Kind::HostAndColon => Err("the port after the colon is missing".into()),
            kind => Ok(kind),
        });
        Self { text, kind }
    }

    pub(super) fn prefix(text: Box<str>) -> Self {
        Self { kind: kind(&text), text }
    }

    /// Whether the origin begins with this entry, and ends there or continues with a part that the
    /// entry leaves open.
    pub(super) fn begins(&self, origin: &str) -> bool {
        let Ok(kind) = self.kind else { return false };
        let Some((start, rest)) = origin.split_at_checked(self.text.len()) else { return false };
        if !start.eq_ignore_ascii_case(&self.text) {
            return false;
        }
        // Some clients other than browsers add a slash.
        let suffix = rest.strip_suffix('/').unwrap_or(rest);
        match kind {
            Kind::Null => rest.is_empty(),
            Kind::Scheme if suffix.is_empty() => rest.is_empty() && !is_web(&self.text),
            Kind::Scheme => split(suffix).is_ok_and(|(host, port)| {
                host_fault(host, is_web(&self.text)).is_none()
                    && port.is_none_or(|port| number(port).is_some())
            }),
            Kind::Host => suffix.is_empty() || suffix.strip_prefix(':').and_then(number).is_some(),
            Kind::HostAndColon => number(suffix).is_some(),
            Kind::HostAndPort => suffix.is_empty(),
        }
    }
}

/// Parses an entry by the grammar of RFC 6454 §6.2. Hosts follow the URL Standard, as in browsers.
fn kind(text: &str) -> Result<Kind, Fault> {
    if text.eq_ignore_ascii_case("null") {
        return Ok(Kind::Null);
    }
    if text.is_empty() {
        return Err("it is empty".into());
    }
    if text == "*" {
        return Err("wildcards are not supported: Origins::any() admits every origin".into());
    }
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(
            "it contains whitespace or a control character, and each origin needs a separate entry".into()
        );
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err("the scheme is missing, for example `https://`".into());
    };
    check_scheme(scheme)?;
    if rest.is_empty() {
        return Ok(Kind::Scheme);
    }
    if rest.contains("://") {
        return Err("it contains several origins, and each origin needs a separate entry".into());
    }
    if let Some(authority) = rest.split(['/', '?', '#', '\\']).next()
        && authority.len() < rest.len()
    {
        return Err(
            format!("an origin has no path and no trailing slash: write `{scheme}://{authority}`").into()
        );
    }
    if rest.contains('@') {
        return Err("an origin has no user name and no password".into());
    }
    if !rest.is_ascii() {
        let form = if is_web(text) { "in Punycode (`xn--...`)" } else { "percent-encoded" };
        return Err(format!("browsers send a host that is not ASCII {form}").into());
    }
    if rest.parse::<Ipv6Addr>().is_ok() {
        return Err(format!("an IPv6 address needs brackets: write `{scheme}://[{rest}]`").into());
    }
    let (host, port) = split(rest)?;
    if let Some(fault) = host_fault(host, is_web(text)) {
        return Err(fault);
    }
    match port {
        None => Ok(Kind::Host),
        Some("") => Ok(Kind::HostAndColon),
        Some(port) if number(port).is_none() => {
            Err(format!("`{port}` is not a port, which is a number from 1 to 65535 without leading zeros")
                .into())
        }
        Some(port) if default_port(scheme) == number(port) => {
            Err(format!("browsers leave out the default port: write `{scheme}://{host}`").into())
        }
        Some(_) => Ok(Kind::HostAndPort),
    }
}

fn check_scheme(scheme: &str) -> Result<(), Fault> {
    // RFC 3986 §3.1: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )
    if !scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    {
        return Err(format!("`{scheme}` is not a scheme").into());
    }
    for (websocket, page) in [("ws", "http"), ("wss", "https")] {
        if scheme.eq_ignore_ascii_case(websocket) {
            return Err(format!("an origin names the page that connects, so its scheme is `{page}`").into());
        }
    }
    Ok(())
}

/// Splits an authority into its host and the text after its colon, if there is a colon.
fn split(authority: &str) -> Result<(&str, Option<&str>), Fault> {
    let end = match authority.starts_with('[') {
        true => authority.find(']').map_or(authority.len(), |at| at + 1),
        false => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at_checked(end).unwrap_or((authority, ""));
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(format!("`{rest}` cannot follow an address in brackets").into()),
    }
}

/// The reason why no browser sends this host.
fn host_fault(host: &str, is_web: bool) -> Option<Fault> {
    if host.is_empty() {
        return Some("the host is missing".into());
    }
    if host.contains('*') {
        return Some(
            "wildcards are not supported: Origins::prefix([\"https://\"]) admits every host of a scheme, \
                     and Origins::closure decides on any other set"
                .into(),
        );
    }
    if host.starts_with('[') {
        return address_fault(host);
    }
    let forbidden = |c: &char| match is_web {
        true => !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_'),
        // The URL Standard's "forbidden host code points" of an opaque host.
        false => !c.is_ascii_graphic() || "#/:<>?@[\\]^|".contains(*c),
    };
    if let Some(c) = host.chars().find(forbidden) {
        return Some(format!("a host cannot contain {c:?}").into());
    }
    if !is_web {
        return None;
    }
    let name = host.strip_suffix('.').unwrap_or(host);
    // RFC 1035 §2.3.4: "labels 63 octets or less, names 255 octets or less". The latter count a
    // length before each label and one at the end.
    if name.len() > 253 || name.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Some("each part of a host name has 1 to 63 characters, and the name at most 253".into());
    }
    // The URL Standard, "ends in a number checker": such a host must be an IPv4 address.
    let last = name.rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
        || hex.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (is_number && host.parse::<Ipv4Addr>().is_err())
        .then(|| "browsers send an IPv4 address as four decimal numbers from 0 to 255".into())
}

/// The reason why no browser sends this IPv6 address in brackets.
fn address_fault(host: &str) -> Option<Fault> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or_default();
    let Ok(address) = inner.parse::<Ipv6Addr>() else {
        return Some(format!("`{host}` is not an IPv6 address in brackets").into());
    };
    let sent = match (address.to_ipv4_mapped(), address.segments()) {
        // The URL Standard's serializer writes no dotted form.
        (Some(_), [.., high, low]) => format!("::ffff:{high:x}:{low:x}"),
        (None, _) => address.to_string(),
    };
    (!sent.eq_ignore_ascii_case(inner)).then(|| format!("browsers send that address as `[{sent}]`").into())
}

/// Parses a port.
fn number(port: &str) -> Option<u16> {
    // `parse` also accepts a plus sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    digits.then(|| port.parse().ok())?
}

fn default_port(scheme: &str) -> Option<u16> {
    let ports = [("http", 80), ("https", 443), ("ftp", 21)];
    ports.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name)).map(|(_, port)| *port)
}

/// Whether the scheme has domain names and addresses as hosts. Hosts of other schemes, for example
/// those of browser extensions, are opaque.
fn is_web(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| default_port(scheme).is_some())
}
