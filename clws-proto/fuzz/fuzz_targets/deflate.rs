//! permessage-deflate compared with zlib in C and miniz_oxide: arbitrary bytes as compressed
//! messages, and messages compressed with each window.
#![no_main]

use clws_proto::{
    CodecPool, DeflateConfig, DeflateParams, Limits, ProtocolError, Receiver, Role, Sender, Version,
};
use clws_proto_fuzz::zlib::{self, Inflated};
use clws_proto_fuzz::{Got, Input, Random, feed, frame, limits, params};
use libfuzzer_sys::fuzz_target;

/// The masking key of clients.
const KEY: [u8; 4] = [1, 2, 3, 4];

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    match input.byte() & 1 {
        0 => check_inflating(&mut input),
        _ => check_compressing(&mut input),
    }
});

/// The window for messages that `role` receives, and whether it outlives a message.
fn receive_window(params: DeflateParams, role: Role) -> (u8, bool) {
    match role {
        Role::Server => (params.client_max_window_bits, !params.client_no_context_takeover),
        Role::Client => (params.server_max_window_bits, !params.server_no_context_takeover),
    }
}

/// The bytes that the next message may refer back to. zlib treats a window of 8 bits like 9.
fn window(history: &[u8], (bits, takeover): (u8, bool)) -> &[u8] {
    let size = if takeover { 1 << bits.max(9) } else { 0 };
    &history[history.len().saturating_sub(size)..]
}

/// Arbitrary bytes as the payloads of compressed messages.
fn check_inflating(input: &mut Input<'_>) {
    let (params, choice) = (params(input.byte()), input.byte());
    let role = if choice & 0x40 != 0 { Role::Client } else { Role::Server };
    // Small limits apply to the inflated size, not to frames.
    let limits = Limits::default().max_message_size(limits(choice).max_message_size.min(1 << 20));
    let mut random = Random::new(u64::from(input.u16()));

    let (mut wire, mut expected, mut history) = (Vec::new(), Vec::new(), Vec::new());
    while !input.is_empty() && !expected.last().is_some_and(Got::is_last) {
        let (kind, len) = (input.byte(), input.length());
        let payload = input.take(len);
        let is_text = kind & 1 != 0;
        let mut first = if is_text { 0x41 } else { 0x42 };
        // Up to 4 frames.
        let mut rest = payload;
        for _ in 0..kind >> 6 {
            let (part, after) = rest.split_at(random.below(rest.len() + 1));
            frame(&mut wire, first, part, role, KEY);
            (first, rest) = (0x00, after);
            if kind & 0x20 != 0 {
                frame(&mut wire, 0x89, b"between", role, KEY);
                expected.push(Got::Ping(b"between".to_vec()));
            }
        }
        frame(&mut wire, first | 0x80, rest, role, KEY);
        let window = window(&history, receive_window(params, role));
        let limit = limits.max_message_size;
        let inflated = zlib::inflate(payload, window, 15, limit);
        let got = expected_event(&inflated, is_text, limit);
        if let Some(bytes) = payload_of(&got) {
            // miniz_oxide stops after a final block and after an empty message.
            if let Some(other) = zlib::miniz(payload, window, bytes.len()) {
                assert!(other == bytes, "miniz_oxide inflates the message differently");
            }
            history.extend_from_slice(bytes);
        }
        expected.push(got);
    }
    // A ping between the frames of a failing message may come after the failure.
    let pings = |got: Vec<Got>| -> Vec<Got> {
        got.into_iter().filter(|event| !matches!(event, Got::Ping(_))).collect()
    };
    let expected = pings(expected);

    let codecs = CodecPool::new(&DeflateConfig::default());
    let mut whole = Vec::new();
    feed(&mut Receiver::new(Version::Rfc6455, role, limits).deflate(params, &codecs), &wire, &mut whole);
    assert_eq!(pings(whole.clone()), expected);

    // The same codecs again: their history must not matter.
    let mut receiver = Receiver::new(Version::Rfc6455, role, limits).deflate(params, &codecs);
    let (mut got, mut rest) = (Vec::new(), &wire[..]);
    while !rest.is_empty() {
        let cut = if choice & 0x80 != 0 { 1 } else { random.cut() };
        let (read, after) = rest.split_at(cut.min(rest.len()));
        rest = after;
        feed(&mut receiver, read, &mut got);
        let (bits, takeover) = receive_window(params, role);
        let most = if takeover { 5 << bits.max(9) >> 2 } else { 0 };
        assert!(receiver.context_size() <= most);
        assert!(receiver.held() <= limits.max_message_size + 80 * 1024);
    }
    assert_eq!(got, whole, "in reads");
}

fn payload_of(got: &Got) -> Option<&[u8]> {
    match got {
        Got::Text(text) => Some(text.as_bytes()),
        Got::Binary(bytes) => Some(bytes),
        _ => None,
    }
}

