//! Keepalive and the deadlines of silent and slow clients, over real sockets.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Callback, HYBI_VERSIONS, Peer, Probe, Received, Recorder, Running, eventually};
use clws_server::{Config, Origins, ResourceConfig, Server, Version};

in_both_modes!(
    a_client_that_answers_pings_stays,
    a_client_that_does_not_answer_is_closed,
    a_resource_has_its_own_interval,
    a_client_without_messages_is_closed,
    a_message_that_stops_is_ended,
    a_slow_message_is_ended_and_a_steady_one_is_not,
    a_client_that_reads_too_slowly_is_dropped,
);

const SHORT: Duration = Duration::from_millis(100);
const NEVER: Duration = Duration::from_secs(400);

/// The payload of the next ping.
#[track_caller]
fn ping(peer: &mut Peer) -> Vec<u8> {
    match peer.next() {
        Received::Ping(payload) => payload,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn assert_ends(recorder: &Recorder, cause: &str) {
    let (code, reason, found) = recorder.disconnected();
    assert_eq!((code, &*reason, &*found), (1006, "", cause));
}

fn a_client_that_answers_pings_stays(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.ping_interval(Some(SHORT)).ping_timeout(NEVER), probe);
    let mut peers = Vec::new();
    for version in HYBI_VERSIONS {
        let mut peer = server.connect(version, "/");
        let client = recorder.connected();
        assert_eq!(client.rtt(), None);
        for _ in 0..3 {
            let payload = ping(&mut peer);
            peer.send(|sender| sender.pong(&payload).unwrap());
        }
        eventually("a round-trip time", || client.rtt().is_some());
        // Pongs of the application are delivered, even if they are like those of keepalive.
        peer.send(|sender| sender.pong(&[b'x'; 16]).unwrap());
        let Callback::Pong(payload) = recorder.next() else { panic!("a keepalive pong is delivered") };
        assert_eq!(payload, [b'x'; 16]);
        peers.push(peer);
    }
}

fn a_client_that_does_not_answer_is_closed(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.ping_interval(Some(SHORT)).ping_timeout(SHORT), probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    recorder.connected();
    ping(&mut peer);
    assert_eq!(peer.next(), Received::Close(Some((1011, "no answer to a ping".to_owned()))));
    assert_ends(&recorder, "did not answer a ping");
    peer.finish();
}

fn a_resource_has_its_own_interval(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let settings = ResourceConfig::new(Origins::any()).ping_interval(Some(SHORT)).ping_timeout(NEVER);
    server.resources().register_shared("/pinged", settings, Probe::new().0).unwrap();
    server.resources().register_shared("/", Origins::any(), Probe::new().0).unwrap();
    let server = Running::run(server);
    let mut other = server.connect(Version::Rfc6455, "/");
    ping(&mut server.connect(Version::Rfc6455, "/pinged"));
    other.assert_echo("no ping before this");
}

fn a_client_without_messages_is_closed(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.idle_timeout(Some(3 * SHORT)), probe);
    for version in [Version::Rfc6455, Version::Hybi00] {
        let mut peer = server.connect(version, "/");
        recorder.connected();
        peer.assert_echo("hello");
        recorder.next();
        let close = (version == Version::Rfc6455).then(|| (1001, "no message".to_owned()));
        assert_eq!(peer.next(), Received::Close(close));
        assert_ends(&recorder, "sent no message");
        peer.finish();
    }
}

fn a_message_that_stops_is_ended(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.message_timeout(2 * SHORT), probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    recorder.connected();
    peer.raw(&[0x81, 0x85, 0, 0, 0, 0, b'h', b'e']);
    assert_eq!(peer.next(), Received::Close(Some((1008, "the message is too slow".to_owned()))));
    assert_ends(&recorder, "did not complete a message");
}

fn a_slow_message_is_ended_and_a_steady_one_is_not(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.message_timeout(5 * SHORT).min_rate(1000), probe);
    let frame = |first: u8| [first, 0xFE, 0x40, 0, 0, 0, 0, 0]; // of 16 KiB
    let mut steady = server.connect(Version::Rfc6455, "/");
    recorder.connected();
    steady.raw(&frame(0x82));
    for _ in 0..64 {
        steady.raw(&[0; 256]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(matches!(recorder.next(), Callback::Binary(payload) if payload.len() == 16_384));
    drop(steady);
    recorder.disconnected();

    let mut slow = server.connect(Version::Rfc6455, "/");
    recorder.connected();
    slow.raw(&frame(0x82));
    let is_over = Arc::new(AtomicBool::new(false));
    let has_ended = Arc::clone(&is_over);
    let writer = std::thread::spawn(move || {
        while !has_ended.load(Ordering::Relaxed) {
            slow.raw(&[0; 1]);
            std::thread::sleep(Duration::from_millis(50));
        }
    });
    assert_ends(&recorder, "did not complete a message");
    is_over.store(true, Ordering::Relaxed);
    writer.join().unwrap();
}

fn a_client_that_reads_too_slowly_is_dropped(config: Config) {
    let (probe, recorder) = Probe::new();
    let config = config.write_timeout(3 * SHORT).min_rate(1 << 30);
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    let client = recorder.connected();
    client.send(vec![0; 32 << 20]).unwrap();
    let mut buffer = [0; 1 << 16];
    // Progress alone does not help.
    loop {
        std::thread::sleep(Duration::from_millis(20));
        if std::io::Read::read(&mut peer.stream, &mut buffer).is_ok_and(|count| count > 0) && client.is_open()
        {
            continue;
        }
        break;
    }
    assert_ends(&recorder, "did not read what was sent");
}
