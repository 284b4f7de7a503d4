//! The example `with_axum`: a page, a JSON route and a WebSocket on one port.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::common::{PATIENCE, Program, client, connected, once};

fn start() -> (Program, String) {
    let server = Program::start(env!("CARGO_BIN_EXE_with_axum"), &["--listen", "127.0.0.1:0"]);
    let line = server.until("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
    (server, address)
}

/// Requests a path. Returns the response in lower case, because HTTP servers spell names in their own way.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response.to_lowercase()
}

#[test]
fn serves_a_page_json_and_websockets_on_one_port() {
    let (_server, address) = start();
    let page = get(&address, "/");
    assert!(page.starts_with("http/1.1 200 ") && page.contains("<!doctype html>"), "{page}");
    assert!(get(&address, "/status").ends_with(r#"{"clients":0,"received":0}"#));

    let url = format!("ws://{address}/chat");
    let mut ann = connected(&format!("{url}?name=ann"), &[]);
    let mut bob = connected(&format!("{url}?name=bob"), &["--version", "8"]);
    ann.say("hello");
    ann.until("ann: hello");
    bob.until("ann: hello");
    bob.say("hi");
    ann.until("bob: hi");
    assert!(get(&address, "/status").ends_with(r#"{"clients":2,"received":2}"#));
    assert!(ann.finish().0.success() && bob.finish().0.success());
}

#[test]
fn refuses_with_the_status_and_the_reason() {
    let (_server, address) = start();
    let plain = get(&address, "/chat?name=ann");
    assert!(plain.starts_with("http/1.1 426 "), "{plain}");
    assert!(plain.contains("\r\nupgrade: websocket\r\n"), "{plain}");
    assert!(plain.contains("\r\nsec-websocket-version: 13, 8, 7\r\n"), "{plain}");
    let refused = |path: &str, flags: &[&str]| once(&format!("ws://{address}{path}"), "x", flags).1;
    let nameless = refused("/chat", &[]);
    assert!(nameless.contains("401") && nameless.contains("who are you?"), "{nameless}");
    let unknown = refused("/none", &[]);
    assert!(unknown.contains("404"), "{unknown}");
    let old = refused("/chat?name=ann", &["--version", "0"]);
    assert!(old.contains("426"), "{old}");
}

#[cfg(unix)]
#[test]
fn a_signal_closes_the_websockets_and_ends_the_program() {
    let (server, address) = start();
    let client = client(&format!("ws://{address}/chat?name=ann"), &[]);
    client.until("connected");
    server.signal(rustix::process::Signal::TERM);
    client.until("close 1001");
    let (status, lines) = server.ended();
    assert!(status.success(), "{lines:?}");
    assert!(lines.iter().any(|line| line.starts_with("stopped: 1 client")), "{lines:?}");
}
