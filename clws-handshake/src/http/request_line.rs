//! The request line (RFC 9112 §3): method, target and HTTP version.

use crate::authority::Authority;
use crate::http::reject::Reject;
use crate::token;

/// A request line with valid grammar.
pub(crate) struct RequestLine<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: Target<'a>,
    /// The minor version. The major version is 1.
    pub(crate) minor: u8,
}

impl<'a> RequestLine<'a> {
    /// Parses a line without its line end.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Self, Reject> {
        let malformed = || Reject::bad_request("the request line is malformed");
        // RFC 9112 §3: request-line = method SP request-target SP HTTP-version. A server may accept
        // other whitespace. This parser does not, because "lenient parsing can result in request
        // smuggling security vulnerabilities".
        let mut words = line.split(|&byte| byte == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(malformed());
        };
        let method =
            str::from_utf8(method).ok().filter(|method| token::is_token(method)).ok_or_else(malformed)?;
        let (major, minor) = version_of(version).ok_or_else(malformed)?;
        // RFC 9110 §15.6.6: "the server does not support, or refuses to support, the major version
        // of HTTP that was used in the request message".
        if major != 1 {
            return Err(Reject::http_version_not_supported());
        }
        if target.is_empty() {
            return Err(malformed());
        }
        Ok(Self { method, target: Target::parse(method, target)?, minor })
    }
}

/// RFC 9112 §2.3: `HTTP-version = HTTP-name "/" DIGIT "." DIGIT`. The name is case-sensitive.
pub(crate) fn version_of(word: &[u8]) -> Option<(u8, u8)> {
    match word.strip_prefix(b"HTTP/")? {
        &[major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => Some((major - b'0', minor - b'0')),
        _ => None,
    }
}

/// A parsed request target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(crate) raw: &'a str,
    /// The host of an absolute target or of `CONNECT`.
    pub(crate) authority: Option<&'a str>,
    pub(crate) path_and_query: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: Option<&'a str>,
}

impl<'a> Target<'a> {
    fn parse(method: &str, raw: &'a [u8]) -> Result<Self, Reject> {
        // hixie-76 §5.1: the resource name "will only include characters in the range U+0021 to
        // U+007E". RFC 3986 §2 also allows no others.
        let raw = str::from_utf8(raw)
            .ok()
            .filter(|raw| raw.bytes().all(|byte| byte.is_ascii_graphic()))
            .ok_or_else(|| Reject::bad_request("the request target is not printable ASCII"))?;
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and
        // MUST NOT be used on these URIs."
        if raw.contains('#') {
            return Err(Reject::bad_request("the request target has a fragment"));
        }
        if method == "CONNECT" {
            // RFC 9112 §3.2.3: authority-form = uri-host ":" port. RFC 9110 §9.3.6: "A server MUST
            // reject a CONNECT request that targets an empty or invalid port number".
            if Authority::parse(raw).is_none_or(|authority| authority.port.is_none()) {
                return Err(Reject::bad_request("the target of CONNECT is not a host and a port"));
            }
            return Ok(Self { raw, authority: Some(raw), path_and_query: raw, path: raw, query: None });
        }
        if method == "OPTIONS" && raw == "*" {
            return Ok(Self { raw, authority: None, path_and_query: raw, path: raw, query: None });
        }
        let (authority, path_and_query) = if raw.starts_with('/') {
            (None, raw)
        } else {
            let (authority, rest) = absolute(raw)
                .ok_or_else(|| Reject::bad_request("the request target is neither a path nor a ws:// URL"))?;
            (Some(authority), rest)
        };
        let (path, query) = match path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path_and_query, None),
        };
        // RFC 6455 §3: "/" is the resource name's path when the path component is empty.
        let path = if path.is_empty() { "/" } else { path };
        Ok(Self { raw, authority, path_and_query, path, query })
    }
}

/// Splits `ws://host:port/path` after the authority. Accepts the schemes ws, wss, http and https.
fn absolute(raw: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = raw.split_once("://")?;
    ["ws", "wss", "http", "https"].iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    Authority::parse(authority).map(|_| (authority, path))
}
