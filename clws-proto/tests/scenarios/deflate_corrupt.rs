//! Compressed messages that do not inflate: the connection fails with 1007, and nothing panics.
#![cfg(feature = "deflate")]

use crate::common::deflate::{codecs, frames, no_takeover, noise, receiver, sender};
use crate::common::*;
use clws_proto::{CloseCode, DeflateParams, ProtocolError, Role, Version};
use proptest::prelude::*;

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const CORRUPT: Got = Got::Failed(ProtocolError::CorruptDeflate);

#[track_caller]
fn assert_corrupt(payload: &[u8]) {
    for params in [DeflateParams::default(), no_takeover()] {
        for opcode in [TEXT, BINARY] {
            let wire = to_server(FIN | RSV1 | opcode, payload);
            assert_eq!(feed(&mut receiver(Role::Server, params), &wire), [CORRUPT]);
            let mut receiver = receiver(Role::Server, params);
            let last = wire.iter().flat_map(|byte| feed(&mut receiver, &[*byte])).last();
            assert_eq!(last, Some(CORRUPT), "byte by byte");
            assert!(receiver.is_finished() && receiver.held() == 0 && receiver.context_size() == 0);
        }
    }
}

#[test]
fn corrupt_data_is_an_invalid_payload() {
    assert_eq!(ProtocolError::CorruptDeflate.close_code(Version::Rfc6455), CloseCode::INVALID_PAYLOAD);
    assert_eq!(ProtocolError::CorruptDeflate.to_string(), "a compressed message cannot be inflated");
}

#[test]
fn data_that_is_not_deflate_is_corrupt() {
    assert_corrupt(&[0xff; 20]); // block type 3
    assert_corrupt(b"Hello, I am not compressed");
    assert_corrupt(&[0x00, 0x05, 0x00, 0x05, 0x00, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]); // the lengths do not match
    assert_corrupt(&[&[0x78, 0x9c][..], &HELLO].concat()); // a header of zlib
    assert_corrupt(&[&[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..], &[0xff; 20]].concat()); // after a final block
}

#[test]
fn a_corrupt_message_may_have_good_neighbours_and_fragments() {
    for params in [DeflateParams::default(), no_takeover()] {
        let good = to_server(FIN | RSV1 | TEXT, &HELLO);
        let bad = to_server(FIN | RSV1 | TEXT, &[0x06]);
        let wire = [&good[..], &bad, &good].concat();
        assert_eq!(feed(&mut receiver(Role::Server, params), &wire), [text("Hello"), CORRUPT]);
        // The message is cut off, and its last fragment is empty.
        let wire = [to_server(RSV1 | TEXT, &HELLO[..3]), to_server(FIN | CONTINUATION, b"")].concat();
        assert_eq!(feed(&mut receiver(Role::Server, params), &wire), [CORRUPT]);
    }
}

/// A client cannot keep a corrupt message open, which would hold a decompressor.
#[test]
fn a_corrupt_fragment_is_refused_before_the_message_ends() {
    let noise = [&[0x06][..], &noise(20_000)].concat();
    for payload in [&[0x06; 10][..], &noise] {
        let wire = to_server(RSV1 | TEXT, payload);
        assert_eq!(feed(&mut receiver(Role::Server, no_takeover()), &wire), [CORRUPT], "{}", payload.len());
    }
}

#[test]
fn a_reference_before_the_start_is_corrupt() {
    assert_corrupt(&[0xf2, 0x00, 0x11, 0x00, 0x00]); // RFC 7692 §7.2.3.2's second message, sent first
}

#[test]
fn a_truncated_message_is_corrupt() {
    for len in 1..HELLO.len() {
        assert_corrupt(&HELLO[..len]);
    }
    // The sender did not strip the tail. A second tail does not end a block.
    assert_corrupt(&[&HELLO[..], &[0x00, 0x00, 0xff, 0xff]].concat());
}

#[test]
fn a_reference_beyond_the_agreed_window_is_corrupt() {
    // 20,000 bytes separate two equal messages. A reference to the first needs a window of 15 bits.
    let noise = noise(20_000);
    let message = "this is said before and after, and then never again".repeat(2);
    let mut client = sender(Role::Client, DeflateParams::default(), &codecs());
    for part in [message.as_bytes(), &noise, message.as_bytes()] {
        client.binary(part, None).unwrap();
    }
    let wire = drain(&mut client);
    let mut large = receiver(Role::Server, DeflateParams::default());
    assert_eq!(feed(&mut large, &wire).len(), 3);
    let agreed = DeflateParams::default().client_max_window_bits(10);
    let got = feed(&mut receiver(Role::Server, agreed), &wire);
    assert_eq!(got.last(), Some(&CORRUPT));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Arbitrary bytes may inflate to something within the limit, or be refused.
    #[test]
    fn arbitrary_bytes_never_panic_or_exceed_the_limit(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..5),
        takeover: bool, is_text: bool, size in 1usize..500, limit in 0usize..5000,
    ) {
        let params = if takeover { DeflateParams::default() } else { no_takeover() };
        survives(&payloads, params, is_text, size, limit)?;
    }

    /// The same for valid messages of which some bytes were changed.
    #[test]
    fn changed_messages_never_panic_or_exceed_the_limit(
        message in "[a-d]{0,3000}", takeover: bool, is_text: bool, size in 1usize..500, limit in 0usize..5000,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
    ) {
        let params = if takeover { DeflateParams::default() } else { no_takeover() };
        let mut server = sender(Role::Server, params, &codecs());
        server.text(&message, None).unwrap();
        let mut payload = frames(&drain(&mut server)).1;
        for (index, byte) in changes {
            if !payload.is_empty() {
                let index = index.index(payload.len());
                payload[index] = byte;
            }
        }
        survives(&[payload.clone(), payload], params, is_text, size, limit)?;
    }
}

fn survives(
    payloads: &[Vec<u8>],
    params: DeflateParams,
    is_text: bool,
    size: usize,
    limit: usize,
) -> Result<(), TestCaseError> {
    let limits = clws_proto::Limits::default().max_message_size(limit);
    let mut receiver =
        clws_proto::Receiver::new(Version::Rfc6455, Role::Server, limits).deflate(params, &codecs());
    let opcode = if is_text { TEXT } else { BINARY };
    let wire: Vec<u8> = payloads.iter().flat_map(|payload| to_server(FIN | RSV1 | opcode, payload)).collect();
    for piece in wire.chunks(size) {
        for got in feed(&mut receiver, piece) {
            match got {
                Got::Text(text) => prop_assert!(text.len() <= limit),
                Got::Binary(bytes) => prop_assert!(bytes.len() <= limit),
                Got::Failed(
                    ProtocolError::CorruptDeflate
                    | ProtocolError::InvalidUtf8
                    | ProtocolError::MessageTooBig { .. },
                ) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(receiver.held() <= 2 * limit + 70_000);
    }
    Ok(())
}
