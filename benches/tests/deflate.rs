//! permessage-deflate of the load generator against a clws server, with and without context
//! takeover.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

use std::thread;

use clap::Parser;
use clws_benches::load::{self, Cli, Error, Report};
use clws_proto::DeflateConfig;
use clws_server::{
    Client, Close, Config, Group, Listen, Origins, Payload, Resource, Server, ServerHandle, SharedMessage,
    Text,
};

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text); // fails only if the client has disconnected
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

#[derive(Default)]
struct Broadcast(Group);

impl Resource for Broadcast {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.0.join(client);
        Ok(())
    }

    fn text(&self, _: &Client, text: Text<'_>) {
        let _ = self.0.send(SharedMessage::text(&*text));
    }
}

/// A running server. Dropping it stops the server.
struct Running {
    handle: ServerHandle,
    port: u16,
    thread: Option<thread::JoinHandle<()>>,
}

impl Running {
    fn start(deflate: Option<DeflateConfig>) -> Self {
        let config = Config::default().listen("127.0.0.1:0").shards(1).deflate(deflate);
        let server = Server::bind(config).unwrap();
        server.resources().register("/echo", Origins::any(), Echo).unwrap();
        server.resources().register("/broadcast", Origins::any(), Broadcast::default()).unwrap();
        let Listen::Tcp(address) = server.local_addrs().unwrap().remove(0) else { panic!("no port") };
        let (port, handle) = (address.port(), server.handle());
        let thread = thread::spawn(move || async_std::task::block_on(server.run()).unwrap());
        Self { handle, port, thread: Some(thread) }
    }

    fn load(&self, words: &str) -> Result<Report, Error> {
        let target = format!("127.0.0.1:{}", self.port);
        let line = ["load"].into_iter().chain(words.split(' ')).chain([&*target]);
        load::run(&Cli::try_parse_from(line).unwrap().mode)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn config() -> DeflateConfig {
    DeflateConfig::default().threshold(1)
}

#[test]
fn every_mode_works_without_takeover() {
    let server = Running::start(Some(config()));
    for words in [
        "echo --deflate -c 3 --size 1024 --messages 100 --warmup 0 --verify",
        "echo --deflate -c 2 --size 70000 --messages 10 --warmup 0 --verify --fragments 3 --binary --in-flight 4",
        "echo --deflate-window 9 -c 2 --size 3000 --messages 50 --warmup 0",
        "broadcast --deflate -c 5 --size 1024 --messages 20 --window 4 --warmup 0 --verify",
    ] {
        let report = server.load(words).unwrap_or_else(|error| panic!("{words}: {error}"));
        assert!(report.messages >= 10 && report.ratio().unwrap() > 1.5, "{words}: {report:?}");
        assert!(report.note.contains("server_no_context_takeover"), "{}", report.note);
        assert!(report.table().contains("ratio"));
    }
    let pid = std::process::id();
    let report = server.load(&format!("idle --deflate -c 20 --touch --pid {pid}")).unwrap();
    assert!(report.memory_touched.is_some());
    // The server keeps no context and says so in its answer.
    let error = server.load("echo --deflate-takeover --messages 1").unwrap_err().to_string();
    assert!(error.contains("keeps no context"), "{error}");
}

#[test]
fn every_mode_works_with_takeover() {
    let server = Running::start(Some(config().context_takeover(true)));
    let by_itself = server.load("echo --deflate -c 2 --size 200 --messages 400 --warmup 0 --verify").unwrap();
    let with =
        server.load("echo --deflate-takeover -c 2 --size 200 --messages 400 --warmup 0 --verify").unwrap();
    assert!(with.ratio().unwrap() > 1.3 * by_itself.ratio().unwrap(), "{by_itself:?} {with:?}");
    for words in [
        "echo --deflate-takeover --deflate-window 10 -c 2 --size 9000 --messages 40 --warmup 0 --verify --text",
        "broadcast --deflate-takeover -c 5 --size 300 --messages 20 --window 4 --warmup 0 --verify",
    ] {
        server.load(words).unwrap_or_else(|error| panic!("{words}: {error}"));
    }
    let pid = std::process::id();
    server.load(&format!("idle --deflate-takeover -c 20 --touch --size 40000 --pid {pid}")).unwrap();
}

#[test]
fn reports_a_server_without_compression() {
    let server = Running::start(None);
    let error = server.load("echo --deflate --messages 1").unwrap_err().to_string();
    assert!(error.contains("does not take permessage-deflate"), "{error}");
    let plain = server.load("echo --messages 10 -c 2 --warmup 0 --verify").unwrap();
    assert!(plain.ratio().is_none() && !plain.table().contains("ratio"));
}
