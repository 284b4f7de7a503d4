//! A server with one client, for models. Its driver is real and runs on a separate thread. All
//! input from the client is there before the driver starts.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll};

use clws_handshake::client::ClientRequest;
use clws_proto::Sender;
use futures::io::{AsyncRead, AsyncWrite};
use shuttle::future::block_on;
use shuttle::thread::{self, JoinHandle};

use crate::config::Config;
use crate::config::address::Peer;
use crate::driver::shard::Shard;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::net::poll::system;
use crate::net::socket::Socket;
use crate::resource::Resource;
use crate::server::handle::ServerHandle;
use crate::sim::poller::Poller;
use crate::sync::Bell;
use crate::wake::{ShardCommand, ShardHandle};
use clws_handshake::{Origins, Version};

/// The driver of the connection.
#[derive(Clone, Copy, Debug)]
pub(super) enum Driver {
    Shard,
    Stream,
    /// A stream that accepts no output.
    FullStream,
}

/// The client's behaviour after its last text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterTexts {
    End,
    Stay,
    /// Stays, without sending the last byte of the last text.
    StayWithinText,
}

pub(super) struct Harness {
    pub(super) shared: Arc<DriverState>,
    driver: JoinHandle<()>,
    peer: TestPeer,
}

enum TestPeer {
    Socket(UnixStream, Arc<ShardHandle>),
    Stream(Arc<Mutex<Vec<u8>>>),
}

/// Runs a shard without listening sockets on a new thread.
pub(super) fn run_shard(shared: &Arc<DriverState>) -> (Arc<ShardHandle>, JoinHandle<()>) {
    let poller = Poller::Model(system::Poller::new().unwrap(), Bell::default());
    let shard_handle = Arc::new(ShardHandle::new(poller.waker()));
    shared.set_shards(vec![Arc::clone(&shard_handle)]);
    let shard = Shard::new(Arc::clone(shared), Arc::clone(&shard_handle), poller, &[]).unwrap();
    (shard_handle, thread::spawn(move || shard.run().unwrap()))
}

/// A connection on which a request and `texts` have arrived.
pub(super) fn connection(texts: &[&str], after: AfterTexts) -> (Socket, UnixStream) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.write_all(&input(texts, after)).unwrap();
    if after == AfterTexts::End {
        theirs.shutdown(Shutdown::Write).unwrap();
    }
    (Socket::Unix(ours), theirs)
}

impl Harness {
    /// Starts to serve a client that sends `texts`.
    pub(super) fn serve(
        driver: Driver,
        config: Config,
        resource: impl Resource,
        texts: &[&str],
        after: AfterTexts,
    ) -> Self {
        let shared = DriverState::new(config);
        shared.resources.register("/", Origins::any(), resource).unwrap();
        let (driver, peer) = match driver {
            Driver::Shard => {
                let (shard_handle, driver) = run_shard(&shared);
                let (socket, peer) = connection(texts, after);
                let permit = shared.admit(Peer::Unix).unwrap();
                shard_handle.load.fetch_add(1, Ordering::Relaxed);
                shard_handle.send(ShardCommand::AddConnection(socket, Peer::Unix, permit)).unwrap();
                (driver, TestPeer::Socket(peer, shard_handle))
            }
            Driver::Stream | Driver::FullStream => {
                let pipe = Pipe {
                    input: input(texts, after),
                    ends: after == AfterTexts::End,
                    full: matches!(driver, Driver::FullStream),
                    output: Arc::default(),
                };
                let output = Arc::clone(&pipe.output);
                let serves = stream::drive(
                    pipe,
                    Peer::Stream,
                    Arc::clone(&shared),
                    shared.admit_stream(Peer::Stream),
                    |_| false,
                );
                (thread::spawn(move || block_on(serves)), TestPeer::Stream(output))
            }
        };
        Self { shared, driver, peer }
    }

    pub(super) fn handle(&self) -> ServerHandle {
        ServerHandle::new(Arc::clone(&self.shared))
    }

    /// Waits for the end of the connection and returns its output.
    pub(super) fn end(self) -> Vec<u8> {
        if let TestPeer::Socket(_, shard_handle) = &self.peer {
            let _ = shard_handle.send(ShardCommand::Stop); // fails if it was stopped before
        }
        self.driver.join().unwrap();
        assert_eq!(ServerHandle::new(self.shared).clients(), 0, "a permit is leaked");
        match self.peer {
            TestPeer::Socket(mut socket, _) => {
                let mut output = Vec::new();
                match socket.read_to_end(&mut output) {
                    Err(error) if error.kind() != io::ErrorKind::ConnectionReset => panic!("{error}"),
                    _ => output,
                }
            }
            TestPeer::Stream(output) => std::mem::take(&mut *output.lock().unwrap()),
        }
    }
}

/// The bytes of a request and of `texts` from a client.
fn input(texts: &[&str], after: AfterTexts) -> Vec<u8> {
    static REQUEST: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let request = ClientRequest::new(Version::Rfc6455, "ws://server/");
        request.build(&mut |bytes: &mut [u8]| bytes.fill(0x5A)).unwrap().0
    });
    let mut sender = Sender::client(Version::Rfc6455, || [1, 2, 3, 4]);
    let mut bytes = REQUEST.clone();
    for text in texts {
        sender.text(text, None).unwrap();
    }
    sender.write_to(&mut bytes).unwrap();
    if after == AfterTexts::StayWithinText {
        bytes.pop();
    }
    bytes
}

/// A stream that has all its input, and accepts either all output or none.
struct Pipe {
    input: Vec<u8>,
    ends: bool,
    output: Arc<Mutex<Vec<u8>>>,
    full: bool,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let count = buffer.len().min(self.input.len());
        if count == 0 && !self.ends {
            return Poll::Pending; // forever
        }
        for (to, from) in buffer.iter_mut().zip(self.input.drain(..count)) {
            *to = from;
        }
        Poll::Ready(Ok(count))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.full {
            return Poll::Pending; // forever
        }
        self.output.lock().unwrap().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
