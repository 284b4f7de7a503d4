//! Arbitrary input, split in arbitrary ways.

use crate::common::{HIXIE, HIXIE_75, HIXIE_BODY, RFC, head, hixie_on};
use clws_handshake::client::ClientRequest;
use clws_handshake::{
    Acceptance, Extension, HandshakeLimits, HeadScanner, HttpRequest, Origins, Status, Version, parse,
};
use proptest::prelude::*;
use proptest::sample::Index;

/// A valid handshake of any draft, sometimes after empty lines, and followed by arbitrary bytes.
fn handshake() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec("X-[A-Za-z0-9-]{0,12}: [ -~\t]{0,40}", 0..8);
    let after = prop::collection::vec(any::<u8>(), 0..40);
    let version = prop::sample::select(vec![RFC, HIXIE, HIXIE_75]);
    (version, 0usize..3, lines, after).prop_map(|(lines, empty, more, after)| {
        let mut bytes = b"\r\n".repeat(empty);
        bytes.extend(head(lines.iter().copied().chain(more.iter().map(String::as_str))));
        if lines == HIXIE {
            bytes.extend_from_slice(HIXIE_BODY);
        }
        bytes.extend(after);
        bytes
    })
}

/// A header line that a handshake reads, valid or not.
fn line() -> impl Strategy<Value = String> {
    let name = "Host|Upgrade|Connection|Content-Length|Transfer-Encoding|Expect|\
        (Sec-)?WebSocket-(Key|Key1|Key2|Version|Protocol|Extensions|Origin)";
    let value = r"websocket|Upgrade|13|8|7|[0-9 ]{0,30}|[ -~]{0,30}|\PC{0,8}";
    (name, value).prop_map(|(name, value)| format!("{name}: {value}"))
}

/// The version, consumed length and response of a complete handshake.
fn facts(received: &[u8]) -> Option<(Version, usize, Vec<u8>)> {
    let request = parse(received, &hixie_on()).unwrap().complete()?;
    let (version, consumed) = (request.version(), request.consumed());
    Some((version, consumed, request.accept(&Acceptance::new()).unwrap().response))
}

