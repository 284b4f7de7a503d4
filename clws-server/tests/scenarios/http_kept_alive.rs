//! HTTP connections that are kept alive, over real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use clws_server::{Client, Config, Drain, HandshakeOutcome, HttpResponse, Origins, Resource, Server, Text};

use crate::common::{Running, TIMEOUT, eventually, read_to_end};

in_both_modes!(
    a_page_its_assets_and_a_websocket_come_in_one_write,
    requests_come_while_a_big_page_is_written,
    many_long_requests_come_in_one_write,
    a_client_may_end_its_side_after_its_requests,
    an_idle_connection_is_closed_without_an_answer,
    a_stop_and_a_drain_close_idle_connections,
    a_kept_connection_counts_toward_the_clients,
    a_slow_reader_of_a_big_page_is_dropped,
);

const BIG: usize = 5_000_000;

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }
}

fn start(config: Config) -> Running {
    run(Server::bind(config.listen("127.0.0.1:0")).unwrap())
}

fn run(server: Server) -> Running {
    server.resources().register("/echo", Origins::any(), Echo).unwrap();
    server.resources().http(|request| match request.path() {
        "/big" => HttpResponse::new(200).body("text/plain", vec![b'x'; BIG]),
        path => HttpResponse::text(200, path.to_owned()),
    });
    Running::run(server)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn handshake() -> String {
    "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_owned()
}

/// A client that reads responses one by one.
struct Browser<S = TcpStream>(BufReader<S>);

impl Browser {
    fn open(server: &Running) -> Self {
        let stream = server.tcp();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        Self(BufReader::new(stream))
    }
}

impl<S: Read + Write> Browser<S> {
    fn write(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Reads a response. Returns its head and its body.
    #[track_caller]
    fn response(&mut self) -> (String, Vec<u8>) {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.0.read_line(&mut head).unwrap(), 0, "the connection has ended: {head:?}");
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
        self.0.read_exact(&mut body).unwrap();
        (head, body)
    }

    #[track_caller]
    fn expect(&mut self, path: &str) {
        let (head, body) = self.response();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n"), "{head}");
        assert!(if path == "/big" { body.len() == BIG } else { body == path.as_bytes() }, "{path}");
    }

    /// Reads to the end, and expects no further byte.
    #[track_caller]
    fn expect_end(&mut self) {
        assert_eq!(read_to_end(&mut self.0), (Vec::new(), true));
    }
}

fn a_page_its_assets_and_a_websocket_come_in_one_write(config: Config) {
    let server = start(config);
    let mut browser = Browser::open(&server);
    let requests = [get("/a"), get("/big"), get("/b"), handshake()].concat();
    browser.write(&[requests.as_bytes(), b"\x81\x82\0\0\0\0hi"].concat());
    for path in ["/a", "/big", "/b"] {
        browser.expect(path);
    }
    let (head, _) = browser.response();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut echo = [0; 4];
    browser.0.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"\x81\x02hi");
    let stats = server.handle.stats();
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Http), 3);
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Accepted), 1);
}

fn requests_come_while_a_big_page_is_written(config: Config) {
    let server = start(config);
    let mut browser = Browser::open(&server);
    for _ in 0..3 {
        browser.write(get("/big").as_bytes());
        eventually("the first byte", || browser.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty()));
        browser.write(get("/a").as_bytes());
        browser.expect("/big");
        browser.expect("/a");
    }
}

/// More requests than one read takes.
fn ask_much(mut browser: Browser<impl Read + Write>) {
    let cookie = format!("\r\nCookie: {}\r\n\r\n", "x".repeat(7_001));
    let paths: Vec<_> = (0..50).map(|index| format!("/{index}")).collect();
    let requests: String = paths.iter().map(|path| get(path).replace("\r\n\r\n", &cookie)).collect();
    browser.write(requests.as_bytes());
    for path in &paths {
        browser.expect(path);
    }
    browser.write(get("/big").repeat(2).as_bytes());
    browser.expect("/big");
    browser.expect("/big");
}

fn many_long_requests_come_in_one_write(config: Config) {
    ask_much(Browser::open(&start(config.clone())));
    #[cfg(feature = "tls")]
    {
        use crate::common::tls::{Identity, connect};
        let identity = Identity::new("localhost");
        let server = Server::builder(config.listen("127.0.0.1:0")).tls(identity.tls()).bind().unwrap();
        let server = run(server);
        let stream = connect(&server, identity.client(), "localhost");
        stream.sock.set_read_timeout(Some(TIMEOUT)).unwrap();
        ask_much(Browser(BufReader::new(stream)));
    }
}

fn a_client_may_end_its_side_after_its_requests(config: Config) {
    let server = start(config);
    for paths in [&["/a"][..], &["/a", "/b"], &["/big", "/a", "/big"]] {
        let mut browser = Browser::open(&server);
        browser.write(paths.iter().map(|path| get(path)).collect::<String>().as_bytes());
        browser.0.get_ref().shutdown(Shutdown::Write).unwrap();
        for path in paths {
            browser.expect(path);
        }
        browser.expect_end();
    }
    eventually("the end of the connections", || server.handle.clients() == 0);
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::Abandoned), 0);
}

fn an_idle_connection_is_closed_without_an_answer(config: Config) {
    let server = start(config.handshake_timeout(Duration::from_millis(300)));
    let mut browser = Browser::open(&server);
    browser.write(get("/a").as_bytes());
    browser.expect("/a");
    browser.expect_end();
    drop(browser);
    eventually("the end of the connection", || server.handle.clients() == 0);
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::TimedOut), 0);
}

fn a_stop_and_a_drain_close_idle_connections(config: Config) {
    for drains in [true, false] {
        let server = start(config.clone());
        let mut browser = Browser::open(&server);
        browser.write(get("/a").as_bytes());
        browser.expect("/a");
        if drains {
            server.handle.drain(Drain::new().within(10 * TIMEOUT));
        } else {
            server.handle.stop();
        }
        browser.expect_end();
        drop(browser);
        server.wait().unwrap();
    }
}

fn a_kept_connection_counts_toward_the_clients(config: Config) {
    let server = start(config.max_clients_per_ip(1));
    let mut browser = Browser::open(&server);
    browser.write(get("/a").as_bytes());
    browser.expect("/a");
    let mut another = Browser::open(&server);
    another.write(get("/b").as_bytes());
    assert!(another.response().0.starts_with("HTTP/1.1 429 "));
    browser.write(get("/a").as_bytes());
    browser.expect("/a");
    drop(browser);
    eventually("the end of the connection", || server.handle.clients() == 0);
}

fn a_slow_reader_of_a_big_page_is_dropped(config: Config) {
    let server = start(config.write_timeout(Duration::from_millis(300)));
    let mut browser = Browser::open(&server);
    browser.write(get("/big").repeat(4).as_bytes());
    eventually("the first byte", || browser.0.fill_buf().is_ok_and(|bytes| !bytes.is_empty()));
    // It reads nothing more, and the system's buffers take less than four pages.
    eventually("the deadline", || server.handle.clients() == 0);
    assert!(read_to_end(&mut browser.0).0.len() < 4 * BIG);
}
