//! Ends of connections: by the client, by the application, by faults of either.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use clws_handshake::client::ClientRequest;
use clws_server::{Client, Close, CloseCode, Config, Disconnect, Origins, Resource, Server, Version};
use common::{ALL, Got, HYBI, Peer, Probe, Running, Seen, text};

in_both_modes!(
    by_the_client,
    by_the_application,
    by_the_application_from_another_thread,
    by_a_client_that_vanishes,
    by_draft_0s_end_of_stream,
    aborted,
    refused_after_connecting,
    of_one_that_never_answers,
    of_one_that_breaks_the_protocol,
);

fn by_the_client(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    for version in &HYBI {
        let mut peer = server.connect(*version, "/");
        peer.text("first");
        peer.close(3333, "bye");
        assert_eq!(peer.next(), text("first"));
        assert_eq!(peer.next(), Got::Close(Some((3333, String::new()))));
        assert_eq!(peer.next(), Got::End);
        assert_eq!(diary.gone(), (3333, "bye".into(), "closed".into()));

        let mut peer = server.connect(*version, "/");
        peer.send(|sender| sender.close_without_code());
        assert_eq!(peer.next(), Got::Close(None));
        assert_eq!(peer.next(), Got::End);
        assert_eq!(diary.gone(), (1005, String::new(), "closed".into()));
    }
    server.wait_for_clients(0);
}

fn by_the_application(config: Config) {
    let (probe, diary) = Probe::with(|client, _| {
        client.send_text("before").unwrap();
        client.close((CloseCode::new(4001), "that is all"));
        assert!(!client.is_open() && client.send_text("behind").is_err());
    });
    let server = Running::start(config, probe);
    for version in ALL {
        let mut peer = server.connect(version, "/");
        peer.text("go");
        assert_eq!(peer.next(), text("before"));
        let hixie = version.is_hixie();
        let frame = if hixie { None } else { Some((4001, "that is all".to_owned())) };
        assert_eq!(peer.next(), Got::Close(frame));
        peer.text("this is not delivered");
        peer.close(4002, "so be it");
        assert_eq!(peer.next(), Got::End);
        diary.connected();
        assert!(matches!(diary.next(), Seen::Text(text) if text == "go"));
        let Seen::Gone { code, reason, cause, .. } = diary.next() else { panic!() };
        let (its_code, its_reason) = if hixie { (1005, "") } else { (4002, "so be it") };
        assert_eq!((code, &*reason, &*cause), (its_code, its_reason, "closed"));
    }
}

fn by_the_application_from_another_thread(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    diary.connected().close((CloseCode::GOING_AWAY, "later"));
    assert_eq!(peer.next(), Got::Close(Some((1001, "later".into()))));
    peer.finish();
    diary.gone();
    server.wait_for_clients(0);
}

fn by_a_client_that_vanishes(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.assert_echo("a");
    drop(peer);
    assert_eq!(diary.gone(), (1006, String::new(), "vanished".into()));
    server.wait_for_clients(0);
}

fn by_draft_0s_end_of_stream(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    drop(server.connect(Version::Hybi00, "/"));
    assert_eq!(diary.gone(), (1005, String::new(), "closed".into()));
}

fn aborted(config: Config) {
    let (probe, diary) = Probe::with(|client, _| client.abort());
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("go");
    assert!(matches!(peer.next(), Got::End | Got::Reset));
    assert_eq!(diary.gone().2, "aborted");
    // And from another thread.
    let mut peer = server.connect(Version::Rfc6455, "/");
    diary.connected().abort();
    assert!(matches!(peer.next(), Got::End | Got::Reset));
    assert_eq!(diary.gone().2, "aborted");
    server.wait_for_clients(0);
}

struct Choosy;

impl Resource for Choosy {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.query_string() == Some("panic") {
            panic!("in connected");
        }
        Err(Close::new(CloseCode::new(4003), "full house"))
    }

    fn text(&self, _: &Client, _: clws_server::Text<'_>) {
        panic!("it was refused");
    }

    fn disconnected(&self, _: &Client, _: &Disconnect) {
        panic!("it never was");
    }
}

fn refused_after_connecting(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Choosy).unwrap();
    let server = Running::run(server);
    for (target, code, reason) in [("/", 4003, "full house"), ("/?panic", 1011, "")] {
        let mut peer = server.connect(Version::Rfc6455, target);
        peer.text("hello?");
        assert_eq!(peer.next(), Got::Close(Some((code, reason.into()))));
        peer.finish();
    }
    server.wait_for_clients(0);
}

fn of_one_that_never_answers(config: Config) {
    let (probe, diary) = Probe::with(|client, _| client.close(CloseCode::NORMAL));
    let server = Running::start(config.close_timeout(std::time::Duration::from_millis(150)), probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("go");
    assert!(matches!(peer.next(), Got::Close(_)));
    assert!(matches!(peer.next(), Got::End | Got::Reset));
    assert_eq!(diary.gone(), (1006, String::new(), "did not answer a close frame".into()));
    server.wait_for_clients(0);
}

/// The close frame arrives although the client goes on sending for a while: the server must not reset the connection.
fn of_one_that_breaks_the_protocol(config: Config) {
    let (probe, diary) = Probe::new();
    let server = Running::start(config, probe);
    for _ in 0..20 {
        let url = format!("ws://{}/", server.address());
        let stream = server.tcp();
        let mut writing = stream.try_clone().unwrap();
        let mut peer =
            Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, &url)).unwrap();
        peer.raw(&[0xF1, 0x80, 0, 0, 0, 0]);
        peer.raw(&[0; 300_000]);
        let Got::Close(Some((1002, reason))) = peer.next() else { panic!() };
        assert_eq!(reason, "a reserved bit is set");
        std::io::Write::write_all(&mut writing, &[0; 1000]).unwrap();
        assert_eq!(peer.next(), Got::End);
        drop((peer, writing));
        assert_eq!(diary.gone(), (1006, String::new(), "broke the protocol: a reserved bit is set".into()));
    }
    server.wait_for_clients(0);
}
