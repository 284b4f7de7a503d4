//! Draining a server: clients are closed one after the other, and everything is delivered or
//! reported.

use std::sync::Arc;
use std::time::Duration;

use crate::common::gate::Gate;
use crate::common::receivers::{Kind, assert_in_order};
use crate::common::wire::{CLOSE, TEXT, Wire, dial, numbered_texts, request, soon, wait_a_moment};
use crate::common::{self, ALL_VERSIONS, Probe, Received, Running};
use clws_server::{
    ByteString, Client, CloseCode, Config, Drain, HttpResponse, Message, Origins, Reject, Report, Resource,
    ResourceListener, Server, Text, WebSocket, async_handler,
};

in_both_modes!(
    closes_all_versions_and_reports_it,
    spreads_the_closes,
    a_close_may_come_long_after_the_drain,
    cuts_what_is_left,
    a_second_drain_shortens_the_first,
    a_stop_ends_a_drain,
    a_drain_after_a_stop_has_no_effect,
    can_be_drained_before_it_runs,
    undecided_handshakes_get_503,
    a_kept_port_answers_health_checks,
    a_mailbox_answers_everything_first,
    a_listener_answers_everything_first,
    an_async_handler_answers_everything_first,
    waits_for_async_handlers,
    waits_for_closures_of_a_listener,
    reports_messages_that_a_slow_listener_has_not_handled,
    reports_messages_that_a_slow_async_handler_has_not_handled,
    a_stop_reports_too,
);

const LONG: Duration = Duration::from_secs(60);

/// A drain that ends only when everything is done.
fn patient() -> Drain {
    Drain::new().within(LONG).spread(Duration::ZERO)
}

#[track_caller]
fn report(server: &Running) -> Report {
    server.wait().unwrap()
}

fn closes_all_versions_and_reports_it(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers = ALL_VERSIONS.map(|version| server.connect(version, "/"));
    let clients = ALL_VERSIONS.map(|_| recorder.connected());
    assert!(!server.handle.is_draining());
    server.handle.drain(patient().code(CloseCode::SERVICE_RESTART).reason("new version"));
    assert!(server.handle.is_draining());
    for (peer, version) in peers.iter_mut().zip(ALL_VERSIONS) {
        // Versions 7 and 8 lack 1012, and the others have no codes.
        let code = if version == clws_server::Version::Rfc6455 { 1012 } else { 1001 };
        let frame = (!version.is_hixie()).then(|| (code, "new version".to_owned()));
        assert_eq!(peer.next(), Received::Close(frame));
    }
    assert!(clients.iter().all(|client| !client.is_open()));
    peers.into_iter().for_each(|mut peer| peer.finish());
    let report = report(&server);
    assert_eq!((report.closed, report.cut, report.lost, report.undelivered), (5, 0, 0, 0), "{report}");
    assert!(report.is_clean() && report.unwritten == 0, "{report}");
}

fn spreads_the_closes(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config.shards(1), probe);
    let mut peers: Vec<_> = (0..8).map(|_| Wire::connect(&server, "/")).collect();
    (0..8).for_each(|_| drop(recorder.connected()));
    server.handle.drain(Drain::new().within(LONG).spread(Duration::from_millis(800)));
    // Clients that are not closed are served until their turn.
    let mut served = 0;
    for peer in &mut peers {
        peer.text("here?");
        while let Some((opcode, _)) = peer.next() {
            if opcode == CLOSE {
                break;
            }
            served += 1;
        }
    }
    assert!(served > 0, "all clients were closed at once");
    peers.into_iter().for_each(Wire::finish);
    assert_eq!(report(&server).closed, 8);
}

fn a_close_may_come_long_after_the_drain(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.shards(1), probe);
    let mut peers = [Wire::connect(&server, "/"), Wire::connect(&server, "/")];
    server.wait_for_clients(2);
    server.handle.drain(Drain::new().within(LONG).spread(LONG));
    let mut open = 0;
    for peer in &mut peers {
        peer.text("here?");
        let (opcode, _) = peer.next().unwrap();
        open += usize::from(opcode == TEXT);
    }
    assert!(open > 0);
    drop(peers);
    let report = report(&server);
    assert_eq!(report.closed + report.lost, 2, "{report}");
}

