//! The example `client`, against the example `echo` and against misbehaving servers.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::thread;

use crate::common::{client, connected, once, serve};
use clws_handshake::{Acceptance, HandshakeLimits, Status, parse};

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

#[test]
fn shows_sent_and_received_frames_in_every_version() {
    let (_server, url) = serve(ECHO, &["--hixie", "--hixie-75"]);
    for version in ["75", "0", "7", "8", "13"] {
        let mut client = connected(&format!("{url}/echo"), &["--version", version]);
        client.say("gr\u{fc}\u{df} \u{1f600}");
        assert_eq!(client.line(), "> text 11 gr\u{fc}\u{df} \u{1f600}");
        assert_eq!(client.line(), "< text 11 gr\u{fc}\u{df} \u{1f600}");
        client.say("//bell \u{7}");
        assert_eq!(client.line(), "> text 7 /bell \\u{7}");
        assert_eq!(client.line(), "< text 7 /bell \\u{7}");
        if ["75", "0"].contains(&version) {
            client.say("/ping x");
            assert_eq!(client.line(), "! not sent: this protocol version has only text messages");
        } else {
            client.say("/binary 00 ffA0");
            assert_eq!(client.line(), "> binary 3 00 ff a0");
            assert_eq!(client.line(), "< binary 3 00 ff a0");
            client.say("/ping are you there?");
            assert_eq!(client.line(), "> ping 14 are you there?");
            assert_eq!(client.line(), "< pong 14 are you there?");
        }
        let close = match version {
            "75" => "end",
            "0" => "close without a code",
            _ => "close 1000",
        };
        let (status, rest) = client.finish();
        assert_eq!(rest, [format!("> {close}"), format!("< {close}")], "version {version}");
        assert!(status.success(), "version {version}");
    }
}

#[test]
fn sends_a_given_close_frame() {
    let (_server, url) = serve(ECHO, &[]);
    let mut client = connected(&url, &[]);
    client.say("/close 4001 enough of this");
    assert_eq!(client.line(), "> close 4001 enough of this");
    assert_eq!(client.line(), "< close 4001");
    assert!(client.finish().0.success());
}

#[test]
fn reports_invalid_commands_and_continues() {
    let (_server, url) = serve(ECHO, &[]);
    let mut client = connected(&url, &[]);
    for (line, shown) in [
        ("/binary 0", "! not hexadecimal: 0"),
        ("/binary +1", "! not hexadecimal: +1"),
        ("/close x", "! x: invalid digit found in string"),
        ("/close 1005", "! not sent: close code 1005 must not be sent"),
        ("/quit", "! there is no /quit; /help lists the commands"),
        ("still here", "> text 10 still here"),
    ] {
        client.say(line);
        assert_eq!(client.line(), shown);
    }
    assert_eq!(client.line(), "< text 10 still here");
}

#[test]
fn once_prints_only_the_answer() {
    let (_server, url) = serve(ECHO, &["--hixie", "--hixie-75"]);
    for version in ["75", "0", "7", "8", "13"] {
        assert_eq!(once(&url, "hello", &["--version", version]), (true, "hello".to_owned()), "{version}");
    }
}

#[test]
fn reports_a_rejection_with_status_and_body() {
    let (_server, url) = serve(ECHO, &["--origin", "https://good.example"]);
    let (good, said) = once(&format!("{url}/nowhere"), "x", &[]);
    assert!(!good && said.contains("404 Not Found: there is nothing at this path"), "{said}");
    let (good, said) = once(&url, "x", &["--origin", "https://bad.example"]);
    assert!(!good && said.contains("403 Forbidden: "), "{said}");
    assert!(once(&url, "x", &["--origin", "https://good.example"]).0);
    let (good, said) = once(&url, "x", &["--origin", "https://good.example", "--version", "0"]);
    assert!(!good && said.contains("the server answered 426 Upgrade Required: "), "{said}");
    let (good, said) = once(&url, "x", &["--origin", "https://good.example", "--version", "75"]);
    assert!(!good && said.contains("the server answered 400 Bad Request: "), "{said}");
}

#[test]
fn verbose_shows_the_handshake() {
    let (_server, url) = serve(ECHO, &[]);
    let args = ["-v", "--subprotocol", "a", "--subprotocol", "b", "--header", "X-Id: 1", "--cookie", "c=1"];
    let (status, lines) = client(&url, &[&args[..], &["--cookie", "d=2"]].concat()).finish();
    assert!(status.success());
    for line in [
        "! > GET / HTTP/1.1",
        "! > Sec-WebSocket-Protocol: a, b",
        "! > X-Id: 1",
        "! > Cookie: c=1; d=2",
        "! < HTTP/1.1 101 Switching Protocols",
        "connected, version 13",
    ] {
        assert!(lines.iter().any(|said| said == line), "{line} is not in {lines:#?}");
    }
}

#[test]
fn leaves_a_server_that_fails_the_handshake() {
    const SILENT: &str = "client: the server did not answer in time";
    for (answer, error) in [
        (&b""[..], SILENT),
        (b"HTTP/1.1 200 OK\r\n\r\nhello\nthere", "client: the server answered 200 OK: hello\\nthere"),
        (b"SSH-2.0-x\r\n", "client: the response is not valid HTTP/1.1: the status line"),
        (
            b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "client: the Sec-WebSocket-Accept header of the response is missing or wrong",
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer).unwrap();
            let _ = stream.read_to_end(&mut Vec::new()); // until the client disconnects
        });
        let patience = if error == SILENT { "1" } else { "20" };
        let (good, said) = once(&url, "x", &["--timeout", patience]);
        assert!(!good);
        assert_eq!(said.trim_start_matches("! "), error);
    }
}

#[test]
fn shows_the_frames_of_a_misbehaving_server() {
    for (frames, shown, good) in [
        (&b"\x88\x00"[..], &["< close without a code", "> close without a code"][..], true),
        (b"\x88\x05\x0f\xa0bye", &["< close 4000 bye", "> close 4000"], true),
        (b"\x89\x02\x00\xff", &["< ping 2 00 ff", "> pong 2 00 ff"], false),
        (b"\x01\x02fr\x80\x05\x1bagm.", &["< text 7 fr\\u{1b}agm."], false),
        (b"\x81\x81aaaa!", &["> close 1002", "! client: the server violated the protocol: "], false),
        (b"\x82\x01\x07", &["< binary 1 07"], false),
        (b"", &["! client: the connection ended without the server's close frame"], false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
            let answer = loop {
                let count = stream.read(&mut buffer).unwrap();
                request.extend_from_slice(&buffer[..count]);
                if let Status::Complete(request) = parse(&request, &HandshakeLimits::default()).unwrap() {
                    break request.accept(&Acceptance::new()).unwrap().response;
                }
            };
            stream.write_all(&[&answer, frames].concat()).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let _ = stream.read_to_end(&mut Vec::new()); // until the client disconnects
        });
        let (status, lines) = client(&url, &[]).ended();
        for line in shown {
            assert!(lines.iter().any(|said| said.starts_with(line)), "{line} is not in {lines:#?}");
        }
        assert_eq!(status.success(), good, "{lines:#?}");
    }
}
