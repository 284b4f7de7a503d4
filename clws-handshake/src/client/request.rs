#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::Version;
use thiserror::Error;

use crate::challenge::{accept_key, hixie_76};
use crate::client::expected::ExpectedResponse;
use crate::client::hixie_keys::Random;
use crate::client::pending::Pending;
use crate::http::write::{HeaderError, check_header};
use crate::url::Url;
use crate::{token, version_rules};

/// An opening handshake to send, of any draft.
#[derive(Clone, Debug)]
pub struct ClientRequest<'a> {
    version: Version,
    url: &'a str,
    origin: Option<&'a str>,
    subprotocols: Vec<&'a str>,
    headers: Vec<(&'a str, &'a str)>,
    #[cfg(feature = "deflate")]
    deflate: Option<DeflateConfig>,
}

/// The request cannot be sent: the caller's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Not a `ws://` or `wss://` URL, or one with a fragment or user information (RFC 6455 §3).
    #[error("not a ws:// or wss:// URL")]
    Url,
    /// An origin that cannot stand in a header line.
    #[error("the origin has characters that cannot be sent")]
    Origin,
    /// Draft 0 and hixie-75 have no handshake without an origin.
    #[error("draft 0 and hixie-75 require an origin")]
    OriginRequired,
    /// Not a token, or offered twice, or a second one in draft 0 and hixie-75, which offer one.
    #[error("the subprotocol {0:?} cannot be offered")]
    Subprotocol(Box<str>),
    /// A header that cannot be sent.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl<'a> ClientRequest<'a> {
    /// A request for a URL, `ws://host:port/path?query` or `wss://`; TLS is the caller's. Nothing is checked
    /// yet.
    #[must_use]
    pub const fn new(version: Version, url: &'a str) -> Self {
        Self {
            version,
            url,
            origin: None,
            subprotocols: Vec::new(),
            headers: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// Sends an origin, in the header that the version has for it. Draft 0 and hixie-75 cannot do without.
    #[must_use]
    pub const fn origin(mut self, origin: &'a str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Offers a subprotocol, after those already offered.
    #[must_use]
    pub fn subprotocol(mut self, name: &'a str) -> Self {
        self.subprotocols.push(name);
        self
    }

    /// Adds a header line, `Cookie` or `Authorization` for instance; not one that the handshake itself
    /// writes.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Offers permessage-deflate; what the server agreed to is in
    /// [`Established::deflate`](super::Established::deflate). Only version 13 has it, so the others offer nothing.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, config: &DeflateConfig) -> Self {
        self.deflate = (self.version == Version::Rfc6455).then_some(config.in_range());
        self
    }

    /// Writes the request: the bytes to send, and what checks the answer. `random` fills a slice with
    /// unpredictable bytes.
    ///
    /// # Errors
    /// The URL, the origin, a subprotocol or a header cannot be sent.
    pub fn build(self, random: &mut impl FnMut(&mut [u8])) -> Result<(Vec<u8>, Pending), RequestError> {
        let url = Url::parse(self.url).ok_or(RequestError::Url)?;
        self.check()?;
        let mut random = Random(random);
        let resource = url.resource();
        let mut fields = vec![format!("Host: {}", url.host)];
        let mut body = None;
        let expected = if self.version.is_hixie() {
            // hixie-76 §4.1, and hixie-75 too: "the /origin/ value, converted to ASCII lowercase"
            let origin = self.origin.ok_or(RequestError::OriginRequired)?.to_ascii_lowercase();
            let scheme = if url.secure { "wss" } else { "ws" };
            let location = format!("{scheme}://{}{resource}", url.host).into();
            let upgrade = ["Upgrade: WebSocket".to_owned(), "Connection: Upgrade".to_owned()];
            if self.version == Version::Hixie75 {
                // Its fields have a fixed order, and these two come first.
                fields.splice(..0, upgrade);
                fields.push(format!("Origin: {origin}"));
                ExpectedResponse::Echo { origin: origin.into(), location }
            } else {
                let ((key1, number1), (key2, number2)) = (random.hixie_key(), random.hixie_key());
                let key3 = random.bytes();
                body = Some(key3);
                fields.extend(upgrade);
                fields.extend([
                    format!("Origin: {origin}"),
                    format!("Sec-WebSocket-Key1: {key1}"),
                    format!("Sec-WebSocket-Key2: {key2}"),
                ]);
                let digest = hixie_76::digest(number1, number2, &key3);
                ExpectedResponse::Digest { digest, origin: origin.into(), location }
            }
        } else {
            let key = accept_key::encode_key(random.bytes());
            fields.extend([
                "Upgrade: websocket".to_owned(),
                "Connection: Upgrade".to_owned(),
                format!("Sec-WebSocket-Key: {key}"),
                format!("Sec-WebSocket-Version: {}", self.version),
            ]);
            if let Some(origin) = self.origin {
                fields.push(format!("{}: {origin}", version_rules::origin_header(self.version)));
            }
            ExpectedResponse::AcceptKey(accept_key::accept_key(&key).into())
        };
        if !self.subprotocols.is_empty() {
            let name = version_rules::subprotocol_header(self.version);
            fields.push(format!("{name}: {}", self.subprotocols.join(", ")));
        }
        #[cfg(feature = "deflate")]
        fields.extend(
            self.deflate
                .iter()
                .map(|config| format!("Sec-WebSocket-Extensions: {}", crate::deflate::offer(config))),
        );
        fields.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        if self.version == Version::Hybi00 {
            // hixie-76 §4.1 sends the fields "in a random order".
            random.shuffle(&mut fields);
        }
        let mut bytes = format!("GET {resource} HTTP/1.1\r\n{}\r\n\r\n", fields.join("\r\n")).into_bytes();
        bytes.extend(body.iter().flatten());
        let offered = self.subprotocols.iter().map(|&name| name.into()).collect();
        let pending = Pending::new(self.version, expected, offered);
        #[cfg(feature = "deflate")]
        let pending = pending.deflate(self.deflate);
        Ok((bytes, pending))
    }

    fn check(&self) -> Result<(), RequestError> {
        if !self.origin.is_none_or(|origin| !origin.is_empty() && token::is_field_value(origin)) {
            return Err(RequestError::Origin);
        }
        let mut names = self.subprotocols.iter();
        while let Some(&name) = names.next_back() {
            // RFC 6455 §4.1: the elements "MUST all be unique strings"
            let earlier = names.as_slice();
            if !token::is_token(name)
                || earlier.contains(&name)
                || (self.version.is_hixie() && !earlier.is_empty())
            {
                return Err(RequestError::Subprotocol(name.into()));
            }
        }
        for (name, value) in &self.headers {
            check_header(name, value)?;
            if name.eq_ignore_ascii_case("Origin") {
                return Err(HeaderError::Reserved((*name).into()).into());
            }
        }
        Ok(())
    }
}
