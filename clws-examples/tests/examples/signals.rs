//! Stop signals: servers and the client send close frames and exit with status 0.
#![cfg(unix)]

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::common::{Program, connected, serve};
use rustix::process::Signal;

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// Each server with a resource and the flags of a client for it.
const SERVERS: [(&str, &[&str], &str, &[&str]); 7] = [
    (ECHO, &[], "/echo", &[]),
    (ECHO, &["--task-per-client"], "/echo", &[]),
    (env!("CARGO_BIN_EXE_chat"), &[], "/", &[]),
    (env!("CARGO_BIN_EXE_ping"), &["--every", "1000"], "/", &[]),
    (
        env!("CARGO_BIN_EXE_rooms_auth"),
        &[],
        "/rooms/lobby",
        &["--cookie", "session=anna-1", "--subprotocol", "rooms.v1"],
    ),
    (env!("CARGO_BIN_EXE_async_handler"), &[], "/jobs", &[]),
    (env!("CARGO_BIN_EXE_custom_io"), &[], "/", &[]),
];

/// Calls `check` with each value, each on its own thread.
fn in_parallel<T: Send>(values: impl IntoIterator<Item = T>, check: impl Fn(T) + Sync) {
    thread::scope(|scope| {
        for value in values {
            let check = &check;
            scope.spawn(move || check(value));
        }
    });
}

/// Starts a server. `custom_io` takes its address as the only argument, the others as a flag.
fn start_server(path: &str, args: &[&str]) -> (Program, String) {
    if path != env!("CARGO_BIN_EXE_custom_io") {
        return serve(path, args);
    }
    let server = Program::start(path, &["127.0.0.1:0"]);
    let line = server.until("listening on ws://");
    (server, line.trim_start_matches("listening on ").trim_end_matches('/').to_owned())
}

#[test]
fn every_server_closes_its_clients() {
    for signal in [Signal::TERM, Signal::INT] {
        in_parallel(SERVERS, |(path, args, resource, headers)| {
            let (server, url) = start_server(path, args);
            let clients: Vec<_> = (0..3).map(|_| connected(&format!("{url}{resource}"), headers)).collect();
            server.signal(signal);
            for client in clients {
                client.until("< close 1001");
                let (status, lines) = client.ended();
                assert!(status.success(), "{path} {lines:#?}");
            }
            let (status, lines) = server.ended();
            assert_eq!(status.code(), Some(0), "{path} {signal:?} {lines:#?}");
            let report = "stopped: 3 clients closed, 0 cut";
            assert!(lines.iter().any(|line| line.starts_with(report)), "{path} {signal:?} {lines:#?}");
        });
    }
}

/// hixie-75 has no close frame, and the server must not wait for one. The close timeout of `echo` is
/// longer than this test waits.
#[test]
fn clients_of_hixie_75_are_closed_too() {
    let file = config_file("hixie-75", "close_timeout = 1000");
    let echo = ["--hixie-75", "--config", file.to_str().unwrap()];
    for (path, args) in [(ECHO, &echo[..]), (env!("CARGO_BIN_EXE_custom_io"), &[])] {
        let (server, url) = start_server(path, args);
        let client = connected(&format!("{url}/"), &["--version", "75"]);
        server.signal(Signal::TERM);
        let (status, lines) = client.ended();
        assert!(status.success(), "{path} {lines:#?}");
        let (status, lines) = server.ended();
        assert_eq!(status.code(), Some(0), "{path} {lines:#?}");
    }
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn without_clients_every_server_exits_at_once() {
    for (path, args, ..) in SERVERS {
        let (server, _) = start_server(path, args);
        server.signal(Signal::TERM);
        let (status, lines) = server.ended();
        assert_eq!(status.code(), Some(0), "{path} {lines:#?}");
    }
}

/// Connects a client that requests the echo of many megabytes and reads nothing.
fn silent(url: &str, resource: &str) -> TcpStream {
    let mut stream = TcpStream::connect(url.trim_start_matches("ws://")).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let request = format!(
        "GET {resource} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut message = vec![0x82, 0xff]; // a masked binary message of 1 MiB, with a key of zeros
    message.extend_from_slice(&(1_u64 << 20).to_be_bytes());
    message.resize(message.len() + 4 + (1 << 20), 0);
    for _ in 0..64 {
        if stream.write_all(&message).is_err() {
            break; // the server has stopped reading
        }
    }
    stream
}

/// Writes a configuration file.
fn config_file(name: &str, text: &str) -> PathBuf {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    file
}

/// The server exits after the close timeout, whatever its clients do.
#[test]
fn a_client_that_never_reads_does_not_prevent_the_stop() {
    let file = config_file("stop", "close_timeout = 1");
    let config = ["--config", file.to_str().unwrap()];
    let tasks = ["--config", file.to_str().unwrap(), "--task-per-client"];
    in_parallel(
        [(ECHO, &config[..]), (ECHO, &tasks), (env!("CARGO_BIN_EXE_custom_io"), &[])],
        |(path, args)| {
            let (server, url) = start_server(path, args);
            let _silent = silent(&url, "/");
            // A client that sends nothing, in addition to `_silent`, which does not answer close
            // frames.
            let _idle = TcpStream::connect(url.trim_start_matches("ws://")).unwrap();
            let polite = connected(&url, &[]);
            server.signal(Signal::TERM);
            polite.until("< close 1001");
            let (status, lines) = server.ended();
            assert_eq!(status.code(), Some(0), "{path} {lines:#?}");
        },
    );
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    for (second, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let servers =
            [(ECHO, &["--task-per-client"][..]), (ECHO, &[]), (env!("CARGO_BIN_EXE_custom_io"), &[])];
        in_parallel(servers, |(path, args)| {
            let (server, url) = start_server(path, args);
            let silent = silent(&url, "/");
            let polite = connected(&url, &[]);
            server.signal(Signal::INT);
            polite.until("< close 1001"); // the first signal was handled
            server.signal(second);
            let (status, lines) = server.ended();
            assert_eq!(status.code(), Some(code), "{path} {lines:#?}");
            let _ = silent.shutdown(Shutdown::Both); // open until now
        });
    }
}

#[test]
fn the_client_closes_too() {
    for signal in [Signal::INT, Signal::TERM] {
        for (version, close) in [("13", "close 1001"), ("8", "close 1001"), ("0", "close without a code")] {
            let (_server, url) = serve(ECHO, &["--hixie"]);
            let client = connected(&url, &["--version", version]);
            client.signal(signal);
            let (status, lines) = client.ended();
            assert!(status.success(), "{lines:#?}");
            assert_eq!(lines, [format!("> {close}"), format!("< {close}")]);
        }
    }
}
