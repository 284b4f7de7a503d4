//! A restart on the same port: one server drains while the next one listens, under a stream of
//! connecting clients.
#![cfg(unix)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::common::wire::request;
use crate::common::{Running, TIMEOUT, eventually};
use clws_server::{Client, Config, Drain, Origins, Resource, Server, Text};

in_both_modes!(
    a_port_with_two_servers_loses_no_client,
    an_inherited_socket_loses_no_client,
    a_socket_of_the_application_keeps_what_waits_in_its_queue,
    a_closed_port_answers_what_waits_in_its_queue,
);

/// Greets each client with the number of the server.
struct Numbered(usize, Arc<[AtomicUsize; 2]>);

impl Resource for Numbered {
    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        self.1[self.0].fetch_add(1, Ordering::Relaxed);
        let _ = client.send_text(&self.0.to_string());
        Ok(())
    }

    fn text(&self, _: &Client, _: Text<'_>) {}
}

type Served = Arc<[AtomicUsize; 2]>;

fn start(server: Server, number: usize, served: &Served) -> Running {
    let resource = Arc::new(Numbered(number, Arc::clone(served)));
    server.resources().register_shared("/", Origins::any(), resource).unwrap();
    Running::run(server)
}

/// Connects a client and waits for the answer to its handshake. Returns the status.
fn connect(address: SocketAddr) -> u16 {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).expect("no connection");
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream.write_all(request("/").as_bytes()).expect("the connection was reset");
    let mut head = [0; 12];
    stream.read_exact(&mut head).expect("the connection was reset before an answer");
    std::str::from_utf8(&head[9..]).unwrap().parse().unwrap()
}

/// Clients that connect one after the other on some threads, until they are stopped.
struct Clients {
    ends: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Clients {
    fn new(address: SocketAddr) -> Self {
        let (ends, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ends_here, answered_here) = (Arc::clone(&ends), Arc::clone(&answered));
        let connecting = move || {
            while !ends_here.load(Ordering::Relaxed) {
                assert!(matches!(connect(address), 101 | 503));
                answered_here.fetch_add(1, Ordering::Relaxed);
            }
        };
        let threads = (0..4).map(|_| thread::spawn(connecting.clone())).collect();
        Self { ends, answered, threads }
    }

    fn wait_for_more(&self) {
        let before = self.answered.load(Ordering::Relaxed);
        eventually("more clients", || self.answered.load(Ordering::Relaxed) >= before + 20);
    }

    /// Ends, and fails if a client was not answered.
    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client was lost");
        }
    }
}

fn drain() -> Drain {
    Drain::new().within(Duration::from_secs(60)).spread(Duration::from_millis(50))
}

fn a_port_with_two_servers_loses_no_client(config: Config) {
    let config = config.reuse_port(true);
    let served = Served::default();
    let server = Server::bind(config.clone().listen("127.0.0.1:0")).unwrap();
    let mut old = start(server, 0, &served);
    let address = old.address();
    let clients = Clients::new(address);
    for _ in 0..3 {
        clients.wait_for_more();
        let next = start(Server::bind(config.clone().listen(address)).unwrap(), 1, &served);
        clients.wait_for_more();
        old.handle.drain(drain());
        old.wait().unwrap();
        clients.wait_for_more();
        old = next;
    }
    clients.end();
    assert!(served.iter().all(|served| served.load(Ordering::Relaxed) > 0));
}

fn an_inherited_socket_loses_no_client(config: Config) {
    let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    let (served, address) = (Served::default(), inherited.local_addr().unwrap());
    let server = |number| {
        let server = Server::builder(config.clone()).listener(inherited.try_clone().unwrap()).bind().unwrap();
        start(server, number, &served)
    };
    let mut old = server(0);
    let clients = Clients::new(address);
    for _ in 0..3 {
        clients.wait_for_more();
        old.handle.drain(drain());
        old.wait().unwrap();
        old = server(1);
        clients.wait_for_more();
    }
    clients.end();
    assert!(served.iter().all(|served| served.load(Ordering::Relaxed) > 0));
}

fn a_socket_of_the_application_keeps_what_waits_in_its_queue(config: Config) {
    let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
    let (served, address) = (Served::default(), inherited.local_addr().unwrap());
    let server = |number| {
        let server = Server::builder(config.clone()).listener(inherited.try_clone().unwrap()).bind().unwrap();
        start(server, number, &served)
    };
    let old = server(0);
    old.handle.drain(drain());
    old.wait().unwrap();
    let mut waiting: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    let _next = server(1);
    for stream in &mut waiting {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.write_all(request("/").as_bytes()).unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
    }
    eventually("all are served", || served[1].load(Ordering::Relaxed) == 10);
    drop(waiting);
}

/// Clients that connect before the server runs wait in the queue when the drain begins.
fn a_closed_port_answers_what_waits_in_its_queue(config: Config) {
    for reuses in [false, true] {
        let config = config.clone().reuse_port(reuses).listen("127.0.0.1:0");
        let server = Server::bind(config).unwrap();
        let clws_server::Listen::Tcp(address) = server.local_addrs().unwrap()[0] else { panic!() };
        let mut waiting: Vec<_> = (0..100).map(|_| TcpStream::connect(address).unwrap()).collect();
        for stream in &mut waiting[..50] {
            stream.write_all(request("/").as_bytes()).unwrap();
        }
        server.handle().drain(drain());
        let running = Running::run(server);
        for stream in &mut waiting {
            stream.set_read_timeout(Some(TIMEOUT)).unwrap();
            let mut answer = String::new();
            let _ = stream.write_all(b"");
            stream.read_to_string(&mut answer).expect("the connection was reset");
            assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("\r\nRetry-After: "), "{answer}");
        }
        drop(waiting);
        running.wait().unwrap();
        assert!(TcpStream::connect(address).is_err());
    }
}

#[test]
fn the_port_is_shared_only_if_the_config_says_so() {
    let config = |reuses| crate::common::config().reuse_port(reuses);
    let first = Server::bind(config(true).listen("127.0.0.1:0")).unwrap();
    let address = first.local_addrs().unwrap()[0].to_string();
    assert!(Server::bind(config(false).listen(&*address)).is_err());
    drop(Server::bind(config(true).listen(&*address)).unwrap());
}
