//! RFC 7692 §6: the bit "Per-Message Compressed" may be set on the first frame of a data message,
//! and only if permessage-deflate was negotiated.
#![cfg(feature = "deflate")]

use crate::common::deflate::{codecs, no_takeover, receiver, sender};
use crate::common::*;
use clws_proto::{CloseCode, DeflateParams, Limits, ProtocolError, Receiver, Role, Sender, Version};

const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
const REFUSED: Got = Got::Failed(ProtocolError::ReservedBits);

/// The last event of a server that negotiated permessage-deflate.
fn last_event(wire: &[Vec<u8>]) -> Got {
    feed(&mut receiver(Role::Server, no_takeover()), &wire.concat()).pop().unwrap()
}

#[test]
fn rsv1_is_valid_on_the_first_frame_of_a_data_message() {
    assert_eq!(last_event(&[to_server(FIN | RSV1 | TEXT, &HELLO)]), text("Hello"));
    assert_eq!(last_event(&[to_server(FIN | RSV1 | BINARY, &HELLO)]), Got::Binary(b"Hello".to_vec()));
    assert_eq!(
        last_event(&[to_server(RSV1 | TEXT, &HELLO[..3]), to_server(FIN, &HELLO[3..])]),
        text("Hello")
    );
    // Compressed and uncompressed messages may alternate.
    let mut server = receiver(Role::Server, DeflateParams::default());
    let wire = [
        to_server(FIN | TEXT, b"plain"),
        to_server(FIN | RSV1 | TEXT, &HELLO),
        to_server(FIN | TEXT, b"again"),
    ];
    assert_eq!(feed(&mut server, &wire.concat()), [text("plain"), text("Hello"), text("again")]);
}

#[test]
fn rsv1_is_refused_on_continuations() {
    for fin in [0, FIN] {
        let wire = [to_server(RSV1 | TEXT, &HELLO[..3]), to_server(fin | RSV1 | CONTINUATION, &HELLO[3..])];
        assert_eq!(last_event(&wire), REFUSED);
        let wire = [to_server(TEXT, b"He"), to_server(fin | RSV1 | CONTINUATION, b"llo")];
        assert_eq!(last_event(&wire), REFUSED);
        assert_eq!(last_event(&[to_server(fin | RSV1 | CONTINUATION, &HELLO)]), REFUSED, "without a message");
    }
}

#[test]
fn rsv1_is_refused_on_control_frames() {
    for opcode in [PING, PONG, CLOSE] {
        assert_eq!(last_event(&[to_server(FIN | RSV1 | opcode, &[])]), REFUSED);
        assert_eq!(
            last_event(&[to_server(RSV1 | TEXT, &HELLO), to_server(FIN | RSV1 | opcode, &[])]),
            REFUSED
        );
    }
    // A valid control frame passes, also between the fragments of a compressed message.
    let wire =
        [to_server(RSV1 | TEXT, &HELLO[..3]), to_server(FIN | PING, b"?"), to_server(FIN, &HELLO[3..])];
    let mut server = receiver(Role::Server, no_takeover());
    assert_eq!(feed(&mut server, &wire.concat()), [Got::Ping(b"?".to_vec()), text("Hello")]);
}

#[test]
fn the_other_reserved_bits_stay_reserved() {
    for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
        assert_eq!(last_event(&[to_server(FIN | bits | TEXT, &HELLO)]), REFUSED);
    }
    // Other rules apply to compressed frames, too.
    for (bad, error) in [
        (to_server(FIN | RSV1 | 3, &HELLO), ProtocolError::ReservedOpcode(3)),
        (frame(FIN | RSV1 | TEXT, &HELLO, Role::Client), ProtocolError::Unmasked),
    ] {
        assert_eq!(last_event(&[bad]), Got::Failed(error));
    }
}

#[test]
fn rsv1_without_negotiation_is_a_protocol_error() {
    for version in HYBI {
        let got = events(version, Role::Server, &to_server(FIN | RSV1 | TEXT, &HELLO));
        assert_eq!(got, [REFUSED]);
        assert_eq!(ProtocolError::ReservedBits.close_code(version), CloseCode::PROTOCOL_ERROR);
    }
}

#[test]
fn drafts_never_compress() {
    for version in [Version::Hybi07, Version::Hybi08] {
        let mut server = Receiver::new(version, Role::Server, Limits::default())
            .deflate(DeflateParams::default(), &codecs());
        assert_eq!(feed(&mut server, &to_server(FIN | RSV1 | TEXT, &HELLO)), [REFUSED]);
    }
    let message = "la ".repeat(100);
    for version in [Version::Hybi00, Version::Hybi07, Version::Hybi08] {
        let mut with = Sender::server(version).deflate(DeflateParams::default(), &codecs());
        let mut without = Sender::server(version);
        with.text(&message, None).unwrap();
        without.text(&message, None).unwrap();
        assert_eq!(drain(&mut with), drain(&mut without));
    }
}

#[test]
fn both_roles_compress() {
    let message = "la ".repeat(1000);
    for (from, to) in [(Role::Client, Role::Server), (Role::Server, Role::Client)] {
        let mut sender = sender(from, DeflateParams::default(), &codecs());
        let mut receiver = receiver(to, DeflateParams::default());
        for _ in 0..3 {
            sender.text(&message, None).unwrap();
            assert!(sender.queued() < 50);
            assert_eq!(feed(&mut receiver, &drain(&mut sender)), [text(&message)]);
        }
    }
}
