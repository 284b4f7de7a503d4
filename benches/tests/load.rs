//! The load generator against clws servers: every mode and draft, compression, and servers with a
//! fault that it must detect.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail loudly")]

use std::thread;

use clap::Parser;
use clws_benches::load::{self, Cli, Error, Report};
use clws_proto::{CloseCode, DeflateConfig};
use clws_server::{
    Client, Close, Config, Group, Origins, Outgoing, Payload, Resource, Server, ServerBuilder, ServerHandle,
    SharedMessage, Text,
};

/// Echoes binary messages, and pings the client before each. Answers text with this fault.
struct Echo(Answer);

type Answer = fn(&Client, &str);

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        (self.0)(client, &text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.ping(b"ping"); // the pong does not count as a message
        send(client, payload);
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        if *payload == *ENDLESS {
            ping_again(client);
        }
    }
}

/// The payload of pings that never end.
const ENDLESS: &[u8] = b"again";

fn ping_again(client: &Client) {
    let _ = client.ping(ENDLESS); // fails only if the client has disconnected
}

fn send<'a>(client: &Client, message: impl Into<Outgoing<'a>>) {
    let _ = client.send(message); // fails only if the client has disconnected
}

/// Answers of `/echo`, and of resources with a fault.
const ECHOES: [(&str, Answer); 8] = [
    ("/echo", |client, text| send(client, text)),
    ("/binary", |client, text| send(client, text.as_bytes())),
    ("/altered", |client, text| send(client, &*format!("{}!", &text[1..]))),
    ("/short", |client, text| send(client, &text[1..])),
    ("/twice", |client, text| (0..2).for_each(|_| send(client, text))),
    ("/silent", |_, _| {}),
    ("/pinging", |client, _| ping_again(client)),
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
        Self::start_with(deflate, |builder| builder)
    }

    fn start_with(
        deflate: Option<DeflateConfig>,
        adjust: impl FnOnce(ServerBuilder) -> ServerBuilder,
    ) -> Self {
        let config = Config::default().listen("127.0.0.1:0").shards(1).deflate(deflate);
        let config = config.protocol_76_00_support(true).protocol_75_support(true);
        let server = adjust(Server::builder(config)).bind().unwrap();
        for (path, answer) in ECHOES {
            server.resources().register(path, Origins::any(), Echo(answer)).unwrap();
        }
        server.resources().register("/broadcast", Origins::any(), Broadcast::default()).unwrap();
        let url = server.local_addrs().unwrap()[0].url().unwrap();
        let port = url.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        let handle = server.handle();
        let thread = thread::spawn(move || {
            async_std::task::block_on(server.run()).unwrap();
        });
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
    // Pings arrive while a message waits for space in the socket. The pong must not interrupt it.
    let report =
        server.good("echo -c 1 --size 600000 --fragments 3 --in-flight 32 --messages 40 --warmup 0 --verify");
    assert!(report.bytes_in > 40 * 600_000 && report.bytes_out > 40 * 600_000, "{report:?}");
    assert!(report.ratio().is_none() && !report.table().contains("ratio"));
}

/// Faults of a server, with the flags that detect them and the errors.
const FAULTS: [(&str, &str, &str); 8] = [
    ("/altered", "--verify", "message 0: the content differs from the message sent"),
    ("/binary", "--verify", "message 0: text came back as binary"),
    ("/short", "", "message 0: 15 bytes came back, but 16 were sent"),
    ("/twice", "--messages 9 --warmup 0", "the server sent more messages than it received"),
    ("/silent", "--stall 0.5", "no message for 0.5 s: 2 messages did not come back"),
    ("/pinging", "--stall 0.5", "no message for 0.5 s: 2 messages did not come back"),
    ("/closing", "", "closed by the server with code 1009"),
    ("/nothing", "", "opening handshake: the server answered 404"),
];

