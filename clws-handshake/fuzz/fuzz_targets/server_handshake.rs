//! Arbitrary bytes as a request, and arbitrary settings of the application. The response is valid
//! HTTP in any case. It does not depend on how the request was split. 101 requires RFC 6455 §4.2.1.
#![no_main]

use clws_handshake::{
    Acceptance, Accepted, DeflateConfig, HandshakeLimits, HeadScanner, HttpRequest, HttpResponse, Reject,
    Request, Status, Version,
};
use clws_handshake_fuzz::{
    Head, Input, ParsedResponse, accept_key, is_authority, key_len, parse_response, trim_whitespace,
};
use libfuzzer_sys::fuzz_target;

/// The settings of the application.
struct Application {
    limits: HandshakeLimits,
    subprotocol: Option<String>,
    header: Option<(String, String)>,
    origin: Option<String>,
    location: Option<String>,
    secure: bool,
    deflate: Option<DeflateConfig>,
}

/// The result of a request.
#[derive(Debug, PartialEq)]
enum Outcome {
    Partial,
    Accepted(Accepted),
    /// The application's response cannot be sent.
    Unsendable(String),
    Rejected(Reject),
}

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let (flags, sizes) = (input.byte(), input.byte());
    let limits = HandshakeLimits::default()
        .hixie(flags & 1 != 0)
        .hixie_75(flags & 1 != 0)
        .max_head_bytes([16 * 1024, 1000, 300, 60][usize::from(sizes & 3)])
        .max_headers([100, 12, 6, 1][usize::from(sizes >> 2 & 3)]);
    let application = Application {
        limits,
        subprotocol: (flags & 2 != 0).then(|| input.text()),
        header: (flags & 4 != 0).then(|| (input.text(), input.text())),
        origin: (flags & 8 != 0).then(|| input.text()),
        location: (flags & 16 != 0).then(|| input.text()),
        secure: flags & 32 != 0,
        deflate: (flags & 64 != 0).then(|| {
            DeflateConfig::default()
                .server_max_window_bits(9 + (sizes >> 4) % 7)
                .context_takeover(sizes & 0x80 != 0)
        }),
    };
    if flags & 128 != 0 {
        check_custom_refusal(&mut input);
    }
    let received = input.rest();

    let whole = application.outcome(received, &mut HeadScanner::new());
    let mut scanner = HeadScanner::new();
    let in_pieces = (0..=received.len())
        .map(|len| application.outcome(&received[..len], &mut scanner))
        .find(|outcome| *outcome != Outcome::Partial)
        .unwrap_or(Outcome::Partial);
    assert_eq!(in_pieces, whole, "byte by byte");

    let head = Head::split(&received[skipped(received)..]);
    match &whole {
        Outcome::Accepted(accepted) => {
            assert!(accepted.consumed <= received.len());
            let head = head.expect("the head of an accepted request can be split");
            application.assert_may_accept(&head, accepted.version);
            application.assert_response(&head, received, accepted);
        }
        Outcome::Rejected(reject) => {
            assert_parser_refusal(reject);
            if let Some(head) = head {
                assert!(!application.must_accept(&head, received), "{reject}");
            }
        }
        Outcome::Partial | Outcome::Unsendable(_) => {}
    }
    check_plain_http(received, &application.limits);
});

impl Application {
    fn outcome(&self, received: &[u8], scanner: &mut HeadScanner) -> Outcome {
        match self.request(received, scanner) {
            Err(reject) => Outcome::Rejected(reject),
            Ok(Status::Partial) => Outcome::Partial,
            Ok(Status::Complete(request)) => match request.accept(&self.acceptance()) {
                Ok(accepted) => Outcome::Accepted(accepted),
                Err(error) => Outcome::Unsendable(error.to_string()),
            },
        }
    }

