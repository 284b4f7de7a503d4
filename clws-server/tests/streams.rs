//! Connections over streams that are no sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::collections::VecDeque;
use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use clws_handshake::client::ClientRequest;
use clws_server::{CloseCode, Config, Origins, Peer as Address, SendError, Server, ServerHandle, Version};
use common::{ALL, Diary, Got, PATIENCE, Peer, Probe, config, text};
use futures::io::{AsyncRead, AsyncWrite};

/// One direction of a pipe.
struct Way {
    octets: VecDeque<u8>,
    /// So many octets fit in.
    capacity: usize,
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// Whether closing waits until all is read, as a stream with a buffer of its own does.
    close_waits: bool,
}

/// The server's end of a pipe: asynchronous, and it moves no more than `at_a_time`.
struct Ours {
    input: Arc<Mutex<Way>>,
    output: Arc<Mutex<Way>>,
    at_a_time: usize,
    /// What `poll_write` says in place of doing it.
    broken: Option<usize>,
}

/// The client's end: blocking.
struct Theirs {
    input: Arc<Mutex<Way>>,
    output: Arc<Mutex<Way>>,
}

fn pipe(capacity: usize, at_a_time: usize) -> (Ours, Theirs) {
    let way = || {
        Arc::new(Mutex::new(Way {
            octets: VecDeque::new(),
            capacity,
            ended: false,
            reader: None,
            writer: None,
            close_waits: false,
        }))
    };
    let (there, back) = (way(), way());
    let theirs = Theirs { input: Arc::clone(&back), output: Arc::clone(&there) };
    (Ours { input: there, output: back, at_a_time, broken: None }, theirs)
}

