//! Arbitrary bytes as a response, and responses of the crate's server side with changes. A client
//! accepts only the right one, however the response is split.
#![no_main]

use clws_handshake::client::{AnswerError, ClientRequest, Established, Pending};
use clws_handshake::{Acceptance, DeflateConfig, DeflateParams, HandshakeLimits, Status, Version, parse};
use clws_handshake_fuzz::{Head, Input, accept_key};
use libfuzzer_sys::fuzz_target;

/// The client's result for a response, with owned fields.
#[derive(Clone, Debug, PartialEq)]
struct Open {
    version: Version,
    subprotocol: Option<String>,
    deflate: Option<DeflateParams>,
    consumed: usize,
}

impl Open {
    fn new(open: &Established<'_>) -> Self {
        Self {
            version: open.version,
            subprotocol: open.subprotocol.map(str::to_owned),
            deflate: open.deflate,
            consumed: open.consumed,
        }
    }
}

const URL: &str = "ws://server.example.com/chat?room=1";
const ORIGIN: &str = "http://example.com";

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (flags, more) = (input.byte(), input.byte());
    let version = Version::ALL[Version::ALL.len() - 1 - usize::from(flags & 0x0F) % Version::ALL.len()];
    let limits = HandshakeLimits::default()
        .hixie(true)
        .hixie_75(true)
        .max_head_bytes([16 * 1024, 400, 100, 10][usize::from(more & 3)])
        .max_headers([100, 12, 5, 1][usize::from(more >> 2 & 3)]);
    let offered: &[&str] = match (flags >> 4 & 3, version.is_hixie()) {
        (0, _) => &[],
        (1, _) | (_, true) => &["chat"],
        _ => &["chat", "superchat"],
    };
    let mut request = ClientRequest::new(version, URL).origin(ORIGIN);
    for name in offered {
        request = request.subprotocol(name);
    }
    let deflate = (flags & 0x40 != 0).then(|| DeflateConfig::default().context_takeover(more & 0x10 != 0));
    if let Some(deflate) = &deflate {
        request = request.deflate(deflate);
    }
    let mut random =
        |bytes: &mut [u8]| bytes.iter_mut().zip(b"the sample nonce").for_each(|(at, byte)| *at = *byte);
    let (sent, pending) = request.build(&mut random).expect("the message is valid");

    let answer = match flags & 0x80 {
        0 => input.rest().to_vec(),
        _ => changed_answer(&sent, &mut input),
    };
    let whole = check(&mut pending.clone(), &answer, &limits);
    let mut in_pieces = pending.clone();
    let found = (0..=answer.len())
        .map(|len| check(&mut in_pieces, &answer[..len], &limits))
        .find(|result| *result != Ok(Status::Partial))
        .unwrap_or(Ok(Status::Partial));
    assert_eq!(found, whole, "byte by byte");

    if let Ok(Status::Complete(open)) = &whole {
        assert_may_open(&sent, &answer, version, offered, deflate.is_some(), open, &limits);
    }
    if let Err(AnswerError::Refused { status, .. }) = &whole {
        assert_ne!(*status, 101);
    }
});

fn check(
    pending: &mut Pending,
    received: &[u8],
    limits: &HandshakeLimits,
) -> Result<Status<Open>, AnswerError> {
    Ok(match pending.check(received, limits)? {
        Status::Partial => Status::Partial,
        Status::Complete(open) => Status::Complete(Open::new(&open)),
    })
}

/// The response of the crate's server side, with bytes overwritten, inserted or removed.
fn changed_answer(sent: &[u8], input: &mut Input<'_>) -> Vec<u8> {
    let limits = HandshakeLimits::default().hixie(true).hixie_75(true);
    let Ok(Status::Complete(request)) = parse(sent, &limits) else {
        panic!("the server side must accept the request")
    };
    let mut acceptance = Acceptance::new();
    let choice = input.byte();
    let config = DeflateConfig::default().context_takeover(choice & 2 != 0);
    if request.subprotocols().next() == Some("chat") && (choice & 1 != 0 || request.version().is_hixie()) {
        acceptance = acceptance.subprotocol("chat");
    }
    if choice & 4 != 0 {
        acceptance = acceptance.deflate(&config);
    }
    let mut answer = request.accept(&acceptance).expect("the message is valid").response;
    for _ in 0..choice >> 6 {
        let (at, remove, count) = (input.byte(), input.byte() & 15, input.byte() & 63);
        let at = usize::from(at).min(answer.len());
        let end = (at + usize::from(remove)).min(answer.len());
        answer.splice(at..end, input.take(usize::from(count)).iter().copied());
    }
    answer.extend_from_slice(input.rest());
    answer
}

