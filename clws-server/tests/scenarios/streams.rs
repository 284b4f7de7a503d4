//! Connections over streams of the application.

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::common;
use crate::common::{ALL_VERSIONS, Peer, Probe, Received, Recorder, TIMEOUT, config, text};
use clws_handshake::client::ClientRequest;
use clws_server::{CloseCode, Config, Origins, Peer as Address, SendError, Server, ServerHandle, Version};
use futures::io::{AsyncRead, AsyncWrite};

/// One direction of a pipe.
struct Direction {
    bytes: VecDeque<u8>,
    /// The maximum number of bytes in the pipe.
    capacity: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Whether closing waits until everything is read, as a buffering stream does.
    close_waits: bool,
}

/// The server's asynchronous end of a pipe. It moves at most `at_a_time` bytes per call.
struct ServerEnd {
    input: Arc<Mutex<Direction>>,
    output: Arc<Mutex<Direction>>,
    at_a_time: usize,
    /// The result of `poll_write`, which then writes nothing.
    broken: Option<usize>,
}

/// The client's blocking end of a pipe.
struct ClientEnd {
    input: Arc<Mutex<Direction>>,
    output: Arc<Mutex<Direction>>,
}

fn pipe(capacity: usize, at_a_time: usize) -> (ServerEnd, ClientEnd) {
    let direction = || {
        Arc::new(Mutex::new(Direction {
            bytes: VecDeque::new(),
            capacity,
            ended: false,
            reader: None,
            writer: None,
            close_waits: false,
        }))
    };
    let (there, back) = (direction(), direction());
    let client_end = ClientEnd { input: Arc::clone(&back), output: Arc::clone(&there) };
    (ServerEnd { input: there, output: back, at_a_time, broken: None }, client_end)
}

