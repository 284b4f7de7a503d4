//! A compressed message with several faults fails with the first, however it is split into reads.
#![cfg(feature = "deflate")]

use crate::common::deflate::{codecs, no_takeover};
use crate::common::*;
use clws_proto::{Limits, ProtocolError, Receiver, Role, Version};

const LIMIT: usize = 8;

/// An uncompressed block, followed by one of the reserved type.
fn payload(text: &[u8]) -> Vec<u8> {
    let len = u8::try_from(text.len()).unwrap();
    [&[0x00, len, 0, !len, 0xff][..], text, &[0xff; 4]].concat()
}

#[track_caller]
fn assert_fails_with(text: &[u8], expected: ProtocolError) {
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
fn faults_before_the_corrupt_block_come_first() {
    assert_fails_with(b"good", ProtocolError::CorruptDeflate);
    assert_fails_with(b"b\xffd", ProtocolError::InvalidUtf8);
    assert_fails_with(b"too long by far", ProtocolError::MessageTooBig { limit: LIMIT });
}

#[test]
fn text_is_checked_up_to_the_limit() {
    assert_fails_with(b"b\xffd, and too long", ProtocolError::InvalidUtf8);
    assert_fails_with(b"too long and b\xffd", ProtocolError::MessageTooBig { limit: LIMIT });
    assert_fails_with(b"too long\xff", ProtocolError::MessageTooBig { limit: LIMIT });
    assert_fails_with(b"too lon\xff", ProtocolError::InvalidUtf8);
}
