//! Inputs for the codecs.
#![allow(dead_code, reason = "each bench uses a part")]

use std::hint::black_box;
use std::io::IoSlice;

use clws_proto::{Sender, Version};

/// The versions with different framing or tables, newest first. The frames of hixie-75 equal those
/// of draft 0.
pub(crate) const VERSIONS: [Version; 4] =
    [Version::Rfc6455, Version::Hybi08, Version::Hybi07, Version::Hybi00];

/// A key that maps lower-case letters to other ASCII and back. A buffer can be unmasked in place
/// repeatedly and stays valid text.
pub(crate) const KEY: [u8; 4] = [1, 2, 3, 4];

/// Text of `size` lower-case letters.
pub(crate) fn ascii(size: usize) -> String {
    ('a'..='z').cycle().take(size).collect()
}

/// At most `size` bytes of characters that take 1, 2, 3 and 4 bytes.
pub(crate) fn mixed(size: usize) -> String {
    let mut text: String = "Grüße, мир 你好 🦀 ".chars().cycle().take(size).collect();
    while text.len() > size {
        text.pop();
    }
    text
}

/// Bytes that are not text.
pub(crate) fn bytes(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i * 37 % 251).to_le_bytes()[0]).collect()
}

/// The frame of a client with this text, masked with `key` if the version has masks.
pub(crate) fn client_text(version: Version, text: &str, key: [u8; 4]) -> Vec<u8> {
    let mut sender = Sender::client(version, move || key);
    sender.text(text, None).unwrap();
    take(&mut sender)
}

/// The frames of a client with this binary message.
pub(crate) fn client_binary(message: &[u8], frame_size: Option<std::num::NonZeroUsize>) -> Vec<u8> {
    let mut sender = Sender::client(Version::Rfc6455, || KEY);
    sender.binary(message, frame_size).unwrap();
    take(&mut sender)
}

/// Takes all bytes from the outbox.
pub(crate) fn take(sender: &mut Sender) -> Vec<u8> {
    let mut out = Vec::new();
    write_to(sender, |slices| out.extend(slices.iter().flat_map(|slice| slice.iter())));
    out
}

/// Writes the whole outbox with vectored writes. Returns the number of bytes.
pub(crate) fn write(sender: &mut Sender) -> usize {
    write_to(sender, |slices| _ = black_box(slices))
}

fn write_to(sender: &mut Sender, mut writev: impl FnMut(&[IoSlice<'_>])) -> usize {
    let mut bytes = 0;
    while sender.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        let n = sender.io_slices(&mut slices);
        writev(&slices[..n]);
        let written = slices[..n].iter().map(|slice| slice.len()).sum();
        sender.consume(written);
        bytes += written;
    }
    bytes
}

/// Formats a size as `16`, `16Ki` or `1Mi`.
pub(crate) fn short(size: usize) -> String {
    match size {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{}Mi", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{}Ki", n >> 10),
        n => n.to_string(),
    }
}
