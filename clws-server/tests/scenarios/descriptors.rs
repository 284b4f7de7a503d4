//! A process with few file descriptors. The server raises the limit, or accepts fewer clients.
//! Without free descriptors it still answers with 503.
//!
//! Each scenario runs in its own process, because the limit applies to the whole process.
#![cfg(unix)]

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::common;
use crate::common::log::Log;
use crate::common::{Probe, Running, TIMEOUT};
use clws_server::{Config, Peer, Server, Version};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use tracing::Level;

in_own_process!(
    raises_the_soft_limit,
    does_not_raise_the_limit_if_that_is_disabled,
    adds_the_needs_of_several_servers,
    warns_only_of_a_chosen_or_small_number
);
in_both_modes_in_own_process!(
    accepts_fewer_clients_than_configured,
    streams_need_no_descriptor,
    answers_503_without_free_descriptors,
    does_not_spin_without_free_descriptors
);

fn set_limit(soft_limit: u64, hard: u64) {
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft_limit), maximum: Some(hard) }).unwrap();
}

fn soft_limit() -> usize {
    usize::try_from(getrlimit(Resource::Nofile).current.unwrap()).unwrap()
}

fn config() -> Config {
    common::config().listen("127.0.0.1:0")
}

fn max_clients(config: Config) -> usize {
    Server::bind(config).unwrap().handle().max_clients()
}

fn raises_the_soft_limit() {
    set_limit(100, 5000);
    assert_eq!(max_clients(config().max_clients(50)), 50);
    let raised = soft_limit();
    assert!((1000..3000).contains(&raised), "{raised}");
    for _ in 0..3 {
        assert_eq!(max_clients(config().max_clients(50)), 50);
    }
    assert_eq!(soft_limit(), raised, "a dropped server still counts");

    // The soft limit never exceeds the hard limit, and never falls.
    let max = max_clients(config().max_clients(100_000));
    assert!((3000..5000).contains(&max), "{max}");
    assert_eq!(soft_limit(), 5000);
    assert_eq!(max_clients(config().max_clients(50)), 50);
    assert_eq!(soft_limit(), 5000);
    assert_eq!(getrlimit(Resource::Nofile).maximum, Some(5000));

    // Open descriptors reduce the number of clients.
    let open: Vec<_> = (0..1000).map(|_| File::open("/dev/null").unwrap()).collect();
    let fewer = max_clients(config().max_clients(100_000));
    assert!(fewer <= max - open.len() * 9 / 10, "{fewer} of {max}");
}

fn does_not_raise_the_limit_if_that_is_disabled() {
    set_limit(100, 5000);
    let max = max_clients(config().max_clients(1000).raise_descriptor_limit(false));
    assert!((40..100).contains(&max), "{max}");
    assert_eq!(soft_limit(), 100);
    assert_eq!(max_clients(config().max_clients(10).raise_descriptor_limit(false)), 10);
}

fn adds_the_needs_of_several_servers() {
    set_limit(100, 20_000.min(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)));
    let config = || config().max_clients(2000);
    let servers: Vec<_> = (0..3).map(|_| Server::bind(config()).unwrap()).collect();
    assert!(servers.iter().all(|server| server.handle().max_clients() == 2000));
    assert!(soft_limit() >= 6000, "{}", soft_limit());
}

fn warns_only_of_a_chosen_or_small_number() {
    let log = Log::start();
    let levels = || {
        let mut lines = log.lines();
        let capped = lines.drain(..).filter(|(_, line)| line.contains("max_clients="));
        capped.map(|(level, _)| level).collect::<Vec<_>>()
    };
    set_limit(100, 5000);
    let default = || Config::default().listen("127.0.0.1:0");
    max_clients(default());
    assert_eq!(levels(), [Level::INFO]);
    max_clients(default().max_clients(6000));
    assert_eq!(levels(), [Level::WARN]);
    max_clients(default().max_clients(50));
    assert!(levels().is_empty());
    set_limit(1100, 1100);
    max_clients(default());
    assert_eq!(levels(), [Level::WARN], "fewer than 1000 clients");
}

/// Client sockets in the same process, created before the server is bound.
fn clients(number: usize) -> Vec<Socket> {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    (0..number).map(|_| new()).collect()
}

/// Sends a request, and reads the status of the answer.
fn ask(server: &Running, client: Socket) -> (TcpStream, String) {
    client.connect_timeout(&server.address().into(), TIMEOUT).unwrap();
    let mut stream = TcpStream::from(client);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    // The server may answer before it reads the request.
    let _ = stream.write_all(request.as_bytes());
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    (stream, String::from_utf8_lossy(&status).into_owned())
}

