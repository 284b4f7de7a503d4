//! Input that is not TLS, recognised by its first byte.

/// Whether the input begins as a plain HTTP request does: with the capital letter of a method. A
/// record of TLS begins with 22, and a hello of SSL 2 with at least 128.
pub(super) fn is_plain_http(input: &[u8]) -> bool {
    input.first().is_some_and(u8::is_ascii_uppercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_from_a_record() {
        assert!(is_plain_http(b"GET / HTTP/1.1\r\n") && is_plain_http(b"P"));
        for other in [&[22, 3, 1][..], &[0x80, 0x2E, 1], &[21], &[], b"\r\n", b"<policy-file-request/>"] {
            assert!(!is_plain_http(other), "{other:?}");
        }
    }
}
