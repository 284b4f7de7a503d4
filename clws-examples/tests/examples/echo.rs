//! The flags and the configuration file of the example `echo`. The tests of `client` cover its
//! echo.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::common::{PATIENCE, Program, connected, once, serve};
use clws_server::Config;

const ECHO: &str = env!("CARGO_BIN_EXE_echo");
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/clws.toml");

#[test]
fn the_configuration_file_contains_all_defaults() {
    let text = std::fs::read_to_string(FILE).unwrap();
    let config: Config = toml::from_str(&text).unwrap();
    let default = Config::default().listen("127.0.0.1:12345");
    assert_eq!(config, default);

    // Every field of the config is in the file, in a comment if it has no default.
    for line in format!("{default:#?}").lines() {
        if let Some((name, _)) = line.strip_prefix("    ").and_then(|field| field.split_once(": "))
            && !name.starts_with(' ')
        {
            let named = text.lines().any(|line| {
                line.trim_start_matches("# ").strip_prefix(name).is_some_and(|rest| rest.starts_with(" = "))
            });
            assert!(named, "{name} is missing in clws.toml");
        }
    }
}

#[test]
fn flags_override_the_file() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("echo-{}.toml", std::process::id()));
    std::fs::write(
        &file,
        "max_read_message_size = 4\nprotocol_76_00_support = true\nhandshake_timeout = 2.5\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();

    let (_server, url) = serve(ECHO, &["--config", path]);
    assert_eq!(once(&url, "four", &["--version", "0"]), (true, "four".to_owned()));
    let (good, said) = once(&url, "fifth", &[]);
    assert!(!good && said.contains("1009"), "{said}");

    let (_server, url) = serve(ECHO, &["--config", path, "--max-message", "5"]);
    assert_eq!(once(&url, "fifth", &[]), (true, "fifth".to_owned()));

    std::fs::write(&file, "max_cleints = 4").unwrap();
    let server = Program::start(ECHO, &["--config", path]);
    let (status, lines) = server.finish();
    assert!(!status.success());
    assert!(lines.iter().any(|line| line.contains("max_cleints")), "{lines:#?}");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn rejects_invalid_values_at_the_start() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("never-{}.toml", std::process::id()));
    let path = file.to_str().unwrap();
    for (text, error) in [
        ("max_clients = 0", "`max_clients` is 0: allowed is at least 1"),
        ("handshake_timeout = 0", "`handshake_timeout` is 0 seconds"),
        ("listen = [\":8080\"]", "`listen` is \":8080\""),
    ] {
        std::fs::write(&file, text).unwrap();
        let (status, lines) = Program::start(ECHO, &["--config", path]).finish();
        assert!(!status.success() && lines.iter().any(|line| line.contains(error)), "{lines:#?}");
    }
    std::fs::remove_file(&file).unwrap();
    for (flags, error) in [
        (&["--max-clients", "0"][..], "max_clients"),
        (&["--max-message", "0"], "max_read_message_size"),
        (&["--handshake-timeout", "0"], "handshake_timeout"),
        (&["--listen", "localhost"], "the port is missing"),
        (&["--listen", "127.0.0.1:0", "--origin", "https://example.com/"], "write `https://example.com`"),
        (&["--listen", "127.0.0.1:0", "--origin", "example.com"], "the scheme is missing"),
    ] {
        let (status, lines) = Program::start(ECHO, flags).finish();
        assert!(!status.success() && lines.iter().any(|line| line.contains(error)), "{lines:#?}");
    }
}

#[test]
fn logs_at_the_given_level() {
    let server_after_an_error = |level| {
        let (server, url) = serve(ECHO, &["--log-level", level, "--max-message", "4"]);
        assert!(!once(&url, "a message that is too big", &[]).0);
        server
    };
    server_after_an_error("debug").until("DEBUG");
    let lines = server_after_an_error("off").stop();
    assert!(!lines.iter().any(|line| line.starts_with("! ")), "{lines:#?}");
}

#[test]
fn broadcasts_to_all_clients() {
    let (_server, url) = serve(ECHO, &["--hixie", "--hixie-75"]);
    let url = format!("{url}/broadcast");
    let mut clients: Vec<_> =
        ["13", "0", "8", "75"].iter().map(|version| connected(&url, &["--version", version])).collect();
    clients[0].say("hear, hear");
    for client in &clients {
        assert!(client.until("hear, hear").ends_with(" 10 hear, hear"));
    }
}

#[test]
fn serves_clients_without_compression_when_it_is_enabled() {
    let (_server, url) =
        serve(ECHO, &["--deflate-takeover", "--deflate-window", "10", "--deflate-threshold", "0"]);
    assert_eq!(once(&url, "a client without the offer", &[]).1, "a client without the offer");
    let server = Program::start(ECHO, &["--deflate-window", "16"]);
    let (status, lines) = server.finish();
    assert!(!status.success() && lines.iter().any(|line| line.contains("--deflate-window")), "{lines:#?}");
}

#[test]
fn serves_its_page_beside_the_websocket_at_the_same_path() {
    let (server, url) = serve(ECHO, &[]);
    assert_eq!(server.until("open "), format!("open {}/ in a browser", url.replace("ws://", "http://")));
    let address = url.trim_start_matches("ws://");
    let get = |request: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{request}\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for (path, content_type) in [
        ("/", "text/html; charset=utf-8"),
        ("/echo.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
    ] {
        let answer = get(&format!("GET {path} HTTP/1.1"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
        assert!(answer.contains(&format!("\r\nContent-Type: {content_type}\r\n")), "{path}");
        assert!(answer.contains("\r\nContent-Security-Policy: default-src 'none'; "), "{path}");
        assert!(answer.contains("\r\nX-Content-Type-Options: nosniff\r\n"), "{path}");
    }
    assert!(get("GET /chat.js HTTP/1.1").starts_with("HTTP/1.1 404 "));
    // Resources without a page.
    for line in ["GET /echo HTTP/1.1", "GET /broadcast HTTP/1.1"] {
        let answer = get(line);
        assert!(
            answer.starts_with("HTTP/1.1 426 ") && answer.contains("\r\nUpgrade: websocket\r\n"),
            "{answer}"
        );
    }
    assert_eq!(once(&format!("{url}/"), "hello", &[]), (true, "hello".to_owned()));
}

#[test]
fn agrees_on_its_subprotocol_with_clients_that_offer_it() {
    let (_server, url) = serve(ECHO, &[]);
    let client = crate::common::client(&url, &["--subprotocol", "superchat", "--subprotocol", "echo"]);
    assert_eq!(client.line(), "connected, version 13, subprotocol echo");
    assert_eq!(crate::common::client(&url, &["--subprotocol", "superchat"]).line(), "connected, version 13");
}

#[test]
#[cfg(unix)]
fn offers_no_page_that_it_would_refuse() {
    let server = Program::start(ECHO, &["--listen", "127.0.0.1:0", "--origin", "https://example.com"]);
    server.until("listening on ws://");
    server.signal(rustix::process::Signal::TERM); // it prints everything before it stops
    let (_, lines) = server.ended();
    assert!(!lines.iter().any(|line| line.starts_with("open ")), "{lines:#?}");
}
