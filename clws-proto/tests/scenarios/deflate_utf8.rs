//! Text is checked while it inflates: an invalid byte is refused at once, however frames and reads
//! are split.
#![cfg(feature = "deflate")]

use crate::common::deflate::{codecs, frames, no_takeover, receiver, sender};
use crate::common::*;
use clws_proto::{DeflateParams, ProtocolError, Role};

const INVALID: Got = Got::Failed(ProtocolError::InvalidUtf8);

/// An uncompressed block, in which each byte inflates as soon as it arrives.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&[0x00][..], &len.to_le_bytes(), &(!len).to_le_bytes(), bytes, &[0x00]].concat()
}

/// The index of the payload byte at which the text is refused.
fn refused_at(bytes: &[u8]) -> Option<usize> {
    let mut receiver = receiver(Role::Client, no_takeover());
    let wire = frame(FIN | RSV1 | TEXT, &stored(bytes), Role::Client);
    let block = 5 + wire.len() - stored(bytes).len();
    let refused = wire.iter().position(|byte| feed(&mut receiver, &[*byte]).contains(&INVALID))?;
    Some(refused - block)
}

#[test]
fn an_invalid_byte_is_refused_at_once() {
    assert_eq!(refused_at("κόσμε".as_bytes()), None);
    assert_eq!(refused_at(b"ab\xffcdefgh"), Some(2));
    assert_eq!(refused_at(b"ab\xed\xa0\x80cdefgh"), Some(3)); // a surrogate, seen in its second byte
    assert_eq!(refused_at(b"\xf4\x90\x80\x80cdefgh"), Some(1)); // past U+10FFFF
}

#[test]
fn an_incomplete_character_is_refused_at_the_end() {
    for params in [DeflateParams::default(), no_takeover()] {
        let wire = frame(FIN | RSV1 | TEXT, &stored(b"ab\xf0\x9f\x98"), Role::Client);
        assert_eq!(feed(&mut receiver(Role::Client, params), &wire), [INVALID]);
    }
}

#[test]
fn binary_messages_are_not_checked() {
    let wire = frame(FIN | RSV1 | BINARY, &stored(b"ab\xff"), Role::Client);
    assert_eq!(feed(&mut receiver(Role::Client, no_takeover()), &wire), [Got::Binary(b"ab\xff".to_vec())]);
}

#[test]
fn characters_may_be_split_anywhere() {
    // More text than one inflate step outputs, so that steps split some three-byte characters.
    let message = "語".repeat(50_000);
    let mut server = sender(Role::Server, no_takeover(), &codecs());
    server.text(&message, None).unwrap();
    let wire = drain(&mut server);
    assert_eq!(feed(&mut receiver(Role::Client, no_takeover()), &wire), [text(&message)]);
    let payload = frames(&wire).1;
    for size in [1, 7, 100] {
        let mut wire = frame(RSV1 | TEXT, &[], Role::Client);
        for piece in payload.chunks(size) {
            wire.extend(frame(CONTINUATION, piece, Role::Client));
        }
        wire.extend(frame(FIN | CONTINUATION, &[], Role::Client));
        assert_eq!(feed(&mut receiver(Role::Client, no_takeover()), &wire), [text(&message)]);
    }
}
