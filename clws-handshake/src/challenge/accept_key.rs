//! The challenge of hybi drafts from 04 on and of RFC 6455: `Sec-WebSocket-Key` and its SHA-1.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest as _, Sha1};

/// RFC 6455 §1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Base64 with or without padding. Ignores unused bits of the last character, because the text of
/// the key is hashed and not its value.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The value of `Sec-WebSocket-Accept` for a key.
pub(crate) fn accept_key(key: &str) -> String {
    // RFC 6455 §4.2.2: "... concatenating /key/ ... with the string
    // "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", taking the SHA-1 hash of this concatenated value to
    // obtain a 20-byte value and base64-encoding ... this 20-byte hash."
    let mut sha1 = Sha1::new();
    sha1.update(key);
    sha1.update(GUID);
    base64::engine::general_purpose::STANDARD.encode(sha1.finalize())
}

/// The `Sec-WebSocket-Key` for 16 random bytes.
pub(crate) fn encode_key(nonce: [u8; 16]) -> String {
    base64::engine::general_purpose::STANDARD.encode(nonce)
}

/// Whether a key is base64 of exactly 16 bytes.
pub(crate) fn is_key(key: &str) -> bool {
    // RFC 6455 §4.2.1: "A |Sec-WebSocket-Key| header field with a base64-encoded (see Section 4 of
    // [RFC4648]) value that, when decoded, is 16 bytes in length."
    key.len() == 24 && decoded_len(key) == Some(16)
}

/// Whether a key is valid in versions 7 and 8: 15 or 16 bytes in base64, with or without padding.
///
/// The drafts require 16 bytes, as the RFC does. But ws 0.4 sends 15: `8-` and a time in
/// milliseconds.
pub(crate) fn is_draft_key(key: &str) -> bool {
    key.len() <= 24 && matches!(decoded_len(key), Some(15 | 16))
}

fn decoded_len(key: &str) -> Option<usize> {
    let mut decoded = [0; 18];
    LENIENT.decode_slice(key, &mut decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_the_example_of_the_rfc() {
        // RFC 6455 §1.3
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(encode_key(*b"the sample nonce"), "dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn version_13_requires_16_bytes() {
        assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
        for bad in [
            "",
            "dGhlIHNhbXBsZSBub25jZQ",           // unpadded
            "dGhlIHNhbXBsZSBub25jZQ=",          // half padded
            "OC0xNzk1MzQ4OTA1NDYw",             // 15 bytes
            "AAAAAAAAAAAAAAAAAAAAAAA=",         // 17 bytes
            "AAAAAAAAAAAAAAAAAAAAAAAA",         // 18 bytes
            "dGhlIHNhbXBsZSBub25j!Q==",         // outside the alphabet
            "dGhlIHNhbXBsZSBub25jZQ==AAAA",     // too long
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", // 24 bytes
        ] {
            assert!(!is_key(bad), "{bad:?}");
        }
    }

    #[test]
    fn versions_7_and_8_also_accept_15_bytes() {
        assert!(is_draft_key("OC0xNzk1MzQ4OTA1NDYw"));
        assert!(is_draft_key("dGhlIHNhbXBsZSBub25jZQ==") && is_draft_key("dGhlIHNhbXBsZSBub25jZQ"));
        for bad in [
            "",
            "AAAA",
            "AAAAAAAAAAAAAAAAAAA=",
            "AAAAAAAAAAAAAAAAAAAAAAA=",
            "OC0xNzk1MzQ4OTA1ND w",
            &"A".repeat(4000),
        ] {
            assert!(!is_draft_key(bad), "{bad:?}");
        }
    }
}
