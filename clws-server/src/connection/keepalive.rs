//! The payload of keepalive pings, which tells their pongs from those of the application.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::client::id::ClientId;

/// The length of a payload: a number, and its signature.
const LEN: usize = 16;

/// The key of the signatures. It is random in each process.
static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// The signature of a number for a client.
fn signature(number: u64, client: ClientId) -> u64 {
    KEY.hash_one((number, client))
}

/// The payload of a ping. An application cannot send the same payload by accident, and a client
/// cannot know it before it gets the ping.
pub(super) fn payload(number: u64, client: ClientId) -> [u8; LEN] {
    let mut payload = [0; LEN];
    let (first, second) = payload.split_at_mut(LEN / 2);
    first.copy_from_slice(&number.to_be_bytes());
    second.copy_from_slice(&signature(number, client).to_be_bytes());
    payload
}

/// The number in the payload of a pong, if it answers a keepalive ping of the client.
#[inline]
pub(super) fn number_in(pong: &[u8], client: ClientId) -> Option<u64> {
    let pong: [u8; LEN] = pong.try_into().ok()?;
    let [a, b, c, d, e, f, g, h, ..] = pong;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
    (pong == payload(number, client)).then_some(number)
}