/// The first error of a message, or the message.
fn expected_event(inflated: &Inflated, is_text: bool, limit: usize) -> Got {
    let fits = &inflated.bytes[..inflated.bytes.len().min(limit)];
    let text = std::str::from_utf8(fits);
    if is_text && text.is_err_and(|error| error.error_len().is_some()) {
        return Got::Failed(ProtocolError::InvalidUtf8);
    }
    if inflated.bytes.len() > limit {
        return Got::Failed(ProtocolError::MessageTooBig { limit });
    }
    match (inflated.is_valid, is_text, text) {
        (false, ..) => Got::Failed(ProtocolError::CorruptDeflate),
        (true, false, _) => Got::Binary(fits.to_vec()),
        (true, true, Ok(text)) => Got::Text(text.to_owned()),
        (true, true, Err(_)) => Got::Failed(ProtocolError::InvalidUtf8),
    }
}

/// Compresses messages with each window, level and memory level, with and without context takeover,
/// by senders that share codecs. zlib inflates them with the agreed window, and so does a receiver.
fn check_compressing(input: &mut Input<'_>) {
    let (params, level, memory, threshold) = (params(input.byte()), input.byte(), input.byte(), input.u16());
    let role = if level & 0x80 != 0 { Role::Client } else { Role::Server };
    let config = DeflateConfig::default()
        .level(1 + level % 9)
        .memory_level(1 + memory % 9)
        .threshold(usize::from(threshold >> 8));
    let codecs = CodecPool::with_kept(&config, usize::from(memory >> 6));
    let sender = || match role {
        Role::Server => Sender::server(Version::Rfc6455).deflate(params, &codecs),
        Role::Client => Sender::client(Version::Rfc6455, || KEY).deflate(params, &codecs),
    };
    let to = clws_proto_fuzz::other(role);
    let mut pairs: Vec<_> = (0..2)
        .map(|_| {
            let receiver = Receiver::new(Version::Rfc6455, to, Limits::default());
            (sender(), receiver.deflate(params, &codecs), Vec::new())
        })
        .collect();
    let (bits, takeover) = receive_window(params, to);
    let mut messages = 0;
    while !input.is_empty() && messages < 40 {
        messages += 1;
        let (kind, len, fill) = (input.byte(), input.length(), input.byte());
        let message = content(kind, len, fill, input);
        let (sender, receiver, history) = &mut pairs[usize::from(kind >> 7)];
        let frame_size = std::num::NonZeroUsize::new(usize::from(kind & 0x70) << 3);
        match String::from_utf8(message.clone()) {
            Ok(text) => sender.text(&text, frame_size).expect("the sender is open"),
            Err(_) => sender.binary(&message, frame_size).expect("the sender is open"),
        }
        let mut wire = Vec::new();
        sender.write_to(&mut wire).expect("a Vec takes all bytes");
        assert!(sender.context_size() <= if takeover { 5 << bits.max(9) >> 2 } else { 0 });
        let (is_compressed, payload) = payload(&wire, to);
        if is_compressed {
            assert!(bits >= 9, "zlib cannot compress with a window of 256 bytes");
            let inflated = zlib::inflate(&payload, window(history, (bits, takeover)), bits, usize::MAX);
            assert!(
                inflated.is_valid && inflated.bytes == message,
                "zlib with {bits} bits cannot inflate the message"
            );
            history.extend_from_slice(&message);
        } else {
            assert!(payload == message);
        }
        let mut got = Vec::new();
        feed(receiver, &wire, &mut got);
        assert_eq!(got.len(), 1);
        assert!(payload_of(&got[0]) == Some(&message), "the receiver gets a different message");
    }
}

/// Text, noise, and repetitions near and far. Some of it compresses well, and some does not.
fn content(kind: u8, len: usize, fill: u8, input: &mut Input<'_>) -> Vec<u8> {
    let mut random = Random::new(u64::from(fill));
    match kind & 7 {
        0 => vec![fill; len],
        1 => input.take(len).to_vec(),
        2 => (0..len).map(|_| random.next() as u8).collect(),
        3 => input.take(usize::from(fill % 40) + 1).iter().copied().cycle().take(len).collect(),
        4 => (0..len).map(|_| b"etaoin "[random.below(7)]).collect(),
        5 => (0..len).map(|at| (at >> (fill & 7)) as u8).collect(),
        6 => "é水😀".chars().cycle().take(len / 4).collect::<String>().into_bytes(),
        _ => Vec::new(),
    }
}

/// Whether a message is compressed, and the concatenated payloads of its frames.
fn payload(wire: &[u8], to: Role) -> (bool, Vec<u8>) {
    let (mut rest, mut payload, mut firsts) = (wire, Vec::new(), Vec::new());
    while let [first, second, after @ ..] = rest {
        let (len, after) = match second & 0x7F {
            126 => (usize::from(after[0]) << 8 | usize::from(after[1]), &after[2..]),
            127 => (u64::from_be_bytes(after[..8].try_into().expect("8")) as usize, &after[8..]),
            short => (usize::from(short), after),
        };
        let after = if to == Role::Server { &after[4..] } else { after };
        let key = if to == Role::Server { KEY } else { [0; 4] };
        payload.extend(after[..len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
        firsts.push(*first);
        rest = &after[len..];
    }
    assert!(firsts.iter().skip(1).all(|first| first & 0x7F == 0), "RSV1 on the first frame only");
    (firsts[0] & 0x40 != 0, payload)
}
