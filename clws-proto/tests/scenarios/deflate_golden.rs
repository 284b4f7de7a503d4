//! Streams made by Python's zlib (tests/golden/make.py), with every window from 9 to 15 bits, many
//! levels, memory levels and strategies. The crate inflates them whole and in pieces. An inflater
//! that shares no code with the crate gives the same result.
#![cfg(feature = "deflate")]

use crate::common::deflate::{Strict, receiver};
use crate::common::*;
use clws_proto::{DeflateParams, Role};

fn decode_hex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn streams_from_zlib_inflate() {
    let mut connections = 0;
    let mut lines = include_str!("../golden/zlib.txt").lines();
    let messages: Vec<_> = lines.next().unwrap().split(' ').map(decode_hex).collect();
    for line in lines {
        let mut fields = line.split(' ');
        let bits = fields.next().unwrap().parse().unwrap();
        let takeover = fields.next().unwrap() == "takeover";
        let params =
            DeflateParams::default().client_max_window_bits(bits).client_no_context_takeover(!takeover);
        let (mut whole, mut in_pieces) = (receiver(Role::Server, params), receiver(Role::Server, params));
        let mut strict = Strict::default();
        let payloads: Vec<_> = fields.map(decode_hex).collect();
        assert_eq!(payloads.len(), messages.len());
        for (message, payload) in messages.iter().zip(payloads) {
            let expected = [Got::Text(String::from_utf8(message.clone()).unwrap())];
            let wire = to_server(FIN | RSV1 | TEXT, &payload);
            assert_eq!(feed(&mut whole, &wire), expected);
            let got: Vec<_> = wire.chunks(7).flat_map(|piece| feed(&mut in_pieces, piece)).collect();
            assert_eq!(got, expected);
            assert_eq!(strict.message(&payload, takeover), *message);
        }
        assert!(strict.furthest <= 1 << bits);
        connections += 1;
    }
    assert_eq!(connections, 14);
}