    fn request<'a>(
        &self,
        received: &'a [u8],
        scanner: &mut HeadScanner,
    ) -> Result<Status<Request<'a>>, Reject> {
        let Status::Complete(end) = scanner.scan(received, &self.limits)? else { return Ok(Status::Partial) };
        let (head, body) = received.split_at(end);
        let request = HttpRequest::parse(head, &self.limits)?.upgrade(body, &self.limits)?;
        if let Status::Complete(request) = &request {
            assert_head_is_kept(request);
        }
        Ok(request)
    }

    fn acceptance(&self) -> Acceptance<'_> {
        let mut acceptance = Acceptance::new().secure(self.secure);
        if let Some(name) = &self.subprotocol {
            acceptance = acceptance.subprotocol(name);
        }
        if let Some((name, value)) = &self.header {
            acceptance = acceptance.header(name, value);
        }
        if let Some(origin) = &self.origin {
            acceptance = acceptance.origin(origin);
        }
        if let Some(location) = &self.location {
            acceptance = acceptance.location(location);
        }
        if let Some(deflate) = &self.deflate {
            acceptance = acceptance.deflate(deflate);
        }
        acceptance
    }

    /// RFC 6455 §4.2.1 and its counterparts in the drafts: nothing else is accepted.
    fn assert_may_accept(&self, head: &Head, version: Version) {
        assert!(head.len <= self.limits.max_head_bytes && head.headers.len() <= self.limits.max_headers);
        // "An HTTP/1.1 or higher GET request"
        let words: Vec<&[u8]> = head.first.split(|byte| *byte == b' ').collect();
        let [method, target, protocol] = words[..] else { panic!("a request line of {} words", words.len()) };
        assert_eq!(method, b"GET");
        assert!(!target.is_empty() && target.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#'));
        assert!(protocol.starts_with(b"HTTP/1.") && protocol.len() == 8 && protocol[7] >= b'1');
        // "A |Host| header field containing the server's authority."
        let host = head.one("host").expect("one Host");
        assert!(is_authority(host), "{:?}", String::from_utf8_lossy(host));
        // "An |Upgrade| header field containing the value "websocket""
        assert!(head.lists("upgrade", "websocket"));
        // "A |Connection| header field that includes the token "Upgrade""
        assert!(head.lists("connection", "upgrade"));
        assert!(head.all("transfer-encoding").is_empty());
        if version == Version::Hixie75 {
            assert!(
                self.limits.hixie_75
                    && head.headers.iter().all(|(name, _)| !name.starts_with("sec-websocket-"))
            );
            assert!(head.one("origin").is_some_and(|origin| !origin.is_empty()));
            return;
        }
        if version.is_hixie() {
            assert!(self.limits.hixie && head.all("sec-websocket-version").is_empty());
            assert!(head.one("origin").is_some());
            return;
        }
        assert!(head.all("content-length").iter().all(|length| *length == b"0"));
        // "A |Sec-WebSocket-Key| header field with a base64-encoded value that, when decoded, is 16
        // bytes in length."
        let key = head.one("sec-websocket-key").expect("one key");
        match (version, key_len(key)) {
            (Version::Rfc6455, len) => assert!(len == Some(16) && key.len() == 24),
            (_, len) => assert!(matches!(len, Some(15 | 16))),
        }
        // "A |Sec-WebSocket-Version| header field, with a value of 13."
        assert_eq!(head.one("sec-websocket-version").expect("one version"), version.to_string().as_bytes());
        assert!(head.all("origin").len() <= 1 || version != Version::Rfc6455);
    }

    /// The response matches the request, and has no other lines.
    fn assert_response(&self, head: &Head, received: &[u8], accepted: &Accepted) {
        let answer = parse_response(&accepted.response);
        assert_eq!(answer.status, 101);
        let mut expected = vec!["upgrade".to_owned(), "connection".to_owned()];
        let prefix = if accepted.version == Version::Hixie75 { "" } else { "sec-" };
        let protocol = format!("{prefix}websocket-protocol");
        if accepted.version.is_hixie() {
            expected.extend([format!("{prefix}websocket-origin"), format!("{prefix}websocket-location")]);
            let origin = self.origin.as_ref().map(|origin| origin.as_bytes().to_vec());
            let origin = origin.unwrap_or_else(|| head.one("origin").expect("an origin").to_vec());
            assert_eq!(answer.one(&format!("{prefix}websocket-origin")), Some(&origin[..]));
            assert_eq!(answer.body.len(), if accepted.version == Version::Hixie75 { 0 } else { 16 });
        } else {
            expected.push("sec-websocket-accept".to_owned());
            let key = head.one("sec-websocket-key").expect("one key");
            assert_eq!(answer.one("sec-websocket-accept"), Some(accept_key(key).as_bytes()));
            assert_eq!(answer.body, b"");
            assert_eq!(received.len() - accepted.consumed, received.len() - skipped(received) - head.len);
        }
        if let Some(name) = &self.subprotocol {
            expected.push(protocol.clone());
            assert_eq!(answer.one(&protocol), Some(name.as_bytes()));
            let offered = head.all(&protocol);
            let is_offered = |value: &&[u8]| {
                *value == name.as_bytes()
                    || value.split(|byte| *byte == b',').any(|one| trim_whitespace(one) == name.as_bytes())
            };
            assert!(offered.iter().any(is_offered), "{name} was not offered");
        }
        if let Some(extensions) = answer.one("sec-websocket-extensions") {
            assert!(self.deflate.is_some() && accepted.version.has_extensions());
            assert!(extensions.starts_with(b"permessage-deflate") && accepted.deflate.is_some());
            let offered = head.all("sec-websocket-extensions").concat();
            assert!(offered.windows(18).any(|word| word.eq_ignore_ascii_case(b"permessage-deflate")));
            expected.push("sec-websocket-extensions".to_owned());
        } else {
            assert_eq!(accepted.deflate, None);
        }
        expected.extend(self.header.iter().map(|(name, _)| name.to_ascii_lowercase()));
        let names: Vec<_> = answer.headers.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names, expected);
        if let Some((_, value)) = &self.header {
            assert_eq!(answer.headers.last().map(|(_, value)| &value[..]), Some(value.as_bytes()));
        }
    }

    /// An ordinary request, which gives no reason to refuse it.
    fn must_accept(&self, head: &Head, received: &[u8]) -> bool {
        let printable = |value: &[u8]| value.iter().all(|byte| (b' '..=b'~').contains(byte));
        let is_word = |name: &str| {
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let host = head.one("host").unwrap_or_default();
        let head_only = received.get(..head.len).unwrap_or_default();
        let plain = |name| head.all(name).is_empty();
        head.len < self.limits.max_head_bytes
            && head.headers.len() <= self.limits.max_headers
            && head_only.iter().filter(|byte| **byte == b'\n').count() == head.headers.len() + 2
            && head_only.iter().filter(|byte| **byte == b'\r').count() == head.headers.len() + 2
            && [&b"GET / HTTP/1.1"[..], b"GET /echo HTTP/1.1", b"GET /chat?a=b HTTP/1.1"]
                .contains(&&head.first[..])
            && head.headers.iter().all(|(name, value)| is_word(name) && printable(value))
            && !host.is_empty()
            && host.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'.')
            && host.first().is_some_and(u8::is_ascii_lowercase)
            && head.lists("upgrade", "websocket")
            && head.lists("connection", "upgrade")
            && head.one("sec-websocket-version") == Some(b"13")
            && head.one("sec-websocket-key").is_some_and(|key| key.len() == 24 && key_len(key) == Some(16))
            && head.all("origin").len() <= 1
            && ["content-length", "transfer-encoding", "expect"].into_iter().all(plain)
            && ["sec-websocket-protocol", "sec-websocket-extensions"].into_iter().all(plain)
    }
}

