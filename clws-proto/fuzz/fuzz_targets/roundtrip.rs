//! Arbitrary commands for a sender, whose outbox is written in pieces of any size to a receiver of
//! the other role. All messages arrive in order. Answers to pings may pass messages, and only the
//! newest of many pings must be answered.
#![no_main]

use std::io::IoSlice;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use clws_proto::buffer::{Meter, NoPool};
use clws_proto::{
    CloseCode, CloseFrame, CodecPool, DeflateConfig, Event, Limits, Receiver, Role, SendError, Sender,
    SharedMessage, Version,
};
use clws_proto_fuzz::wire::assert_valid_frames;
use clws_proto_fuzz::{Got, Input, Random, other, params, pull, version};
use libfuzzer_sys::fuzz_target;

/// An upper bound for the queued bytes of answers to pings, plus one answer.
const MAX_PONGS: usize = 4096 + 2 * 131;

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (first, choice, config, seed) = (input.byte(), input.byte(), input.byte(), input.u16());
    let role = if first & 0x80 != 0 { Role::Client } else { Role::Server };
    let deflate = (first & 0x40 != 0).then_some((choice, config));
    let mut pair = Pair::new(version(first & 0x1F), role, deflate, u64::from(seed));
    let mut commands = 0;
    while !input.is_empty() && commands < 200 && pair.sent < 4 << 20 {
        pair.command(&mut input);
        commands += 1;
    }
    pair.finish();
});

/// Counts the memory that is held for shared messages.
#[derive(Debug, Default)]
struct Count(AtomicUsize);

impl Meter for Count {
    fn charge(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn release(&self, bytes: usize) {
        let before = self.0.fetch_sub(bytes, Ordering::Relaxed);
        assert!(before >= bytes, "more bytes are released than were charged");
    }
}

struct Pair {
    version: Version,
    role: Role,
    sender: Sender,
    receiver: Receiver,
    codecs: CodecPool,
    random: Random,
    count: Arc<Count>,
    /// The events that must arrive, in this order.
    expected: Vec<Got>,
    /// The payloads of answered pings, and the number of them that arrived or were skipped.
    answers: Vec<Vec<u8>>,
    answered: usize,
    /// The received events, without answers to pings.
    got: Vec<Got>,
    /// All written bytes.
    wire: Vec<u8>,
    sent: usize,
    pongs: usize,
    /// The bytes that must be written next.
    pinned: Vec<u8>,
    number: u32,
}

impl Pair {
    fn new(version: Version, role: Role, deflate: Option<(u8, u8)>, seed: u64) -> Self {
        let mut key = 0u32;
        let mut sender = match role {
            Role::Server => Sender::server(version),
            Role::Client => Sender::client(version, move || {
                key += 1;
                key.to_le_bytes()
            }),
        };
        let mut receiver = Receiver::new(version, other(role), Limits::default());
        let config = deflate.map_or(0, |(_, config)| config);
        let config = DeflateConfig::default().level(1 + config % 9).threshold(if config & 0x40 == 0 {
            0
        } else {
            300
        });
        let codecs = CodecPool::with_kept(&config, 1);
        if let Some((choice, _)) = deflate {
            sender = sender.deflate(params(choice), &codecs);
            receiver = receiver.deflate(params(choice), &codecs);
        }
        Self {
            version,
            role,
            sender,
            receiver,
            codecs,
            random: Random::new(seed),
            count: Arc::default(),
            expected: Vec::new(),
            answers: Vec::new(),
            answered: 0,
            got: Vec::new(),
            wire: Vec::new(),
            sent: 0,
            pongs: 0,
            pinned: Vec::new(),
            number: 0,
        }
    }

