//! The example `chat` as a process, with clients of every version over real sockets.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{PATIENCE, Program, serve};
use clws_handshake::client::ClientRequest;
use clws_handshake::{HandshakeLimits, Status, Version};
use clws_proto::{CloseCode, Event, Limits, Receiver, Role, Sender};
use serde_json::{Value, json};

/// The chat on a free loopback port. Dropping it stops the process.
struct Chat {
    _program: Program,
    address: String,
}

impl Chat {
    fn start() -> Self {
        let (program, url) = serve(env!("CARGO_BIN_EXE_chat"), &["--hixie", "--hixie-75"]);
        let address = url.trim_start_matches("ws://").to_owned();
        // The server may print warnings about limits of the process in between.
        assert_eq!(program.until("open http://"), format!("open http://{address}/"));
        Self { _program: program, address }
    }

    fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Joins, and returns the first event.
    fn join(&self, version: Version, target: &str) -> (Peer, Value) {
        let mut peer = Peer::open(self.tcp(), version, &format!("ws://{}{target}", self.address));
        let arrival = peer.next();
        (peer, arrival)
    }

    fn get(&self, request: &str) -> String {
        let mut stream = self.tcp();
        write!(stream, "{request}\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

struct Peer {
    stream: TcpStream,
    receiver: Receiver,
    sender: Sender,
    inbox: VecDeque<Value>,
    closed: Option<CloseCode>,
}

impl Peer {
    fn open(mut stream: TcpStream, version: Version, url: &str) -> Self {
        let mut random = |bytes: &mut [u8]| getrandom::fill(bytes).unwrap();
        let (request, mut pending) =
            ClientRequest::new(version, url).origin("http://here.example").build(&mut random).unwrap();
        stream.write_all(&request).unwrap();
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        let consumed = loop {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the server ended the connection");
            answer.extend_from_slice(&buffer[..count]);
            if let Status::Complete(open) = pending.check(&answer, &HandshakeLimits::default()).unwrap() {
                break open.consumed;
            }
        };
        let receiver = Receiver::new(version, Role::Client, Limits::default());
        let sender = Sender::client(version, || [1, 2, 3, 4]);
        let mut peer = Self { stream, receiver, sender, inbox: VecDeque::new(), closed: None };
        peer.take(&mut answer[consumed..]);
        peer
    }

    fn take(&mut self, bytes: &mut [u8]) {
        let mut events = self.receiver.receive(bytes);
        while let Some(event) = events.next().unwrap() {
            match event {
                Event::Text(text) => self.inbox.push_back(serde_json::from_str(&text).unwrap()),
                Event::Close(frame) => self.closed = Some(frame.map_or(CloseCode::NO_STATUS, |it| it.code)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        let count = self.stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "the server ended the connection");
        self.take(&mut buffer[..count]);
    }

    /// The next event.
    fn next(&mut self) -> Value {
        loop {
            if let Some(event) = self.inbox.pop_front() {
                return event;
            }
            assert_eq!(self.closed, None, "the server closed the connection");
            self.read();
        }
    }

    fn write(&mut self, line: &str) {
        self.sender.text(line, None).unwrap();
        self.sender.write_to(&mut self.stream).unwrap();
    }

    /// Sends a line and returns the next event.
    fn ask(&mut self, line: &str) -> Value {
        self.write(line);
        self.next()
    }

    /// Sends a line and returns the next event of this type.
    fn ask_until(&mut self, line: &str, kind: &str) -> Value {
        self.write(line);
        loop {
            let event = self.next();
            if event["type"] == kind {
                return event;
            }
        }
    }

    #[track_caller]
    fn assert_refused(&mut self, line: &str, why: &str) {
        let answer = self.ask(line);
        assert_eq!(answer["type"], "error", "{answer}");
        assert!(answer["text"].as_str().unwrap().contains(why), "{answer}");
    }
}

#[test]
fn clients_of_all_versions_talk_in_a_room() {
    const SAID: [&str; 4] = ["hello", "👩‍👩‍👧‍👦 🏳️‍🌈 👍🏽", "שלום עולם", "\"two\"\nlines \\ \u{1}"];
    let chat = Chat::start();
    let mut peers = Vec::new();
    for version in Version::ALL {
        let (peer, arrival) = chat.join(version, &format!("/?room=tea&name=v{version}"));
        let mut here: Vec<_> = peers.iter().map(|(name, _): &(String, Peer)| name.clone()).collect();
        here.push(format!("v{version}"));
        here.sort_unstable();
        assert_eq!(
            arrival,
            json!({ "type": "room", "room": "tea", "you": format!("v{version}"), "here": here })
        );
        for (_, earlier) in &mut peers {
            assert_eq!(earlier.next(), json!({ "type": "joined", "name": format!("v{version}") }));
        }
        peers.push((format!("v{version}"), peer));
    }
    for index in 0..peers.len() {
        for text in SAID {
            peers[index].1.write(text);
            let said = json!({ "type": "said", "name": peers[index].0, "text": text });
            for (_, peer) in &mut peers {
                assert_eq!(peer.next(), said);
            }
        }
    }
    while let Some((name, peer)) = peers.pop() {
        drop(peer);
        for (_, other) in &mut peers {
            assert_eq!(other.next(), json!({ "type": "left", "name": name }));
        }
    }
}

#[test]
fn rooms_are_apart() {
    let chat = Chat::start();
    let (mut ada, arrival) = chat.join(Version::Rfc6455, "/?name=Ada");
    assert_eq!(arrival, json!({ "type": "room", "room": "lobby", "you": "Ada", "here": ["Ada"] }));
    let (mut grace, _) = chat.join(Version::Rfc6455, "/?name=Grace");
    assert_eq!(ada.next(), json!({ "type": "joined", "name": "Grace" }));
    let there = grace.ask("/room #Tea  Time");
    assert_eq!(there, json!({ "type": "room", "room": "tea-time", "you": "Grace", "here": ["Grace"] }));
    assert_eq!(ada.next(), json!({ "type": "left", "name": "Grace" }));
    assert_eq!(grace.ask("/room tea-time"), there, "she is in this room already");
    assert_eq!(grace.ask("psst"), json!({ "type": "said", "name": "Grace", "text": "psst" }));
    assert_eq!(ada.ask("/rooms"), json!({ "type": "rooms", "rooms": { "lobby": 1, "tea-time": 1 } }));
    // The empty room no longer exists.
    assert_eq!(grace.ask("/room lobby")["here"], json!(["Ada", "Grace"]));
    assert_eq!(ada.next(), json!({ "type": "joined", "name": "Grace" }));
    assert_eq!(ada.ask("/rooms"), json!({ "type": "rooms", "rooms": { "lobby": 2 } }));
    assert_eq!(ada.ask("/who")["here"], json!(["Ada", "Grace"]));
}

#[test]
fn names_are_unique_short_and_visible() {
    let chat = Chat::start();
    let (mut ada, _) = chat.join(Version::Rfc6455, "/?name=Ada+Lovelace");
    let (mut second, arrival) = chat.join(Version::Hybi00, "/?name=ada%20lovelace");
    assert_eq!(arrival["you"], "ada lovelace-2");
    assert_eq!(ada.next(), json!({ "type": "joined", "name": "ada lovelace-2" }));
    let (_guest, arrival) = chat.join(Version::Rfc6455, "/?name=%E2%80%AE&room=elsewhere");
    assert_eq!(arrival["you"], "guest");
    for wish in ["/name ADA LOVELACE", "/name guest"] {
        second.assert_refused(wish, "already");
    }
    for wish in ["/name", "/name \u{202e}", "/name a\u{200b}b", "/name 1234567890123456789012345"] {
        second.assert_refused(wish, "1 to 24 characters");
    }
    let renamed = json!({ "type": "renamed", "name": "ada lovelace-2", "to": "Žofie 🦉" });
    assert_eq!(second.ask("/name  Žofie   🦉 "), renamed);
    assert_eq!(ada.next(), renamed);
    // A client may change the case of its name, and may take a name that is free again.
    assert_eq!(second.ask("/name žofie 🦉")["type"], "renamed");
    assert_eq!(ada.next()["type"], "renamed");
    assert_eq!(ada.ask("/name Ada Lovelace-2")["type"], "renamed");
}

#[test]
fn answers_bad_input_with_errors() {
    let chat = Chat::start();
    let (mut ada, _) = chat.join(Version::Rfc6455, "/?name=Ada&name=&room=&%ff=%zz&&=");
    ada.assert_refused("", "nothing to say");
    ada.assert_refused("/say   ", "nothing to say");
    ada.assert_refused("/dance", "/dance");
    ada.assert_refused("/", "there is no /");
    ada.assert_refused("/room", "1 to 24");
    ada.assert_refused(&"é".repeat(2001), "2000 characters");
    assert_eq!(ada.ask(&"é".repeat(2000))["text"], "é".repeat(2000));
    assert_eq!(ada.ask("/say /say")["text"], "/say");
    assert_eq!(ada.ask("/ping 17"), json!({ "type": "pong", "text": "17" }));
    ada.sender.binary(&[0], None).unwrap();
    ada.sender.write_to(&mut ada.stream).unwrap();
    while ada.closed.is_none() {
        ada.read();
    }
    assert_eq!(ada.closed, Some(CloseCode::UNSUPPORTED));
    let (_, arrival) = chat.join(Version::Hybi00, "/?name=Ada");
    assert_eq!(arrival["type"], "room");
}

#[test]
fn lists_are_bounded() {
    let chat = Chat::start();
    let url = |number: usize| format!("/?name=n{number:03}&room=r{number:03}");
    let mut alone: Vec<_> = (0..107).map(|number| chat.join(Version::Rfc6455, &url(number)).0).collect();
    let rooms = alone[0].ask("/rooms");
    assert_eq!(rooms["rooms"].as_object().unwrap().len(), 100, "{rooms}");
    assert_eq!(
        (&rooms["rooms"]["r099"], &rooms["rooms"]["r100"], &rooms["more"]),
        (&json!(1), &Value::Null, &json!(7))
    );

    // The first 100 members are notified of each other, later members are not.
    let mut together: Vec<_> = (1..=104)
        .map(|number| chat.join(Version::Rfc6455, &format!("/?name=p{number:03}&room=big")))
        .collect();
    assert_eq!((&together[98].1["more"], &together[99].1["more"]), (&Value::Null, &Value::Null));
    let last = &together[103].1;
    assert_eq!(
        (last["here"].as_array().unwrap().len(), &last["more"], &last["you"]),
        (100, &json!(4), &json!("p104"))
    );
    for number in 2..=100 {
        assert_eq!(together[0].0.next(), json!({ "type": "joined", "name": format!("p{number:03}") }));
    }
    assert_eq!(together[0].0.ask("/who")["more"], 4, "no further notification came before");
    // Messages still go to all members.
    together[103].0.write("hello");
    assert_eq!(together[0].0.next()["text"], "hello");
    // Once the room is small again, departures are announced.
    while together.len() > 101 {
        drop(together.pop());
    }
    let stays = loop {
        let who = together[0].0.ask("/who");
        if who["more"] == 1 {
            break who["here"].as_array().unwrap().len();
        }
        std::thread::sleep(std::time::Duration::from_millis(200)); // within the rate limit
    };
    assert_eq!(stays, 100);
    together[100].0.ask_until("/room elsewhere", "room");
    assert_eq!(
        together[0].0.ask("/who")["more"],
        Value::Null,
        "a departure from a room of 101 is not announced"
    );
    together[99].0.ask_until("/room elsewhere", "room");
    assert_eq!(together[0].0.next(), json!({ "type": "left", "name": "p100" }));
}

#[test]
fn closes_a_client_that_writes_too_fast_after_an_error() {
    let chat = Chat::start();
    let (mut ada, _) = chat.join(Version::Rfc6455, "/?name=Ada");
    let (mut grace, _) = chat.join(Version::Rfc6455, "/?name=Grace");
    let start = std::time::Instant::now();
    for _ in 0..600 {
        grace.sender.text("/ping 1", None).unwrap();
    }
    grace.sender.write_to(&mut grace.stream).unwrap();
    while grace.closed.is_none() {
        assert!(start.elapsed() < PATIENCE, "the server did not close it");
        grace.read();
    }
    assert_eq!(grace.closed, Some(CloseCode::POLICY));
    // On a slow machine more messages are within the rate limit.
    let more = usize::try_from(start.elapsed().as_millis() / 100).unwrap() + 1;
    let pongs = grace.inbox.iter().filter(|event| event["type"] == "pong").count();
    let errors = grace.inbox.iter().filter(|event| event["type"] == "error").count();
    assert!((60..=60 + more).contains(&pongs), "{pongs} and {more}");
    assert!((1..=1 + more).contains(&errors), "{errors} and {more}");
    let text = grace.inbox.iter().find(|event| event["type"] == "error").unwrap()["text"].as_str().unwrap();
    assert!(text.contains("too fast"), "{text}");
    // The server need not wait for an answer to its close frame.
    drop(grace);
    // Other members are not affected.
    assert_eq!(ada.next()["type"], "joined");
    assert_eq!(ada.next(), json!({ "type": "left", "name": "Grace" }));
    assert_eq!(ada.ask("/ping 2")["text"], "2");
}

#[test]
fn appends_numbers_to_taken_names() {
    let chat = Chat::start();
    let names: Vec<_> = (0..13).map(|_| chat.join(Version::Rfc6455, "/?name=Ada&room=a")).collect();
    for (number, (_, arrival)) in names.iter().enumerate().skip(1) {
        assert_eq!(arrival["you"], format!("Ada-{}", number + 1));
    }
}

#[test]
fn serves_the_pages_on_the_same_port() {
    let chat = Chat::start();
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/?room=tea", "text/html; charset=utf-8"),
        ("/chat.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = chat.get(&format!("GET {path} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
        assert!(answer.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{path}");
        assert!(answer.contains("\r\nContent-Security-Policy: default-src 'none'; "), "{path}");
    }
    assert!(chat.get("GET /chat.rs HTTP/1.1").starts_with("HTTP/1.1 404 "));
    let post = chat.get("POST / HTTP/1.1");
    assert!(
        post.starts_with("HTTP/1.1 405 ") && post.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"),
        "{post}"
    );
    // haproxy's default check, and a request with nginx's default protocol version.
    for line in ["OPTIONS / HTTP/1.0", "OPTIONS * HTTP/1.1"] {
        let options = chat.get(line);
        assert!(
            options.starts_with("HTTP/1.1 204 ") && options.contains("\r\nAllow: GET, HEAD, OPTIONS\r\n"),
            "{options}"
        );
    }
    assert!(chat.get("GET / HTTP/1.0").starts_with("HTTP/1.1 200 "));
    let head = chat.get("HEAD / HTTP/1.1");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
}
