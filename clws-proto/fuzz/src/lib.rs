//! Helpers of the fuzz targets: choices from the fuzzer's bytes, events that own their payload, and
//! a reference implementation to compare with.
#![forbid(unsafe_code)]

#[path = "../../tests/common/events.rs"]
mod events;
mod input;
pub mod reference;
pub mod wire;
pub mod zlib;

use clws_proto::{DeflateParams, Limits, Receiver, Role, Version};
pub use events::{Got, join_pieces, owned, pull};
pub use input::{Input, Random};

/// The version for this choice. 0 is the newest, so that adding older versions changes nothing.
pub fn version(choice: u8) -> Version {
    Version::ALL[Version::ALL.len() - 1 - usize::from(choice) % Version::ALL.len()]
}

/// Limits around the sizes where behaviour changes: zero, short and long lengths, very large ones.
pub fn limits(choice: u8) -> Limits {
    const SIZES: [usize; 8] = [0, 1, 7, 125, 126, 1000, 70_000, 16 << 20];
    const FRAGMENTS: [u32; 4] = [131_072, 0, 1, 3];
    Limits::default()
        .max_message_size(SIZES[usize::from(choice & 7) ^ 7])
        .max_frame_size(SIZES[usize::from(choice >> 3 & 7) ^ 7])
        .max_fragments(FRAGMENTS[usize::from(choice >> 6)])
}

/// Parameters of permessage-deflate: 3 bits for each window, one for each context takeover.
pub fn params(choice: u8) -> DeflateParams {
    DeflateParams::default()
        .server_max_window_bits(15 - (choice & 7))
        .client_max_window_bits(15 - (choice >> 3 & 7))
        .server_no_context_takeover(choice & 0x40 != 0)
        .client_no_context_takeover(choice & 0x80 != 0)
}

/// The opposite role.
pub fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

/// A frame of a peer of `to`, masked with `key` if `to` is a server.
pub fn frame(out: &mut Vec<u8>, first: u8, payload: &[u8], to: Role, key: [u8; 4]) {
    let mask = if to == Role::Server { 0x80 } else { 0 };
    out.push(first);
    match payload.len() {
        len @ 0..=125 => out.push(mask | len as u8),
        len @ 126..=0xFFFF => {
            out.push(mask | 126);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(mask | 127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if to == Role::Server {
        out.extend_from_slice(&key);
        out.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    } else {
        out.extend_from_slice(payload);
    }
}

/// Feeds one read to the receiver, and adds its events to `got`.
pub fn feed(receiver: &mut Receiver, read: &[u8], got: &mut Vec<Got>) {
    let mut read = read.to_vec();
    let mut events = receiver.receive(&mut read);
    while let Some(event) = pull(&mut events) {
        got.push(event);
    }
}