    /// Executes one command.
    fn command(&mut self, input: &mut Input<'_>) {
        self.number += 1;
        let command = input.byte();
        let (queued, closed) = (self.sender.queued(), self.sender.close_sent());
        let frame_size = NonZeroUsize::new(usize::from(command >> 4) * 37);
        match command & 0x0F {
            kind @ (0 | 2 | 4) => {
                let text = self.text(input);
                let result = match kind {
                    0 => self.sender.text(&text, frame_size),
                    2 => self.sender.text_owned(text.clone()),
                    _ => {
                        let message = SharedMessage::text(text.clone()).frame_size(frame_size);
                        self.shared(&message)
                    }
                };
                self.expect_result(result, closed, false, Got::Text(text));
            }
            kind @ (1 | 3 | 5) => {
                let bytes = self.bytes(input);
                let result = match kind {
                    1 => self.sender.binary(&bytes, frame_size),
                    3 if command & 0x10 != 0 => self.sender.binary_bytes(&Bytes::from(bytes.clone())),
                    3 => self.sender.binary_owned(bytes.clone()),
                    _ => {
                        let message = SharedMessage::binary(bytes.clone()).frame_size(frame_size);
                        self.shared(&message)
                    }
                };
                self.expect_result(result, closed, self.version.is_hixie(), Got::Binary(bytes));
            }
            kind @ (6 | 7) => {
                let payload = self.control(b'c', input);
                let result = match kind {
                    6 => self.sender.ping(&payload),
                    _ => self.sender.pong(&payload),
                };
                let wrong = self.version.is_hixie() || payload.len() > 125;
                let event = if kind == 6 { Got::Ping(payload) } else { Got::Pong(payload) };
                self.expect_result(result, closed, wrong, event);
            }
            8 | 9 => {
                let payload = self.control(b'a', input);
                self.sender.answer_ping(&payload);
                let more = self.sender.queued() - queued;
                if self.version.is_hixie() || payload.len() > 125 || (closed && queued == 0) {
                    assert_eq!(more, 0);
                } else {
                    // The pong may be deferred, with no bytes queued now. It may still be sent when
                    // a close frame is queued, because it can pass data before that frame.
                    self.answers.push(payload);
                }
                self.pongs += more;
                assert!(self.pongs <= MAX_PONGS, "{} bytes of answers are queued", self.pongs);
            }
            10 => {
                let (code, len) = (input.u16(), usize::from(input.byte()));
                let reason = "réason, ".chars().cycle().take(len).collect::<String>();
                let nearest = CloseCode::new(code).nearest_in(self.version).value();
                // The longest reason of whole characters that fits.
                let ends = (0..=reason.len().min(123)).rev();
                let end = ends.into_iter().find(|end| reason.is_char_boundary(*end)).unwrap_or(0);
                let frame = (!self.version.is_hixie()).then(|| (nearest, reason[..end].to_owned()));
                let is_allowed = CloseCode::new(nearest).is_allowed_in(self.version);
                let result = self.sender.close(CloseCode::new(code), &reason);
                match result {
                    Ok(()) => assert!(!closed && (is_allowed || self.version.is_hixie())),
                    Err(_) => assert!(closed || !is_allowed || self.version.is_hixie()),
                }
                self.expect_result(result, closed, result.is_err(), Got::Close(frame));
            }
            11 => {
                let code = input.u16();
                let is_allowed = CloseCode::new(code).is_allowed_in(self.version);
                let frame = CloseFrame { code: CloseCode::new(code), reason: "theirs" };
                self.sender.answer_close(Some(&frame));
                assert!(self.sender.close_sent());
                let nearest = CloseCode::new(code).nearest_in(self.version);
                let frame = (is_allowed || nearest.is_allowed_in(self.version))
                    .then(|| (nearest.value(), String::new()));
                let result = if closed { Err(SendError::Closed) } else { Ok(()) };
                self.expect_result(result, closed, closed, Got::Close(frame));
            }
            12 if command & 0x20 != 0 => self.pin(usize::from(command >> 6) * 9 + 1),
            12 => match self.sender.take_buffer() {
                Some(buffer) => {
                    assert_eq!(queued, 0);
                    if command & 0x10 != 0 {
                        self.sender.give_buffer(buffer);
                    }
                }
                None => self.sender.cut(),
            },
            13 => self.forward(input, closed),
            14 => {
                let most = input.length();
                self.write(most, 1 + usize::from(command >> 4));
            }
            _ => self.write(usize::MAX, 16),
        }
        let is_ping = matches!(command & 0x0F, 8 | 9);
        assert!(
            !closed || is_ping || self.sender.queued() <= queued,
            "the sender queued data after a close frame"
        );
    }

    /// Pins the next bytes, like a writer that must write the same bytes again.
    fn pin(&mut self, count: usize) {
        self.sender.pin(count);
        let mut slices = vec![IoSlice::new(&[]); self.sender.slices()];
        let filled = self.sender.io_slices(&mut slices);
        let next: Vec<u8> =
            slices[..filled].iter().flat_map(|slice| slice.iter()).copied().take(count).collect();
        assert!(next.starts_with(&self.pinned) || self.pinned.starts_with(&next));
        if next.len() > self.pinned.len() {
            self.pinned = next;
        }
    }

    fn shared(&mut self, message: &SharedMessage) -> Result<(), SendError> {
        message.set_meter(&(Arc::clone(&self.count) as Arc<dyn Meter>));
        self.sender.shared(message)
    }

    /// Checks that the sender accepted the message if and only if it had to.
    fn expect_result(&mut self, result: Result<(), SendError>, closed: bool, wrong: bool, event: Got) {
        assert_eq!(result.is_ok(), !closed && !wrong, "{result:?}");
        // hixie-75 has no close frame.
        if result.is_ok() && (self.version.has_close_frame() || !matches!(event, Got::Close(_))) {
            self.expected.push(event);
        }
    }

