//! TLS: messages, and the end of a connection.

use std::io::{Read, Write};

use clws_server::{Accept, Config, HandshakeOutcome, Listen, Opening, Origins, Reject, Resource, Server};
use clws_server::{TlsVersion, Version};

use crate::common::tls::{Identity, connect, open, start};
use crate::common::{ALL_VERSIONS, Probe, Received, Running, eventually, read_to_end, text};

in_both_modes!(
    clients_of_all_versions_connect_and_close,
    messages_of_all_sizes_are_echoed,
    a_client_that_reads_slowly_gets_everything,
    an_end_without_close_notify_is_never_clean,
    a_close_notify_ends_the_input_in_order,
    a_closed_client_gets_the_close_frame_and_a_close_notify,
    an_error_answer_is_encrypted,
    the_location_of_old_versions_is_secure,
    plain_http_gets_400_in_plain_text,
    garbage_gets_an_alert,
    a_damaged_record_costs_one_client,
    a_damaged_record_before_the_request_is_no_failed_tls_handshake,
    a_refused_client_that_leaves_early_frees_its_place,
    a_handshake_has_a_deadline,
    a_socket_beside_tls_is_plain,
);

fn serve(config: Config) -> (Running, Identity) {
    let (probe, _) = Probe::new();
    let identity = Identity::new("localhost");
    (start(config, &identity.tls(), probe), identity)
}

fn clients_of_all_versions_connect_and_close(config: Config) {
    let (server, identity) = serve(config);
    for version in ALL_VERSIONS {
        let mut peer = open(&server, identity.client(), version);
        peer.text("hello");
        assert_eq!(peer.next(), text("hello"));
        peer.send(|sender| sender.close_without_code());
        assert_eq!(peer.next(), Received::Close(None));
        // rustls reports an end without a close_notify as an error.
        assert_eq!(peer.next(), Received::End, "{version:?}");
    }
    server.wait_for_clients(0);
}

fn messages_of_all_sizes_are_echoed(config: Config) {
    let (server, identity) = serve(config);
    let mut peer = open(&server, identity.client(), Version::Rfc6455);
    for size in [0, 1, 125, 126, 16_380, 16_384, 16_385, 65_535, 65_536, 1 << 20] {
        let message: Vec<u8> = (0..=255).cycle().take(size).collect();
        peer.binary(&message);
        assert!(peer.next() == Received::Binary(message), "{size}");
    }
    peer.send(|sender| (0..2000).for_each(|i| sender.text(&i.to_string(), None).unwrap()));
    for i in 0..2000 {
        assert_eq!(peer.next(), text(&i.to_string()));
    }
}

/// The socket is full many times, with the rest of a record each time.
fn a_client_that_reads_slowly_gets_everything(config: Config) {
    let (probe, recorder) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config.max_write_backlog(64 << 20), &identity.tls(), probe);
    let mut peer = open(&server, identity.client(), Version::Rfc6455);
    let client = recorder.connected();
    let message = vec![7; 100_000];
    for _ in 0..200 {
        client.send_binary(&message).unwrap();
    }
    eventually("a full socket", || client.buffered_amount() > 0 && client.buffered_amount() < 20 << 20);
    client.send("last").unwrap();
    for _ in 0..200 {
        assert!(peer.next() == Received::Binary(message.clone()));
    }
    assert_eq!(peer.next(), text("last"));
    eventually("an empty queue", || client.buffered_amount() == 0);
    peer.assert_echo("and it goes on");
}

fn an_end_without_close_notify_is_never_clean(config: Config) {
    let (probe, recorder) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config, &identity.tls(), probe);
    // Hixie-75 has no close frame: its clients end the connection between two messages.
    for (is_cut, expected) in [(false, 1005), (true, 1006)] {
        let stream = connect(&server, identity.client(), "localhost");
        let socket = stream.sock.try_clone().unwrap();
        let request = clws_handshake::client::ClientRequest::new(Version::Hixie75, "wss://localhost/");
        let request = request.origin("http://here.example");
        let mut peer = crate::common::Peer::open(stream, Version::Hixie75, request).unwrap();
        peer.assert_echo("hello");
        if is_cut {
            socket.shutdown(std::net::Shutdown::Write).unwrap();
        } else {
            peer.stream.end();
        }
        assert_eq!(recorder.disconnected().0, expected);
    }
}

fn a_close_notify_ends_the_input_in_order(config: Config) {
    let (probe, recorder) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config, &identity.tls(), probe);
    let mut peer = open(&server, identity.client(), Version::Rfc6455);
    peer.send(|sender| (0..100).for_each(|i| sender.text(&i.to_string(), None).unwrap()));
    peer.stream.end();
    for i in 0..100 {
        assert_eq!(peer.next(), text(&i.to_string()));
    }
    assert_eq!(recorder.disconnected().0, 1006, "there was no close frame");
    assert_eq!(peer.next(), Received::End);
}

