//! A stream of the application may use its client in each of its calls, and a panic in one costs its connection only.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_std::os::unix::net::UnixStream;
use clws_handshake::client::ClientRequest;
use clws_server::{Client, Config, Origins, Peer as Address, Server, ServerHandle, Version};
use common::{Diary, Got, Peer, Probe};
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

/// A socket, and what happens in its calls.
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
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        (self.1)(Call::Write);
        Pin::new(&mut self.0).poll_write(cx, octets)
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

fn serve(config: Config) -> (ServerHandle, Diary) {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    let (probe, diary) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (server.handle(), diary)
}

/// A stream that is to be served, and the client's end of it.
fn pair(react: impl Fn(Call) + Send + Sync + 'static) -> (Reacting, std::os::unix::net::UnixStream) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(common::PATIENCE)).unwrap();
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
    async_std::task::block_on(async_std::future::timeout(common::PATIENCE, task)).expect("it ends");
}

#[test]
fn its_calls_may_use_the_client() {
    let (handle, diary) = serve(common::config());
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
            let _ = client.send_text(&format!("{call:?}")); // it may be gone
            let _ = client.is_open();
        }
    });
    let task = spawn(handle.serve_stream(ours, Address::Stream));
    let mut peer = open(theirs);
    *client.lock().unwrap() = Some(diary.connected());
    peer.text("go");
    let mut got = Vec::new();
    while got.len() < 4 {
        match peer.next() {
            Got::Text(text) => got.push(text),
            other => panic!("{other:?}"),
        }
    }
    got.sort();
    assert_eq!(got, ["Flush", "Read", "Write", "go"]);
    peer.close(1000, "");
    assert!(matches!(peer.next(), Got::Close(_)));
    drop(peer);
    wait(task);
    assert!(calls.lock().unwrap().contains(&Call::Close) && calls.lock().unwrap().contains(&Call::Drop));
    assert_eq!(handle.clients(), 0);
}

#[test]
fn a_panic_costs_its_own_connection() {
    for fatal in [Call::Read, Call::Write, Call::Flush, Call::Close, Call::Drop] {
        let (handle, diary) = serve(common::config());
        let armed = Arc::new(Mutex::new(false));
        let arm = Arc::clone(&armed);
        let (ours, theirs) = pair(move |call| {
            let armed = *arm.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            assert!(!(armed && call == fatal), "in {call:?}");
        });
        let (beside, others) = pair(|_| ());
        // One task of the application serves both.
        let task = spawn({
            let (ours, beside) =
                (handle.serve_stream(ours, Address::Stream), handle.serve_stream(beside, Address::Stream));
            async move {
                join(ours, beside).await;
            }
        });
        let mut other = open(others);
        let mut peer = open(theirs);
        let _ = (diary.connected(), diary.connected());
        *armed.lock().unwrap() = true;
        peer.text("now");
        if matches!(fatal, Call::Read | Call::Write | Call::Flush) {
            let gone = diary.gone();
            assert_eq!((gone.0, gone.2.as_str()), (1006, "failed: the stream panicked"), "{fatal:?}");
        } else {
            assert_eq!(peer.next(), common::text("now"));
            peer.close(1000, "");
            assert_eq!(diary.gone().2, "closed");
        }
        common::eventually("its place is free", || handle.clients() == 1);
        other.assert_echo("undisturbed");
        drop((peer, other));
        wait(task);
        assert_eq!(handle.clients(), 0);
    }
}

#[test]
fn a_panic_in_the_handshake_costs_that_only() {
    let (handle, _diary) = serve(common::config());
    for fatal in [Call::Read, Call::Write, Call::Drop] {
        let (ours, mut theirs) = pair(move |call| assert_ne!(call, fatal));
        let task = spawn(handle.serve_stream(ours, Address::Stream));
        let _ = io::Write::write_all(&mut theirs, b"GET / HTTP/1.1\r\n\r\n"); // it may be gone already
        let _ = common::read_to_end(&mut theirs);
        drop(theirs);
        wait(task);
        assert_eq!(handle.clients(), 0);
    }
    // A future that is never polled.
    drop(handle.serve_stream(pair(|call| assert_ne!(call, Call::Drop)).0, Address::Stream));
    assert_eq!(handle.clients(), 0);
}

/// What is abandoned while the stream takes it is not written again, and what is sent meanwhile comes in order.
#[test]
fn the_outbox_may_change_while_a_stream_takes_it() {
    let (handle, diary) = serve(common::config());
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
    *client.lock().unwrap() = Some(diary.connected());
    let first = client.lock().unwrap().clone().unwrap();
    first.send_binary(&vec![7; 300_000]).unwrap();
    assert_eq!(peer.next(), Got::Binary(vec![7; 300_000]));
    for number in 1..=300 {
        assert_eq!(peer.next(), common::text(&number.to_string()));
    }
    assert!(matches!(peer.next(), Got::End | Got::Reset));
    assert_eq!(diary.gone().2, "aborted");
    assert_eq!(first.buffered_amount(), 0);
    wait(task);
}

/// An error that a stream says though it must not is no endless loop, and no end.
#[test]
fn an_error_that_passes_is_tried_again() {
    /// How often it was read from and written to.
    struct Stutters(UnixStream, [u8; 2]);
    /// Every other call fails.
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
            octets: &[u8],
        ) -> Poll<io::Result<usize>> {
            stutter(&mut self.1[1], cx)?;
            Pin::new(&mut self.0).poll_write(cx, octets)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }
    let (handle, _diary) = serve(common::config());
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(common::PATIENCE)).unwrap();
    let task = spawn(handle.serve_stream(Stutters(ours.into(), [0, 0]), Address::Stream));
    let mut peer = open(theirs);
    for i in 0..20 {
        peer.assert_echo(&i.to_string());
    }
    drop(peer);
    wait(task);
}
