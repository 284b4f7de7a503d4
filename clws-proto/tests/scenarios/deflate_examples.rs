//! The permessage-deflate examples of RFC 7692 §7.2.3, in one read and byte by byte.
#![cfg(feature = "deflate")]

use crate::common::deflate::{codecs, no_takeover, receiver, sender};
use crate::common::*;
use clws_proto::{DeflateParams, Role};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// Checks a client's events with and without context takeover, in one read and byte by byte.
#[track_caller]
fn assert_received(wire: &[u8], expected: &[Got]) {
    for params in [DeflateParams::default(), no_takeover()] {
        assert_eq!(feed(&mut receiver(Role::Client, params), wire), expected);
        let mut receiver = receiver(Role::Client, params);
        let by_byte: Vec<_> = wire.iter().flat_map(|byte| feed(&mut receiver, &[*byte])).collect();
        assert_eq!(by_byte, expected, "byte by byte");
    }
}

/// A compressed text message to a client.
fn message(payload: &[u8]) -> Vec<u8> {
    frame(FIN | RSV1 | TEXT, payload, Role::Client)
}

#[test]
fn a_message_compressed_using_one_block() {
    let wire = [&[0xc1, 0x07][..], &HELLO].concat();
    assert_received(&wire, &[text("Hello")]);
    // "A message can be fragmented after compression"
    assert_received(&[0x41, 0x03, 0xf2, 0x48, 0xcd, 0x80, 0x04, 0xc9, 0xc9, 0x07, 0x00], &[text("Hello")]);
    // The RFC compresses five bytes to seven. Our sender does not, so it gets a longer message.
    let mut sender = sender(Role::Server, no_takeover(), &codecs());
    sender.text("HelloHelloHelloHello", None).unwrap();
    let wire = drain(&mut sender);
    assert_eq!(wire[..6], [0xc1, u8::try_from(wire.len() - 2).unwrap(), 0xf2, 0x48, 0xcd, 0xc9]);
    assert_received(&wire, &[text("HelloHelloHelloHello")]);
}

#[test]
fn sharing_the_window() {
    let wire = [message(&HELLO), message(&[0xf2, 0x00, 0x11, 0x00, 0x00])].concat();
    let mut taken_over = receiver(Role::Client, DeflateParams::default());
    assert_eq!(feed(&mut taken_over, &wire), [text("Hello"), text("Hello")]);
    // An uncompressed message does not enter the window.
    let between = frame(FIN | BINARY, &[7; 40_000], Role::Client);
    let with_plain = [message(&HELLO), between, message(&[0xf2, 0x00, 0x11, 0x00, 0x00])].concat();
    let got = feed(&mut receiver(Role::Client, DeflateParams::default()), &with_plain);
    assert_eq!(got, [text("Hello"), Got::Binary(vec![7; 40_000]), text("Hello")]);
    // Without context takeover there is nothing to refer back to.
    let mut alone = receiver(Role::Client, no_takeover());
    assert_eq!(
        feed(&mut alone, &wire),
        [text("Hello"), Got::Failed(clws_proto::ProtocolError::CorruptDeflate)]
    );
}

#[test]
fn a_block_without_compression() {
    let block = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
    assert_received(&message(&block), &[text("Hello")]);
}

#[test]
fn a_block_with_bfinal_set() {
    assert_received(&message(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), &[text("Hello")]);
    // Some senders omit the empty block after it, and several such blocks may follow each other.
    assert_received(&message(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]), &[text("Hello")]);
    let twice = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00].repeat(2);
    assert_received(&message(&twice), &[text("HelloHello")]);
    // The final block may be a fragment.
    let wire = [
        frame(RSV1 | TEXT, &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00], Role::Client),
        frame(FIN | CONTINUATION, &[0x00], Role::Client),
    ];
    assert_received(&wire.concat(), &[text("Hello")]);
    // The next message may start without a context or refer back to it.
    let wire = [message(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]), message(&HELLO)].concat();
    assert_received(&wire, &[text("Hello"), text("Hello")]);
    let wire = [
        message(&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        message(&[0xf2, 0x00, 0x11, 0x00, 0x00]),
    ];
    let mut taken_over = receiver(Role::Client, DeflateParams::default());
    assert_eq!(feed(&mut taken_over, &wire.concat()), [text("Hello"), text("Hello")]);
}

#[test]
fn two_blocks_in_one_message() {
    let blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    assert_received(&message(&blocks), &[text("Hello")]);
}

#[test]
fn an_empty_message() {
    assert_received(&message(&[0x00]), &[text("")]);
    // A message without any bytes leaves the context unchanged.
    assert_received(&[message(&[]), message(&HELLO)].concat(), &[text(""), text("Hello")]);
    // "an endpoint can send an empty fragment" anywhere.
    let wire = [
        frame(RSV1 | TEXT, &[], Role::Client),
        frame(CONTINUATION, &HELLO, Role::Client),
        frame(FIN | CONTINUATION, &[], Role::Client),
    ];
    assert_received(&wire.concat(), &[text("Hello")]);
    // Empty blocks in a thousand fragments.
    let empty = [0x00, 0x00, 0x00, 0xff, 0xff];
    let wire = [
        frame(RSV1 | TEXT, &empty, Role::Client),
        frame(CONTINUATION, &empty, Role::Client).repeat(998),
        frame(FIN | CONTINUATION, &[0x00], Role::Client),
    ];
    assert_received(&wire.concat(), &[text("")]);
}