fn a_closed_client_gets_the_close_frame_and_a_close_notify(config: Config) {
    let (probe, recorder) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config, &identity.tls(), probe);
    let mut peer = open(&server, identity.client(), Version::Rfc6455);
    let client = recorder.connected();
    client.send("first").unwrap();
    client.close((clws_server::CloseCode::GOING_AWAY, "bye"));
    assert_eq!(peer.next(), text("first"));
    assert_eq!(peer.next(), Received::Close(Some((1001, "bye".to_owned()))));
    peer.finish();
    server.wait_for_clients(0);
}

fn an_error_answer_is_encrypted(config: Config) {
    let (server, identity) = serve(config);
    let mut stream = connect(&server, identity.client(), "localhost");
    stream.write_all(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap(); // it ends with a close_notify
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

fn the_location_of_old_versions_is_secure(config: Config) {
    let (server, identity) = serve(config);
    for version in [Version::Hybi00, Version::Hixie75] {
        let peer = open(&server, identity.client(), version);
        let location = peer.headers.iter().find(|(name, _)| name.to_ascii_lowercase().ends_with("location"));
        assert_eq!(location.map(|(_, url)| url.as_str()), Some("wss://localhost/"), "{version:?}");
    }
}

fn plain_http_gets_400_in_plain_text(config: Config) {
    let (server, _) = serve(config);
    for request in ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "P"] {
        let mut stream = server.tcp();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("wss://"), "{answer}");
    }
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::Tls), 2);
}

fn garbage_gets_an_alert(config: Config) {
    let (server, identity) = serve(config);
    let hellos: [&[u8]; 3] = [b"\x16\x03\x01\x00\x05hello", &[0x80, 0x2E, 1, 0, 2, 0, 0x15], &[0xFF; 100]];
    for hello in hellos {
        let mut stream = server.tcp();
        stream.write_all(hello).unwrap();
        let (answer, is_clean) = read_to_end(&mut stream);
        assert_eq!((answer.first(), answer.len(), is_clean), (Some(&21), 7, true), "{hello:?}: {answer:?}");
    }
    assert_eq!(server.handle.stats().handshakes_with(HandshakeOutcome::Tls), 3);
    open(&server, identity.client(), Version::Rfc6455).assert_echo("others are served");
}

fn a_damaged_record_costs_one_client(config: Config) {
    let (probe, recorder) = Probe::new();
    let identity = Identity::new("localhost");
    let server = start(config, &identity.tls(), probe);
    let mut other = open(&server, identity.client(), Version::Rfc6455);
    recorder.connected();
    let mut stream = connect(&server, identity.client(), "localhost");
    let request = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request).unwrap();
    recorder.connected();
    stream.sock.write_all(&[23, 3, 3, 0, 30, 1]).unwrap();
    stream.sock.write_all(&[2; 29]).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    let (code, _, cause) = recorder.disconnected();
    assert_eq!(code, 1006, "{cause}");
    other.assert_echo("others are served");
}

fn a_damaged_record_before_the_request_is_no_failed_tls_handshake(config: Config) {
    let (server, identity) = serve(config);
    let mut stream = connect(&server, identity.client(), "localhost");
    stream.write_all(b"GET / HTTP/1.1\r\n").unwrap();
    stream.sock.write_all(&[23, 3, 3, 0, 30, 1]).unwrap();
    stream.sock.write_all(&[2; 29]).unwrap();
    let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().contains("BadRecordMac"), "{error}");
    let count = |outcome| server.handle.stats().handshakes_with(outcome);
    assert_eq!((count(HandshakeOutcome::Abandoned), count(HandshakeOutcome::Tls)), (1, 0));
}

/// Its 503 can never be written, because the TLS handshake cannot be completed.
fn a_refused_client_that_leaves_early_frees_its_place(config: Config) {
    let hour = std::time::Duration::from_secs(3600);
    let (server, identity) = serve(config.max_clients(1).write_timeout(hour));
    let _first = open(&server, identity.client(), Version::Rfc6455);
    for hello in [&[][..], &[22, 3, 1]] {
        let mut stream = server.tcp();
        stream.write_all(hello).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(read_to_end(&mut stream), (Vec::new(), true), "{hello:?}");
    }
}

fn a_handshake_has_a_deadline(config: Config) {
    let (server, _) = serve(config.handshake_timeout(std::time::Duration::from_millis(300)));
    let mut stream = server.tcp();
    stream.write_all(&[22, 3, 1]).unwrap();
    assert_eq!(read_to_end(&mut stream).0, b"", "no answer can be encrypted");
    let timed_out = || server.handle.stats().handshakes_with(HandshakeOutcome::TimedOut);
    eventually("the outcome", || timed_out() == 1);
}

