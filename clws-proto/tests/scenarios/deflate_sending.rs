//! The decision to compress a message, compressed fragments, and forwarding.
#![cfg(feature = "deflate")]

use std::num::NonZeroUsize;

use crate::common::deflate::{codecs, frames, no_takeover, noise, receiver, sender};
use crate::common::*;
use clws_proto::{CodecPool, DeflateConfig, DeflateParams, Event, Role};

const PLAIN: u8 = FIN | TEXT;
const COMPRESSED: u8 = FIN | RSV1 | TEXT;

#[test]
fn messages_from_the_threshold_on_are_compressed() {
    for params in [DeflateParams::default(), no_takeover()] {
        let codecs = CodecPool::new(&DeflateConfig::default().threshold(100));
        let mut server = sender(Role::Server, params, &codecs);
        for (len, first) in [(0, PLAIN), (99, PLAIN), (100, COMPRESSED), (101, COMPRESSED)] {
            server.text(&"x".repeat(len), None).unwrap();
            assert_eq!(frames(&drain(&mut server)).0, [first], "{len}");
        }
        server.ping(&[b'x'; 125]).unwrap();
        assert_eq!(server.queued(), 127, "control frames are never compressed");
    }
}

#[test]
fn a_message_that_would_not_shrink_is_not_compressed() {
    let noise = noise(5000);
    let mut server = sender(Role::Server, no_takeover(), &codecs());
    let mut client = receiver(Role::Client, no_takeover());
    for (message, compressed) in [(&noise[..], false), (b"", false), (&[7; 1000], true), (b"short", false)] {
        server.binary(message, None).unwrap();
        let wire = drain(&mut server);
        assert_eq!(frames(&wire).0, [FIN | BINARY | if compressed { RSV1 } else { 0 }]);
        assert_eq!(feed(&mut client, &wire), [Got::Binary(message.to_vec())]);
    }
}

/// Later messages may refer back to it.
#[test]
fn context_takeover_compresses_messages_that_do_not_shrink() {
    let noise = noise(5000);
    let mut server = sender(Role::Server, DeflateParams::default(), &codecs());
    let mut client = receiver(Role::Client, DeflateParams::default());
    for (message, most) in [(&noise[..], 5050), (&noise, 60), (b"", 2), (b"short", 20), (b"short", 8)] {
        server.binary(message, None).unwrap();
        assert!(server.queued() <= most, "{} for {}", server.queued(), message.len());
        assert_eq!(feed(&mut client, &drain(&mut server)), [Got::Binary(message.to_vec())]);
    }
}

#[test]
fn frame_size_applies_to_the_compressed_payload() {
    let message: String = (0..2000).map(|i| format!("{} ", i * 7919 % 10_007)).collect();
    let mut server = sender(Role::Server, no_takeover(), &codecs());
    server.text(&message, NonZeroUsize::new(1000)).unwrap();
    let wire = drain(&mut server);
    let (firsts, payload) = frames(&wire);
    assert!(payload.len() < message.len() * 3 / 4);
    assert_eq!(firsts.len(), payload.len().div_ceil(1000));
    assert_eq!((firsts[0], firsts[1], firsts[firsts.len() - 1]), (RSV1 | TEXT, CONTINUATION, FIN));
    assert_eq!(feed(&mut receiver(Role::Client, no_takeover()), &wire), [text(&message)]);
}

#[test]
fn context_takeover_shrinks_similar_messages() {
    let codecs = codecs();
    let [mut alone, mut taken_over] =
        [no_takeover(), DeflateParams::default()].map(|params| sender(Role::Server, params, &codecs));
    let (mut bytes_alone, mut bytes_taken_over) = (0, 0);
    for i in 0..20 {
        let message = format!(
            "{{\"type\":\"trade\",\"symbol\":\"BTC\",\"price\":{},\"size\":{}}}",
            40_000 + i,
            i * 7 % 5
        );
        for (sender, bytes) in [(&mut alone, &mut bytes_alone), (&mut taken_over, &mut bytes_taken_over)] {
            sender.text(&message, None).unwrap();
            *bytes += drain(sender).len();
        }
    }
    assert!(bytes_alone > 2 * bytes_taken_over, "{bytes_alone}, {bytes_taken_over}");
}

#[test]
fn received_messages_are_forwarded() {
    let message = "forward this. ".repeat(5000);
    let codecs = codecs();
    let mut client = sender(Role::Client, DeflateParams::default(), &codecs);
    let mut server = receiver(Role::Server, DeflateParams::default());
    let mut back = sender(Role::Server, DeflateParams::default(), &codecs);
    let mut there = receiver(Role::Client, DeflateParams::default());
    for _ in 0..3 {
        client.text(&message, None).unwrap();
        client.binary(message.as_bytes(), None).unwrap();
        let mut wire = drain(&mut client);
        let mut events = server.receive(&mut wire);
        while let Some(event) = events.next().unwrap() {
            match event {
                Event::Text(text) => back.forward_text(text).unwrap(),
                Event::Binary(bytes) => back.forward_binary(bytes).unwrap(),
                other => panic!("{other:?}"),
            }
        }
        assert!(back.queued() < 2000);
        let got = feed(&mut there, &drain(&mut back));
        assert_eq!(got, [text(&message), Got::Binary(message.clone().into_bytes())]);
    }
    // A large message that is not compressed is still sent without a copy.
    let never = CodecPool::new(&DeflateConfig::default().threshold(usize::MAX));
    let mut plain = sender(Role::Server, DeflateParams::default(), &never);
    plain.text_owned(message.clone()).unwrap();
    assert_eq!(plain.queued(), 10 + message.len());
}
