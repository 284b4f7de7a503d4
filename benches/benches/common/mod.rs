//! What the benches feed to the codecs.
#![allow(dead_code, reason = "each bench takes what it needs")]

use std::io::IoSlice;

use clws_proto::{Sender, Version};

/// The versions with a framing or a table of their own, newest first. The frames of hixie-75 are those of draft 0.
pub(crate) const VERSIONS: [Version; 4] =
    [Version::Rfc6455, Version::Hybi08, Version::Hybi07, Version::Hybi00];

/// A key that turns lower-case letters into other ASCII and back, so that one buffer can be unmasked in place over and over
/// and is text every time.
pub(crate) const KEY: [u8; 4] = [1, 2, 3, 4];

/// So many lower-case letters.
pub(crate) fn ascii(size: usize) -> String {
    ('a'..='z').cycle().take(size).collect()
}

/// About so many octets of characters that take 1, 2, 3 and 4 octets.
pub(crate) fn mixed(size: usize) -> String {
    let mut text: String = "Grüße, мир 你好 🦀 ".chars().cycle().take(size).collect();
    while text.len() > size {
        text.pop();
    }
    text
}

/// Octets that are no text.
pub(crate) fn octets(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 37 % 251).to_le_bytes()[0]).collect()
}

/// What a client sends for this text, masked with `key` where its version masks.
pub(crate) fn client_text(version: Version, text: &str, key: [u8; 4]) -> Vec<u8> {
    let mut sender = Sender::client(version, move || key);
    sender.text(text, None).unwrap();
    take(&mut sender)
}

/// What a client sends for this binary message.
pub(crate) fn client_binary(message: &[u8], frame_size: Option<std::num::NonZeroUsize>) -> Vec<u8> {
    let mut sender = Sender::client(Version::Rfc6455, || KEY);
    sender.binary(message, frame_size).unwrap();
    take(&mut sender)
}

/// Everything in an outbox.
pub(crate) fn take(sender: &mut Sender) -> Vec<u8> {
    let mut out = Vec::new();
    while sender.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        let n = sender.io_slices(&mut slices);
        out.extend(slices[..n].iter().flat_map(|slice| slice.iter()));
        let written = slices[..n].iter().map(|slice| slice.len()).sum();
        sender.consume(written);
    }
    out
}

/// `16`, `16Ki`, `1Mi`.
pub(crate) fn short(size: usize) -> String {
    match size {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{}Mi", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{}Ki", n >> 10),
        n => n.to_string(),
    }
}
