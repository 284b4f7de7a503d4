//! A compressed message with several things wrong fails with the first of them, however it is cut into reads.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, reason = "test code")]

mod common;

use clws_proto::{Limits, ProtocolError, Receiver, Role, Version};
use common::deflate::{codecs, no_takeover};
use common::*;

const LIMIT: usize = 8;

/// Blocks that are not compressed, and one of the type that there is not.
fn payload(text: &[u8]) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    [&[0x00, len, 0, !len, 0xff][..], text, &[0xff; 4]].concat()
}

#[track_caller]
fn fails(text: &[u8], expected: ProtocolError) {
    let wire = to_server(FIN | RSV1 | TEXT, &payload(text));
    for size in [wire.len(), 1, 2, 7, 13] {
        let limits = Limits::default().max_message_size(LIMIT);
        let mut receiver =
            Receiver::new(Version::Rfc6455, Role::Server, limits).deflate(no_takeover(), &codecs());
        let got: Vec<Got> = wire.chunks(size).flat_map(|read| feed(&mut receiver, read)).collect();
        assert_eq!(got, [Got::Failed(expected)], "{size} bytes at once");
    }
}

#[test]
fn what_inflates_before_the_corrupt_block_counts() {
    fails(b"good", ProtocolError::CorruptDeflate);
    fails(b"b\xffd", ProtocolError::InvalidUtf8);
    fails(b"too long by far", ProtocolError::MessageTooBig { limit: LIMIT });
}

#[test]
fn text_is_checked_up_to_the_limit() {
    fails(b"b\xffd, and too long", ProtocolError::InvalidUtf8);
    fails(b"too long and b\xffd", ProtocolError::MessageTooBig { limit: LIMIT });
    fails(b"too long\xff", ProtocolError::MessageTooBig { limit: LIMIT });
    fails(b"too lon\xff", ProtocolError::InvalidUtf8);
}
