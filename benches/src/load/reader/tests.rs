//! Tests of the frame parser.

use super::super::args::MessageArgs;
use super::super::deflate::Compressor;
use super::*;

fn ring(draft: Draft, size: usize, text: bool) -> Ring {
    Ring::new(draft, &MessageArgs { size, text, binary: false, fragments: 1, verify: true }, None).unwrap()
}

fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut wire = vec![first];
    match body.len() {
        0..=125 => wire.push(u8::try_from(body.len()).unwrap()),
        126..=0xffff => {
            wire.push(126);
            wire.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        }
        _ => {
            wire.push(127);
            wire.extend((body.len() as u64).to_be_bytes());
        }
    }
    wire.extend(body);
    wire
}

fn read(wire: &[u8], ring: &Ring, step: usize) -> Result<Reader, FrameError> {
    let mut reader = Reader::new(Draft::Rfc6455, None);
    let mut messages = 0;
    for part in wire.chunks(step) {
        messages += reader.feed(part, Expect { ring, verify: true })?;
    }
    assert_eq!(messages, reader.messages());
    Ok(reader)
}

#[test]
fn reads_the_same_messages_from_any_pieces() {
    for size in [0, 1, 125, 126, 300, 65_536] {
        let ring = ring(Draft::Rfc6455, size, false);
        let mut wire = Vec::new();
        for n in 0..3 {
            let payload = ring.payload(n);
            let (a, b) = payload.split_at(size / 3);
            wire.extend(frame(0x02, a));
            wire.extend(frame(0x89, b"ping"));
            wire.extend(frame(0x80, b));
        }
        wire.extend(frame(0x82, ring.payload(3)));
        for step in [1, 2, 3, 7, 64, 4096, wire.len()] {
            let reader = read(&wire, &ring, step).unwrap();
            assert_eq!(
                (reader.messages(), reader.pings(), reader.is_closed()),
                (4, 3, false),
                "{size} {step}"
            );
        }
    }
}

#[test]
fn reports_the_close_code() {
    let ring = ring(Draft::Rfc6455, 4, false);
    for step in [1, 100] {
        let mut wire = frame(0x82, ring.payload(0));
        wire.extend(frame(0x88, &[0x03, 0xf1, b'w', b'h', b'y']));
        wire.extend([0xff; 9]);
        let reader = read(&wire, &ring, step).unwrap();
        assert_eq!((reader.messages(), reader.is_closed(), reader.close_code()), (1, true, Some(1009)));
        let bare = read(&frame(0x88, b""), &ring, step).unwrap();
        assert_eq!((bare.is_closed(), bare.close_code()), (true, None));
    }
}

#[test]
fn rejects_invalid_frames() {
    let ring = ring(Draft::Rfc6455, 4, true);
    let good = ring.payload(0).to_vec();
    let mut bad = good.clone();
    bad[3] ^= 1;
    let error = |wire: &[u8]| read(wire, &ring, wire.len()).unwrap_err();
    assert_eq!(error(&[0x82, 0x84, 0, 0, 0, 0]), FrameError::Masked);
    assert_eq!(error(&[0x83, 0x01]), FrameError::Unknown(0x83));
    assert_eq!(error(&[0xc1, 0x01]), FrameError::Unknown(0xc1));
    assert_eq!(error(&[0x80, 0x01]), FrameError::Order);
    assert_eq!(error(&[0x01, 0x01, good[0], 0x01, 0x01]), FrameError::Order);
    assert_eq!(error(&[0x89, 126, 0, 126]), FrameError::Length);
    assert_eq!(error(&[0x09, 0]), FrameError::Length);
    assert_eq!(error(&[0x81, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), FrameError::Length);
    assert_eq!(error(&frame(0x81, &bad)), FrameError::Content { message: 0 });
    assert_eq!(error(&frame(0x82, &good)), FrameError::Kind { message: 0 });
    assert_eq!(error(&frame(0x81, &good[..3])), FrameError::Size { message: 0, got: 3, want: 4 });
    let long = [&good[..], b"x"].concat();
    assert_eq!(error(&frame(0x81, &long)), FrameError::Size { message: 0, got: 5, want: 4 });
}

#[test]
fn inflates_compressed_messages() {
    let offer = Offer::new(false, 15);
    let args = MessageArgs { size: 200, text: true, binary: false, fragments: 1, verify: true };
    let ring = Ring::new(Draft::Rfc6455, &args, Some(&offer)).unwrap();
    let mut compressor = Compressor::new(&offer);
    let mut wire = Vec::new();
    for n in 0..3 {
        let bytes = compressor.compress(ring.payload(n)).unwrap();
        let (a, b) = bytes.split_at(bytes.len() / 2);
        wire.extend([frame(0x41, a), frame(0x89, b"ping"), frame(0x80, b)].concat());
    }
    wire.extend(frame(0x81, ring.payload(3))); // a message that the server did not compress
    for (verify, step) in [(true, 1), (true, 4096), (false, 7)] {
        let mut reader = Reader::new(Draft::Rfc6455, Some(&offer));
        for part in wire.chunks(step) {
            reader.feed(part, Expect { ring: &ring, verify }).unwrap();
        }
        assert_eq!((reader.messages(), reader.pings()), (4, 3));
    }
    let error = |wire: &[u8], offer| {
        let expect = Expect { ring: &ring, verify: false };
        Reader::new(Draft::Rfc6455, offer).feed(wire, expect).unwrap_err()
    };
    let mut other = |text: &[u8]| frame(0xc1, &compressor.compress(text).unwrap());
    assert_eq!(error(&other(ring.payload(1)), Some(&offer)), FrameError::Content { message: 0 });
    let short = FrameError::Size { message: 0, got: 2, want: 200 };
    assert_eq!(error(&other(b"la"), Some(&offer)), short);
    assert_eq!(error(&other(&[b'a'; 201]), Some(&offer)), FrameError::Deflate { message: 0 });
    assert_eq!(error(&[0xc9, 0], Some(&offer)), FrameError::Unknown(0xc9));
    assert_eq!(error(&other(ring.payload(0)), None), FrameError::Unknown(0xc1));
}

#[test]
fn compares_only_the_size_without_verify() {
    let ring = ring(Draft::Rfc6455, 4, true);
    let mut reader = Reader::new(Draft::Rfc6455, None);
    let expect = Expect { ring: &ring, verify: false };
    assert_eq!(reader.feed(&frame(0x82, b"????"), expect), Ok(1));
    assert!(reader.feed(&frame(0x82, b"???"), expect).is_err());
}

#[test]
fn reads_draft_0_frames() {
    let ring = ring(Draft::Hybi00, 5, true);
    let mut wire = Vec::new();
    for n in 0..2 {
        wire.push(0);
        wire.extend(ring.payload(n));
        wire.push(0xff);
    }
    wire.extend([0xff, 0x00]);
    for step in [1, 3, 100] {
        let mut reader = Reader::new(Draft::Hybi00, None);
        for part in wire.chunks(step) {
            reader.feed(part, Expect { ring: &ring, verify: true }).unwrap();
        }
        assert_eq!((reader.messages(), reader.is_closed(), reader.close_code()), (2, true, None));
    }
    let expect = Expect { ring: &ring, verify: true };
    assert_eq!(Reader::new(Draft::Hybi00, None).feed(&[0x81], expect), Err(FrameError::Unknown(0x81)));
    assert_eq!(Reader::new(Draft::Hybi00, None).feed(&[0xff, 0x01], expect), Err(FrameError::Unknown(0xff)));
}
