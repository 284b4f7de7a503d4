//! The rules of HTTP over real sockets: versions, empty lines, `HEAD`, hosts, expectations and
//! unread bodies.

use std::io::{Read, Write};

use crate::common;
use crate::common::{ALL_VERSIONS, Running, read_to_end};
use clws_handshake::CONTINUE;
use clws_handshake::client::ClientRequest;
use clws_server::{Client, Config, HttpResponse, Origins, Resource, Server, Text, Version};

in_both_modes!(
    serves_pages_for_all_minor_versions,
    accepts_handshakes_of_http_1_1_and_later,
    skips_empty_lines_before_a_request,
    no_response_to_head_has_a_body,
    rejects_invalid_hosts,
    answers_expectations,
    answers_a_draft_0_client_that_waits_for_100,
    discards_request_bodies,
    accepts_other_request_targets,
    every_response_has_a_date,
);

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }
}

/// A server with a page for each status, or without an HTTP hook.
fn start(config: Config, has_pages: bool) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    if has_pages {
        server.resources().http(|request| match request.path().strip_prefix("/status/") {
            Some(status) => HttpResponse::text(status.parse().unwrap(), "content"),
            None => HttpResponse::text(200, format!("{} {}", request.path(), request.host())),
        });
    }
    Running::run(server)
}

/// Sends a request and reads to the end. Returns the status, the response head and the body.
#[track_caller]
fn ask(server: &Running, request: &str) -> (u16, String, String) {
    let mut stream = server.tcp();
    let mut request = request.to_owned();
    // Only these requests can be kept alive. They have no body, so the last empty line is their end.
    if request.trim_start().starts_with(['G', 'H'])
        && let Some(end) = request.rfind("\r\n\r\n")
    {
        request.insert_str(end, "\r\nConnection: close");
    }
    stream.write_all(request.as_bytes()).unwrap();
    let (answer, ended_well) = read_to_end(&mut stream);
    assert!(ended_well, "the connection was reset");
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(head.starts_with("HTTP/1.1 "), "{head}");
    let connection = head.lines().find_map(|line| line.strip_prefix("Connection: ")).unwrap();
    assert!(connection.ends_with("close"), "{head}");
    (head[9..12].parse().unwrap(), format!("{head}\r\n"), body.to_owned())
}

/// An opening handshake of the version.
fn handshake(version: Version) -> String {
    let request = ClientRequest::new(version, "ws://server/").origin("http://here");
    let bytes = request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap().0;
    String::from_utf8(bytes).unwrap()
}

