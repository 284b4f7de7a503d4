//! Builds the request of an opening handshake.

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

/// An opening handshake to send, in any version.
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

/// The request cannot be sent, because an argument is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The URL is not `ws://` or `wss://`, or it has a fragment or user information (RFC 6455 §3).
    #[error("the URL is not a valid ws:// or wss:// URL")]
    Url,
    /// The origin is empty or not a valid header value.
    #[error("the origin is empty or has characters that are not allowed")]
    Origin,
    /// Draft 0 and hixie-75 require an origin.
    #[error("draft 0 and hixie-75 require an origin: set one")]
    OriginRequired,
    /// The subprotocol is not a token, or it is offered twice. Draft 0 and hixie-75 allow only one.
    #[error("the subprotocol {0:?} is not a token, is repeated, or is one too many")]
    Subprotocol(Box<str>),
    /// A header is invalid.
    #[error(transparent)]
    Header(#[from] HeaderError),
}

impl<'a> ClientRequest<'a> {
    /// A request for a `ws://host:port/path?query` or `wss://` URL. The caller provides TLS.
    /// [`build`](Self::build) checks the arguments.
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

    /// Sends an origin, in the header that the version uses. Draft 0 and hixie-75 require one.
    #[must_use]
    pub const fn origin(mut self, origin: &'a str) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Offers a subprotocol. The order of the calls is the order of preference.
    #[must_use]
    pub fn subprotocol(mut self, name: &'a str) -> Self {
        self.subprotocols.push(name);
        self
    }

    /// Adds a header line, for example `Cookie` or `Authorization`. Headers of the handshake itself
    /// are invalid.
    #[must_use]
    pub fn header(mut self, name: &'a str, value: &'a str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Offers permessage-deflate. [`Established::deflate`](super::Established::deflate) has the
    /// agreed parameters. Versions other than 13 ignore this call.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(mut self, config: &DeflateConfig) -> Self {
        self.deflate = self.version.has_extensions().then_some(config.in_range());
        self
    }

    /// Builds the request. Returns the bytes to send, and a [`Pending`] that checks the response.
    /// `random` fills a slice with unpredictable bytes.
    ///
    /// # Errors
    /// The URL, the origin, a subprotocol or a header is invalid.
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
                // hixie-75 has a fixed order of fields that begins with these two.
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
            // hixie-76 §4.1: clients send the fields "in a random order".
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
