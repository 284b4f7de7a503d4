//! Clients that come through another HTTP server: `ServerHandle::upgrade`.
#![allow(clippy::result_large_err, reason = "the responses of the crate http are large")]

use std::future::IntoFuture;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use async_std::task::block_on;
use clws_handshake::client::ClientRequest;
use clws_handshake::{HandshakeLimits, HeadScanner, HttpRequest, Status};
use clws_proto::{Limits, Receiver, Role, Sender};
use clws_server::{
    Accept, Client, CloseCode, Config, Decision, HandshakeOutcome, Opening, Origins, Peer as Address, Reject,
    Resource, Server, ServerHandle, Text, Upgrade, Version,
};
use http::{Request, Response, StatusCode};

use crate::common::{HYBI_VERSIONS, Peer, Probe, Received, config, eventually, tcp, within};

/// Another HTTP server, with a thread for each connection.
struct Router(SocketAddr);

#[derive(Clone, Debug, PartialEq, Eq)]
struct User(&'static str);

impl Router {
    fn start(handle: ServerHandle) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, handle) = (stream.unwrap(), handle.clone());
                thread::spawn(move || serve(stream, &handle));
            }
        });
        Self(address)
    }

    fn try_connect(&self, version: Version, target: &str) -> Result<Peer, u16> {
        let url = format!("ws://{}{target}", self.0);
        let request = ClientRequest::new(version, &url).origin("http://here.example");
        Peer::open(tcp(self.0), version, request)
    }
}

/// Answers a request, and serves its stream if it was accepted.
fn serve(mut stream: TcpStream, handle: &ServerHandle) {
    let (request, peer) = (read_request(&mut stream), stream.peer_addr().unwrap());
    match block_on(handle.upgrade(&request).peer(peer).extension(User("ann")).into_future()) {
        Ok((response, upgrade)) => {
            write_response(&mut stream, &response, "");
            block_on(upgrade.serve(async_std::net::TcpStream::from(stream)));
        }
        Err(refusal) => write_response(&mut stream, &refusal, refusal.body()),
    }
}

fn read_request(stream: &mut TcpStream) -> Request<()> {
    let (mut received, mut scanner, limits) = (Vec::new(), HeadScanner::new(), HandshakeLimits::default());
    while scanner.scan(&received, &limits).unwrap() == Status::Partial {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        received.push(byte[0]);
    }
    let parsed = HttpRequest::parse(&received, &limits).unwrap();
    let mut request = Request::builder().method(parsed.method()).uri(parsed.target());
    for (name, value) in parsed.headers().iter_bytes() {
        request = request.header(name, value);
    }
    request.body(()).unwrap()
}

fn write_response<B>(stream: &mut TcpStream, response: &Response<B>, body: &str) {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
    }
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    stream.write_all(format!("{head}\r\n{body}").as_bytes()).unwrap();
}

/// A server that listens nowhere, with a resource at `/`.
pub(super) fn server(config: Config, resource: Arc<dyn Resource>) -> (Server, ServerHandle) {
    let server = Server::builder(config).bind().unwrap();
    server.resources().register_shared("/", Origins::any(), resource).unwrap();
    let handle = server.handle();
    (server, handle)
}

/// A handshake of RFC 6455 in parts.
pub(super) fn request(target: &str) -> http::request::Builder {
    Request::builder()
        .uri(target)
        .header("Host", "server")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

pub(super) fn upgrade<B>(
    handle: &ServerHandle,
    request: &Request<B>,
) -> Result<(Response<()>, Upgrade), Response<String>> {
    within(handle.upgrade(request).into_future())
}

/// The response to a refused request. Its text is not empty.
#[track_caller]
pub(super) fn refusal<B>(handle: &ServerHandle, request: &Request<B>) -> Response<String> {
    let refusal = upgrade(handle, request).map(drop).expect_err("it was accepted");
    assert!(!refusal.body().is_empty());
    assert_eq!(refusal.headers()["content-type"], "text/plain; charset=utf-8");
    refusal
}

/// Serves an accepted client over a socket. Returns the client's end.
pub(super) fn connect(upgrade: Upgrade) -> Peer {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = tcp(listener.local_addr().unwrap());
    let (accepted, _) = listener.accept().unwrap();
    thread::spawn(move || block_on(upgrade.serve(async_std::net::TcpStream::from(accepted))));
    let version = Version::Rfc6455;
    let sender = Sender::client(version, || [1, 2, 3, 4]);
    Peer::established(stream, sender, Receiver::new(version, Role::Client, Limits::default()))
}

#[test]
fn serves_the_versions_of_hybi() {
    let (probe, recorder) = Probe::new();
    let (_server, handle) = server(config(), probe);
    let router = Router::start(handle.clone());
    for version in HYBI_VERSIONS {
        let mut peer = router.try_connect(version, "/?a=b").unwrap_or_else(|status| panic!("{status}"));
        peer.assert_echo("hello");
        let client = recorder.connected();
        assert_eq!((client.websocket_version(), client.query_string()), (version, Some("a=b")));
        assert!(matches!(client.peer(), Address::Tcp(address) if address.ip().is_loopback()));
        assert_eq!(handle.list_clients(), [client]);
        peer.close(1000, "bye");
        assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
        assert_eq!(peer.next(), Received::End);
        assert_eq!(recorder.disconnected().0, 1000);
        eventually("the end", || handle.clients() == 0);
    }
    for version in [Version::Hybi00, Version::Hixie75] {
        let url = format!("ws://{}/", router.0);
        let request = ClientRequest::new(version, &url).origin("http://here.example");
        assert_eq!(Peer::open(tcp(router.0), version, request).err(), Some(426), "{version}");
    }
    let stats = handle.stats();
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Accepted), 3);
    assert_eq!(stats.handshakes_with(HandshakeOutcome::Rejected), 2);
}