/// The length of the empty lines before the request line.
fn skipped(received: &[u8]) -> usize {
    received.chunks(2).take_while(|two| *two == b"\r\n").count() * 2
}

/// The kept head equals the request.
fn assert_head_is_kept(request: &Request<'_>) {
    for keep in [true, false] {
        let kept = request.to_head(keep);
        assert_eq!(
            (kept.path(), kept.query(), kept.host()),
            (request.path(), request.query(), request.host())
        );
        if keep {
            assert_eq!(kept.origin(), request.origin());
            let lines: Vec<_> = kept.headers().iter().collect();
            assert_eq!(lines, request.headers().iter().collect::<Vec<_>>());
        }
    }
    assert!(request.path().starts_with('/'));
    for extension in request.extensions() {
        assert!(!extension.name().is_empty());
        let _ = extension.params().count();
    }
    let _ = request.subprotocols().count() + request.headers().cookies().count();
}

/// Checks a refusal by the parsers.
fn assert_parser_refusal(reject: &Reject) {
    let answer = assert_content_length(&reject.response());
    assert_eq!(answer.status, reject.status());
    assert!(answer.one("connection").is_some_and(|value| value.ends_with(b"close")));
    match answer.status {
        400 | 414 | 417 | 431 | 505 => {}
        405 => assert_eq!(answer.one("allow"), Some(&b"GET"[..])),
        426 => {
            assert_eq!(answer.one("upgrade"), Some(&b"websocket"[..]));
            let versions = answer.one("sec-websocket-version").expect("the supported versions");
            assert!(versions.starts_with(b"13"));
        }
        status => panic!("{status}"),
    }
}

