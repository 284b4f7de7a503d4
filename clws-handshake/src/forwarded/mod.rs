//! The client's address and scheme, as a reverse proxy reports them in headers.

mod elements;
mod node;
mod scheme;

use std::net::IpAddr;

use crate::forwarded::elements::{Element, elements};
use crate::forwarded::node::Node;
use crate::forwarded::scheme::is_tls;
use crate::http::headers::Headers;
use crate::http::reject::Reject;
use crate::token;

/// The headers in which a trusted proxy reports the client.
///
/// Choose the headers that the proxy itself writes, and no others: a proxy passes on headers that it
/// does not know, so a client could forge them. Call [`read`](Self::read) only for requests that
/// come from a trusted proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ForwardedHeader {
    /// No header: the peer of the connection is the client.
    #[default]
    None,
    /// `Forwarded` (RFC 7239), with its parameters `for` and `proto`.
    Forwarded,
    /// `X-Forwarded-For` alone. Every client counts as insecure.
    XForwardedFor,
    /// `X-Forwarded-For`, and `X-Forwarded-Proto` for the scheme. The proxy must write both.
    XForwardedForAndProto,
}

/// The report of the trusted proxies on a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forwarded {
    /// The client.
    pub client: ForwardedClient,
    /// Whether the client uses TLS, as the proxy next to it says.
    pub is_secure: bool,
}

/// The client that trusted proxies report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForwardedClient {
    /// The headers report none, so the peer of the connection is the client.
    #[default]
    Peer,
    /// The address, and the port if the proxy reports it.
    Address(IpAddr, Option<u16>),
    /// The proxy does not know the client, or hides it (RFC 7239 §6.2 and §6.3).
    Unknown,
}

impl ForwardedHeader {
    /// Finds the client in the headers of a request that came from a trusted proxy.
    ///
    /// Each proxy appends the address of its peer, so the list is read from its end. Addresses of
    /// trusted proxies are skipped. The first other address is the client: what is left of it comes
    /// from the client, and may be forged. If all addresses are trusted, the first of the list is
    /// the client.
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use clws_handshake::{ForwardedClient, ForwardedHeader, HandshakeLimits, HttpRequest};
    ///
    /// let head = b"GET / HTTP/1.1\r\nHost: a.example\r\n\
    ///     X-Forwarded-For: 127.0.0.1, 203.0.113.7, 10.0.0.2\r\n\r\n";
    /// let request = HttpRequest::parse(head, &HandshakeLimits::default())?;
    /// let our_proxies: [IpAddr; 2] = [[10, 0, 0, 1].into(), [10, 0, 0, 2].into()];
    /// let found = ForwardedHeader::XForwardedFor
    ///     .read(&request.headers(), |address| our_proxies.contains(&address))?;
    /// assert_eq!(found.client, ForwardedClient::Address([203, 0, 113, 7].into(), None));
    /// # Ok::<(), clws_handshake::Reject>(())
    /// ```
    ///
    /// # Errors
    ///
    /// 400 if the header is malformed where it must be read. Each line is read by itself, so a
    /// client cannot change the meaning of a line that the proxy adds.
    pub fn read(
        self,
        headers: &Headers<'_>,
        is_trusted: impl Fn(IpAddr) -> bool,
    ) -> Result<Forwarded, Reject> {
        match self {
            Self::None => Ok(Forwarded::default()),
            Self::Forwarded => {
                let lines: Vec<_> = headers.all_bytes("Forwarded").collect();
                let line_elements = lines.into_iter().rev().map(elements);
                client(line_elements, is_trusted).ok_or_else(|| malformed("Forwarded"))
            }
            Self::XForwardedFor | Self::XForwardedForAndProto => {
                const NAME: &str = "X-Forwarded-For";
                let lines: Vec<_> = headers.all_bytes(NAME).collect();
                let line_elements = lines.into_iter().rev().map(addresses);
                let mut found = client(line_elements, is_trusted).ok_or_else(|| malformed(NAME))?;
                found.is_secure = self == Self::XForwardedForAndProto && is_secure(headers);
                Ok(found)
            }
        }
    }
}

fn malformed(name: &str) -> Reject {
    Reject::bad_request(format!("the {name} header is malformed"))
}