impl Direction {
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = buffer.len().min(self.bytes.len());
        if count == 0 && !self.ended {
            return None;
        }
        for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *to = from;
        }
        self.writer.take().into_iter().for_each(Waker::wake);
        Some(count)
    }

    fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        let count = bytes.len().min(self.capacity - self.bytes.len());
        if count == 0 {
            return None;
        }
        self.bytes.extend(&bytes[..count]);
        self.reader.take().into_iter().for_each(Waker::wake);
        Some(count)
    }

    fn end(&mut self) {
        self.ended = true;
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let max = self.at_a_time.min(buffer.len());
        let mut direction = self.input.lock().unwrap();
        match direction.read(&mut buffer[..max]) {
            Some(count) => Poll::Ready(Ok(count)),
            None => {
                direction.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(count) = self.broken {
            return Poll::Ready(Ok(count));
        }
        let mut direction = self.output.lock().unwrap();
        match direction.write(&bytes[..bytes.len().min(self.at_a_time)]) {
            Some(count) => Poll::Ready(Ok(count)),
            None => {
                direction.writer = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty()).unwrap();
        self.poll_write(cx, first)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut direction = self.output.lock().unwrap();
        if direction.close_waits && !direction.bytes.is_empty() {
            direction.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        assert!(!direction.ended, "closed twice");
        direction.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        self.output.lock().unwrap().end();
        self.input.lock().unwrap().capacity = usize::MAX;
    }
}

impl ClientEnd {
    fn wait<T>(
        direction: &Mutex<Direction>,
        mut step: impl FnMut(&mut Direction) -> Option<T>,
    ) -> io::Result<T> {
        let end = std::time::Instant::now() + TIMEOUT;
        loop {
            if let Some(done) = step(&mut direction.lock().unwrap()) {
                return Ok(done);
            }
            if std::time::Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl io::Read for ClientEnd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::wait(&self.input, |direction| direction.read(buffer))
    }
}

impl io::Write for ClientEnd {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Self::wait(&self.output, |direction| direction.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl common::Stream for ClientEnd {
    fn end(&mut self) {
        self.output.lock().unwrap().end();
    }
}

impl Drop for ClientEnd {
    fn drop(&mut self) {
        self.output.lock().unwrap().end();
    }
}

/// A server that does not run. Streams work without `run`.
fn serve(config: Config) -> (ServerHandle, Recorder) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (server.handle(), recorder)
}

fn spawn(handle: &ServerHandle, server_end: ServerEnd) -> async_std::task::JoinHandle<()> {
    async_std::task::spawn(handle.serve_stream(server_end, Address::Stream))
}

#[track_caller]
fn wait(task: impl Future<Output = ()>) {
    async_std::task::block_on(async_std::future::timeout(TIMEOUT, task))
        .expect("the stream was not served to its end");
}

fn open(client_end: ClientEnd, version: Version) -> Peer {
    let request = ClientRequest::new(version, "ws://server/").origin("http://a");
    Peer::open(client_end, version, request).unwrap()
}

#[test]
fn all_versions_work_over_pipes_of_all_sizes() {
    let (handle, recorder) = serve(config());
    for version in ALL_VERSIONS {
        for (capacity, at_a_time) in [(1 << 20, 1 << 20), (1 << 20, 1), (1, 1), (7, 3)] {
            let (server_end, client_end) = pipe(capacity, at_a_time);
            let task = spawn(&handle, server_end);
            let mut peer = open(client_end, version);
            let client = recorder.connected();
            assert_eq!((client.peer(), client.remote_ip()), (Address::Stream, None));
            for i in 0..20 {
                peer.assert_echo(&format!("{i} äöü"));
            }
            client.send_text("from elsewhere").unwrap();
            assert_eq!(peer.next(), text("from elsewhere"));
            peer.send(|sender| sender.close_without_code());
            assert_eq!(peer.next(), Received::Close(None));
            assert_eq!(peer.next(), Received::End);
            wait(task);
            assert_eq!(recorder.disconnected(), (1005, String::new(), "closed".into()));
        }
    }
    assert_eq!(handle.clients(), 0);
}

#[test]
fn sends_by_other_threads_wake_a_waiting_stream() {
    let (handle, recorder) = serve(config());
    let (server_end, client_end) = pipe(1000, 1000);
    let task = spawn(&handle, server_end);
    let mut peer = open(client_end, Version::Rfc6455);
    let client = recorder.connected();
    for i in 0..500 {
        client.send_text(&i.to_string()).unwrap();
        assert_eq!(peer.next(), text(&i.to_string()));
    }
    client.close(CloseCode::new(1000));
    assert_eq!(peer.next(), Received::Close(Some((1000, String::new()))));
    peer.finish();
    wait(task);
}

/// The pipe accepts all queued data at once. Only the connection itself knows that unread input
/// remains.
#[test]
fn a_paused_stream_resumes() {
    let (handle, _recorder) = serve(config().write_high_water(1000));
    let (server_end, client_end) = pipe(1 << 20, 1 << 20);
    let (output, task) = (Arc::clone(&server_end.output), spawn(&handle, server_end));
    let mut peer = open(client_end, Version::Rfc6455);
    output.lock().unwrap().capacity = 1;
    let message = "x".repeat(2000);
    for _ in 0..10 {
        peer.text(&message);
    }
    std::thread::sleep(Duration::from_millis(50));
    {
        let mut direction = output.lock().unwrap();
        direction.capacity = 1 << 20;
        direction.writer.take().into_iter().for_each(Waker::wake);
    }
    for _ in 0..10 {
        assert_eq!(peer.next(), text(&message));
    }
    drop(peer);
    wait(task);
}

#[test]
fn closing_a_stream_does_not_wait_for_a_peer_that_does_not_read() {
    let (handle, recorder) = serve(config().close_timeout(Duration::from_millis(100)));
    let (server_end, client_end) = pipe(1 << 20, 1 << 20);
    let output = Arc::clone(&server_end.output);
    let task = spawn(&handle, server_end);
    let mut peer = open(client_end, Version::Rfc6455);
    output.lock().unwrap().close_waits = true;
    peer.close(1000, "");
    // The server's close frame stays in the pipe.
    wait(task);
    assert_eq!(recorder.disconnected().0, 1000);
    assert_eq!(handle.clients(), 0);
    assert!(matches!(peer.next(), Received::Close(_)));
}

#[test]
fn closing_a_stream_flushes_its_buffer() {
    let (handle, _recorder) = serve(config());
    let (server_end, client_end) = pipe(1 << 20, 1 << 20);
    server_end.output.lock().unwrap().close_waits = true;
    let task = spawn(&handle, server_end);
    let mut peer = open(client_end, Version::Rfc6455);
    peer.raw(&[0xFF; 10]);
    std::thread::sleep(Duration::from_millis(20));
    assert!(matches!(peer.next(), Received::Close(_)));
    assert_eq!(peer.next(), Received::End);
    drop(peer);
    wait(task);
}

#[test]
fn a_stream_that_writes_zero_bytes_ends() {
    let (handle, _) = serve(config());
    let (mut server_end, mut client_end) = pipe(1 << 20, 1 << 20);
    server_end.broken = Some(0);
    let task = spawn(&handle, server_end);
    io::Write::write_all(&mut client_end, b"nonsense\n").unwrap();
    wait(task);
    // After an opening handshake.
    let (mut server_end, mut client_end) = pipe(1 << 20, 1 << 20);
    server_end.broken = Some(0);
    let task = spawn(&handle, server_end);
    let (request, _) =
        ClientRequest::new(Version::Rfc6455, "ws://a/").build(&mut |o: &mut [u8]| o.fill(1)).unwrap();
    io::Write::write_all(&mut client_end, &request).unwrap();
    wait(task);
}

#[test]
fn dropping_the_future_ends_the_connection() {
    let (handle, recorder) = serve(config());
    let (server_end, client_end) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, server_end);
    let mut peer = open(client_end, Version::Rfc6455);
    let client = recorder.connected();
    async_std::task::block_on(task.cancel());
    assert_eq!(recorder.disconnected(), (1006, String::new(), "the server stopped".into()));
    assert_eq!(client.send_text("x"), Err(SendError::Closed));
    assert_eq!(peer.next(), Received::End);
    assert_eq!(handle.clients(), 0);
}

#[test]
fn stop_and_timeouts_apply_to_streams() {
    let (handle, recorder) =
        serve(config().handshake_timeout(Duration::from_secs(1)).close_timeout(Duration::from_millis(100)));
    let (server_end, mut client_end) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, server_end);
    let (answer, _) = common::read_to_end(&mut client_end);
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    wait(task);

    let (server_end, client_end) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, server_end);
    let mut peer = open(client_end, Version::Rfc6455);
    handle.stop();
    assert_eq!(peer.next(), Received::Close(Some((1001, String::new()))));
    wait(task);
    assert_eq!(recorder.disconnected().2, "did not answer a close frame");
}

#[test]
fn streams_beyond_max_clients_get_503() {
    let (handle, _recorder) = serve(config().max_clients(1));
    let (server_end, client_end) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, server_end);
    let mut peer = open(client_end, Version::Rfc6455);
    let (server_end, mut client_end) = pipe(1 << 20, 1 << 20);
    let refused = spawn(&handle, server_end);
    let (answer, _) = common::read_to_end(&mut client_end);
    assert!(answer.starts_with(b"HTTP/1.1 503"));
    drop(client_end);
    wait(refused);
    peer.assert_echo("still connected");
    drop(peer);
    wait(task);
}