    /// Forwards a received message in the buffer in which it was assembled.
    fn forward(&mut self, input: &mut Input<'_>, closed: bool) {
        let (kind, bytes) = (input.byte(), self.bytes(input));
        let text = String::from_utf8(bytes.clone());
        let is_text = kind & 1 != 0 && text.is_ok();
        let mut wire = Vec::new();
        clws_proto_fuzz::frame(&mut wire, if is_text { 0x81 } else { 0x82 }, &bytes, Role::Client, [0; 4]);
        let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
        let at = if kind & 2 != 0 { self.random.below(wire.len()) } else { 0 };
        let mut read = wire[..at].to_vec();
        assert!(receiver.receive(&mut read).next().expect("no error").is_none());
        let mut rest = wire[at..].to_vec();
        let len = rest.len();
        let mut events = receiver.receive_owned(&mut rest, 0..len, &NoPool);
        let result = match events.next().expect("no error").expect("a message") {
            Event::Text(text) => self.sender.forward_text(text),
            Event::Binary(payload) => self.sender.forward_binary(payload),
            other => panic!("{other:?}"),
        };
        let event = if is_text { Got::Text(text.expect("the text is valid")) } else { Got::Binary(bytes) };
        self.expect_result(result, closed, self.version.is_hixie() && !is_text, event);
    }

    fn bytes(&mut self, input: &mut Input<'_>) -> Vec<u8> {
        let (len, fill) = (input.length(), input.byte());
        self.sent += len;
        let mut bytes = vec![fill; len];
        let number = self.number.to_string();
        let count = number.len().min(len);
        bytes[..count].copy_from_slice(&number.as_bytes()[..count]);
        bytes
    }

    fn text(&mut self, input: &mut Input<'_>) -> String {
        let mut bytes = self.bytes(input);
        let tail = input.byte();
        if tail & 1 != 0 {
            bytes = bytes.iter().map(|byte| byte & 0x7F).collect();
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn control(&mut self, kind: u8, input: &mut Input<'_>) -> Vec<u8> {
        let len = usize::from(input.byte() % 140);
        let mut payload = format!("{}{}", char::from(kind), self.number).into_bytes();
        if len > payload.len() {
            payload.resize(len, b'.');
        }
        payload
    }

    /// Writes at most `most` bytes, in at most `count` slices, and gives them to the receiver.
    fn write(&mut self, most: usize, count: usize) {
        let mut left = most;
        while left > 0 && self.sender.queued() > 0 {
            let queued = self.sender.queued();
            let mut slices = vec![IoSlice::new(&[]); count];
            let filled = self.sender.io_slices(&mut slices);
            assert!(filled > 0 && filled <= count);
            let shown: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            assert!(shown > 0 && shown <= queued);
            if filled == self.sender.slices() {
                assert_eq!(shown, queued, "the slices have all queued bytes");
            }
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter()).copied().collect();
            let written = bytes.len().min(left);
            let pinned = self.pinned.len().min(bytes.len());
            assert!(bytes[..pinned] == self.pinned[..pinned], "pinned bytes were changed");
            self.pinned.drain(..written.min(self.pinned.len()));
            left -= written;
            self.sender.consume(written);
            if self.sender.queued() == 0 {
                self.pongs = 0;
            }
            self.receive(&bytes[..written]);
        }
    }

    /// Gives bytes to the receiver, in reads of any size and kind.
    fn receive(&mut self, bytes: &[u8]) {
        self.wire.extend_from_slice(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            let kind = self.random.below(3);
            let mut read;
            let mut events = match self.receiver.spare_capacity(&NoPool) {
                Some(room) if kind == 0 => {
                    let count = room.len().min(rest.len());
                    room[..count].copy_from_slice(&rest[..count]);
                    rest = &rest[count..];
                    self.receiver.receive_direct(count, &NoPool)
                }
                _ => {
                    let (now, after) = rest.split_at(self.random.cut().min(rest.len()));
                    rest = after;
                    read = now.to_vec();
                    let len = read.len();
                    match kind {
                        1 => self.receiver.receive(&mut read),
                        _ => self.receiver.receive_owned(&mut read, 0..len, &NoPool),
                    }
                }
            };
            while let Some(event) = pull(&mut events) {
                match event {
                    Got::Pong(payload) if payload.first() == Some(&b'a') => {
                        let after = &self.answers[self.answered..];
                        let at = after.iter().position(|answer| *answer == payload);
                        self.answered += 1 + at.expect("a pong without a ping, or out of order");
                        let header = if self.role == Role::Client { 6 } else { 2 };
                        self.pongs = self.pongs.saturating_sub(header + payload.len());
                    }
                    event => {
                        let at = self.got.len();
                        assert!(self.expected.get(at) == Some(&event), "event {at} is not the expected one");
                        self.got.push(event);
                    }
                }
            }
        }
    }

    fn finish(mut self) {
        self.write(usize::MAX, 3);
        assert_eq!(self.got.len(), self.expected.len(), "all events arrived");
        let has_close = self.sender.close_sent() && self.version.has_close_frame();
        assert_eq!(self.receiver.is_finished(), has_close);
        assert_eq!((self.receiver.held(), self.receiver.has_unread()), (0, false));
        if !self.sender.close_sent() {
            assert_eq!(self.answered, self.answers.len(), "the newest ping is answered");
        }
        drop(self.sender.take_buffer());
        assert_eq!(self.sender.held(), self.sender.context_size());
        assert_eq!(self.count.0.load(Ordering::Relaxed), 0, "shared messages are released");
        let (version, role) = (self.version, self.role);
        if !version.is_hixie() {
            assert_valid_frames(&self.wire, role);
        }
        drop(self.codecs);
    }
}