/// Records what it sees of a request.
#[derive(Default)]
struct Curious(Mutex<Vec<String>>);

impl Resource for Curious {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let cookies: Vec<_> = opening.headers().cookies().map(|(_, value)| value.to_owned()).collect();
        let raw = opening.headers().get_bytes("x-raw");
        let user = opening.extensions().get::<User>();
        *self.0.lock().unwrap() =
            vec![opening.host().to_owned(), format!("{cookies:?} {raw:?} {user:?} {}", opening.peer())];
        Ok(Accept::new().subprotocol("chat").header("X-Answer", "42"))
    }
}

#[test]
fn a_resource_sees_the_request_exactly() {
    let curious = Arc::new(Curious::default());
    let (_server, handle) = server(config(), curious.clone());
    let request = request("/")
        .header("Cookie", "a=1")
        .header("X-Raw", &b"\xff\x80"[..])
        .header("Cookie", "b=2")
        .header("Sec-WebSocket-Protocol", "superchat, chat")
        .extension(User("ann"))
        .body(())
        .unwrap();
    let (response, _upgrade) = upgrade(&handle, &request).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let headers: Vec<_> =
        response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(
        headers,
        [
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            ("sec-websocket-protocol", "chat"),
            ("x-answer", "42"),
        ]
    );
    let expected = format!("{:?} {:?} {:?} stream", ["1", "2"], Some(b"\xff\x80"), Some(User("ann")));
    assert_eq!(*curious.0.lock().unwrap(), ["server", &expected]);
}

pub(super) struct Picky;

impl Resource for Picky {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("panic") => panic!("in accept"),
            Some("teapot") => Err(Reject::custom(418, "I am a teapot").append_header("X-Tea", "yes")?),
            _ => Ok(Accept::new()),
        }
    }
}