/// Checks that a body is as long as `Content-Length` says.
fn assert_content_length(bytes: &[u8]) -> ParsedResponse {
    let answer = parse_response(bytes);
    if let Some(length) = answer.one("content-length") {
        let length: usize =
            std::str::from_utf8(length).ok().and_then(|text| text.parse().ok()).expect("a number");
        assert_eq!(length, answer.body.len());
    }
    answer
}

/// Checks refusals by an application: none of its strings breaks the response.
fn check_custom_refusal(input: &mut Input<'_>) {
    let (status, why, name, value) = (u16::from(input.byte()) * 3, input.text(), input.text(), input.text());
    let mut lines = 4;
    let mut reject = Reject::custom(status, why.clone());
    match reject.clone().append_header(name.clone(), value.clone()) {
        Ok(with) => {
            (reject, lines) = (with, lines + 1);
            assert!(value.bytes().all(|byte| byte != b'\r' && byte != b'\n'));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let answer = assert_content_length(&reject.response());
    assert_eq!(answer.status, reject.status());
    // 426 has two more lines, for the supported protocol and versions.
    lines += if reject.status() == 426 { 2 } else { 0 };
    assert_eq!(answer.headers.len(), lines - 1, "{reject:?}");
    assert_eq!(answer.body, why.as_bytes());
    let challenged = assert_content_length(&Reject::unauthorized(value, why).response());
    assert_eq!((challenged.status, challenged.headers.len()), (401, 4));
}

/// Checks requests without a handshake, and the responses that a hook may send.
fn check_plain_http(received: &[u8], limits: &HandshakeLimits) {
    let Ok(http) = HttpRequest::parse(received, limits) else { return };
    assert!(http.head_len() <= received.len());
    assert!(!http.method().is_empty() && !http.target().is_empty());
    for status in [200, 204, 205, 304, 404] {
        let response = HttpResponse::text(status, "the content");
        let bytes = response.to_bytes(&http);
        let (head, body) = response.into_parts(&http);
        assert_eq!([&head[..], &body].concat(), bytes);
        let answer = parse_response(&bytes);
        assert_eq!(answer.status, status);
        if http.method() == "HEAD" || matches!(status, 204 | 205 | 304) {
            assert_eq!(answer.body, b"", "no content");
        } else {
            assert_content_length(&bytes);
        }
        let is_counted = answer.one("content-length").is_some();
        assert_eq!(is_counted, !matches!(status, 204 | 304));
    }
}