/// The checks run at once, because half of them wait for the end of a stall.
#[test]
fn detects_wrong_answers() {
    let server = &Running::start(None);
    let pid = std::process::id();
    thread::scope(|scope| {
        for (path, flags, expected) in FAULTS {
            scope.spawn(move || {
                let error = server.error(format!("echo -c 2 --text --path {path} {flags}").trim_end());
                assert!(error.contains(expected), "{path}: {error}");
            });
        }
        scope.spawn(|| {
            let error = server.error("broadcast -c 2 --text --path /silent --stall 0.5");
            assert!(error.contains("2 deliveries of 1 messages are missing"), "{error}");
        });
        for mode in ["connect -c 2".to_owned(), format!("idle -c 2 --pid {pid}")] {
            scope.spawn(move || {
                let error = server.error(&format!("{mode} --draft 0 --path /altered"));
                assert!(error.contains("content differs"), "{mode}: {error}");
                let error = server.error(&format!("{mode} --draft 0 --path /silent --stall 0.5"));
                assert!(error.contains("no message for"), "{mode}: {error}");
            });
        }
    });
    // Without --verify, only the size of messages without compression is compared.
    server.good("echo -c 2 --text --path /altered --messages 10 --warmup 0");
    server.good("echo -c 2 --text --path /binary --messages 10 --warmup 0");
    assert!(server.error("connect --messages 100001").contains("at most 100000"));
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

#[test]
#[cfg(not(feature = "tls"))]
fn tls_needs_its_feature() {
    let error = Running::start(None).error("echo --tls --messages 1");
    assert!(error.contains("--features tls"), "{error}");
}

#[cfg(feature = "tls")]
mod tls {
    use clws_server::Tls;

    use super::*;

    const CERTIFICATE: &str = include_str!("localhost.pem");
    const KEY: &str = include_str!("localhost.key.pem");

    fn start(resumption: bool) -> Running {
        let tls = Tls::builder().certificate(CERTIFICATE, KEY).resumption(resumption).build().unwrap();
        Running::start_with(None, |builder| builder.tls(tls))
    }

    #[test]
    fn every_mode_works() {
        let server = start(true);
        let pid = std::process::id();
        for words in [
            "echo -c 3 --in-flight 5 --size 125 --messages 100 --warmup 0 --verify",
            "echo -c 3 --in-flight 50 --size 125 --messages 500 --warmup 0 --verify --shared-records",
            "echo -c 2 --size 300000 --messages 6 --warmup 0 --verify --text",
            "echo -c 1 --size 600000 --fragments 3 --in-flight 32 --messages 40 --warmup 0 --verify",
            "broadcast -c 5 --messages 20 --window 4 --warmup 0 --verify --text",
            "connect -c 4 --messages 20 --warmup 0",
            "echo -c 2 --messages 20 --warmup 0 --verify --text --draft 0",
            "connect -c 4 --messages 20 --warmup 0 --draft 75",
        ] {
            for flags in ["", " --tls-version 1.2 --cipher aes-256-gcm", " --cipher chacha20-poly1305"] {
                let report = server.good(&format!("{words} --tls{flags}"));
                let suite = match flags {
                    "" => "TLSv1_3 TLS13_AES_128_GCM_SHA256",
                    flags if flags.contains("1.2") => "TLSv1_2 TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                    _ => "TLSv1_3 TLS13_CHACHA20_POLY1305_SHA256",
                };
                assert!(report.messages >= 6 && report.note.contains(suite), "{words}: {report:?}");
            }
        }
        let report = server.good(&format!("idle -c 20 --touch --tls --pid {pid}"));
        assert!(report.memory.is_some() && report.memory_touched.is_some());
        assert!(server.error("echo --messages 1").contains("400"), "without --tls");
        let error = Running::start(None).error("echo --tls --messages 1");
        assert!(error.contains("corrupt message"), "{error}");
    }

    #[test]
    fn sessions_are_resumed_if_wanted() {
        let (server, without) = (start(true), start(false));
        for version in ["1.2", "1.3"] {
            let words = format!("connect -c 4 --messages 40 --warmup 0 --tls --tls-version {version}");
            assert_eq!(server.good(&words).resumed, Some(0.0));
            let share = server.good(&format!("{words} --resume")).resumed;
            assert!(share.is_some_and(|share| share > 0.8), "{version}: {share:?}");
            let error = without.error(&format!("{words} --resume"));
            assert!(error.contains("the server resumed only 0 of "), "{error}");
        }
    }
}
