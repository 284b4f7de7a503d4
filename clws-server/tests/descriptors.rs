//! A process with few descriptors: the limit is raised, or the server takes fewer clients; and when none is left, nobody waits
//! for an answer. (Each scenario alone: the limit is the process's.)
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use clws_server::{Config, Peer, Server, Version};
use common::{PATIENCE, Probe, Running};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

alone!(the_soft_limit_is_raised, and_not_if_that_is_forbidden, what_several_servers_need_is_added);
alone_in_both_modes!(
    fewer_clients_are_taken,
    streams_take_no_descriptor,
    none_is_left,
    none_is_left_for_long
);

fn limit(soft: u64, hard: u64) {
    setrlimit(Resource::Nofile, Rlimit { current: Some(soft), maximum: Some(hard) }).unwrap();
}

fn soft() -> usize {
    usize::try_from(getrlimit(Resource::Nofile).current.unwrap()).unwrap()
}

fn config() -> Config {
    common::config().listen("127.0.0.1:0")
}

fn max_clients(config: Config) -> usize {
    Server::bind(config).unwrap().handle().max_clients()
}

fn the_soft_limit_is_raised() {
    limit(100, 5000);
    assert_eq!(max_clients(config().max_clients(50)), 50);
    let raised = soft();
    assert!((1000..3000).contains(&raised), "{raised}");
    for _ in 0..3 {
        assert_eq!(max_clients(config().max_clients(50)), 50);
    }
    assert_eq!(soft(), raised, "a server that has gone needs nothing");

    // Never beyond the hard limit, and never down.
    let most = max_clients(config().max_clients(100_000));
    assert!((3000..5000).contains(&most), "{most}");
    assert_eq!(soft(), 5000);
    assert_eq!(max_clients(config().max_clients(50)), 50);
    assert_eq!(soft(), 5000);
    assert_eq!(getrlimit(Resource::Nofile).maximum, Some(5000));

    // What is open is not left for clients.
    let open: Vec<_> = (0..1000).map(|_| File::open("/dev/null").unwrap()).collect();
    let fewer = max_clients(config().max_clients(100_000));
    assert!(fewer <= most - open.len() * 9 / 10, "{fewer} of {most}");
}

fn and_not_if_that_is_forbidden() {
    limit(100, 5000);
    let most = max_clients(config().max_clients(1000).raise_descriptor_limit(false));
    assert!((40..100).contains(&most), "{most}");
    assert_eq!(soft(), 100);
    assert_eq!(max_clients(config().max_clients(10).raise_descriptor_limit(false)), 10);
}

fn what_several_servers_need_is_added() {
    limit(100, 20_000.min(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)));
    let config = || config().max_clients(2000);
    let servers: Vec<_> = (0..3).map(|_| Server::bind(config()).unwrap()).collect();
    assert!(servers.iter().all(|server| server.handle().max_clients() == 2000));
    assert!(soft() >= 6000, "{}", soft());
}

/// Clients of the same process, which have their descriptors before the server is bound.
fn clients(number: usize) -> Vec<Socket> {
    let new = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    (0..number).map(|_| new()).collect()
}

/// Sends a request, and reads the status of the answer.
fn ask(server: &Running, client: Socket) -> (TcpStream, String) {
    client.connect_timeout(&server.address().into(), PATIENCE).unwrap();
    let mut stream = TcpStream::from(client);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let _ = stream.write_all(request.as_bytes()); // it may be refused before that
    let mut status = [0; 12];
    stream.read_exact(&mut status).expect("an answer");
    (stream, String::from_utf8_lossy(&status).into_owned())
}

fn fewer_clients_are_taken(config: Config) {
    limit(400, 400);
    let mut clients = clients(300);
    let server = Running::start(config.max_clients(100_000), Probe::new().0);
    let most = server.handle.max_clients();
    assert!((20..100).contains(&most), "{most}");
    let mut taken = Vec::new();
    for _ in 0..most {
        let (stream, status) = ask(&server, clients.pop().unwrap());
        assert_eq!(status, "HTTP/1.1 101");
        taken.push(stream);
    }
    for _ in 0..2 * most {
        assert_eq!(ask(&server, clients.pop().unwrap()).1, "HTTP/1.1 503");
    }
    assert_eq!(server.handle.clients(), most);
    // There are descriptors for the application nevertheless.
    File::open("/dev/null").unwrap();
    taken.clear();
    server.wait_for_clients(0);
    server.connect(Version::Rfc6455, "/").assert_echo("room again");
}