fn a_socket_beside_tls_is_plain(config: Config) {
    let (probe, _) = Probe::new();
    let identity = Identity::new("localhost");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = config.listen("wss://127.0.0.1:0").listen("ws://127.0.0.1:0");
    let server = Server::builder(config).plain_listener(listener).tls(identity.tls()).bind().unwrap();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    let mut server = Running::run(server);
    open(&server, identity.client(), Version::Rfc6455).assert_echo("secret");
    let urls: Vec<_> = server.addresses.iter().filter_map(Listen::url).collect();
    assert!(urls[0].starts_with("wss://127.0.0.1:"), "{urls:?}");
    for plain in [1, 2] {
        assert!(urls[plain].starts_with("ws://127.0.0.1:"), "{urls:?}");
        server.addresses.swap(0, plain);
        server.connect(Version::Rfc6455, "/").assert_echo("public");
        server.addresses.swap(0, plain);
    }
}

/// Reports what a resource sees of TLS.
struct Sees(std::sync::mpsc::Sender<Option<clws_server::TlsInfo>>);

impl Resource for Sees {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let _ = self.0.send(opening.tls().cloned());
        Ok(Accept::new())
    }
}

#[test]
fn a_resource_sees_the_result_of_the_handshake() {
    let (seen, sees) = std::sync::mpsc::channel();
    let identity = Identity::new("localhost");
    let server = start(crate::common::config(), &identity.tls(), std::sync::Arc::new(Sees(seen)));
    for (versions, version) in
        [(&[&rustls::version::TLS12], TlsVersion::Tls12), (&[&rustls::version::TLS13], TlsVersion::Tls13)]
    {
        let mut client = identity.client_builder(versions).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        open(&server, client, Version::Rfc6455);
        let info = sees.recv().unwrap().unwrap();
        assert_eq!((info.version(), info.server_name()), (version, Some("localhost")));
        assert_eq!((info.alpn(), info.resumed()), (Some(&b"http/1.1"[..]), false));
        assert!(info.cipher_suite().contains("AES"), "{}", info.cipher_suite());
        assert_eq!(info.client_certificates().count(), 0);
    }
}

#[test]
fn a_client_that_offers_only_other_protocols_is_refused() {
    let (server, identity) = serve(crate::common::config());
    let mut client = identity.client();
    client.alpn_protocols = vec![b"h2".to_vec()];
    let error = connect(&server, client, "localhost").write_all(b"GET").unwrap_err();
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
}

/// The handshakes of many clients do not hold up the others, and all of them succeed.
#[test]
fn a_burst_of_handshakes_is_served() {
    let (server, identity) = serve(crate::common::config().shards(1));
    let client = std::sync::Arc::new(identity.client());
    let streams: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = connect(&server, std::sync::Arc::clone(&client), "localhost");
            stream.conn.write_tls(&mut stream.sock).unwrap();
            stream
        })
        .collect();
    for mut stream in streams {
        stream.conn.complete_io(&mut stream.sock).unwrap();
    }
}

#[test]
fn a_server_without_certificates_cannot_bind_a_secure_address() {
    let error = Server::bind(Config::default().listen("wss://127.0.0.1:0")).unwrap_err();
    let text = "cannot listen on wss://127.0.0.1:0: the server has no certificate: call `ServerBuilder::tls`";
    assert_eq!(error.to_string(), text);
}

#[test]
fn refused_clients_get_their_answer_through_tls() {
    let (server, identity) = serve(crate::common::config().max_clients(1));
    let _first = open(&server, identity.client(), Version::Rfc6455);
    let mut stream = connect(&server, identity.client(), "localhost");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
}

/// The header comes before the TLS handshake, as haproxy and stunnel send it.
#[test]
fn a_proxy_tells_the_client_before_the_handshake() {
    let (seen, sees) = std::sync::mpsc::channel();
    let identity = Identity::new("localhost");
    let config = crate::common::config().trusted_proxies(["127.0.0.1"]).proxy_protocol(true);
    let server = start(config, &identity.tls(), std::sync::Arc::new(Sees(seen)));
    let mut stream = connect(&server, identity.client(), "localhost");
    stream.sock.write_all(b"PROXY TCP4 192.0.2.7 127.0.0.1 1000 443\r\n").unwrap();
    let request = clws_handshake::client::ClientRequest::new(Version::Rfc6455, "wss://localhost/");
    let _peer = crate::common::Peer::open(stream, Version::Rfc6455, request).unwrap();
    assert!(sees.recv().unwrap().is_some());
    eventually("a client", || !server.handle.list_clients().is_empty());
    assert_eq!(server.handle.list_clients()[0].remote_ip(), Some([192, 0, 2, 7].into()));

    let tasks = crate::common::config().trusted_proxies(["127.0.0.1"]).proxy_protocol(true);
    let tasks = tasks.task_per_client(true).listen("127.0.0.1:0");
    let error = Server::builder(tasks).tls(identity.tls()).bind().unwrap_err();
    assert!(error.to_string().contains("`task_per_client`"), "{error}");
}