/// Sends a handshake and checks that the response opens a connection that echoes. Returns the
/// response head.
#[track_caller]
fn opens(server: &Running, version: Version, request: &str) -> String {
    let mut stream = server.tcp();
    stream.set_read_timeout(Some(common::TIMEOUT)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") || head == CONTINUE {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.contains("HTTP/1.1 101 "), "{head}");
    let hixie = version.is_hixie();
    let digest = if version == Version::Hybi00 { 16 } else { 0 };
    let mut frame = vec![0; digest + 4];
    let sent = if hixie { &b"\x00hi\xff"[..] } else { b"\x81\x82\0\0\0\0hi" };
    stream.write_all(sent).unwrap();
    stream.read_exact(&mut frame).unwrap();
    assert!(frame.ends_with(if hixie { b"\x00hi\xff" } else { b"\x81\x02hi" }));
    head
}

fn serves_pages_for_all_minor_versions(config: Config) {
    let server = start(config, true);
    // The default requests of nginx and haproxy.
    assert_eq!(ask(&server, "GET /a HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n").2, "/a a");
    assert_eq!(ask(&server, "OPTIONS /a HTTP/1.0\r\n\r\n").2, "/a ");
    for minor in 1..=9 {
        assert_eq!(ask(&server, &format!("GET /a HTTP/1.{minor}\r\nHost: a\r\n\r\n")).2, "/a a");
    }
    for version in ["HTTP/0.9", "HTTP/2.0", "HTTP/3.7"] {
        assert_eq!(ask(&server, &format!("GET / {version}\r\nHost: a\r\n\r\n")).0, 505, "{version}");
    }
    assert_eq!(ask(&server, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").0, 505);
    for line in ["GET /", "GET / HTTP/1", "GET / http/1.1", "GET / HTTP/1.10"] {
        assert_eq!(ask(&server, &format!("{line}\r\nHost: a\r\n\r\n")).0, 400, "{line}");
    }
}

fn accepts_handshakes_of_http_1_1_and_later(config: Config) {
    for has_pages in [true, false] {
        let server = start(config.clone(), has_pages);
        for version in ALL_VERSIONS {
            opens(&server, version, &handshake(version).replacen("HTTP/1.1", "HTTP/1.2", 1));
            let (status, _, body) = ask(&server, &handshake(version).replacen("HTTP/1.1", "HTTP/1.0", 1));
            assert_eq!(status, 400);
            assert!(body.contains("HTTP/1.1"), "{body}");
        }
    }
}

fn skips_empty_lines_before_a_request(config: Config) {
    let server = start(config, true);
    for lines in ["\r\n", "\r\n\r\n", &"\r\n".repeat(1000)] {
        assert_eq!(ask(&server, &format!("{lines}GET /a HTTP/1.1\r\nHost: a\r\n\r\n")).2, "/a a");
        for version in ALL_VERSIONS {
            opens(&server, version, &format!("{lines}{}", handshake(version)));
        }
    }
    assert_eq!(ask(&server, &"\r\n".repeat(100_000)).0, 431);
    assert_eq!(ask(&server, "\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n").0, 400);
}

fn no_response_to_head_has_a_body(config: Config) {
    for has_pages in [true, false] {
        let server = start(config.clone(), has_pages);
        for rest in [
            "/ HTTP/1.1\r\nHost: a",
            "/ HTTP/1.0",
            "/status/404 HTTP/1.1\r\nHost: a",
            "/ HTTP/1.1",
            "/ HTTP/1.1\r\nHost: a:b",
            "/ HTTP/2.0\r\nHost: a",
            "/ HTTP/1.1\r\nHost: a\r\n folded",
            "/ HTTP/1.1\r\nHost: a\r\nExpect: x",
            "x HTTP/1.1\r\nHost: a",
        ] {
            let (status, head, body) = ask(&server, &format!("GET {rest}\r\n\r\n"));
            assert!(!body.is_empty());
            let head_response = ask(&server, &format!("HEAD {rest}\r\n\r\n"));
            let undated = |head: &str| {
                head.lines().filter(|line| !line.starts_with("Date")).collect::<Vec<_>>().join("\n")
            };
            assert_eq!(
                (head_response.0, undated(&head_response.1), &*head_response.2),
                (status, undated(&head), ""),
                "{rest}"
            );
        }
        let long = format!("HEAD /{} HTTP/1.1\r\n", "x".repeat(20_000));
        assert_eq!((ask(&server, &long).0, &*ask(&server, &long).2), (414, ""));
    }
    let server = start(config, true);
    for method in ["GET", "HEAD", "POST"] {
        for status in [204, 205, 304] {
            let (got, head, body) =
                ask(&server, &format!("{method} /status/{status} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!((got, &*body), (status, ""));
            assert_eq!(head.contains("\r\nContent-Length: 0\r\n"), status == 205, "{head}");
            assert_eq!(head.contains("\r\nContent-Length"), status == 205, "{head}");
        }
    }
}

fn rejects_invalid_hosts(config: Config) {
    let server = start(config, true);
    for host in ["a:b:c", "]:[", "%zz", ":", "", "a:99999999", "u@a", "[::1", "[::g]", "a b"] {
        let page = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(ask(&server, &page).0, 400, "{host}");
        let page = format!("GET http://{}/ HTTP/1.1\r\nHost: a\r\n\r\n", host.replace(' ', "@"));
        assert_eq!(ask(&server, &page).0, 400, "{host}");
        let handshake = handshake(Version::Rfc6455).replacen("Host: server", &format!("Host: {host}"), 1);
        assert_eq!(ask(&server, &handshake).0, 400, "{host}");
    }
    for host in ["a:", "[::1]:80", "%41", "a_b:65535"] {
        assert_eq!(ask(&server, &format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).2, format!("/ {host}"));
        let handshake = handshake(Version::Rfc6455).replacen("Host: server", &format!("Host: {host}"), 1);
        opens(&server, Version::Rfc6455, &handshake);
    }
}

fn answers_expectations(config: Config) {
    let server = start(config, true);
    let expecting = |version| handshake(version).replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    for version in ALL_VERSIONS {
        let head = opens(&server, version, &expecting(version));
        assert!(head.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 "), "{head}");
        assert!(opens(&server, version, &handshake(version)).starts_with("HTTP/1.1 101 "));
    }
    // A final response needs no interim response.
    let refused = expecting(Version::Rfc6455).replacen("GET /", "GET /none", 1);
    assert_eq!(ask(&server, &refused).0, 404);
    let post = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n";
    assert_eq!(ask(&server, post).0, 200);
    assert_eq!(ask(&server, &post.replace("100-continue", "200-ok")).0, 417);
    assert_eq!(ask(&server, &post.replace("1.1", "1.0").replace("100-continue", "200-ok")).0, 200);
}

fn answers_a_draft_0_client_that_waits_for_100(config: Config) {
    let server = start(config, false);
    let request = handshake(Version::Hybi00).replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let (head, body) = request.split_at(request.len() - 8);
    let mut stream = server.tcp();
    stream.set_read_timeout(Some(common::TIMEOUT)).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = vec![0; CONTINUE.len()];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(interim, CONTINUE);
    stream.write_all(body.as_bytes()).unwrap();
    let mut status = [0; 13];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 101 ");
}

fn discards_request_bodies(config: Config) {
    let server = start(config, true);
    let post = |lines: &str, body: &str| {
        ask(&server, &format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n{body}"))
    };
    let big = "x".repeat(300_000);
    assert_eq!(post("Content-Length: 300000", &big).0, 200);
    assert_eq!(post("Transfer-Encoding: chunked", &format!("493E0\r\n{big}\r\n0\r\n\r\n")).0, 200);
    for bad in [
        "Content-Length: x",
        "Content-Length: 1\r\nContent-Length: 2",
        "Transfer-Encoding: chunked, gzip",
        "Content-Length: 300000\r\nTransfer-Encoding: chunked",
    ] {
        assert_eq!(post(bad, &big).0, 400, "{bad}");
    }
    assert_eq!(post("Transfer-Encoding: gzip, chunked", &big).0, 501);
    // Data after the request is discarded. It is never read as another request.
    let (_, _, body) = post("Content-Length: 0", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(body, "/ a");
}

fn accepts_other_request_targets(config: Config) {
    let server = start(config, true);
    assert_eq!(ask(&server, "GET http://b:1/x?y HTTP/1.1\r\nHost: a\r\n\r\n").2, "/x b:1");
    assert_eq!(ask(&server, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").2, "* a");
    assert_eq!(ask(&server, "GET * HTTP/1.1\r\nHost: a\r\n\r\n").0, 400);
    let (status, head, _) = ask(&server, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    assert!(status == 405 && head.contains("\r\nAllow: GET\r\n"), "{head}");
    assert_eq!(ask(&server, "CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n").0, 400);
}

fn every_response_has_a_date(config: Config) {
    let server = start(config.max_clients(1), true);
    let client = server.connect(Version::Rfc6455, "/");
    let full = ask(&server, "");
    assert_eq!(full.0, 503);
    drop(client);
    server.wait_for_clients(0);
    let answers = ["/ HTTP/1.1\r\nHost: a", "/status/304 HTTP/1.1\r\nHost: a", "/ HTTP/1.1"]
        .map(|rest| ask(&server, &format!("GET {rest}\r\n\r\n")));
    for (_, head, _) in answers.into_iter().chain([full]) {
        let date = head.lines().find_map(|line| line.strip_prefix("Date: ")).expect(&head);
        assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
    }
}