fn accepts_fewer_clients_than_configured(config: Config) {
    set_limit(400, 400);
    let mut clients = clients(300);
    let server = Running::start(config.max_clients(100_000), Probe::new().0);
    let max = server.handle.max_clients();
    assert!((20..100).contains(&max), "{max}");
    let mut accepted = Vec::new();
    for _ in 0..max {
        let (stream, status) = ask(&server, clients.pop().unwrap());
        assert_eq!(status, "HTTP/1.1 101");
        accepted.push(stream);
    }
    for _ in 0..2 * max {
        assert_eq!(ask(&server, clients.pop().unwrap()).1, "HTTP/1.1 503");
    }
    assert_eq!(server.handle.clients(), max);
    // The application still has free descriptors.
    File::open("/dev/null").unwrap();
    accepted.clear();
    server.wait_for_clients(0);
    server.connect(Version::Rfc6455, "/").assert_echo("a free place again");
}

/// Streams of the application count towards `max_clients`, but not towards the descriptor limit.
fn streams_need_no_descriptor(config: Config) {
    set_limit(400, 400);
    let mut clients = clients(300);
    let server = Running::start(config.max_clients(350), Probe::new().0);
    let max = server.handle.max_clients();
    assert!((20..100).contains(&max), "{max}");
    let streams: Vec<_> = (0..200).map(|_| serve_silence(&server)).collect();
    assert_eq!(server.handle.clients(), 200);
    let mut accepted = Vec::new();
    for _ in 0..max {
        let (stream, status) = ask(&server, clients.pop().unwrap());
        assert_eq!(status, "HTTP/1.1 101");
        accepted.push(stream);
    }
    assert_eq!(ask(&server, clients.pop().unwrap()).1, "HTTP/1.1 503");
    // The end of a stream frees no descriptor for a socket.
    drop(streams);
    server.wait_for_clients(max);
    assert_eq!(ask(&server, clients.pop().unwrap()).1, "HTTP/1.1 503");
    // Together, sockets and streams are limited by `max_clients`.
    let streams: Vec<_> = (0..350).map(|_| serve_silence(&server)).collect();
    assert_eq!(server.handle.clients(), 350);
    drop(streams);
}

/// Serves a stream without input, which counts as a client until the future is dropped.
fn serve_silence(server: &Running) -> impl Future<Output = ()> + use<> {
    server.handle.serve_stream(futures::io::Cursor::new(Vec::new()), Peer::Stream)
}

/// Opens files until no descriptor is left.
fn use_all_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    // Descriptors of clients that have just disconnected may still be closing.
    for _ in 0..10 {
        files.extend((0..10_000).map_while(|_| File::open("/dev/null").ok()));
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(24)); // EMFILE
    files
}

fn answers_503_without_free_descriptors(config: Config) {
    set_limit(300, 300);
    let mut waiting = clients(100);
    let server = Running::start(config.max_clients(10), Probe::new().0);
    let mut early = server.connect(Version::Rfc6455, "/");
    early.assert_echo("early");
    for _ in 0..3 {
        let files = use_all_descriptors();
        let mut refused = Vec::new(); // keeps the client descriptors open
        for _ in 0..10 {
            let (mut stream, status) = ask(&server, waiting.pop().unwrap());
            assert_eq!(status, "HTTP/1.1 503");
            // The connection may be reset if the request arrives after the answer.
            let (rest, _) = common::read_to_end(&mut stream);
            let rest = String::from_utf8_lossy(&rest);
            assert!(rest.contains("the server is full"), "{rest}");
            refused.push(stream);
        }
        early.assert_echo("connected clients stay");
        drop((files, refused));
        assert_eq!(ask(&server, waiting.pop().unwrap()).1, "HTTP/1.1 101");
        server.wait_for_clients(1); // otherwise its descriptor may still be closing
    }
}

/// The CPU time of this process in clock ticks, read from an open `/proc/self/stat`.
fn ticks(stat: &mut File) -> u64 {
    let mut text = String::new();
    stat.seek(SeekFrom::Start(0)).unwrap();
    stat.read_to_string(&mut text).unwrap();
    let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn does_not_spin_without_free_descriptors(config: Config) {
    set_limit(300, 300);
    let mut waiting = clients(100);
    let server = Running::start(config, Probe::new().0);
    server.connect(Version::Rfc6455, "/").assert_echo("the server runs");
    server.wait_for_clients(0);
    let mut stat = File::open("/proc/self/stat");
    let files = use_all_descriptors();
    let first = ask(&server, waiting.pop().unwrap());
    assert_eq!(first.1, "HTTP/1.1 503");
    if let Ok(stat) = &mut stat {
        let before = ticks(stat);
        thread::sleep(Duration::from_secs(1));
        let used = ticks(stat) - before; // a spinning thread uses 100
        assert!(used < 33, "{used}");
    }
    let second = ask(&server, waiting.pop().unwrap());
    assert_eq!(second.1, "HTTP/1.1 503");
    drop(files);
    assert_eq!(ask(&server, waiting.pop().unwrap()).1, "HTTP/1.1 101");
}
