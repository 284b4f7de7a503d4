//! Streams of the application whose methods use their own client, or panic.

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use crate::common::flood::executor_threads;
use crate::common::wire::{TEXT, Wire, dial, request, soon};
use crate::common::{Probe, Recorder, config, within};
use async_std::net::TcpStream;
use async_std::task::JoinHandle;
use clws_server::{Client, CloseCode, Listen, Origins, Peer, Server, ServerHandle};
use futures::io::{AsyncRead, AsyncWrite};

in_own_process!(
    may_query_its_client_when_read,
    may_query_its_client_when_written,
    may_query_its_client_when_flushed,
    may_query_its_client_when_closed,
    may_send_when_read,
    may_send_when_written,
    may_send_when_flushed,
    may_close_its_client_when_written,
    may_abort_its_client_when_written,
    may_panic_when_read,
    may_panic_when_written,
    may_panic_when_flushed,
    may_panic_when_closed,
    may_panic_when_dropped,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Read,
    Write,
    Flush,
    Close,
    Drop,
}

/// Runs a closure in each call of one method, once the client is connected.
#[derive(Clone)]
struct Hook {
    method: Method,
    client: Arc<Mutex<Option<Client>>>,
    call: Arc<dyn Fn(&Client) + Send + Sync>,
}

impl Hook {
    fn call(&self, method: Method) {
        let client = self.client.lock().unwrap().clone();
        if let Some(client) = client.filter(|_| method == self.method) {
            (self.call)(&client);
        }
    }
}

struct Hooked(TcpStream, Hook);

impl AsyncRead for Hooked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.1.call(Method::Read);
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Hooked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.call(Method::Write);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.1.call(Method::Write);
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.call(Method::Flush);
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.1.call(Method::Close);
        Poll::Ready(self.0.shutdown(std::net::Shutdown::Write))
    }
}

impl Drop for Hooked {
    fn drop(&mut self) {
        self.1.call(Method::Drop);
    }
}

/// A server that does not run. Streams work without `run`.
fn bind() -> (ServerHandle, Recorder) {
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (server.handle(), recorder)
}

/// Serves a client over a hooked stream.
fn serve(
    (handle, recorder): &(ServerHandle, Recorder),
    method: Method,
    call: impl Fn(&Client) + Send + Sync + 'static,
) -> (Wire, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wire = Wire { socket: dial(&Listen::Tcp(listener.local_addr().unwrap())) };
    let hook = Hook { method, client: Arc::default(), call: Arc::new(call) };
    let stream = Hooked(TcpStream::from(listener.accept().unwrap().0), hook.clone());
    let task = async_std::task::spawn(handle.serve_stream(stream, Peer::Stream));
    wire.raw(request("/").as_bytes());
    assert!(wire.head().starts_with("HTTP/1.1 101 "));
    *hook.client.lock().unwrap() = Some(recorder.connected());
    (wire, task)
}

fn assert_echo(wire: &mut Wire, text: &str) {
    wire.text(text);
    assert_eq!(wire.next(), Some((TEXT, text.as_bytes().to_vec())));
}

/// A stream that queries its own client in a method is served normally.
fn query_in(method: Method) {
    let server = bind();
    let (mut wire, task) = serve(&server, method, |client| {
        let _ = (client.buffered_amount(), client.is_open());
    });
    for number in 0..10 {
        assert_echo(&mut wire, &number.to_string());
    }
    wire.finish();
    within(task);
    assert_eq!(server.1.disconnected().0, 1000);
}

fn may_query_its_client_when_read() {
    query_in(Method::Read);
}

fn may_query_its_client_when_written() {
    query_in(Method::Write);
}

fn may_query_its_client_when_flushed() {
    query_in(Method::Flush);
}

fn may_query_its_client_when_closed() {
    query_in(Method::Close);
}

/// A message sent from a stream's method arrives once, whole and in order.
fn send_in(method: Method) {
    let server = bind();
    let once = Mutex::new(false);
    let (mut wire, task) = serve(&server, method, move |client| {
        if !std::mem::replace(&mut *once.lock().unwrap(), true) {
            client.send_text("from the stream").unwrap();
        }
    });
    wire.text("first");
    let mut got = [wire.next().unwrap().1, wire.next().unwrap().1];
    got.sort();
    assert_eq!(got, [&b"first"[..], b"from the stream"]);
    assert_echo(&mut wire, "second");
    wire.finish();
    within(task);
}

fn may_send_when_read() {
    send_in(Method::Read);
}

fn may_send_when_written() {
    send_in(Method::Write);
}

fn may_send_when_flushed() {
    send_in(Method::Flush);
}

fn may_close_its_client_when_written() {
    let server = bind();
    let (mut wire, task) = serve(&server, Method::Write, |client| {
        client.close((CloseCode::new(4000), "from the stream"));
    });
    wire.text("first");
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    within(task);
    assert_eq!(server.1.disconnected().0, 1000);
}

fn may_abort_its_client_when_written() {
    let server = bind();
    let (mut wire, task) = serve(&server, Method::Write, Client::abort);
    wire.text("first");
    while wire.next().is_some() {}
    within(task);
    assert_eq!(server.1.disconnected().0, 1006);
}

/// A panic ends only that connection. `disconnected` is called, the client's place is freed, and
/// the task ends normally.
fn panic_in(method: Method) {
    let server = bind();
    let (mut good, good_task) = serve(&server, Method::Drop, |_| {});
    for round in 0..2 * executor_threads() {
        let (mut wire, task) = serve(&server, method, |_| panic!("in a method of a stream"));
        wire.text("go");
        if method == Method::Close || method == Method::Drop {
            assert_eq!(wire.next().unwrap().1, b"go");
            wire.finish();
        } else {
            while wire.next().is_some() {}
        }
        let ended = catch_unwind(AssertUnwindSafe(|| within(task)));
        assert!(ended.is_ok(), "{method:?}, round {round}: the panic escaped from the library");
        server.1.disconnected();
        soon("the client's place is free", || server.0.clients() == 1);
        assert_echo(&mut good, "undisturbed");
    }
    good.finish();
    within(good_task);
}

fn may_panic_when_read() {
    panic_in(Method::Read);
}

fn may_panic_when_written() {
    panic_in(Method::Write);
}

fn may_panic_when_flushed() {
    panic_in(Method::Flush);
}

fn may_panic_when_closed() {
    panic_in(Method::Close);
}

fn may_panic_when_dropped() {
    panic_in(Method::Drop);
}
