//! A server on its own thread.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use clws_handshake::client::ClientRequest;
use clws_server::{Config, Listen, Origins, Report, Resource, Server, ServerHandle, Version};

use super::client::{Peer, tcp};
use super::{TIMEOUT, eventually};

/// A config whose timeouts are longer than any wait of a test.
pub fn config() -> Config {
    super::own_process::provide_executor_threads();
    let never = 10 * TIMEOUT;
    let config = Config::default().protocol_76_00_support(true).protocol_75_support(true).shards(2);
    // The descriptors of any machine suffice for this number. Otherwise the server logs a warning.
    let config = config.max_clients(2_000).handshake_timeout(never).close_timeout(never);
    config.ping_interval(None).message_timeout(never).min_rate(0)
}

/// A server that runs on its own thread until this value is dropped.
pub struct Running {
    pub handle: ServerHandle,
    pub addresses: Vec<Listen>,
    ended: mpsc::Receiver<io::Result<Report>>,
}

impl Running {
    /// Serves `resource` at `/`, on a free loopback port unless the config has an address.
    pub fn start(mut config: Config, resource: Arc<dyn Resource>) -> Self {
        if config.listen.is_empty() {
            config = config.listen("127.0.0.1:0");
        }
        let server = Server::bind(config).unwrap();
        server.resources().register_shared("/", Origins::any(), resource).unwrap();
        Self::run(server)
    }

    pub fn run(server: Server) -> Self {
        let (handle, addresses) = (server.handle(), server.local_addrs().unwrap());
        let (done, ended) = mpsc::channel();
        thread::spawn(move || done.send(async_std::task::block_on(server.run())));
        Self { handle, addresses, ended }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0].socket_addr().expect("a TCP address")
    }

    pub fn connect(&self, version: Version, target: &str) -> Peer {
        self.try_connect(version, target).unwrap_or_else(|status| panic!("refused with {status}"))
    }

    /// Connects. The error is the status of the response.
    pub fn try_connect(&self, version: Version, target: &str) -> Result<Peer, u16> {
        let url = format!("ws://{}{target}", self.address());
        let request = ClientRequest::new(version, &url).origin("http://here.example");
        Peer::open(self.tcp(), version, request)
    }

    pub fn tcp(&self) -> TcpStream {
        tcp(self.address())
    }

    /// Stops the server, and waits for its end.
    pub fn stop(&self) -> io::Result<Report> {
        self.handle.stop();
        self.wait()
    }

    pub fn wait(&self) -> io::Result<Report> {
        self.ended.recv_timeout(TIMEOUT).expect("the server does not end")
    }

    /// Whether the server has ended. The next [`wait`](Self::wait) fails then.
    pub fn has_ended(&self) -> bool {
        !matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Empty))
    }

    /// Waits until the server has `number` clients.
    #[track_caller]
    pub fn wait_for_clients(&self, number: usize) {
        eventually("the number of clients", || self.handle.clients() == number);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        // A server that does not end fails the test without a second panic. A test that already
        // failed does not wait for long.
        let timeout = if thread::panicking() { Duration::from_millis(500) } else { TIMEOUT };
        let ended = self.ended.recv_timeout(timeout);
        if !thread::panicking() && matches!(ended, Err(mpsc::RecvTimeoutError::Timeout)) {
            panic!("the server does not end");
        }
    }
}
