//! Streams of the application's own, whose methods use the client that they carry, or panic.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::io::{self, IoSlice};
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_std::net::TcpStream;
use async_std::task::JoinHandle;
use clws_server::{Client, CloseCode, Listen, Origins, Peer, Server, ServerHandle};
use common::flood::executor_threads;
use common::wire::{TEXT, Wire, dial, request, soon};
use common::{Diary, Probe, config, within};
use futures::io::{AsyncRead, AsyncWrite};

alone!(
    asks_when_it_is_read,
    asks_when_it_is_written,
    asks_when_it_is_flushed,
    asks_when_it_is_closed,
    sends_when_it_is_read,
    sends_when_it_is_written,
    sends_when_it_is_flushed,
    closes_its_client_when_it_is_written,
    aborts_its_client_when_it_is_written,
    panics_when_it_is_read,
    panics_when_it_is_written,
    panics_when_it_is_flushed,
    panics_when_it_is_closed,
    panics_when_it_is_dropped,
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Read,
    Write,
    Flush,
    Close,
    Drop,
}

/// Does something in each call of one method, once there is a client.
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

/// A server that is not run: streams need none.
fn bind() -> (ServerHandle, Diary) {
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    let (probe, diary) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    (server.handle(), diary)
}

/// A client over a hooked stream.
fn serve(
    (handle, diary): &(ServerHandle, Diary),
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
    *hook.client.lock().unwrap() = Some(diary.connected());
    (wire, task)
}

fn assert_echo(wire: &mut Wire, text: &str) {
    wire.text(text);
    assert_eq!(wire.next(), Some((TEXT, text.as_bytes().to_vec())));
}

/// A stream that asks about its client sees it served all the same.
fn ask(method: Method) {
    let server = bind();
    let (mut wire, task) = serve(&server, method, |client| {
        let _ = (client.buffered_amount(), client.is_open());
    });
    for number in 0..10 {
        assert_echo(&mut wire, &number.to_string());
    }
    wire.finish();
    within(task);
    assert_eq!(server.1.gone().0, 1000);
}

fn asks_when_it_is_read() {
    ask(Method::Read);
}

fn asks_when_it_is_written() {
    ask(Method::Write);
}

fn asks_when_it_is_flushed() {
    ask(Method::Flush);
}

fn asks_when_it_is_closed() {
    ask(Method::Close);
}

/// What the stream sends comes once, whole and before what is sent later.
fn send(method: Method) {
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

fn sends_when_it_is_read() {
    send(Method::Read);
}

fn sends_when_it_is_written() {
    send(Method::Write);
}

fn sends_when_it_is_flushed() {
    send(Method::Flush);
}

fn closes_its_client_when_it_is_written() {
    let server = bind();
    let (mut wire, task) = serve(&server, Method::Write, |client| {
        client.close((CloseCode::new(4000), "from the stream"));
    });
    wire.text("first");
    assert_eq!(wire.close_code(), Some(4000));
    wire.finish();
    within(task);
    assert_eq!(server.1.gone().0, 1000);
}

fn aborts_its_client_when_it_is_written() {
    let server = bind();
    let (mut wire, task) = serve(&server, Method::Write, Client::abort);
    wire.text("first");
    while wire.next().is_some() {}
    within(task);
    assert_eq!(server.1.gone().0, 1006);
}

/// A panic costs that connection. Its resource is told, its place is free, and the task ends as always.
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
        assert!(ended.is_ok(), "{method:?}, round {round}: the panic comes out of the library");
        server.1.gone();
        soon("its place is free", || server.0.clients() == 1);
        assert_echo(&mut good, "undisturbed");
    }
    good.finish();
    within(good_task);
}

fn panics_when_it_is_read() {
    panic_in(Method::Read);
}

fn panics_when_it_is_written() {
    panic_in(Method::Write);
}

fn panics_when_it_is_flushed() {
    panic_in(Method::Flush);
}

fn panics_when_it_is_closed() {
    panic_in(Method::Close);
}

fn panics_when_it_is_dropped() {
    panic_in(Method::Drop);
}
