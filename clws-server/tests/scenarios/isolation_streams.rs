//! A stream of the application may use its client in each of its methods. A panic in a method ends
//! only its own connection.
#![cfg(unix)]

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::common;
use crate::common::{Peer, Probe, Received, Recorder};
use async_std::os::unix::net::UnixStream;
use clws_handshake::client::ClientRequest;
use clws_server::{Client, Config, Origins, Peer as Address, Server, ServerHandle, Version};
use futures::future::join;
use futures::io::{AsyncRead, AsyncWrite};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Flush,
    Close,
    Drop,
}

type React = Arc<dyn Fn(Call) + Send + Sync>;

/// A socket that runs a closure in each of its methods.
struct Reacting(UnixStream, React);

impl AsyncRead for Reacting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        (self.1)(Call::Read);
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Reacting {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        (self.1)(Call::Write);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (self.1)(Call::Flush);
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        (self.1)(Call::Close);
        let _ = self.0.shutdown(std::net::Shutdown::Write);
        Pin::new(&mut self.0).poll_close(cx)
    }
}

impl Drop for Reacting {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            (self.1)(Call::Drop);
        }
    }
}

fn serve(config: Config) -> (ServerHandle, Recorder) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (server.handle(), recorder)
}

/// A stream to serve, and the client's end of it.
fn pair(react: impl Fn(Call) + Send + Sync + 'static) -> (Reacting, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(common::TIMEOUT)).unwrap();
    (Reacting(ours.into(), Arc::new(react)), theirs)
}

fn open(theirs: std::os::unix::net::UnixStream) -> Peer {
    Peer::open(theirs, Version::Rfc6455, ClientRequest::new(Version::Rfc6455, "ws://server/")).unwrap()
}

fn spawn(task: impl Future<Output = ()> + Send + 'static) -> async_std::task::JoinHandle<()> {
    async_std::task::spawn(task)
}

#[track_caller]
fn wait(task: impl Future<Output = ()>) {
    async_std::task::block_on(async_std::future::timeout(common::TIMEOUT, task))
        .expect("the stream was not served to its end");
}

#[test]
fn methods_of_a_stream_may_use_the_client() {
    let (handle, recorder) = serve(common::config());
    let client = Arc::new(Mutex::new(None::<Client>));
    let calls = Arc::new(Mutex::new(Vec::new()));
    let (known, seen) = (Arc::clone(&client), Arc::clone(&calls));
    let (ours, theirs) = pair(move |call| {
        let client = known.lock().unwrap().clone();
        let Some(client) = client else { return };
        assert!(client.buffered_amount() < 1 << 20);
        let mut seen = seen.lock().unwrap();
        if !seen.contains(&call) {
            seen.push(call);
            drop(seen);
            let _ = client.send_text(&format!("{call:?}")); // the client may be gone
            let _ = client.is_open();
        }
    });
    let task = spawn(handle.serve_stream(ours, Address::Stream));
    let mut peer = open(theirs);
    *client.lock().unwrap() = Some(recorder.connected());
    peer.text("go");
    let mut got = Vec::new();
    while got.len() < 4 {
        match peer.next() {
            Received::Text(text) => got.push(text),
            other => panic!("{other:?}"),
        }
    }
    got.sort();
    assert_eq!(got, ["Flush", "Read", "Write", "go"]);
    peer.close(1000, "");
    assert!(matches!(peer.next(), Received::Close(_)));
    drop(peer);
    wait(task);
    assert!(calls.lock().unwrap().contains(&Call::Close) && calls.lock().unwrap().contains(&Call::Drop));
    assert_eq!(handle.clients(), 0);
}