fn cuts_what_is_left(config: Config) {
    let (probe, recorder) = Probe::new();
    let server = Running::start(config, probe);
    let _silent = server.connect(clws_server::Version::Rfc6455, "/");
    recorder.connected();
    let _slow = server.connect(clws_server::Version::Rfc6455, "/");
    let slow = recorder.connected();
    while slow.send_text(&"x".repeat(100_000)).is_ok() {}
    server.handle.drain(Drain::new().within(Duration::from_millis(200)));
    let report = report(&server);
    assert_eq!((report.closed, report.cut), (0, 2), "{report}");
    assert!(report.unwritten > 100_000 && !report.is_clean(), "{report}");
    for _ in 0..2 {
        assert_eq!(recorder.disconnected().2, "the server stopped");
    }
}

fn a_second_drain_shortens_the_first(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peers: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    server.wait_for_clients(4);
    server.handle.drain(Drain::new().within(10 * LONG).spread(9 * LONG).code(CloseCode::SERVICE_RESTART));
    // The longer times have no effect, and neither has the code.
    server.handle.drain(Drain::new().within(20 * LONG).spread(Duration::ZERO));
    assert!(peers.iter_mut().all(|peer| peer.close_code() == Some(1012)));
    server.handle.drain(Drain::new().within(Duration::from_millis(50)));
    assert_eq!(report(&server).cut, 4);
}

fn a_stop_ends_a_drain(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config.close_timeout(Duration::from_millis(100)), probe);
    let mut peers: Vec<_> = (0..4).map(|_| Wire::connect(&server, "/")).collect();
    server.wait_for_clients(4);
    server.handle.drain(Drain::new().within(10 * LONG).spread(9 * LONG));
    server.handle.stop();
    assert!(peers.iter_mut().all(|peer| peer.close_code() == Some(1001)));
    let report = report(&server);
    assert_eq!(report.closed + report.cut, 4, "{report}");
}

fn a_drain_after_a_stop_has_no_effect(config: Config) {
    let (probe, _) = Probe::new();
    let server = Running::start(config, probe);
    let mut peer = Wire::connect(&server, "/");
    server.wait_for_clients(1);
    server.handle.stop();
    server.handle.drain(Drain::new().code(CloseCode::SERVICE_RESTART).within(Duration::ZERO));
    assert_eq!(peer.close_code(), Some(1001));
    peer.finish();
    assert_eq!(report(&server).closed, 1);
}

fn can_be_drained_before_it_runs(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.handle().drain(patient());
    assert_eq!(Running::run(server).wait().unwrap(), Report::default());
}

fn undecided_handshakes_get_503(config: Config) {
    struct Undecided(std::sync::Mutex<Vec<clws_server::Decision>>);
    impl Resource for Undecided {
        fn accept(&self, _: &clws_server::Opening) -> Result<clws_server::Accept, Reject> {
            let (accept, decision) = clws_server::Accept::later();
            self.0.lock().unwrap().push(decision);
            Ok(accept)
        }
    }
    let resource = Arc::new(Undecided(std::sync::Mutex::default()));
    let server = Running::start(config, Arc::clone(&resource) as _);
    let mut waiting = [request("/"), request("/")[..20].to_owned(), String::new()].map(|part| {
        let mut wire = Wire { socket: dial(&server.addresses[0]) };
        wire.raw(part.as_bytes());
        wire
    });
    soon("a decision is pending", || !resource.0.lock().unwrap().is_empty());
    server.wait_for_clients(3);
    server.handle.drain(patient());
    for wire in &mut waiting {
        let head = wire.head().to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 503 ") && head.contains("\r\nretry-after: "), "{head}");
    }
    let decision = resource.0.lock().unwrap().pop().unwrap();
    assert!(!decision.is_waiting());
    decision.accept(clws_server::Accept::new());
    drop(waiting);
    assert_eq!(report(&server), Report::default());
}

