//! Recorded connections: over sockets into files, and replayed in memory.
#![cfg(feature = "testing")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{ALL_VERSIONS, HYBI_VERSIONS, Peer, Probe, Received, Running, eventually, text};
use clws_handshake::client::ClientRequest;
use clws_server::capture::{Answer, Capture, CaptureError, Content, Recording, Side};
use clws_server::testing::TestServer;
use clws_server::{
    Accept, Client, CloseCode, Config, Opening, Origins, Payload, Reject, Resource, Server, Text, Version,
};

in_both_modes!(
    every_version_is_recorded_and_replayed,
    refusals_and_http_are_recorded,
    the_application_records_from_the_first_byte,
    the_application_records_an_open_connection,
    a_busy_connection_is_recorded_between_two_messages,
    limits_are_reported,
    a_wish_is_forgotten_with_its_client,
    a_server_that_stops_completes_its_recordings,
    a_client_after_a_proxy_is_recorded_without_the_header_of_the_proxy,
);

/// A directory that is removed with its files.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("clws-scenario-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    /// The only recording.
    #[track_caller]
    fn recording(&self) -> Recording {
        let recordings = self.recordings();
        assert_eq!(recordings.len(), 1);
        recordings.into_iter().next().unwrap()
    }

    fn recordings(&self) -> Vec<Recording> {
        let files = fs::read_dir(&self.0).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files.collect();
        files.sort();
        files.iter().map(|file| Recording::open(file).unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Echoes, and records the clients that ask for it.
struct Echo;

impl Resource for Echo {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("record") => Ok(Accept::new().capture()),
            Some("refuse") => Err(Reject::forbidden("not you")),
            _ => Ok(Accept::new()),
        }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        match &*text {
            "record" => {
                let answer = client.capture();
                let _ = client.send(format!("{answer:?}"));
            }
            "bye" => client.close((CloseCode::NORMAL, "bye")),
            _ => drop(client.send(text)),
        }
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

fn serve(config: Config, capture: Capture) -> Running {
    let server = Server::builder(config.listen("127.0.0.1:0")).capture(capture).bind().unwrap();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    Running::run(server)
}

/// A server in memory with the same resource.
fn replayer(config: &Config) -> TestServer {
    let server = TestServer::new(config.clone()).unwrap();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    server
}

/// Closes the connection, and waits for its end.
#[track_caller]
fn close(peer: &mut Peer, code: u16) {
    peer.close(code, "enough");
    while peer.next() != Received::End {}
}

/// The messages and the close frame in a recording.
fn answers(recording: &Recording) -> Vec<Answer> {
    let transcript = recording.transcript();
    assert_eq!(transcript.error, None);
    transcript.answers
}

#[track_caller]
fn assert_replays(recording: &Recording, config: &Config) {
    let replayed = replayer(config).replay(recording).unwrap();
    assert_eq!(replayed.difference(), None);
    assert_eq!(replayed.transcript.answers.len(), replayed.recorded.answers.len());
}

fn every_version_is_recorded_and_replayed(config: Config) {
    for version in ALL_VERSIONS {
        let directory = Directory::new();
        let server = serve(config.clone(), Capture::new(&directory.0).peers(|_| true));
        let mut peer = server.connect(version, "/?query");
        let is_hybi = HYBI_VERSIONS.contains(&version);
        let long = "x".repeat(100_000);
        let mut expected = vec![Answer::Text("hello".into()), Answer::Text(long.clone())];
        peer.assert_echo("hello");
        peer.assert_echo(&long);
        if is_hybi {
            peer.binary(&[0, 255]);
            assert_eq!(peer.next(), Received::Binary(vec![0, 255]));
            peer.send(|sender| sender.ping(b"there?").unwrap());
            assert_eq!(peer.next(), Received::Pong(b"there?".to_vec()));
            expected.extend([Answer::Binary(vec![0, 255]), Answer::Pong(b"there?".to_vec())]);
        }
        close(&mut peer, 4000);
        server.wait_for_clients(0);
        server.stop().unwrap();

        let recording = directory.recording();
        let mut answers = answers(&recording);
        match version {
            Version::Hixie75 => {}
            Version::Hybi00 => assert_eq!(answers.pop(), Some(Answer::Close(1005, String::new()))),
            _ => assert_eq!(answers.pop(), Some(Answer::Close(4000, String::new()))),
        }
        assert!(answers == expected, "{version:?}");
        assert!(recording.is_complete(), "{version:?}");
        let request = recording.bytes(Side::Client);
        assert!(request.starts_with(b"GET /?query HTTP/1.1\r\n"));
        if !config.task_per_client {
            assert_eq!(recording.server(), server.address());
        }
        assert_replays(&recording, &config);
    }
}

fn refusals_and_http_are_recorded(config: Config) {
    let directory = Directory::new();
    let server = serve(config.clone(), Capture::new(&directory.0).peers(|_| true));
    assert_eq!(server.try_connect(Version::Rfc6455, "/?refuse").err(), Some(403));
    assert_eq!(server.try_connect(Version::Rfc6455, "/nowhere").err(), Some(404));
    server.wait_for_clients(0);
    server.stop().unwrap();
    let recordings = directory.recordings();
    let status: Vec<_> = recordings.iter().map(|recording| recording.transcript().status).collect();
    assert_eq!(status, [Some(403), Some(404)]);
    for recording in &recordings {
        assert_replays(recording, &config);
    }
}

fn the_application_records_from_the_first_byte(config: Config) {
    let directory = Directory::new();
    let server = serve(config.clone(), Capture::new(&directory.0));
    let mut other = server.connect(Version::Rfc6455, "/");
    other.assert_echo("private");
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/?record");
        peer.assert_echo("hello");
        close(&mut peer, 1000);
    }
    // The first message comes with the request.
    let stream = server.tcp();
    let url = format!("ws://{}/?record", server.address());
    let (mut bytes, _) =
        ClientRequest::new(Version::Rfc6455, &url).build(&mut |key: &mut [u8]| key.fill(1)).unwrap();
    bytes.extend_from_slice(b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0");
    std::io::Write::write_all(&mut &stream, &bytes).unwrap();
    assert!(crate::common::read_to_end(&mut &stream).0.ends_with(b"\x81\x02hi\x88\x00"));
    drop((other, stream));
    server.wait_for_clients(0);
    server.stop().unwrap();
    let recordings = directory.recordings();
    assert_eq!(recordings.len(), ALL_VERSIONS.len() + 1);
    for recording in &recordings {
        assert!(recording.is_complete());
        assert_replays(recording, &config);
    }
    assert_eq!(recordings.last().unwrap().bytes(Side::Client), bytes);
    assert_eq!(answers(&recordings[5]), [Answer::Text("hi".into()), Answer::Close(1005, String::new())]);
}

fn a_client_after_a_proxy_is_recorded_without_the_header_of_the_proxy(config: Config) {
    let behind = config.clone().trusted_proxies(["127.0.0.1"]).proxy_protocol(true);
    for chosen_by_application in [true, false] {
        let directory = Directory::new();
        let capture = Capture::new(&directory.0);
        let capture = if chosen_by_application { capture } else { capture.peers(|_| true) };
        let server = serve(behind.clone(), capture);
        let mut stream = server.tcp();
        std::io::Write::write_all(&mut stream, b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n").unwrap();
        let target = if chosen_by_application { "ws://server/?record" } else { "ws://server/" };
        let proxy = stream.local_addr().unwrap();
        let request = ClientRequest::new(Version::Rfc6455, target);
        let mut peer = Peer::open(stream, Version::Rfc6455, request).unwrap();
        peer.assert_echo("hello");
        close(&mut peer, 1000);
        drop(peer);
        server.wait_for_clients(0);
        server.stop().unwrap();
        let recording = directory.recording();
        assert!(recording.bytes(Side::Client).starts_with(b"GET /"));
        // The rule chooses the connection before its client is known.
        let client = if chosen_by_application { "203.0.113.7:4711".parse().unwrap() } else { proxy };
        assert_eq!(recording.client(), client);
        assert_replays(&recording, &config);
    }
}

fn the_application_records_an_open_connection(config: Config) {
    for version in ALL_VERSIONS {
        let directory = Directory::new();
        let server = serve(config.clone(), Capture::new(&directory.0));
        let url = format!("ws://{}/?q", server.address());
        let request = ClientRequest::new(version, &url).origin("http://here.example").header("Cookie", "a=b");
        let mut peer = Peer::open(server.tcp(), version, request).unwrap();
        peer.assert_echo("before");
        peer.text("record");
        assert_eq!(peer.next(), text("Ok(())"));
        peer.assert_echo("after");
        peer.text("record"); // has no effect
        assert_eq!(peer.next(), text("Ok(())"));
        close(&mut peer, 1000);
        server.wait_for_clients(0);
        server.stop().unwrap();
        let recording = directory.recording();
        let request = String::from_utf8_lossy(&recording.bytes(Side::Client)).into_owned();
        assert!(request.starts_with("GET /?q HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Cookie: a=b\r\n"), "{request}");
        assert!(request.contains("http://here.example"), "{request}");
        let answers = answers(&recording);
        assert_eq!(answers[..2], [Answer::Text("after".into()), Answer::Text("Ok(())".into())]);
        assert!(recording.is_complete());
        // In the replay nothing records.
        let replayed = replayer(&config).replay(&recording).unwrap();
        assert_eq!(replayed.transcript.answers[..2], [answers[0].clone(), Answer::Text("Err(Off)".into())]);
    }
}

/// The request for the recording comes in the middle of messages, in both directions.
fn a_busy_connection_is_recorded_between_two_messages(config: Config) {
    let directory = Directory::new();
    let server = serve(config.clone(), Capture::new(&directory.0));
    let mut peer = server.connect(Version::Rfc6455, "/");
    // A large message is queued for the client, and the next one has begun.
    let large = "y".repeat(3 << 20);
    peer.text(&large);
    peer.raw(b"\x81\x86\0\0\0\0record\x01\x82\0\0\0\0ab");
    assert_eq!(peer.next(), text(&large));
    assert_eq!(peer.next(), text("Ok(())"));
    peer.raw(b"\x80\x81\0\0\0\0c");
    assert_eq!(peer.next(), text("abc"));
    peer.assert_echo("recorded");
    close(&mut peer, 1000);
    server.wait_for_clients(0);
    server.stop().unwrap();
    let recording = directory.recording();
    let answers = answers(&recording);
    assert_eq!(answers, [Answer::Text("recorded".into()), Answer::Close(1000, String::new())]);
    assert_replays(&recording, &config);
}

fn limits_are_reported(config: Config) {
    let directory = Directory::new();
    let server = serve(config.clone(), Capture::new(&directory.0).max_recordings(1));
    let mut peers: Vec<_> = (0..2).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    for (peer, answer) in peers.iter_mut().zip(["Ok(())", "Err(Limit)"]) {
        peer.text("record");
        assert_eq!(peer.next(), text(answer));
        peer.assert_echo("still here");
    }
    assert_eq!(server.handle.capture_stats().unwrap().recordings, 1);
    // Without a recorder.
    let server = serve_without(config);
    let mut peer = server.connect(Version::Rfc6455, "/?record");
    peer.text("record");
    assert_eq!(peer.next(), text("Err(Off)"));
    assert!(server.handle.capture_stats().is_none());
    assert_eq!(CaptureError::Off.to_string(), "the server does not record: give its builder a `Capture`");
}

/// A recording that could not begin does not count when the client is gone.
fn a_wish_is_forgotten_with_its_client(config: Config) {
    let directory = Directory::new();
    let capture = Capture::new(&directory.0).max_recordings(1);
    let server = Server::builder(config.listen("127.0.0.1:0")).capture(capture).bind().unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    let server = Running::run(server);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    peer.raw(b"\x01\x81\0\0\0\0a\x89\x80\0\0\0\0"); // a message has begun
    assert_eq!(peer.next(), Received::Pong(Vec::new()));
    assert_eq!(client.capture(), Ok(()));
    let mut other_peer = server.connect(Version::Rfc6455, "/");
    let other = recorder.connected();
    assert_eq!(other.capture(), Err(CaptureError::Limit));
    drop(peer);
    server.wait_for_clients(1);
    assert_eq!(client.capture(), Err(CaptureError::Closed));
    assert_eq!(other.capture(), Ok(()));
    other_peer.assert_echo("recorded");
    eventually("a recording", || server.handle.capture_stats().unwrap().recordings == 1);
}

fn serve_without(config: Config) -> Running {
    Running::start(config, Arc::new(Echo))
}

fn a_server_that_stops_completes_its_recordings(config: Config) {
    let directory = Directory::new();
    let server = serve(config, Capture::new(&directory.0).peers(|_| true));
    let mut peers: Vec<_> = (0..10).map(|_| server.connect(Version::Rfc6455, "/")).collect();
    for (number, peer) in peers.iter_mut().enumerate() {
        peer.assert_echo(&number.to_string());
    }
    server.handle.stop();
    for peer in &mut peers {
        assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
        peer.finish();
    }
    server.wait().unwrap();
    let recordings = directory.recordings();
    assert_eq!(recordings.len(), 10);
    for recording in recordings {
        assert!(recording.is_complete());
        assert_eq!(answers(&recording).last(), Some(&Answer::Close(1001, String::new())));
    }
}

#[cfg(feature = "deflate")]
mod compressed {
    use super::*;
    use crate::common::client::compress_all;
    use clws_server::DeflateConfig;

    in_both_modes!(deflate_is_recorded_and_replayed, a_compressed_connection_is_recorded_while_it_is_open);

    fn compressing() -> DeflateConfig {
        compress_all().context_takeover(true)
    }

    fn compressed(server: &Running) -> Peer {
        let url = format!("ws://{}/", server.address());
        let request = ClientRequest::new(Version::Rfc6455, &url).deflate(&compressing());
        let peer = Peer::open(server.tcp(), Version::Rfc6455, request).unwrap();
        assert!(peer.deflate.is_some());
        peer
    }

    fn deflate_is_recorded_and_replayed(config: Config) {
        let config = config.deflate(Some(compressing()));
        let directory = Directory::new();
        let server = serve(config.clone(), Capture::new(&directory.0).peers(|_| true));
        let mut peer = compressed(&server);
        let long = "compress me ".repeat(1000);
        for _ in 0..3 {
            peer.assert_echo(&long);
        }
        close(&mut peer, 1000);
        server.wait_for_clients(0);
        server.stop().unwrap();
        let recording = directory.recording();
        assert!(recording.bytes(Side::Server).len() < 2000);
        assert_eq!(answers(&recording)[..3], [(); 3].map(|()| Answer::Text(long.clone())));
        assert_replays(&recording, &config);
    }

    fn a_compressed_connection_is_recorded_while_it_is_open(config: Config) {
        let config = config.deflate(Some(compress_all().context_takeover(false)));
        let directory = Directory::new();
        let server = serve(config.clone(), Capture::new(&directory.0));
        let url = format!("ws://{}/", server.address());
        let deflate = compress_all().context_takeover(false).max_window_bits(10);
        let request = ClientRequest::new(Version::Rfc6455, &url).deflate(&deflate);
        let mut peer = Peer::open(server.tcp(), Version::Rfc6455, request).unwrap();
        peer.assert_echo("before before before");
        peer.text("record");
        assert_eq!(peer.next(), text("Ok(())"));
        peer.assert_echo("after after after");
        close(&mut peer, 1000);
        server.wait_for_clients(0);
        server.stop().unwrap();
        let recording = directory.recording();
        assert_eq!(answers(&recording)[0], Answer::Text("after after after".into()));
        assert_replays(&recording, &config);
    }
}

/// A fixed bug, and a recording that misses something.
#[test]
fn a_replay_shows_differences_and_refuses_gaps() {
    struct Loud;
    impl Resource for Loud {
        fn text(&self, client: &Client, text: Text<'_>) {
            let _ = client.send(text.to_uppercase());
        }
    }
    let directory = Directory::new();
    let server = serve(crate::common::config(), Capture::new(&directory.0).peers(|_| true).max_queued(5_000));
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.assert_echo("hello");
    close(&mut peer, 1000);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.assert_echo(&"x".repeat(10_000));
    peer.assert_echo("hello");
    drop(peer);
    server.wait_for_clients(0);
    server.stop().unwrap();
    let [whole, gap] = <[Recording; 2]>::try_from(directory.recordings()).unwrap();

    let loud = TestServer::new(Config::default()).unwrap();
    loud.resources().register("/", Origins::any(), Loud).unwrap();
    let difference = loud.replay(&whole).unwrap().difference();
    assert_eq!(difference.as_deref(), Some(r#"message 1 is Text("hello") and Text("HELLO")"#));
    let nothing = TestServer::new(Config::default()).unwrap().replay(&whole).unwrap();
    assert_eq!(nothing.difference().as_deref(), Some("the status is Some(101) and Some(404)"));

    assert!(gap.entries().iter().any(|entry| matches!(entry.content, Content::Missing(_))));
    let error = loud.replay(&gap).unwrap_err().to_string();
    assert!(error.starts_with("the recording cannot be replayed: "), "{error}");
}
