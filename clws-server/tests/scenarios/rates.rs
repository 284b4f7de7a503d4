//! Clients that send faster than the limits of their resource.

use std::sync::Arc;

use crate::common::{Callback, Peer, Probe, Received, Recorder, Running, text};
use clws_server::{Config, Excess, Origins, Resource, ResourceConfig, Server, Version};

in_both_modes!(
    messages_beyond_the_limit_wait,
    bytes_beyond_the_limit_wait,
    an_excess_closes_the_client_with_1008,
    pings_beyond_the_limit_wait_or_close,
    a_flood_of_pings_costs_others_nothing,
);

/// A server with a resource `/` without limits, and a limited one.
fn start(config: Config, limits: impl FnOnce(ResourceConfig) -> ResourceConfig) -> (Running, Recorder) {
    let (probe, recorder) = Probe::new();
    let probe: Arc<dyn Resource> = probe;
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register_shared("/", Origins::any(), Arc::clone(&probe)).unwrap();
    let limited = limits(ResourceConfig::new(Origins::any()));
    server.resources().register_shared("/limited", limited, probe).unwrap();
    (Running::run(server), recorder)
}

fn pings(peer: &mut Peer, count: usize) {
    peer.send(|sender| (0..count).for_each(|_| sender.ping(b"?").unwrap()));
}

/// The next texts that the handlers get.
fn texts(recorder: &Recorder, count: usize) -> Vec<String> {
    let texts = std::iter::repeat_with(|| recorder.next()).filter_map(|callback| match callback {
        Callback::Text(text) => Some(text),
        _ => None,
    });
    texts.take(count).collect()
}

/// The fast client's last message comes two seconds after its first.
fn messages_beyond_the_limit_wait(config: Config) {
    let (server, recorder) = start(config, |limits| limits.max_messages_per_second(4));
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut fast = server.connect(Version::Rfc6455, "/limited");
    fast.send(|sender| (0..12).for_each(|number| sender.text(&number.to_string(), None).unwrap()));
    assert_eq!(fast.next(), text("0"));
    (0..100).for_each(|_| other.assert_echo("other"));
    let texts = texts(&recorder, 112);
    assert_eq!(texts.last().map(String::as_str), Some("11"), "the fast client did not wait");
    (1..12).for_each(|number| assert_eq!(fast.next(), text(&number.to_string())));
}

fn bytes_beyond_the_limit_wait(config: Config) {
    let (server, recorder) = start(config, |limits| limits.max_bytes_per_second(100_000));
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut fast = server.connect(Version::Rfc6455, "/limited");
    let message = "x".repeat(50_000);
    fast.send(|sender| (0..6).for_each(|_| sender.text(&message, None).unwrap()));
    assert_eq!(fast.next(), text(&message));
    (0..100).for_each(|_| other.assert_echo("other"));
    let texts = texts(&recorder, 106);
    assert!(texts.last() == Some(&message), "the fast client did not wait");
    (1..6).for_each(|_| assert_eq!(fast.next(), text(&message)));
}

#[track_caller]
fn expect_1008(peer: &mut Peer, reason: &str) {
    loop {
        match peer.next() {
            Received::Close(close) => {
                assert_eq!(close, Some((1008, reason.to_owned())));
                return peer.finish();
            }
            Received::Text(_) | Received::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn an_excess_closes_the_client_with_1008(config: Config) {
    let (server, recorder) = start(config, |limits| limits.max_messages_per_second(10).excess(Excess::Close));
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut fast = server.connect(Version::Rfc6455, "/limited");
    for peer in [&mut other, &mut fast] {
        peer.send(|sender| (0..100).for_each(|_| sender.text("x", None).unwrap()));
    }
    expect_1008(&mut fast, "too many messages per second");
    let (code, _, cause) = recorder.disconnected();
    assert_eq!((code, &*cause), (1006, "sent too fast"));
    assert_eq!(server.handle.stats().closed_by("excess"), 1);
    (0..100).for_each(|_| assert_eq!(other.next(), text("x")));

    let (server, _) =
        start(server_config(), |limits| limits.max_bytes_per_second(10_000).excess(Excess::Close));
    let mut large = server.connect(Version::Rfc6455, "/limited");
    large.text(&"x".repeat(20_000));
    expect_1008(&mut large, "too many bytes per second");
}

fn server_config() -> Config {
    crate::common::config()
}

fn pings_beyond_the_limit_wait_or_close(config: Config) {
    let limits = |limits: ResourceConfig| limits.max_control_frames_per_second(5);
    let (server, _) = start(config.clone(), |resource| limits(resource).excess(Excess::Close));
    let mut flood = server.connect(Version::Rfc6455, "/limited");
    pings(&mut flood, 100);
    expect_1008(&mut flood, "too many control frames per second");

    let (server, recorder) = start(config, limits);
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut flood = server.connect(Version::Rfc6455, "/limited");
    pings(&mut flood, 15);
    flood.text("after the pings");
    assert_eq!(flood.next(), Received::Pong(b"?".to_vec()));
    (0..100).for_each(|_| other.assert_echo("other"));
    let texts = texts(&recorder, 101);
    assert_eq!(texts.last().map(String::as_str), Some("after the pings"), "the pings did not wait");
    (1..15).for_each(|_| assert_eq!(flood.next(), Received::Pong(b"?".to_vec())));
    assert_eq!(flood.next(), text("after the pings"));
}

/// Without a limit, too: a client's share of a turn bounds what its pings cost.
fn a_flood_of_pings_costs_others_nothing(config: Config) {
    let (server, _) = start(config, |limits| limits);
    let mut other = server.connect(Version::Rfc6455, "/");
    let mut flood = server.connect(Version::Rfc6455, "/limited");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..100 {
                pings(&mut flood, 1000);
                (0..1000).for_each(|_| assert_eq!(flood.next(), Received::Pong(b"?".to_vec())));
            }
        });
        (0..200).for_each(|_| other.assert_echo("undisturbed"));
    });
}

/// A short compressed message counts with its inflated length.
#[cfg(feature = "deflate")]
#[test]
fn compression_hides_no_bytes() {
    use clws_handshake::client::ClientRequest;

    let config = crate::common::config().deflate(Some(crate::common::client::compress_all()));
    let (server, _) = start(config, |limits| limits.max_bytes_per_second(10_000).excess(Excess::Close));
    let request = ClientRequest::new(Version::Rfc6455, "ws://server/limited")
        .deflate(&crate::common::client::compress_all());
    let mut peer = Peer::open(server.tcp(), Version::Rfc6455, request).unwrap();
    assert!(peer.deflate.is_some());
    peer.assert_echo(&"x".repeat(5000));
    peer.sender.text(&"x".repeat(20_000), None).unwrap();
    assert!(peer.sender.queued() < 1000);
    peer.send(|_| {});
    expect_1008(&mut peer, "too many bytes per second");
}
