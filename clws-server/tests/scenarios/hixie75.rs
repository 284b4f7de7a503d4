//! Clients of hixie-75 (Chrome 4, Safari 5.0.0) over real sockets: raw bytes, and ends of
//! connections.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::common;
use crate::common::{Callback, Peer, Probe, Received, Running, text};
use clws_handshake::client::ClientRequest;
use clws_server::{
    Accept, Client, CloseCode, Config, Opening, Origins, Reject, Resource, SendError, SendOptions, Server,
    SharedMessage, Text, Version,
};

in_both_modes!(
    a_conversation_matches_byte_by_byte,
    hixie75_is_off_by_default,
    origins_are_checked,
    accept_sets_the_response_headers,
    closed_by_the_client,
    closed_by_the_application,
    closed_by_a_handler_after_queued_messages,
    a_client_that_does_not_end_its_side_is_dropped,
    closed_when_the_server_stops,
    unsupported_sends_fail,
    works_together_with_all_other_versions,
);

/// Sends the request of Chrome 4 for `new WebSocket("ws://127.0.0.1:PORT/?x")` on a page of
/// example.com. Returns the expected response.
fn chrome_4(server: &Running) -> (TcpStream, String) {
    let (mut stream, address) = (server.tcp(), server.address());
    let request = format!(
        "GET /?x HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: {address}\r\n\
         Origin: http://example.com\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let answer = format!(
        "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
         WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://{address}/?x\r\n\r\n"
    );
    (stream, answer)
}

#[track_caller]
fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    stream.read_exact(&mut read).unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(expected));
}

#[track_caller]
fn expect_end(stream: &mut TcpStream) {
    assert_eq!(common::read_to_end(stream), (Vec::new(), true));
}

fn a_conversation_matches_byte_by_byte(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut stream, answer) = chrome_4(&server);
    expect(&mut stream, answer.as_bytes());
    let client = recorder.connected();
    assert_eq!((client.websocket_version(), client.websocket_version().number()), (Version::Hixie75, 75));
    assert_eq!((client.origin(), client.query_string()), (Some("http://example.com"), Some("x")));
    // 0xFF 0x00 is a close only in hixie-76. Hixie-75 discards it, as it discards frames of other
    // types.
    stream.write_all(b"\x00one\xFF\xFF\x00\x80\x01?\x42?\xFF\x00\xe6\xb0\xb4\xFF\x00\xFF").unwrap();
    expect(&mut stream, b"\x00one\xFF\x00\xe6\xb0\xb4\xFF\x00\xFF");
    assert!(client.is_open());
    drop(stream);
    assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
    server.wait_for_clients(0);
}

fn hixie75_is_off_by_default(config: Config) {
    assert!(!Config::default().protocol_75_support);
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.protocol_75_support(false), probe);
    let (mut stream, _) = chrome_4(&server);
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthe Sec-WebSocket-Version header is missing"), "{answer}");
    // Draft 0 has a separate setting.
    server.connect(Version::Hybi00, "/").assert_echo("still here");
    assert_eq!(recorder.count(|callback| matches!(callback, Callback::Connected(_))), 1);
}

fn origins_are_checked(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (probe, _) = Probe::new();
    server.resources().register_shared("/", Origins::exact(["http://good.example"]), probe).unwrap();
    let server = Running::run(server);
    let connect = |origin: &str| {
        let url = format!("ws://{}/", server.address());
        Peer::open(server.tcp(), Version::Hixie75, ClientRequest::new(Version::Hixie75, &url).origin(origin))
    };
    assert_eq!(connect("http://bad.example").err(), Some(403));
    connect("http://good.example").unwrap().assert_echo("welcome");
}

struct Answers;

impl Resource for Answers {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("chat") => Ok(Accept::new().subprotocol("chat").header("Set-Cookie", "a=b")),
            Some("proxy") => {
                Ok(Accept::new().hixie_location("wss://public/").hixie_origin("http://here.example"))
            }
            Some("tls") => Ok(Accept::new().hixie_secure(true)),
            _ => Err(Reject::forbidden("no")),
        }
    }

    fn text(&self, _: &Client, _: Text<'_>) {}
}

fn accept_sets_the_response_headers(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Answers).unwrap();
    let server = Running::run(server);
    let request = |target: &str, subprotocol: &str| {
        let mut stream = server.tcp();
        let request = format!(
            "GET {target} HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: h\r\n\
             Origin: http://here.example\r\n{subprotocol}\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            answer.push(byte[0]);
        }
        String::from_utf8(answer).unwrap()
    };
    let begin = "HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
        WebSocket-Origin: http://here.example\r\nWebSocket-Location: ";
    assert_eq!(
        request("/?chat", "WebSocket-Protocol: chat\r\n"),
        format!("{begin}ws://h/?chat\r\nWebSocket-Protocol: chat\r\nSet-Cookie: a=b\r\n\r\n")
    );
    assert_eq!(request("/?proxy", ""), format!("{begin}wss://public/\r\n\r\n"));
    assert_eq!(request("/?tls", ""), format!("{begin}wss://h/?tls\r\n\r\n"));
    assert!(request("/", "").starts_with("HTTP/1.1 403 "));
    assert!(request("/?chat", "").starts_with("HTTP/1.1 500 "), "chosen without being offered");
}

