//! The load generator against clws servers: every mode and draft, compression, and servers with a
//! fault that it must detect.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

use std::thread;

use clap::Parser;
use clws_benches::load::{self, Cli, Error, Report};
use clws_proto::{CloseCode, DeflateConfig};
use clws_server::{
    Client, Close, Config, Group, Listen, Origins, Payload, Resource, Server, ServerHandle, SharedMessage,
    Text,
};

/// Echoes binary messages, and pings the client before each. Answers text with this fault.
struct Echo(fn(&Client, &str));

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        (self.0)(client, &text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.ping(b"ping"); // like every send, it fails only if the client has disconnected
        let _ = client.send(payload);
    }
}

/// Answers of `/echo`, and of resources with a fault.
const ECHOES: [(&str, fn(&Client, &str)); 7] = [
    ("/echo", |client, text| drop(client.send(text))),
    ("/binary", |client, text| drop(client.send(text.as_bytes()))),
    ("/altered", |client, text| drop(client.send(&*format!("{}!", &text[1..])))),
    ("/short", |client, text| drop(client.send(&text[1..]))),
    ("/twice", |client, text| (0..2).for_each(|_| drop(client.send(text)))),
    ("/silent", |_, _| {}),
    ("/closing", |client, _| client.close(CloseCode::TOO_BIG)),
];

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
        let config = config.protocol_76_00_support(true).protocol_75_support(true);
        let server = Server::bind(config).unwrap();
        for (path, answer) in ECHOES {
            server.resources().register(path, Origins::any(), Echo(answer)).unwrap();
        }
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

    fn good(&self, words: &str) -> Report {
        self.load(words).unwrap_or_else(|error| panic!("{words}: {error}"))
    }

    fn error(&self, words: &str) -> String {
        self.load(words).map_or_else(|error| error.to_string(), |report| panic!("{words}: {report:?}"))
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
fn every_mode_works_in_every_draft() {
    let server = Running::start(None);
    let pid = std::process::id();
    for draft in ["75", "0", "7", "8", "13"] {
        for words in [
            "echo -c 3 --in-flight 5 --size 125 --messages 100 --warmup 0 --verify",
            "echo -c 2 --size 300000 --messages 6 --warmup 0 --verify --text",
            "broadcast -c 5 --messages 20 --window 4 --warmup 0 --verify --text",
            "connect -c 4 --messages 20 --warmup 0",
        ] {
            let report = server.good(&format!("{words} --draft {draft}"));
            assert!(report.messages >= 6 && report.note.is_empty(), "{draft}: {report:?}");
        }
    }
    let report = server.good(&format!("idle -c 20 --touch --pid {pid} --draft 75"));
    assert!(report.memory.is_some() && report.memory_touched.is_some());
    let report = server.good(words);
        assert!(report.messages >= 10 && report.ratio().unwrap() > 1.5, "{words}: {report:?}");
        assert!(report.note.contains("server_no_context_takeover"), "{}", report.note);
        assert!(report.table().contains("ratio"));
    }
    let pid = std::process::id();
    let report = server.good(&format!("idle --deflate -c 20 --touch --pid {pid}"));
    assert!(report.memory_touched.is_some());
    // Even without --verify, the first compressed message is compared.
    assert!(server.error("echo --deflate --size 200 --path /altered").contains("message 0: the content"));
    // The server keeps no context and says so in its answer.
    assert!(server.error("echo --deflate-takeover --messages 1").contains("keeps no context"));
}

#[test]
fn every_mode_works_with_takeover() {
    let server = Running::start(Some(config().context_takeover(true).client_max_window_bits(12)));
    let error = server.error("echo --deflate-takeover --messages 1");
    assert!(error.contains("requires windows of 12 bits: use --deflate-window 12"), "{error}");
    drop(server);
    let server = Running::start(Some(config().context_takeover(true)));
    let by_itself = server.good("echo --deflate -c 2 --size 200 --messages 400 --warmup 0 --verify");
    let with = server.good("echo --deflate-takeover -c 2 --size 200 --messages 400 --warmup 0 --verify");
    assert!(with.ratio().unwrap() > 1.3 * by_itself.ratio().unwrap(), "{by_itself:?} {with:?}");
    server.good(
        "echo --deflate-takeover --deflate-window 10 -c 2 --size 9000 --messages 40 --warmup 0 --verify --text",
    );
    server.good("broadcast --deflate-takeover -c 5 --size 300 --messages 20 --window 4 --warmup 0 --verify");
    let pid = std::process::id();
    server.good(&format!("idle --deflate-takeover -c 20 --touch --size 40000 --pid {pid}"));
}

#[test]
fn reports_a_server_without_compression() {
    let error = Running::start(None).error("echo --deflate --messages 1");
    assert!(error.contains("does not take permessage-deflate"), "{error}");
}