#[test]
fn a_panic_ends_only_its_own_connection() {
    for fatal in [Call::Read, Call::Write, Call::Flush, Call::Close, Call::Drop] {
        let (handle, recorder) = serve(common::config());
        let armed = Arc::new(Mutex::new(false));
        let arm = Arc::clone(&armed);
        let (ours, theirs) = pair(move |call| {
            let armed = *arm.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            assert!(!(armed && call == fatal), "in {call:?}");
        });
        let (other_stream, other_end) = pair(|_| ());
        // One task of the application serves both streams.
        let task = spawn({
            let (ours, other_stream) = (
                handle.serve_stream(ours, Address::Stream),
                handle.serve_stream(other_stream, Address::Stream),
            );
            async move {
                join(ours, other_stream).await;
            }
        });
        let mut other = open(other_end);
        let mut peer = open(theirs);
        let _ = (recorder.connected(), recorder.connected());
        *armed.lock().unwrap() = true;
        peer.text("now");
        if matches!(fatal, Call::Read | Call::Write | Call::Flush) {
            let end = recorder.disconnected();
            assert_eq!((end.0, end.2.as_str()), (1006, "failed: the stream panicked"), "{fatal:?}");
        } else {
            assert_eq!(peer.next(), common::text("now"));
            peer.close(1000, "");
            assert_eq!(recorder.disconnected().2, "closed");
        }
        common::eventually("the client's place is free", || handle.clients() == 1);
        other.assert_echo("undisturbed");
        drop((peer, other));
        wait(task);
        assert_eq!(handle.clients(), 0);
    }
}

#[test]
fn a_panic_in_the_handshake_ends_only_that_connection() {
    let (handle, _recorder) = serve(common::config());
    for fatal in [Call::Read, Call::Write, Call::Drop] {
        let (ours, mut theirs) = pair(move |call| assert_ne!(call, fatal));
        let task = spawn(handle.serve_stream(ours, Address::Stream));
        // The server may have closed the stream.
        let _ = io::Write::write_all(&mut theirs, b"GET / HTTP/1.1\r\n\r\n");
        let _ = common::read_to_end(&mut theirs);
        drop(theirs);
        wait(task);
        assert_eq!(handle.clients(), 0);
    }
    // A future that is dropped without being polled.
    drop(handle.serve_stream(pair(|call| assert_ne!(call, Call::Drop)).0, Address::Stream));
    assert_eq!(handle.clients(), 0);
}

/// Data discarded during a write is not written again. Messages sent during a write arrive in
/// order.
#[test]
fn the_outbox_may_change_during_a_write() {
    let (handle, recorder) = serve(common::config());
    let client = Arc::new(Mutex::new(None::<Client>));
    let known = Arc::clone(&client);
    let counter = Mutex::new(0);
    let (ours, theirs) = pair(move |call| {
        let client = known.lock().unwrap().clone();
        let mut counter = counter.lock().unwrap();
        if let (Call::Write, Some(client)) = (call, client) {
            *counter += 1;
            if *counter <= 300 {
                client.send_text(&format!("{counter}")).unwrap();
            } else {
                client.abort();
            }
        }
    });
    let task = spawn(handle.serve_stream(ours, Address::Stream));
    let mut peer = open(theirs);
    *client.lock().unwrap() = Some(recorder.connected());
    let first = client.lock().unwrap().clone().unwrap();
    first.send_binary(&vec![7; 300_000]).unwrap();
    assert_eq!(peer.next(), Received::Binary(vec![7; 300_000]));
    for number in 1..=300 {
        assert_eq!(peer.next(), common::text(&number.to_string()));
    }
    assert!(matches!(peer.next(), Received::End | Received::Reset));
    assert_eq!(recorder.disconnected().2, "aborted");
    assert_eq!(first.buffered_amount(), 0);
    wait(task);
}

/// A stream that wrongly returns `Interrupted` or `WouldBlock` neither ends the connection nor
/// causes a busy loop.
#[test]
fn temporary_errors_are_retried() {
    /// A socket, and counters of its reads and writes.
    struct Stutters(UnixStream, [u8; 2]);
    /// Fails every other call.
    fn stutter(calls: &mut u8, cx: &Context<'_>) -> io::Result<()> {
        *calls = (*calls + 1) % 4;
        match *calls {
            1 => Err(io::ErrorKind::Interrupted.into()),
            3 => {
                cx.waker().wake_by_ref();
                Err(io::ErrorKind::WouldBlock.into())
            }
            _ => Ok(()),
        }
    }
    impl AsyncRead for Stutters {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            stutter(&mut self.1[0], cx)?;
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }
    impl AsyncWrite for Stutters {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            stutter(&mut self.1[1], cx)?;
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let (handle, _recorder) = serve(common::config());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(common::TIMEOUT)).unwrap();
    let task = spawn(handle.serve_stream(Stutters(ours.into(), [0, 0]), Address::Stream));
    let mut peer = open(theirs);
    for i in 0..20 {
        peer.assert_echo(&i.to_string());
    }
    drop(peer);
    wait(task);
}
