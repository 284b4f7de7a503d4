//! Frames that make no event take time, so they end a client's share too.

use super::*;

/// A clock on which each reading is a tenth of a share later.
fn slow_clock() -> Instant {
    virtual_clock::set(Some(now() + Duration::from_micros(100)));
    now()
}

/// Sends `input` as one read, and continues until all of it is handled. Returns the number of
/// shares.
#[track_caller]
fn shares(harness: &mut Harness, input: &[u8]) -> usize {
    let shared = Arc::clone(&harness.shared);
    let context = context(&shared);
    let mut share = Share::new(slow_clock);
    harness.connection.handle_input(Input::Lent(&mut input.to_vec()), &mut share, &context);
    let mut shares = 1;
    while harness.connection.has_unread() {
        assert!(share.is_over(), "input is left, although the share is not over");
        assert!(harness.connection.can_continue() && !harness.connection.wants_input());
        share = Share::new(slow_clock);
        harness.connection.continue_events(&mut share, &context);
        shares += 1;
    }
    harness.drive();
    shares
}

/// A message of `count` fragments. The mask is zero.
fn fragments(opcode: u8, payload: &[u8], count: usize) -> Vec<u8> {
    let fragment = |first: u8| {
        let len = u8::try_from(payload.len()).unwrap();
        [&[first, 0x80 | len, 0, 0, 0, 0], payload].concat()
    };
    [fragment(opcode), fragment(0).repeat(count - 2), fragment(0x80)].concat()
}

#[test]
fn fragments_end_a_share() {
    for version in [Version::Hybi07, Version::Hybi08, Version::Rfc6455] {
        for payload in ["", "x"] {
            let mut harness = Harness::open(version, "/");
            harness.resource.take();
            let shares = shares(&mut harness, &fragments(1, payload.as_bytes(), 6400));
            assert!((8..=12).contains(&shares), "{version:?}: {shares} shares of about 640 frames");
            harness.expect_calls(&[&format!("text {}", payload.repeat(6400))]);
        }
    }
}

#[test]
fn discarded_frames_end_a_share() {
    for version in [Version::Hixie75, Version::Hybi00] {
        for frame in [&[0x01, 0xFF][..], &[0x80, 0x00], &[0x80, 0x01, b'x']] {
            let config = Config::default().protocol_76_00_support(true).protocol_75_support(true);
            let mut harness = Harness::with(config, version, "/");
            harness.resource.take();
            let input = [&frame.repeat(6400)[..], b"\0end\xFF"].concat();
            let shares = shares(&mut harness, &input);
            assert!((8..=12).contains(&shares), "{version:?}: {shares} shares of about 640 frames");
            harness.expect_calls(&["text end"]);
        }
    }
}

#[test]
fn few_fragments_are_one_share() {
    let mut harness = Harness::open(Version::Rfc6455, "/");
    assert_eq!(shares(&mut harness, &fragments(1, b"x", 64)), 1);
    assert_eq!(shares(&mut harness, &text("whole").repeat(31)), 1);
}