fn a_kept_port_answers_health_checks(config: Config) {
    let (probe, _) = Probe::new();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    let handle = server.handle();
    server.resources().http(move |request| match request.path() {
        "/health" if handle.is_draining() => Reject::unavailable(None).into(),
        "/health" => HttpResponse::new(200),
        _ => Reject::not_found().into(),
    });
    let server = Running::run(server);
    let status = |target: &str| {
        let mut wire = Wire { socket: dial(&server.addresses[0]) };
        wire.raw(format!("GET {target} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes());
        wire.head().split(' ').nth(1).unwrap().to_owned()
    };
    let mut peer = Wire::connect(&server, "/");
    assert_eq!(status("/health"), "200");
    server.handle.drain(patient().keep_port(true));
    assert_eq!(peer.close_code(), Some(1001));
    assert_eq!(status("/health"), "503");
    assert_eq!(status("/other"), "404");
    assert_eq!(server.try_connect(clws_server::Version::Rfc6455, "/").err(), Some(503));
    let _silent = server.tcp();
    peer.finish();
    assert_eq!(report(&server).closed, 1);
    common::eventually("the port is closed", || std::net::TcpStream::connect(server.address()).is_err());
}

/// Answers each message, slowly.
struct Slow(Gate);

impl ResourceListener for Slow {
    type Message = Gate;

    fn text(&mut self, client: &Client, text: ByteString) {
        self.0.pass();
        let _ = client.send(text);
    }

    fn draining(&mut self, client: &Client) {
        let _ = client.send("bye");
    }

    fn custom_message(&mut self, gate: Gate) {
        gate.open();
    }
}

fn answers_everything_first(config: Config, register: impl FnOnce(&Server, Gate), last_words: bool) {
    let gate = Gate::default();
    let server = Server::bind(config.max_handler_read_backlog(500).listen("127.0.0.1:0")).unwrap();
    register(&server, gate.clone());
    let server = Running::run(server);
    let mut client = Wire::connect(&server, "/");
    // Some of them are in the queue, and the others are unread because the queue is full.
    client.send_and_wait_until_read(&numbered_texts(30, 90));
    server.handle.drain(patient());
    wait_a_moment();
    gate.open();
    let mut answers = Vec::new();
    let code = loop {
        match client.next().unwrap() {
            (CLOSE, code) => break code,
            (_, text) => answers.push(String::from_utf8(text).unwrap()),
        }
    };
    assert_eq!(code, 1001u16.to_be_bytes());
    if last_words {
        assert_eq!(answers.pop().as_deref(), Some("bye"));
    }
    assert_eq!(answers.len(), 30, "messages have no answer: {answers:?}");
    assert_in_order(&answers);
    client.finish();
    let report = report(&server);
    assert!(report.closed == 1 && report.is_clean(), "{report}");
}

fn a_listener_answers_everything_first(config: Config) {
    let register = |server: &Server, gate| {
        server.resources().run_resource_listener("/", Origins::any(), Slow(gate)).unwrap();
    };
    answers_everything_first(config, register, true);
}

fn a_mailbox_answers_everything_first(config: Config) {
    use clws_server::{Event, mailbox};
    use futures::StreamExt;

    let register = |server: &Server, gate: Gate| {
        let (sender, mut events) = mailbox::<()>();
        server.resources().register("/", Origins::any(), sender).unwrap();
        std::thread::spawn(move || {
            while let Some(event) = futures::executor::block_on(events.next()) {
                match event {
                    Event::Text(client, text) => {
                        gate.pass();
                        let _ = client.send(text);
                    }
                    Event::Draining(client) => drop(client.send("bye")),
                    _ => {}
                }
            }
        });
    };
    answers_everything_first(config, register, true);
}

fn an_async_handler_answers_everything_first(config: Config) {
    let register = |server: &Server, gate: Gate| {
        let handler = async_handler(move |mut socket: WebSocket| {
            let gate = gate.clone();
            async move {
                while let Some(message) = socket.next().await {
                    gate.passed().await;
                    socket.send(message).await.unwrap();
                }
            }
        });
        server.resources().register("/", Origins::any(), handler).unwrap();
    };
    answers_everything_first(config, register, false);
}

fn waits_for_async_handlers(config: Config) {
    let gate = Gate::default();
    let (probe, finished) = (gate.clone(), Gate::default());
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let done = finished.clone();
    let handler = async_handler(move |mut socket: WebSocket| {
        let (gate, done) = (gate.clone(), done.clone());
        async move {
            while socket.next().await.is_some() {}
            gate.passed().await; // as if it wrote to a database
            done.open();
        }
    });
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let mut client = Wire::connect(&server, "/");
    server.handle.drain(patient());
    assert_eq!(client.close_code(), Some(1001));
    client.finish();
    common::eventually("the client has left", || server.handle.clients() == 0);
    wait_a_moment();
    assert!(!server.has_ended());
    probe.open();
    assert!(report(&server).is_clean());
    assert!(finished.is_open());
}

fn waits_for_closures_of_a_listener(config: Config) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (gate, called) = (Gate::default(), Gate::default());
    gate.open();
    let listener = server.resources().run_resource_listener("/", Origins::any(), Slow(gate)).unwrap();
    let blocked = Gate::default();
    let waits = blocked.clone();
    let calling = listener.call(move |_| waits.pass());
    listener.send(called.clone()).unwrap();
    let server = Running::run(server);
    blocked.wait_for(1);
    server.handle.drain(patient());
    wait_a_moment();
    assert!(!server.has_ended());
    blocked.open();
    assert!(report(&server).is_clean());
    assert!(called.is_open(), "the message of the application was not handled");
    common::within(calling).unwrap();
}

fn reports_messages_that_a_slow_listener_has_not_handled(config: Config) {
    let gate = Gate::default();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().run_resource_listener("/", Origins::any(), Slow(gate.clone())).unwrap();
    let server = Running::run(server);
    let mut client = Wire::connect(&server, "/");
    client.send_and_wait_until_read(&numbered_texts(20, 9));
    gate.wait_for(1);
    server.handle.drain(patient().within(Duration::from_millis(300)));
    let report = report(&server);
    assert_eq!((report.cut, report.undelivered, report.unfinished), (1, 19, 1), "{report}");
    gate.open();
}

fn reports_messages_that_a_slow_async_handler_has_not_handled(config: Config) {
    let gate = Gate::default();
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let held = gate.clone();
    let handler = async_handler(move |mut socket: WebSocket| {
        let gate = held.clone();
        async move {
            while let Some(Message::Text(_)) = socket.next().await {
                gate.passed().await;
            }
        }
    });
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let mut client = Wire::connect(&server, "/");
    client.send_and_wait_until_read(&numbered_texts(20, 9));
    server.handle.drain(patient().within(Duration::from_millis(300)));
    let report = report(&server);
    assert_eq!((report.cut, report.undelivered, report.unfinished), (1, 19, 1), "{report}");
    gate.open();
}

fn a_stop_reports_too(config: Config) {
    let (probe, recorder) = Probe::with(|client, _: &str| client.close(CloseCode::NORMAL));
    let server = Running::start(config.shards(1), probe);
    let mut polite = Wire::connect(&server, "/");
    let mut rude = Wire::connect(&server, "/");
    (0..2).for_each(|_| drop(recorder.connected()));
    server.handle.stop();
    assert_eq!(polite.close_code(), Some(1001));
    assert_eq!(rude.close_code(), Some(1001));
    polite.finish();
    rude.reset();
    let report = report(&server);
    assert_eq!((report.closed, report.cut, report.lost), (1, 0, 1), "{report}");
}

/// A resource that wraps another one without `draining` still closes its clients.
#[test]
fn a_wrapper_that_does_not_forward_closes_at_once() {
    struct Wrapper<R>(R);
    impl<R: Resource> Resource for Wrapper<R> {
        fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
            self.0.connected(client)
        }

        fn text(&self, client: &Client, text: Text<'_>) {
            self.0.text(client, text);
        }

        fn disconnected(&self, client: &Client, end: &clws_server::Disconnect) {
            self.0.disconnected(client, end);
        }
    }
    let handler =
        async_handler(|mut socket: WebSocket| async move { while socket.next().await.is_some() {} });
    let server = Running::start(common::config(), Arc::new(Wrapper(handler)));
    let mut client = Wire::connect(&server, "/");
    server.wait_for_clients(1);
    server.handle.drain(patient());
    assert_eq!(client.close_code(), Some(1001));
    client.finish();
    assert!(report(&server).is_clean());
}

/// All ways to receive get the messages that come before the client's close frame.
#[test]
fn delivers_until_the_close_frame() {
    for kind in [Kind::Mailbox, Kind::Listener, Kind::Async, Kind::Inline] {
        let server = Server::bind(common::config().shards(1).listen("127.0.0.1:0")).unwrap();
        let open = Gate::default();
        open.open();
        let log = kind.register(&server, "/", &open);
        let server = Running::run(server);
        let mut client = Wire::connect(&server, "/");
        log.connected();
        client.raw(&numbered_texts(5, 9));
        server.handle.drain(patient());
        assert_eq!(client.close_code(), Some(1001));
        client.text("5"); // as if in flight when the close frame arrived
        client.finish();
        let (texts, end) = log.messages_and_end();
        assert_in_order(&texts);
        assert!(texts.len() == 6 && end.is_clean(), "{kind:?}: {texts:?}, {end}");
        assert!(report(&server).is_clean());
    }
}