impl Way {
    fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let count = buffer.len().min(self.octets.len());
        if count == 0 && !self.ended {
            return None;
        }
        for (to, from) in buffer.iter_mut().zip(self.octets.drain(..count)) {
            *to = from;
        }
        self.writer.take().into_iter().for_each(Waker::wake);
        Some(count)
    }

    fn write(&mut self, octets: &[u8]) -> Option<usize> {
        let count = octets.len().min(self.capacity - self.octets.len());
        if count == 0 {
            return None;
        }
        self.octets.extend(&octets[..count]);
        self.reader.take().into_iter().for_each(Waker::wake);
        Some(count)
    }

    fn end(&mut self) {
        self.ended = true;
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl AsyncRead for Ours {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let most = self.at_a_time.min(buffer.len());
        let mut way = self.input.lock().unwrap();
        match way.read(&mut buffer[..most]) {
            Some(count) => Poll::Ready(Ok(count)),
            None => {
                way.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl AsyncWrite for Ours {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        if let Some(count) = self.broken {
            return Poll::Ready(Ok(count));
        }
        let mut way = self.output.lock().unwrap();
        match way.write(&octets[..octets.len().min(self.at_a_time)]) {
            Some(count) => Poll::Ready(Ok(count)),
            None => {
                way.writer = Some(cx.waker().clone());
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
        let mut way = self.output.lock().unwrap();
        if way.close_waits && !way.octets.is_empty() {
            way.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        assert!(!way.ended, "closed once");
        way.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        self.output.lock().unwrap().end();
        self.input.lock().unwrap().capacity = usize::MAX;
    }
}

impl Theirs {
    fn wait<T>(way: &Mutex<Way>, mut step: impl FnMut(&mut Way) -> Option<T>) -> io::Result<T> {
        let end = std::time::Instant::now() + PATIENCE;
        loop {
            if let Some(done) = step(&mut way.lock().unwrap()) {
                return Ok(done);
            }
            if std::time::Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(Duration::from_micros(50));
        }
    }
}

impl io::Read for Theirs {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Self::wait(&self.input, |way| way.read(buffer))
    }
}

impl io::Write for Theirs {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        Self::wait(&self.output, |way| way.write(octets))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl common::Stream for Theirs {
    fn end(&mut self) {
        self.output.lock().unwrap().end();
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        self.output.lock().unwrap().end();
    }
}

/// A server that nobody runs: streams need none.
fn serve(config: Config) -> (ServerHandle, Diary) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (probe, diary) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (server.handle(), diary)
}

fn spawn(handle: &ServerHandle, ours: Ours) -> async_std::task::JoinHandle<()> {
    async_std::task::spawn(handle.serve_stream(ours, Address::Stream))
}

#[track_caller]
fn wait(task: impl Future<Output = ()>) {
    async_std::task::block_on(async_std::future::timeout(PATIENCE, task))
        .expect("the stream is served to its end");
}

fn open(theirs: Theirs, version: Version) -> Peer {
    let request = ClientRequest::new(version, "ws://server/").with_origin("http://a");
    Peer::open(theirs, version, request).unwrap()
}

#[test]
fn every_version_over_pipes_of_every_width() {
    let (handle, diary) = serve(config());
    for version in ALL {
        for (capacity, at_a_time) in [(1 << 20, 1 << 20), (1 << 20, 1), (1, 1), (7, 3)] {
            let (ours, theirs) = pipe(capacity, at_a_time);
            let task = spawn(&handle, ours);
            let mut peer = open(theirs, version);
            let client = diary.connected();
            assert_eq!((client.peer(), client.remote_ip()), (Address::Stream, None));
            for i in 0..20 {
                peer.assert_echo(&format!("{i} äöü"));
            }
            client.send_text("from elsewhere").unwrap();
            assert_eq!(peer.next(), text("from elsewhere"));
            peer.send(|sender| sender.close_without_code());
            assert_eq!(peer.next(), Got::Close(None));
            assert_eq!(peer.next(), Got::End);
            wait(task);
            assert_eq!(diary.gone(), (1005, String::new(), "closed".into()));
        }
    }
    assert_eq!(handle.clients(), 0);
}

#[test]
fn sends_from_elsewhere_wake_a_stream_that_waits() {
    let (handle, diary) = serve(config());
    let (ours, theirs) = pipe(1000, 1000);
    let task = spawn(&handle, ours);
    let mut peer = open(theirs, Version::Rfc6455);
    let client = diary.connected();
    for i in 0..500 {
        client.send_text(&i.to_string()).unwrap();
        assert_eq!(peer.next(), text(&i.to_string()));
    }
    client.close(CloseCode::new(1000));
    assert_eq!(peer.next(), Got::Close(Some((1000, String::new()))));
    peer.finish();
    wait(task);
}

/// The pipe takes all that waits at once: nothing but the session itself then knows that there is input to go on with.
#[test]
fn a_stream_that_was_paused_goes_on() {
    let (handle, _diary) = serve(config().write_high_water(1000));
    let (ours, theirs) = pipe(1 << 20, 1 << 20);
    let (output, task) = (Arc::clone(&ours.output), spawn(&handle, ours));
    let mut peer = open(theirs, Version::Rfc6455);
    output.lock().unwrap().capacity = 1;
    let message = "x".repeat(2000);
    for _ in 0..10 {
        peer.text(&message);
    }
    std::thread::sleep(Duration::from_millis(50));
    {
        let mut way = output.lock().unwrap();
        way.capacity = 1 << 20;
        way.writer.take().into_iter().for_each(Waker::wake);
    }
    for _ in 0..10 {
        assert_eq!(peer.next(), text(&message));
    }
    drop(peer);
    wait(task);
}

#[test]
fn the_end_does_not_wait_for_a_peer_that_does_not_read() {
    let (handle, diary) = serve(config().close_timeout(Duration::from_millis(100)));
    let (ours, theirs) = pipe(1 << 20, 1 << 20);
    let output = Arc::clone(&ours.output);
    let task = spawn(&handle, ours);
    let mut peer = open(theirs, Version::Rfc6455);
    output.lock().unwrap().close_waits = true;
    peer.close(1000, "");
    // The answer is in the pipe, and stays there.
    wait(task);
    assert_eq!(diary.gone().0, 1000);
    assert_eq!(handle.clients(), 0);
    assert!(matches!(peer.next(), Got::Close(_)));
}

#[test]
fn the_end_lets_the_streams_own_buffer_out() {
    let (handle, _diary) = serve(config());
    let (ours, theirs) = pipe(1 << 20, 1 << 20);
    ours.output.lock().unwrap().close_waits = true;
    let task = spawn(&handle, ours);
    let mut peer = open(theirs, Version::Rfc6455);
    peer.raw(&[0xFF; 10]);
    std::thread::sleep(Duration::from_millis(20));
    assert!(matches!(peer.next(), Got::Close(_)));
    assert_eq!(peer.next(), Got::End);
    drop(peer);
    wait(task);
}

#[test]
fn a_stream_that_takes_nothing_is_no_endless_loop() {
    let (handle, _) = serve(config());
    let (mut ours, mut theirs) = pipe(1 << 20, 1 << 20);
    ours.broken = Some(0);
    let task = spawn(&handle, ours);
    io::Write::write_all(&mut theirs, b"nonsense\n").unwrap();
    wait(task);
    // And behind an opening handshake.
    let (mut ours, mut theirs) = pipe(1 << 20, 1 << 20);
    ours.broken = Some(0);
    let task = spawn(&handle, ours);
    let (request, _) =
        ClientRequest::new(Version::Rfc6455, "ws://a/").build(&mut |o: &mut [u8]| o.fill(1)).unwrap();
    io::Write::write_all(&mut theirs, &request).unwrap();
    wait(task);
}

#[test]
fn a_future_that_is_dropped_ends_the_connection() {
    let (handle, diary) = serve(config());
    let (ours, theirs) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, ours);
    let mut peer = open(theirs, Version::Rfc6455);
    let client = diary.connected();
    async_std::task::block_on(task.cancel());
    assert_eq!(diary.gone(), (1006, String::new(), "the server stopped".into()));
    assert_eq!(client.send_text("x"), Err(SendError::Closed));
    assert_eq!(peer.next(), Got::End);
    assert_eq!(handle.clients(), 0);
}

#[test]
fn stop_and_time_outs_hold_for_streams_too() {
    let (handle, diary) = serve(
        config().handshake_timeout(Duration::from_millis(100)).close_timeout(Duration::from_millis(100)),
    );
    let (ours, mut theirs) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, ours);
    let (answer, _) = common::read_to_end(&mut theirs);
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{answer:?}");
    wait(task);

    let (ours, theirs) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, ours);
    let mut peer = open(theirs, Version::Rfc6455);
    handle.stop();
    assert_eq!(peer.next(), Got::Close(Some((1001, String::new()))));
    wait(task);
    assert_eq!(diary.gone().2, "did not answer a close frame");
}

#[test]
fn over_the_number_is_503() {
    let (handle, _diary) = serve(config().max_clients(1));
    let (ours, theirs) = pipe(1 << 20, 1 << 20);
    let task = spawn(&handle, ours);
    let mut peer = open(theirs, Version::Rfc6455);
    let (ours, mut theirs) = pipe(1 << 20, 1 << 20);
    let refused = spawn(&handle, ours);
    let (answer, _) = common::read_to_end(&mut theirs);
    assert!(answer.starts_with(b"HTTP/1.1 503"));
    drop(theirs);
    wait(refused);
    peer.assert_echo("still in");
    drop(peer);
    wait(task);
}