/// RFC 6455 §4.1 and hixie-76 §4.1: checks everything that a response to this request needs.
fn assert_may_open(
    sent: &[u8],
    answer: &[u8],
    version: Version,
    offered: &[&str],
    deflate: bool,
    open: &Open,
    limits: &HandshakeLimits,
) {
    let request = Head::split(sent).expect("the request has a head");
    let mut rest = answer;
    let head = loop {
        let head = Head::split(rest).expect("the response has a head");
        // RFC 9110 §15.2: "A client MUST be able to parse one or more 1xx responses received prior
        // to a final response".
        match head.first.get(9..12) {
            Some(status) if status[0] == b'1' && status != b"101" => rest = &rest[head.len..],
            _ => break head,
        }
    };
    let before = answer.len() - rest.len();
    assert!(head.len <= limits.max_head_bytes && head.headers.len() <= limits.max_headers);
    // RFC 9110 §6.2: a higher minor version is treated as the highest known one.
    assert!(head.first.starts_with(b"HTTP/1.") && head.first[7] != b'0' && &head.first[8..12] == b" 101");
    assert_eq!(open.version, version);
    if version == Version::Hixie75 {
        assert!(rest.starts_with(
            b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
        ));
        assert_eq!(head.one("websocket-origin"), Some(ORIGIN.as_bytes()));
        assert_eq!(head.one("websocket-location"), Some(URL.as_bytes()));
        assert_eq!(open.consumed, before + head.len);
    } else if version.is_hixie() {
        assert_eq!(head.one("upgrade"), Some(&b"WebSocket"[..]));
        assert!(head.one("connection").expect("exactly one header").eq_ignore_ascii_case(b"upgrade"));
        assert_eq!(head.one("sec-websocket-origin"), Some(ORIGIN.as_bytes()));
        assert_eq!(head.one("sec-websocket-location"), Some(URL.as_bytes()));
        let Ok(Status::Complete(request)) =
            parse(sent, &HandshakeLimits::default().hixie(true).hixie_75(true))
        else {
            panic!()
        };
        let right = request.accept(&Acceptance::new()).expect("the message is valid").response;
        let digest = right.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of the head") + 4;
        assert_eq!(rest[head.len..].get(..right.len() - digest), Some(&right[digest..]));
        assert_eq!(open.consumed, before + head.len + right.len() - digest);
    } else {
        assert!(head.one("upgrade").expect("exactly one header").eq_ignore_ascii_case(b"websocket"));
        assert!(head.lists("connection", "upgrade"));
        let key = request.one("sec-websocket-key").expect("the request has one key");
        assert_eq!(head.one("sec-websocket-accept"), Some(accept_key(key).as_bytes()));
        assert_eq!(open.consumed, before + head.len);
        let extensions = head.all("sec-websocket-extensions").concat();
        if extensions.is_empty() {
            assert_eq!(open.deflate, None);
        } else if open.deflate.is_some() {
            assert!(deflate && extensions.windows(18).any(|word| word == b"permessage-deflate"));
        } else {
            assert!(extensions.iter().all(|byte| b" \t,".contains(byte)), "the extension was not offered");
        }
    }
    let protocol = if version == Version::Hixie75 { "websocket-protocol" } else { "sec-websocket-protocol" };
    match (head.all(protocol).as_slice(), &open.subprotocol) {
        ([], None) => assert!(!version.is_hixie() || offered.is_empty()),
        ([value], Some(name)) => {
            assert_eq!(*value, name.as_bytes());
            assert!(offered.contains(&name.as_str()));
        }
        (values, name) => panic!("{values:?} {name:?}"),
    }
}