/// Streams of the application's are counted for `max_clients`, and not for what the descriptors suffice for.
fn streams_take_no_descriptor(config: Config) {
    limit(400, 400);
    let mut clients = clients(300);
    let server = Running::start(config.max_clients(350), Probe::new().0);
    let most = server.handle.max_clients();
    assert!((20..100).contains(&most), "{most}");
    let streams: Vec<_> = (0..200).map(|_| serve_silence(&server)).collect();
    assert_eq!(server.handle.clients(), 200);
    let mut taken = Vec::new();
    for _ in 0..most {
        let (stream, status) = ask(&server, clients.pop().unwrap());
        assert_eq!(status, "HTTP/1.1 101");
        taken.push(stream);
    }
    assert_eq!(ask(&server, clients.pop().unwrap()).1, "HTTP/1.1 503");
    // A stream that goes leaves no room for a socket.
    drop(streams);
    server.wait_for_clients(most);
    assert_eq!(ask(&server, clients.pop().unwrap()).1, "HTTP/1.1 503");
    // All together, there are no more than the configuration says.
    let streams: Vec<_> = (0..350).map(|_| serve_silence(&server)).collect();
    assert_eq!(server.handle.clients(), 350);
    drop(streams);
}

/// A client over a stream that never says anything: one that is counted until this is dropped.
fn serve_silence(server: &Running) -> impl Future<Output = ()> + use<> {
    server.handle.serve_stream(futures::io::Cursor::new(Vec::new()), Peer::Stream)
}

/// Opens files until there is no descriptor left.
fn take_all() -> Vec<File> {
    let mut files = Vec::new();
    // Some may still be closed: those of clients that have just gone.
    for _ in 0..10 {
        files.extend((0..10_000).map_while(|_| File::open("/dev/null").ok()));
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(24)); // EMFILE
    files
}

fn none_is_left(config: Config) {
    limit(300, 300);
    let mut waiting = clients(100);
    let server = Running::start(config.max_clients(10), Probe::new().0);
    let mut early = server.connect(Version::Rfc6455, "/");
    early.assert_echo("early");
    for _ in 0..3 {
        let files = take_all();
        let mut refused = Vec::new(); // their own descriptors stay taken
        for _ in 0..10 {
            let (mut stream, status) = ask(&server, waiting.pop().unwrap());
            assert_eq!(status, "HTTP/1.1 503");
            // The end may be a reset, if the request came after the answer.
            let (rest, _) = common::read_to_end(&mut stream);
            let rest = String::from_utf8_lossy(&rest);
            assert!(rest.contains("the server is full"), "{rest}");
            refused.push(stream);
        }
        early.assert_echo("those who are in stay");
        drop((files, refused));
        assert_eq!(ask(&server, waiting.pop().unwrap()).1, "HTTP/1.1 101");
        server.wait_for_clients(1); // or its descriptor would be free in a moment
    }
}

/// Clock ticks that this process has used, from an open `/proc/self/stat`.
fn ticks(stat: &mut File) -> u64 {
    let mut text = String::new();
    stat.seek(SeekFrom::Start(0)).unwrap();
    stat.read_to_string(&mut text).unwrap();
    let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn none_is_left_for_long(config: Config) {
    limit(300, 300);
    let mut waiting = clients(100);
    let server = Running::start(config, Probe::new().0);
    server.connect(Version::Rfc6455, "/").assert_echo("it runs");
    server.wait_for_clients(0);
    let mut stat = File::open("/proc/self/stat");
    let files = take_all();
    let first = ask(&server, waiting.pop().unwrap());
    assert_eq!(first.1, "HTTP/1.1 503");
    if let Ok(stat) = &mut stat {
        let before = ticks(stat);
        thread::sleep(Duration::from_secs(3));
        let used = ticks(stat) - before; // of 300 in each thread that spins
        assert!(used < 100, "{used}");
    }
    let second = ask(&server, waiting.pop().unwrap());
    assert_eq!(second.1, "HTTP/1.1 503");
    drop(files);
    assert_eq!(ask(&server, waiting.pop().unwrap()).1, "HTTP/1.1 101");
}