proptest! {
    #[test]
    fn any_split_gives_the_same_result(bytes in handshake(), cuts in prop::collection::vec(any::<Index>(), 0..12)) {
        let expected = facts(&bytes);
        prop_assert!(expected.is_some());
        let mut lengths: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        lengths.push(bytes.len());
        lengths.sort_unstable();
        let mut scanner = HeadScanner::new();
        let whole_head = HeadScanner::new().scan(&bytes, &hixie_on()).unwrap();
        for length in lengths {
            let received = &bytes[..length];
            // Each part of the input gives no result or the final one.
            if let Status::Complete(end) = scanner.scan(received, &hixie_on()).unwrap() {
                prop_assert_eq!(Status::Complete(end), whole_head);
                let http = HttpRequest::parse(&received[..end], &hixie_on()).unwrap();
                if let Status::Complete(request) = http.upgrade(&received[end..], &hixie_on()).unwrap() {
                    let (version, consumed) = (request.version(), request.consumed());
                    let response = request.accept(&Acceptance::new()).unwrap().response;
                    prop_assert_eq!(Some((version, consumed, response)), facts(received));
                }
            }
            if let Some(now) = facts(received) {
                prop_assert_eq!(Some(&now), expected.as_ref());
            }
        }
    }

    #[test]
    fn a_refusal_does_not_depend_on_the_split(
        mut bytes in handshake(),
        (at, byte) in any::<(Index, u8)>(),
        max_head_bytes in 1usize..400,
    ) {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let limits = hixie_on().max_head_bytes(max_head_bytes);
        let whole = HeadScanner::new().scan(&bytes, &limits);
        let mut scanner = HeadScanner::new();
        let pieces = (0..=bytes.len())
            .map(|length| scanner.scan(&bytes[..length], &limits))
            .find(|got| got != &Ok(Status::Partial));
        prop_assert_eq!(pieces.unwrap_or(Ok(Status::Partial)), whole);
    }

    #[test]
    fn arbitrary_bytes_cause_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        parse_in_every_way(&bytes);
        parse_in_every_way(&[b"GET / HTTP/1.1\r\n", &bytes[..], b"\r\n\r\n"].concat());
        parse_in_every_way(&[b"HTTP/1.1 101 \r\n", &bytes[..], b"\r\n\r\n"].concat());
        parse_in_every_way(&[b"HTTP/1.1 100 \r\n\r\nHTTP/1.1 4", &bytes[..], b"\r\n\r\n"].concat());
    }

    #[test]
    fn changed_handshakes_cause_no_panic(
        mut bytes in handshake(),
        changes in prop::collection::vec(any::<(Index, u8)>(), 1..6),
    ) {
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        parse_in_every_way(&bytes);
    }

    #[test]
    fn arbitrary_headers_cause_no_panic(lines in prop::collection::vec(line(), 0..14)) {
        parse_in_every_way(&head(std::iter::once("GET ws://a/?b HTTP/1.1").chain(lines.iter().map(String::as_str))));
    }

    #[test]
    fn arbitrary_strings_cause_no_panic(text in "\\PC{0,40}", other in "\\PC{0,10}") {
        let _ = Extension::parse(&text).map(|extension| (extension.name().len(), extension.params().count()));
        let (exact, prefix) = (Origins::exact([other.as_str()]), Origins::prefix([other.as_str()]));
        let starts = text.to_ascii_lowercase().starts_with(&other.to_ascii_lowercase());
        prop_assert!(prefix.check().is_ok() && starts || !prefix.allows(Some(&text)));
        prop_assert!(exact.check().is_err() || prefix.allows(Some(&other)));
        let mut random = |bytes: &mut [u8]| bytes.fill(1);
        let _ = ClientRequest::new(Version::Rfc6455, &text).origin(&other).build(&mut random);
        let url = format!("ws://{text}");
        let _ = ClientRequest::new(Version::Hybi00, &url).origin("a").build(&mut random);
    }
}

/// Parses the bytes in every way, and uses the results.
fn parse_in_every_way(bytes: &[u8]) {
    for limits in [hixie_on(), HandshakeLimits::default(), hixie_on().max_head_bytes(50).max_headers(2)] {
        let _ = HeadScanner::new().scan(bytes, &limits);
        if let Ok(http) = HttpRequest::parse(bytes, &limits) {
            let _ = (http.wants_upgrade(), http.has_body().is_ok(), format!("{http:?}"));
            let _ = http.upgrade(bytes, &limits);
        }
        match parse(bytes, &limits) {
            Ok(Status::Complete(request)) => {
                for keep in [true, false] {
                    let kept = request.to_head(keep);
                    assert_eq!(
                        (kept.path(), kept.query(), kept.host()),
                        (request.path(), request.query(), request.host())
                    );
                    assert!(!keep || kept.origin() == request.origin());
                    let _ = format!("{kept:?}");
                }
                let offers = request.extensions().map(|extension| extension.params().count()).sum::<usize>();
                assert!(offers <= bytes.len() && request.subprotocols().count() <= bytes.len());
                let accepted = request.accept(&Acceptance::new()).unwrap();
                assert!(accepted.consumed <= bytes.len());
            }
            Ok(Status::Partial) => {}
            Err(reject) => assert!(reject.response().starts_with(b"HTTP/1.1 4") || reject.status() == 505),
        }
        for version in [Version::Hixie75, Version::Hybi00, Version::Rfc6455] {
            let request = ClientRequest::new(version, "ws://a/").origin("o");
            let (_, mut pending) = request.build(&mut |bytes: &mut [u8]| bytes.fill(3)).unwrap();
            assert!(!matches!(pending.check(bytes, &limits), Ok(Status::Complete(_))));
            let _ =
                pending.refusal(bytes).map(|refusal| (refusal.headers.iter().count(), refusal.body.len()));
        }
    }
}
