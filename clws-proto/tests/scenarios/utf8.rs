//! Text that is not UTF-8 fails the connection at the first invalid byte: in a whole frame, in a
//! frame that arrives in pieces, and across fragments (Autobahn's section 6, cases 6.4 in
//! particular).

use crate::common::*;
use clws_proto::{ProtocolError, Role, Version};

const INVALID: Got = Got::Failed(ProtocolError::InvalidUtf8);

/// Texts, and the index of the byte at which each becomes invalid.
const BAD: [(&[u8], usize); 13] = [
    (b"\x80", 0),             // a continuation byte alone
    (b"\xc0\xaf", 0),         // overlong: the lead byte alone shows it
    (b"\xc1\x80", 0),         // the same
    (b"\xe0\x9f\xbf", 1),     // overlong, seen in the second byte
    (b"\xf0\x8f\xbf\xbf", 1), // the same
    (b"\xed\xa0\x80", 1),     // a surrogate
    (b"\xf4\x90\x80\x80", 1), // past U+10FFFF
    (b"\xf5\x80\x80\x80", 0), // far past it
    (b"\xfe", 0),             // never in UTF-8
    (b"\xff", 0),             // never in UTF-8
    (b"\xc3x", 1),            // cut short
    (b"\xf0\x9f\x98x", 3),    // cut short late
    (b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited", 12), // Autobahn 6.4.1's text
];

#[test]
fn invalid_text_in_a_whole_frame_is_refused() {
    for (bad, _) in BAD {
        for version in HYBI {
            assert_eq!(events(version, Role::Server, &to_server(FIN | TEXT, bad)), [INVALID]);
            let padded = [&[b'x'; 200][..], bad, &[b'x'; 200]].concat();
            assert_eq!(events(version, Role::Server, &to_server(FIN | TEXT, &padded)), [INVALID]);
        }
    }
}

#[test]
fn an_incomplete_frame_fails_at_the_invalid_byte() {
    for (bad, at) in BAD {
        // The frame also has valid text before and after, so that its end is far away.
        for lead in [0, 1, 7, 100] {
            let payload = [&vec![b'x'; lead][..], bad, &[b'x'; 1000]].concat();
            let bytes = to_server(FIN | TEXT, &payload);
            let header_len = bytes.len() - payload.len();
            let mut receiver = server();
            let good = header_len + lead + at;
            for byte in &bytes[..good] {
                assert_eq!(feed(&mut receiver, &[*byte]), [], "{bad:x?} before byte {at}");
            }
            assert_eq!(feed(&mut receiver, &bytes[good..=good]), [INVALID], "{bad:x?} at byte {at}");
            assert_eq!(receiver.held(), 0);
        }
    }
}

/// Autobahn 6.4.3 and 6.4.4: a frame arrives in three chops, and the second has the invalid byte.
#[test]
fn a_frame_in_chops_fails_at_the_invalid_chop() {
    let (bad, at) = BAD[12];
    let bytes = to_server(FIN | TEXT, bad);
    let bad_byte = 6 + at;
    let mut receiver = server();
    assert_eq!(feed(&mut receiver, &bytes[..bad_byte - 1]), []);
    assert_eq!(feed(&mut receiver, &bytes[bad_byte - 1..=bad_byte]), [INVALID]);
    assert_eq!(feed(&mut receiver, &bytes[bad_byte + 1..]), []);
}

/// Autobahn 6.4.1: the second of three fragments is invalid, and the third is not needed.
#[test]
fn an_invalid_fragment_fails_before_the_message_ends() {
    for (bad, _) in BAD {
        let mut receiver = server();
        assert_eq!(feed(&mut receiver, &to_server(TEXT, "κόσμε".as_bytes())), []);
        assert_eq!(feed(&mut receiver, &to_server(CONTINUATION, bad)), [INVALID], "{bad:x?}");
        assert_eq!(feed(&mut receiver, &to_server(FIN | CONTINUATION, b"edited")), []);
    }
}

#[test]
fn fragments_may_split_characters_anywhere() {
    let message = "κόσμε ÿ 水 😀";
    let bytes = message.as_bytes();
    for size in 1..=bytes.len() {
        let mut wire = Vec::new();
        let chunks: Vec<&[u8]> = bytes.chunks(size).collect();
        for (i, chunk) in chunks.iter().enumerate() {
            let opcode = if i == 0 { TEXT } else { CONTINUATION };
            let fin = if i + 1 == chunks.len() { FIN } else { 0 };
            wire.extend(to_server(fin | opcode, chunk));
            wire.extend(to_server(FIN | PING, b"")); // a control frame inside the character
        }
        let found: Vec<Got> = events(Version::Rfc6455, Role::Server, &wire)
            .into_iter()
            .filter(|event| *event != Got::Ping(vec![]))
            .collect();
        assert_eq!(found, [text(message)]);
    }
}

#[test]
fn a_character_must_end_with_its_message() {
    for cut in [&b"\xc3"[..], b"ok\xe6\xb0", b"\xf0\x9f\x98"] {
        let whole = to_server(FIN | TEXT, cut);
        assert_eq!(events(Version::Rfc6455, Role::Server, &whole), [INVALID]);
        assert_eq!(events_by_byte(Version::Rfc6455, Role::Server, &whole), [INVALID]);
        let fragmented = [to_server(TEXT, cut), to_server(FIN | CONTINUATION, b"")].concat();
        assert_eq!(events(Version::Rfc6455, Role::Server, &fragmented), [INVALID]);
        // The next message is not read, so it cannot complete the character.
        let next = [whole, to_server(FIN | TEXT, b"\xa9")].concat();
        assert_eq!(events(Version::Rfc6455, Role::Server, &next), [INVALID]);
    }
}

#[test]
fn only_text_must_be_utf8() {
    for (bad, _) in BAD {
        let bytes = [
            to_server(BINARY, bad),
            to_server(FIN | PING, bad),
            to_server(FIN | CONTINUATION, b""),
            to_server(FIN | PONG, bad),
        ]
        .concat();
        assert_eq!(
            events(Version::Rfc6455, Role::Server, &bytes),
            [Got::Ping(bad.to_vec()), Got::Binary(bad.to_vec()), Got::Pong(bad.to_vec())]
        );
    }
}

#[test]
fn noncharacters_and_nul_are_text() {
    let message = "\u{0}\u{FFFE}\u{FFFF}\u{1FFFE}\u{10FFFF}\u{D7FF}\u{E000}";
    assert_eq!(
        events(Version::Rfc6455, Role::Server, &to_server(FIN | TEXT, message.as_bytes())),
        [text(message)]
    );
}