/// Finds the client in lines from the last to the first. A line without a value is malformed.
fn client(
    lines: impl Iterator<Item = Option<Vec<Element>>>,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<Forwarded> {
    let mut found = Forwarded::default();
    for line in lines {
        for Element { node, is_secure } in line?.into_iter().rev() {
            let client = match node? {
                Node::Address(address, port) => ForwardedClient::Address(address, port),
                Node::Unknown => ForwardedClient::Unknown,
            };
            found = Forwarded { client, is_secure };
            match client {
                ForwardedClient::Address(address, _) if is_trusted(address) => {}
                _ => return Some(found),
            }
        }
    }
    Some(found)
}

/// The elements of a line of `X-Forwarded-For`. `None` if it is not ASCII.
fn addresses(line: &[u8]) -> Option<Vec<Element>> {
    let line = str::from_utf8(line).ok().filter(|line| line.is_ascii())?;
    Some(token::list(line).map(|text| Element { node: Node::parse_loose(text), is_secure: false }).collect())
}

/// Whether the last value of `X-Forwarded-Proto` is a scheme with TLS. The proxy that is next to
/// this server has written it.
fn is_secure(headers: &Headers<'_>) -> bool {
    let line = headers.all_bytes("X-Forwarded-Proto").last().unwrap_or_default();
    let last = str::from_utf8(line).unwrap_or_default().rsplit(',').next().unwrap_or_default();
    is_tls(token::trim(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The client, with proxies in 10.0.0.0/8 and `2001:db8:a::/48`.
    fn read(header: ForwardedHeader, lines: &str) -> Result<Forwarded, u16> {
        let is_trusted = |address| match address {
            IpAddr::V4(address) => address.octets()[0] == 10,
            IpAddr::V6(address) => address.segments()[..3] == [0x2001, 0xdb8, 0xa],
        };
        header.read(&Headers::new(lines.as_bytes()), is_trusted).map_err(|reject| reject.status())
    }

    fn client(header: ForwardedHeader, lines: &str) -> Result<String, u16> {
        read(header, lines).map(|found| match found.client {
            ForwardedClient::Peer => "peer".to_owned(),
            ForwardedClient::Unknown => "unknown".to_owned(),
            ForwardedClient::Address(address, None) => address.to_string(),
            ForwardedClient::Address(address, Some(port)) => format!("{address} {port}"),
        })
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_client() {
        for (value, expected) in [
            ("203.0.113.7", "203.0.113.7"),
            ("127.0.0.1, 203.0.113.7", "203.0.113.7"), // the first one is forged
            ("127.0.0.1,203.0.113.7 ,\t10.0.0.2", "203.0.113.7"),
            ("garbage, 203.0.113.7, 10.0.0.2,10.0.0.3", "203.0.113.7"),
            ("10.0.0.9, 10.0.0.2", "10.0.0.9"),
            ("10.0.0.9", "10.0.0.9"),
            ("198.51.100.1, 2001:db8::7, 2001:db8:a::1", "2001:db8::7"),
            ("[2001:db8::7]:4711", "2001:db8::7 4711"),
            ("203.0.113.7:80", "203.0.113.7 80"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("1.2.3.4, unknown, 10.0.0.2", "unknown"),
            ("1.2.3.4, _hidden", "unknown"),
            (", 203.0.113.7 , ,", "203.0.113.7"),
            ("", "peer"),
        ] {
            let line = format!("X-Forwarded-For: {value}\r\n");
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::XForwardedForAndProto] {
                assert_eq!(client(header, &line).as_deref(), Ok(expected), "{value}");
            }
            assert_eq!(client(ForwardedHeader::Forwarded, &line).unwrap(), "peer", "another header");
            assert_eq!(client(ForwardedHeader::None, &line).unwrap(), "peer");
        }
    }

    #[test]
    fn what_must_be_read_must_be_valid() {
        for value in ["garbage", "1.2.3.4, garbage, 10.0.0.2", "1.2.3", "[::1", "::1:x", "1.2.3.4:99999", "é"]
        {
            let line = format!("X-Forwarded-For: {value}\r\n");
            assert_eq!(client(ForwardedHeader::XForwardedFor, &line), Err(400), "{value}");
        }
        for value in ["for=garbage", "for", "for=1.2.3.4;for=1.2.3.4", "for=\"1.2.3.4", "for=1.2.3.4 x"] {
            let line = format!("Forwarded: {value}\r\n");
            assert_eq!(client(ForwardedHeader::Forwarded, &line), Err(400), "{value}");
        }
    }

    #[test]
    fn lines_are_one_list_but_are_read_each_by_itself() {
        let lines = "X-Forwarded-For: 1.2.3.4\r\nCookie: a\r\nx-forwarded-for: 203.0.113.7, 10.0.0.1\r\n";
        assert_eq!(client(ForwardedHeader::XForwardedFor, lines).unwrap(), "203.0.113.7");
        let lines = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 10.0.0.1\r\n";
        assert_eq!(client(ForwardedHeader::XForwardedFor, lines).unwrap(), "203.0.113.7");
        // The quote of the client's line ends with it.
        let lines = "Forwarded: for=1.2.3.4;by=\"\r\nForwarded: for=203.0.113.7\r\n";
        assert_eq!(client(ForwardedHeader::Forwarded, lines).unwrap(), "203.0.113.7");
        let lines = "Forwarded: for=1.2.3.4;by=\"\r\nForwarded: for=10.0.0.1\r\n";
        assert_eq!(client(ForwardedHeader::Forwarded, lines), Err(400));
    }

    /// A proxy may append to the client's line instead of adding one.
    #[test]
    fn an_open_quote_cannot_swallow_what_the_proxy_appends() {
        for forged in ["for=6.6.6.6;x=\"", "for=6.6.6.6;x=\"\\", "for=\"", "x=\"a"] {
            for appended in ["for=203.0.113.7", "for=\"203.0.113.7\";proto=https", "for=\"[2001:db8::7]:1\""]
            {
                let line = format!("Forwarded: {forged}, {appended}\r\n");
                assert_eq!(client(ForwardedHeader::Forwarded, &line), Err(400), "{line}");
            }
        }
    }

    #[test]
    fn reads_the_grammar_of_forwarded() {
        for (value, expected) in [
            ("for=192.0.2.43", "192.0.2.43"),
            ("For=\"192.0.2.43:47011\"", "192.0.2.43 47011"),
            ("For=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17 4711"),
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
            ("for=198.51.100.17;by=\"[2001:db8::1]\";proto=https, for=10.0.0.7", "198.51.100.17"),
            ("for=1.2.3.4, for=_gazonk", "unknown"),
            ("for=1.2.3.4, for=\"_gazonk:_port\"", "unknown"),
            ("for=1.2.3.4, for=unknown", "unknown"),
            ("for=\"UNKNOWN:80\"", "unknown"),
            ("for=\"1\\92.0.2.43\"", "192.0.2.43"),
            ("for=192.0.2.43;host=\"a, for=1.2.3.4\"", "192.0.2.43"),
            ("for=192.0.2.43;ext=\"\\\", for=1.2.3.4\"", "192.0.2.43"),
            ("for=\"192.0.2.43:_obf\"", "192.0.2.43"),
            (";;for=192.0.2.43;;", "192.0.2.43"),
            ("for=192.0.2.43 ; proto=https , ,", "192.0.2.43"),
            ("for=1.2.3.4, proto=https", "unknown"), // the proxy does not say who it was
            ("", "peer"),
        ] {
            let line = format!("Forwarded: {value}\r\nX-Forwarded-For: 6.6.6.6\r\n");
            assert_eq!(client(ForwardedHeader::Forwarded, &line).as_deref(), Ok(expected), "{value}");
        }
    }

    #[test]
    fn the_scheme_is_that_between_the_client_and_its_proxy() {
        for (lines, expected) in [
            ("Forwarded: for=192.0.2.1;proto=https\r\n", true),
            ("Forwarded: for=192.0.2.1;proto=WSS\r\n", true),
            ("Forwarded: for=192.0.2.1;proto=https, for=10.0.0.1;proto=http\r\n", true),
            ("Forwarded: for=1.2.3.4;proto=https, for=192.0.2.1;proto=http, for=10.0.0.1\r\n", false),
            ("Forwarded: for=192.0.2.1\r\nX-Forwarded-Proto: https\r\n", false),
        ] {
            let found = read(ForwardedHeader::Forwarded, lines).unwrap();
            assert_eq!(found.is_secure, expected, "{lines}");
        }
        for (values, expected) in [
            (&["https"][..], true),
            (&["wss"], true),
            (&["http"], false),
            (&["https,http"], false),
            (&["http, HTTPS"], true),
            (&["https", "http"], false),
            (&["httpsx"], false),
            (&[], false),
        ] {
            let lines: String =
                values.iter().map(|value| format!("X-Forwarded-Proto: {value}\r\n")).collect();
            let found = read(ForwardedHeader::XForwardedForAndProto, &lines).unwrap();
            assert_eq!(found.is_secure, expected, "{lines}");
            assert!(!read(ForwardedHeader::XForwardedFor, &lines).unwrap().is_secure);
        }
    }
}