#[test]
fn refusals_have_the_status_of_our_own_port() {
    let (server, handle) = server(config(), Arc::new(Picky));
    server.resources().register("/strict", Origins::exact(["http://a.example"]), Picky).unwrap();
    let get = |target| request(target).body(()).unwrap();

    assert_eq!(refusal(&handle, &get("/none")).status(), 404);
    assert_eq!(refusal(&handle, &get("/strict")).status(), 403);
    assert_eq!(refusal(&handle, &get("/?panic")).status(), 500);
    let teapot = refusal(&handle, &get("/?teapot"));
    assert_eq!((teapot.status().as_u16(), teapot.body().as_str()), (418, "I am a teapot"));
    assert_eq!(teapot.headers()["x-tea"], "yes");

    // Another HTTP server answers plain requests itself, so the server's own hook is not asked.
    server.resources().http(|_| panic!("not called"));
    let plain = refusal(&handle, &Request::builder().uri("/").header("Host", "a").body(()).unwrap());
    assert_eq!(plain.status(), 426);
    for (name, value) in
        [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13, 8, 7")]
    {
        assert_eq!(plain.headers()[name], value);
    }
    let mut unsupported = get("/");
    unsupported.headers_mut().insert("sec-websocket-version", "12".parse().unwrap());
    assert_eq!(refusal(&handle, &unsupported).status(), 426);

    for (change, status) in [
        ("method", 405),
        ("key", 400),
        ("host", 400),
        ("two keys", 400),
        ("http/1.0", 400),
        ("size", 431),
        ("target", 414),
    ] {
        let mut request = get("/");
        match change {
            "method" => *request.method_mut() = http::Method::POST,
            "key" => drop(request.headers_mut().remove("sec-websocket-key")),
            "host" => drop(request.headers_mut().remove("host")),
            "two keys" => drop(request.headers_mut().append("sec-websocket-key", "x".parse().unwrap())),
            "http/1.0" => *request.version_mut() = http::Version::HTTP_10,
            "size" => drop(request.headers_mut().insert("cookie", "a".repeat(20_000).parse().unwrap())),
            _ => *request.uri_mut() = format!("/{}", "a".repeat(20_000)).parse().unwrap(),
        }
        assert_eq!(refusal(&handle, &request).status(), status, "{change}");
    }
    assert_eq!(handle.clients(), 0);
    assert_eq!(handle.stats().handshakes_with(HandshakeOutcome::Rejected), 13);
}

#[test]
fn an_address_has_a_limit() {
    let (_server, handle) = server(config().max_clients_per_ip(1), Arc::new(Picky));
    let get = request("/").body(()).unwrap();
    let from = |address: &str| {
        let address: SocketAddr = address.parse().unwrap();
        within(handle.upgrade(&get).peer(address).into_future())
    };
    let _first = from("192.0.2.1:1").unwrap();
    assert_eq!(from("192.0.2.1:2").map(drop).unwrap_err().status(), 429);
    let _other = from("192.0.2.2:1").unwrap();
}

/// Hands its decisions to the test.
struct Undecided(Mutex<mpsc::Sender<Decision>>);

impl Resource for Undecided {
    fn accept(&self, _: &Opening) -> Result<Accept, Reject> {
        let (accept, decision) = Accept::later();
        self.0.lock().unwrap().send(decision).unwrap();
        Ok(accept)
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }
}

pub(super) fn undecided(config: Config) -> (Server, ServerHandle, mpsc::Receiver<Decision>) {
    let (sender, decisions) = mpsc::channel();
    let (server, handle) = server(config, Arc::new(Undecided(Mutex::new(sender))));
    (server, handle, decisions)
}

#[test]
fn a_decision_may_come_later() {
    let (_server, handle, decisions) = undecided(config());
    let get = request("/").body(()).unwrap();
    let decide = thread::spawn(move || {
        decisions.recv().unwrap().reject(Reject::forbidden("not today"));
        decisions.recv().unwrap().accept(Accept::new().header("X-A", "b"));
        decisions
    });
    assert_eq!(refusal(&handle, &get).status(), 403);
    let (response, accepted) = upgrade(&handle, &get).unwrap();
    assert_eq!(response.headers()["x-a"], "b");
    connect(accepted).assert_echo("hello");

    // A future that is dropped gives the client up.
    let decisions = decide.join().unwrap();
    let mut dropped = handle.upgrade(&get).into_future();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(dropped.as_mut().poll(&mut cx).is_pending());
    let decision = decisions.recv().unwrap();
    assert!(decision.is_waiting());
    drop(dropped);
    assert!(!decision.is_waiting());
    eventually("the end of the served client", || handle.clients() == 0);
}

#[test]
fn a_decision_has_a_deadline() {
    let (_server, handle, decisions) = undecided(config().handshake_timeout(Duration::from_millis(20)));
    let refused = refusal(&handle, &request("/").body(()).unwrap());
    assert_eq!(refused.status(), 503);
    assert!(!decisions.recv().unwrap().is_waiting());
    assert_eq!((handle.clients(), handle.stats().handshakes_with(HandshakeOutcome::Undecided)), (0, 1));
}

#[test]
fn a_stop_refuses_undecided_clients_and_closes_accepted_ones() {
    let (server, handle, decisions) = undecided(config());
    let get = request("/").body(()).unwrap();
    let waiting = thread::spawn({
        let (handle, get) = (handle.clone(), get.clone());
        move || (upgrade(&handle, &get).unwrap().1, refusal(&handle, &get))
    });
    decisions.recv().unwrap().accept(Accept::new());
    let undecided = decisions.recv().unwrap();
    let running = thread::spawn(move || block_on(server.run()));
    handle.stop();
    let (accepted, refused) = waiting.join().unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    assert!(!undecided.is_waiting());
    let mut peer = connect(accepted);
    assert_eq!(peer.next(), Received::Close(Some((CloseCode::GOING_AWAY.value(), String::new()))));
    peer.finish();
    running.join().unwrap().unwrap();
    assert_eq!(refusal(&handle, &get).status(), 503);
}

/// Panics when it is dropped by the server, and not with the request.
#[derive(Clone)]
struct Bomb(Arc<()>);

impl Drop for Bomb {
    fn drop(&mut self) {
        if Arc::strong_count(&self.0) > 1 && !thread::panicking() {
            panic!("in the drop of an extension");
        }
    }
}

#[test]
fn a_panic_of_an_extension_costs_nothing() {
    let (_server, handle) = server(config(), Arc::new(Picky));
    let get = request("/").extension(Bomb(Arc::default())).body(()).unwrap();
    let (response, _upgrade) = upgrade(&handle, &get).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let get = request("/none").extension(Bomb(Arc::default())).body(()).unwrap();
    assert_eq!(refusal(&handle, &get).status(), 404);
}
