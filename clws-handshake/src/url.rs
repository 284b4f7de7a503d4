//! URLs of WebSocket (RFC 6455 §3).

use crate::authority::Authority;

/// A parsed `ws://` or `wss://` URL (RFC 6455 §3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    pub(crate) secure: bool,
    /// Host and port as in a `Host` header: in lower case, without the default port of the scheme.
    pub(crate) host: String,
    path_and_query: &'a str,
}

impl<'a> Url<'a> {
    /// Parses a URL. `None` if it is invalid, or has a fragment or user information.
    pub(crate) fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let secure = scheme.eq_ignore_ascii_case("wss");
        if !secure && !scheme.eq_ignore_ascii_case("ws") {
            return None;
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path_and_query) = rest.split_at_checked(end)?;
        // RFC 6455 §3: "Fragment identifiers are meaningless in the context of WebSocket URIs and
        // MUST NOT be used on these URIs."
        if !path_and_query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return None;
        }
        let Authority { host, port } = Authority::parse(authority)?;
        let mut host = host.to_ascii_lowercase();
        // RFC 6455 §4.1: the Host header has "/port/ (when not using the default port)".
        if let Some(port) = port
            && port != if secure { 443 } else { 80 }
        {
            host.extend([":", &port.to_string()]);
        }
        Some(Self { secure, host, path_and_query })
    }

    /// The resource name (RFC 6455 §3): path and query. An empty path becomes `/`.
    pub(crate) fn resource(&self) -> String {
        let slash = if self.path_and_query.starts_with('/') { "" } else { "/" };
        format!("{slash}{}", self.path_and_query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowercases_hosts_and_removes_default_ports() {
        for (url, secure, host, resource) in [
            ("ws://A.Example", false, "a.example", "/"),
            ("WS://a:80/x?y=1", false, "a", "/x?y=1"),
            ("ws://a:443?q", false, "a:443", "/?q"),
            ("wss://a:443/", true, "a", "/"),
            ("wss://[::1]:80/p", true, "[::1]:80", "/p"),
            ("ws://[::1]/", false, "[::1]", "/"),
        ] {
            let parsed = Url::parse(url).unwrap();
            assert_eq!(
                (parsed.secure, &*parsed.host, &*parsed.resource()),
                (secure, host, resource),
                "{url}"
            );
        }
    }

    #[test]
    fn rejects_other_urls() {
        for bad in [
            "",
            "a",
            "/x",
            "http://a/",
            "ws:/a",
            "ws://",
            "ws:///x",
            "ws://a/#f",
            "ws://a#f",
            "ws://u@a/",
            "ws://a:x/",
            "ws://a:65536/",
            "ws://:80/",
            "ws://a b/",
            "ws://a/ b",
            "ws://a/é",
            "ws://a/\r\nX: y",
            "ws://::1/",
            "ws://a:+1",
            "ws://[::1",
            "ws://a\r\n",
        ] {
            assert_eq!(Url::parse(bad), None, "{bad:?}");
        }
    }
}
