//! A `Connection` behaves like a `Receiver` and a `Sender` with reactions written by hand, for any
//! split of its input.

use crate::common::connection::*;
use crate::common::*;
use clws_proto::{CloseCode, Connection, Event, Limits, ProtocolError, Receiver, Role, Sender, Version};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Text(usize),
    Binary(usize),
    Fragments(usize),
    Ping(usize),
    Pong(usize),
    Close(u16),
    Bytes(Vec<u8>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0usize..300).prop_map(Step::Text),
        3 => (0usize..70_000).prop_map(Step::Binary),
        3 => (0usize..300).prop_map(Step::Fragments),
        4 => (0usize..126).prop_map(Step::Ping),
        2 => (0usize..126).prop_map(Step::Pong),
        1 => (995u16..1020).prop_map(Step::Close),
        1 => prop::collection::vec(any::<u8>(), 1..10).prop_map(Step::Bytes),
    ];
    prop::collection::vec(step, 1..12)
}

/// The bytes of a peer that may violate the protocol, or send more after its close frame.
fn wire(steps: &[Step], version: Version, role: Role) -> Vec<u8> {
    let pieces = steps.iter().map(|step| match step {
        Step::Bytes(bytes) => bytes.clone(),
        Step::Close(code) if version.has_close_codes() => frame(FIN | CLOSE, &code.to_be_bytes(), role),
        step => from_peer(version, role, |peer| {
            // Most of these fail in draft 0 and hixie-75.
            let _ = match step {
                Step::Text(len) => peer.text(&"x".repeat(*len), None),
                Step::Binary(len) => peer.binary(&vec![7; *len], None),
                Step::Fragments(len) => peer.text(&"é".repeat(*len), std::num::NonZeroUsize::new(10)),
                Step::Ping(len) => peer.ping(&vec![1; *len]),
                Step::Pong(len) => peer.pong(&vec![2; *len]),
                Step::Close(_) | Step::Bytes(_) => peer.close(CloseCode::NORMAL, ""),
            };
        }),
    });
    pieces.collect::<Vec<_>>().concat()
}

/// The application: it echoes texts, and closes after `closes_at` events.
fn handle(event: &Event<'_>, sender: &mut Sender, seen: usize, closes_at: usize) {
    if let Event::Text(text) = event {
        let _ = sender.text(text, None); // refused after a close frame
    }
    if seen == closes_at {
        let _ = sender.close(CloseCode::new(4000), "enough");
    }
}

type Outcome = (Vec<Got>, Option<ProtocolError>, Vec<u8>);

fn by_hand(version: Version, role: Role, limits: Limits, wire: &[u8], closes_at: usize) -> Outcome {
    let (mut receiver, mut sender) = (Receiver::new(version, role, limits), sender(version, role));
    let (mut seen, mut error, mut wire) = (Vec::new(), None, wire.to_vec());
    let mut events = receiver.receive(&mut wire);
    loop {
        match events.next() {
            Ok(None) => break,
            Ok(Some(event)) => {
                match &event {
                    Event::Ping(payload) => sender.answer_ping(payload),
                    Event::Close(frame) => sender.answer_close(frame.as_ref()),
                    _ => {}
                }
                handle(&event, &mut sender, seen.len(), closes_at);
                seen.push(owned(event));
            }
            Err(failure) => {
                error = Some(failure);
                let _ = sender.close(failure.close_code(version), &failure.to_string());
            }
        }
    }
    let sent = drain(&mut sender);
    (seen, error, sent)
}

fn by_connection(
    mut ws: Connection,
    wire: &[u8],
    closes_at: usize,
    mut cut: impl FnMut() -> (usize, usize),
) -> Outcome {
    let (mut seen, mut left) = (Vec::new(), wire);
    while !left.is_empty() || ws.receiver().has_unread() {
        let (len, pulled) = cut();
        let (read, rest) = left.split_at(len.min(left.len()));
        left = rest;
        let mut read = read.to_vec();
        let mut events = ws.receive(&mut read);
        for _ in 0..pulled {
            let Some((event, sender)) = events.next() else { break };
            handle(&event, sender, seen.len(), closes_at);
            seen.push(owned(event));
        }
    }
    let error = match ws.end() {
        Some(Err(clws_proto::ConnectionError::Protocol(error))) => Some(error),
        Some(Err(other)) => panic!("{other}"),
        Some(Ok(_)) | None => None,
    };
    (seen, error, transmit(&mut ws))
}

proptest! {
    #[test]
    fn equals_reactions_written_by_hand(
        steps in steps(),
        version in prop::sample::select(Version::ALL.to_vec()),
        role in prop::sample::select(ROLES.to_vec()),
        cuts in prop::collection::vec((1usize..2000, 1usize..5), 1..20),
        bytewise: bool,
        closes_at in 0usize..20,
    ) {
        let limits = Limits::default().max_message_size(60_000);
        let wire = wire(&steps, version, role);
        let expected = by_hand(version, role, limits, &wire, closes_at);
        let mut cuts = cuts.into_iter().cycle();
        let cut = || cuts.next().map(|(len, pulled)| (if bytewise { len % 3 + 1 } else { len }, pulled)).unwrap();
        let found = by_connection(connection_with(version, role, limits), &wire, closes_at, cut);
        prop_assert_eq!(found, expected);
    }
}
