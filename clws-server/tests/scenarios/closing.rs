//! Ends of connections caused by the client, by the application, or by faults of either.

use crate::common::{ALL_VERSIONS, Callback, HYBI_VERSIONS, Peer, Probe, Received, Running, text};
use clws_handshake::client::ClientRequest;
use clws_server::{Client, Close, CloseCode, Config, Disconnect, Origins, Resource, Server, Version};

in_both_modes!(
    closed_by_the_client,
    closed_by_the_application,
    closed_by_the_application_from_another_thread,
    a_vanished_client_ends_with_1006,
    a_half_close_ends_a_draft_0_client_cleanly,
    aborted_by_the_application,
    refused_in_connected,
    a_client_that_does_not_answer_a_close_is_dropped,
    a_protocol_error_gets_a_close_frame,
);

fn closed_by_the_client(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    for version in &HYBI_VERSIONS {
        let mut peer = server.connect(*version, "/");
        peer.text("first");
        peer.close(3333, "bye");
        assert_eq!(peer.next(), text("first"));
        assert_eq!(peer.next(), Received::Close(Some((3333, String::new()))));
        assert_eq!(peer.next(), Received::End);
        assert_eq!(recorder.disconnected(), (3333, "bye".into(), "closed".into()));

        let mut peer = server.connect(*version, "/");
        peer.send(|sender| sender.close_without_code());
        assert_eq!(peer.next(), Received::Close(None));
        assert_eq!(peer.next(), Received::End);
        assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
    }
    server.wait_for_clients(0);
}

fn closed_by_the_application(config: Config) {
    let (probe, recorder) = Probe::with(|client, _| {
        client.send_text("before").unwrap();
        client.close((CloseCode::new(4001), "that is all"));
        assert!(!client.is_open() && client.send_text("after the close").is_err());
    });
    let server = Running::start(config, probe);
    for version in ALL_VERSIONS {
        let mut peer = server.connect(version, "/");
        peer.text("go");
        assert_eq!(peer.next(), text("before"));
        let hixie = version.is_hixie();
        let frame = if hixie { None } else { Some((4001, "that is all".to_owned())) };
        assert_eq!(peer.next(), Received::Close(frame));
        peer.text("this is not delivered");
        peer.close(4002, "agreed");
        assert_eq!(peer.next(), Received::End);
        recorder.connected();
        assert!(matches!(recorder.next(), Callback::Text(text) if text == "go"));
        let Callback::Disconnected { code, reason, cause, .. } = recorder.next() else { panic!() };
        let (client_code, client_reason) = if hixie { (1005, "") } else { (4002, "agreed") };
        assert_eq!((code, &*reason, &*cause), (client_code, client_reason, "closed"));
    }
}

fn closed_by_the_application_from_another_thread(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    recorder.connected().close((CloseCode::GOING_AWAY, "later"));
    assert_eq!(peer.next(), Received::Close(Some((1001, "later".into()))));
    peer.finish();
    recorder.disconnected();
    server.wait_for_clients(0);
}

fn a_vanished_client_ends_with_1006(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.assert_echo("a");
    drop(peer);
    assert_eq!(recorder.disconnected(), (1006, String::new(), "vanished".into()));
    server.wait_for_clients(0);
}

fn a_half_close_ends_a_draft_0_client_cleanly(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    drop(server.connect(Version::Hybi00, "/"));
    assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
}

fn aborted_by_the_application(config: Config) {
    let (probe, recorder) = Probe::with(|client, _| client.abort());
    let server = Running::start(config, probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("go");
    assert!(matches!(peer.next(), Received::End | Received::Reset));
    assert_eq!(recorder.disconnected().2, "aborted");
    // From another thread.
    let mut peer = server.connect(Version::Rfc6455, "/");
    recorder.connected().abort();
    assert!(matches!(peer.next(), Received::End | Received::Reset));
    assert_eq!(recorder.disconnected().2, "aborted");
    server.wait_for_clients(0);
}

struct RefusesAll;

impl Resource for RefusesAll {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.query_string() == Some("panic") {
            panic!("in connected");
        }
        Err(Close::new(CloseCode::new(4003), "full house"))
    }

    fn text(&self, _: &Client, _: clws_server::Text<'_>) {
        panic!("a refused client delivers no messages");
    }

    fn disconnected(&self, _: &Client, _: &Disconnect) {
        panic!("`disconnected` is not called for a refused client");
    }
}

fn refused_in_connected(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), RefusesAll).unwrap();
    let server = Running::run(server);
    for (target, code, reason) in [("/", 4003, "full house"), ("/?panic", 1011, "")] {
        let mut peer = server.connect(Version::Rfc6455, target);
        peer.text("hello?");
        assert_eq!(peer.next(), Received::Close(Some((code, reason.into()))));
        peer.finish();
    }
    server.wait_for_clients(0);
}

fn a_client_that_does_not_answer_a_close_is_dropped(config: Config) {
    let (probe, recorder) = Probe::with(|client, _| client.close(CloseCode::NORMAL));
    let server = Running::start(config.close_timeout(std::time::Duration::from_millis(150)), probe);
    let mut peer = server.connect(Version::Rfc6455, "/");
    peer.text("go");
    assert!(matches!(peer.next(), Received::Close(_)));
    assert!(matches!(peer.next(), Received::End | Received::Reset));
    assert_eq!(recorder.disconnected(), (1006, String::new(), "did not answer a close frame".into()));
    server.wait_for_clients(0);
}

/// The close frame arrives although the client keeps sending: the server must not reset the
/// connection.
fn a_protocol_error_gets_a_close_frame(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    for _ in 0..20 {
        let url = format!("ws://{}/", server.address());
        let stream = server.tcp();
        let mut writing = stream.try_clone().unwrap();
        let mut peer =
            Peer::open(stream, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, &url)).unwrap();
        peer.raw(&[0xF1, 0x80, 0, 0, 0, 0]);
        peer.raw(&[0; 300_000]);
        let Received::Close(Some((1002, reason))) = peer.next() else { panic!() };
        assert_eq!(reason, "a reserved bit is set that no extension defines");
        std::io::Write::write_all(&mut writing, &[0; 1000]).unwrap();
        assert_eq!(peer.next(), Received::End);
        drop((peer, writing));
        assert_eq!(
            recorder.disconnected(),
            (
                1006,
                String::new(),
                "broke the protocol: a reserved bit is set that no extension defines".into()
            )
        );
    }
    server.wait_for_clients(0);
}