fn closed_by_the_client(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    // After a half-close, the client still gets queued data.
    let (mut stream, answer) = chrome_4(&server);
    stream.write_all(b"\x00last\xFF").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    expect(&mut stream, &[answer.as_bytes(), b"\x00last\xFF"].concat());
    expect_end(&mut stream);
    assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
    // A connection that ends within a frame is not a clean close.
    for partial in [&b"\x00half"[..], b"\x00", b"\xFF"] {
        let (mut stream, answer) = chrome_4(&server);
        expect(&mut stream, answer.as_bytes());
        stream.write_all(partial).unwrap();
        drop(stream);
        assert_eq!(recorder.disconnected(), (1006, String::new(), "vanished".into()), "{partial:x?}");
    }
    server.wait_for_clients(0);
}

fn closed_by_the_application(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    for _ in 0..20 {
        let (mut stream, answer) = chrome_4(&server);
        expect(&mut stream, answer.as_bytes());
        let client = recorder.connected();
        // From a thread other than the client's shard.
        client.send_text("bye").unwrap();
        client.close((CloseCode::new(4001), "that is all"));
        assert_eq!(client.send_text("after the close"), Err(SendError::Closed));
        expect(&mut stream, b"\x00bye\xFF");
        expect_end(&mut stream);
        // The server has ended its side, but the client has not. The server discards further input,
        // and does not reset.
        stream.write_all(b"\x00not delivered\xFF").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
        server.wait_for_clients(0);
    }
}

fn closed_by_a_handler_after_queued_messages(config: Config) {
    const SIZE: usize = 1 << 20;
    let (probe, recorder) = Probe::with(|client, _| {
        for _ in 0..8 {
            client.send_text(&"x".repeat(SIZE)).unwrap();
        }
        client.close(CloseCode::NORMAL);
    });
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Hixie75, "/");
    peer.text("go");
    let client = recorder.connected();
    common::eventually("the client is closed", || !client.is_open());
    // All queued messages arrive before the end.
    for _ in 0..8 {
        assert!(peer.next() == Received::Text("x".repeat(SIZE)));
    }
    assert_eq!(peer.next(), Received::Close(None));
    peer.finish();
    assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
}

fn a_client_that_does_not_end_its_side_is_dropped(config: Config) {
    let (probe, recorder) = Probe::with(|client, _| client.close(CloseCode::NORMAL));
    let server = Running::start(config.close_timeout(Duration::from_millis(150)), probe);
    let (mut stream, answer) = chrome_4(&server);
    stream.write_all(b"\x00go\xFF").unwrap();
    expect(&mut stream, answer.as_bytes());
    expect_end(&mut stream);
    assert_eq!(recorder.disconnected(), (1006, String::new(), "did not answer a close frame".into()));
    server.wait_for_clients(0);
}

fn closed_when_the_server_stops(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let (mut stream, answer) = chrome_4(&server);
    expect(&mut stream, answer.as_bytes());
    recorder.connected();
    server.handle.stop();
    expect_end(&mut stream);
    drop(stream);
    server.wait().unwrap();
    assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
}

fn unsupported_sends_fail(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Hixie75, "/");
    let client = recorder.connected();
    assert_eq!(client.send_binary(b"x"), Err(SendError::Unsupported));
    assert_eq!(client.send(SharedMessage::binary(&b"x"[..])), Err(SendError::Unsupported));
    assert_eq!(client.ping(b""), Err(SendError::Unsupported));
    assert_eq!(client.pong(b""), Err(SendError::Unsupported));
    client.send_with("in one frame", SendOptions::new().frame_size(1)).unwrap();
    assert_eq!(peer.next(), text("in one frame"));
}

fn works_together_with_all_other_versions(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers = common::ALL_VERSIONS.map(|version| server.connect(version, "/"));
    let clients = common::ALL_VERSIONS.map(|_| recorder.connected());
    let message = SharedMessage::text("to all of you");
    assert!(clws_server::send_to(&clients, &message).is_complete());
    assert_eq!(message.encodings(), 2, "hixie-75 and draft 0 share an encoding");
    for peer in &mut peers {
        assert_eq!(peer.next(), text("to all of you"));
    }
    let delivery = clws_server::send_to(&clients, &b"binary"[..]);
    assert_eq!((delivery.sent, delivery.failed.len()), (3, 2));
}
