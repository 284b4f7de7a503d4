//! The scheme that a client uses, as a proxy reports it.

/// Whether a scheme uses TLS. Some proxies write the scheme of the WebSocket URL.
pub(super) fn is_tls(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss")
}
