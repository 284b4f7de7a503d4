//! With `debug_on_resource_errors`, a panic in a handler aborts the process. With
//! `debug_on_server_errors`, any other panic does, for example in a stream.
//!
//! Each scenario runs in another process: this program again, with an environment variable that
//! names the scenario.
#![cfg(unix)]

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::pin::Pin;
use std::process::{Command, Output};
use std::task::{Context, Poll};

use crate::common::own_process::test_name;
use crate::common::{Received, Running};
use clws_server::{
    ByteString, Client, Config, Origins, Peer, Resource, ResourceListener, Server, Text, Version,
    async_handler,
};
use futures::io::{AsyncRead, AsyncWrite};

const SCENARIO: &str = "CLWS_TEST_SCENARIO";

struct Fragile;

impl Resource for Fragile {
    fn text(&self, _: &Client, _: Text<'_>) {
        fragile_handler();
    }
}

impl ResourceListener for Fragile {
    type Message = ();

    fn text(&mut self, _: &Client, _: ByteString) {
        fragile_handler();
    }
}

#[inline(never)]
fn fragile_handler() {
    panic!("a bug of the application");
}

/// Runs a scenario in another process, which runs only the calling test.
fn run(test: &str, scenario: &str) -> Output {
    let test = format!("{}::{test}", test_name(module_path!()));
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command.args([&*test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(SCENARIO, scenario).env("RUST_BACKTRACE", "1").output().unwrap()
}

/// A stream whose reads panic.
struct FragileStream(TcpStream);

impl AsyncRead for FragileStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.peek(buffer)?;
        fragile_handler();
        Poll::Pending
    }
}

impl AsyncWrite for FragileStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready((&self.0).write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Panics in a stream, which is not a handler.
fn server_scenario(debug: bool) {
    let server = Server::bind(Config::default().listen("127.0.0.1:0").debug_on_server_errors(debug)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.write_all(b"GET").unwrap();
    let serving = server.handle().serve_stream(FragileStream(listener.accept().unwrap().0), Peer::Stream);
    async_std::task::block_on(serving);
    assert_eq!(server.handle().clients(), 0);
    println!("survived");
}

/// A client's message makes a handler panic.
fn scenario(scenario: &str) {
    let config = Config::default().listen("127.0.0.1:0");
    let config = match scenario.strip_suffix(" caught") {
        Some(_) => config.debug_on_server_errors(true), // does not apply to handlers
        None => config.debug_on_resource_errors(true),
    };
    let tasks = scenario.contains("tasks");
    let server = Server::bind(config.task_per_client(tasks)).unwrap();
    let resources = server.resources();
    if scenario.contains("listener") {
        drop(resources.run_resource_listener("/", Origins::any(), Fragile).unwrap());
    } else if scenario.contains("async") {
        let handler = async_handler(|mut socket| async move {
            let socket: &mut clws_server::WebSocket = &mut socket;
            socket.next().await;
            fragile_handler();
        });
        resources.register("/", Origins::any(), handler).unwrap();
    } else {
        resources.register("/", Origins::any(), Fragile).unwrap();
    }
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("now");
    assert_eq!(peer.next(), Received::Close(Some((1011, String::new()))));
    peer.finish();
    println!("survived");
}

#[test]
fn a_handler_panic_aborts_the_process_with_a_full_backtrace() {
    if let Ok(name) = std::env::var(SCENARIO) {
        return scenario(&name);
    }
    for name in ["inline", "inline tasks", "listener", "async"] {
        let output = run("a_handler_panic_aborts_the_process_with_a_full_backtrace", name);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(6), "{name}: {} {text}", output.status);
        assert!(text.contains("a bug of the application") && text.contains("fragile_handler"), "{text}");
    }
}

#[test]
fn a_stream_panic_aborts_the_process() {
    if let Ok(name) = std::env::var(SCENARIO) {
        return server_scenario(name == "debug");
    }
    let output = run("a_stream_panic_aborts_the_process", "debug");
    assert_eq!(output.status.signal(), Some(6), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("FragileStream"));
    let output = run("a_stream_panic_aborts_the_process", "no debug");
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("survived"));
}

#[test]
fn a_panic_is_caught_without_the_debug_options() {
    if let Ok(name) = std::env::var(SCENARIO) {
        return scenario(&name);
    }
    for name in ["inline caught", "listener caught", "async caught"] {
        let output = run("a_panic_is_caught_without_the_debug_options", name);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("survived"), "{name}: {} {text}", output.status);
    }
}
