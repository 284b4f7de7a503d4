//! The codecs alone, side by side: every message that a stream in memory gives is echoed into it, with no socket and no
//! executor between. All check masks, UTF-8 and limits. (Feature `peers`.)
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench: criterion's macros, and failing loudly"
)]

mod common;

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite;

/// A stream that gives the same octets again each time it is wound back, and counts what is written to it.
#[derive(Clone)]
struct Memory {
    wire: Rc<Vec<u8>>,
    at: Rc<Cell<usize>>,
    written: Rc<Cell<usize>>,
}

impl Memory {
    fn new(wire: Vec<u8>) -> Self {
        Self { wire: Rc::new(wire), at: Rc::default(), written: Rc::default() }
    }

    /// Starts over; how much was written since the last time.
    fn rewind(&self) -> usize {
        self.at.set(0);
        self.written.replace(0)
    }
}

impl Read for Memory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.wire[self.at.get()..];
        if rest.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = rest.len().min(buffer.len());
        buffer[..n].copy_from_slice(&rest[..n]);
        self.at.set(self.at.get() + n);
        Ok(n)
    }
}

impl Write for Memory {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let n = black_box(octets).len();
        self.written.set(self.written.get() + n);
        Ok(n)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let n = black_box(slices).iter().map(|slice| slice.len()).sum();
        self.written.set(self.written.get() + n);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Memory {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rest = &self.wire[self.at.get()..];
        if rest.is_empty() {
            return Poll::Pending;
        }
        let n = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..n]);
        self.at.set(self.at.get() + n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Memory {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write(octets))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn echo(c: &mut Criterion) {
    for (count, sizes) in [(1, &[16, 125, 1 << 10, 16 << 10, 1 << 20][..]), (64, &[16, 125, 1 << 10])] {
        let mut group = c.benchmark_group(format!("codecs/echo {count}"));
        for &size in sizes {
            let wire =
                common::client_text(Version::Rfc6455, &common::ascii(size), [7, 77, 177, 27]).repeat(count);
            let mut sender = Sender::server(Version::Rfc6455);
            sender.text(&common::ascii(size), None).unwrap();
            let due = sender.queued() * count;
            let name = common::short(size);
            group.throughput(Throughput::Elements(count as u64));
            let memory = Memory::new(wire);

            let mut scratch = vec![0; 64 << 10];
            let mut receiver = Receiver::new(Version::Rfc6455, Role::Server, Limits::default());
            let mut sender = Sender::server(Version::Rfc6455);
            group.bench_function(BenchmarkId::new("clws", &name), |b| {
                b.iter(|| {
                    clws(&mut memory.clone(), &mut scratch, &mut receiver, &mut sender);
                    assert_eq!(memory.rewind(), due);
                });
            });

            for (label, buffer) in [("tungstenite, 8 KiB buffer", 8 << 10), ("tungstenite", 128 << 10)] {
                let config = tungstenite::protocol::WebSocketConfig::default().read_buffer_size(buffer);
                let role = tungstenite::protocol::Role::Server;
                let mut socket = tungstenite::WebSocket::from_raw_socket(memory.clone(), role, Some(config));
                group.bench_function(BenchmarkId::new(label, &name), |b| {
                    b.iter(|| {
                        tungstenite(&mut socket);
                        assert_eq!(memory.rewind(), due);
                    });
                });
            }

            let socket =
                fastwebsockets::WebSocket::after_handshake(memory.clone(), fastwebsockets::Role::Server);
            let mut socket = fastwebsockets::FragmentCollector::new(socket);
            group.bench_function(BenchmarkId::new("fastwebsockets", &name), |b| {
                b.iter(|| {
                    fast(&mut socket);
                    assert_eq!(memory.rewind(), due);
                });
            });

            let config = tokio_websockets::Config::default().frame_size(usize::MAX);
            let mut socket = tokio_websockets::ServerBuilder::new().config(config).serve(memory.clone());
            let mut gathered = Vec::new();
            group.bench_function(BenchmarkId::new("tokio-websockets", &name), |b| {
                b.iter(|| {
                    tokio(&mut socket, &mut gathered);
                    assert_eq!(memory.rewind(), due);
                });
            });
        }
        group.finish();
    }
}

fn clws(memory: &mut Memory, scratch: &mut [u8], receiver: &mut Receiver, sender: &mut Sender) {
    while let Ok(n) = memory.read(scratch) {
        let mut events = receiver.receive(&mut scratch[..n]);
        while let Some(event) = events.next().unwrap() {
            match event {
                Event::Text(text) => sender.text(&text, None).unwrap(),
                Event::Binary(octets) => sender.binary(&octets, None).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    }
    while sender.queued() > 0 {
        let mut slices = [IoSlice::new(&[]); 16];
        let n = sender.io_slices(&mut slices);
        let written = memory.write_vectored(&slices[..n]).unwrap();
        sender.consume(written);
    }
}

fn tungstenite(socket: &mut tungstenite::WebSocket<Memory>) {
    loop {
        match socket.read() {
            Ok(message) => socket.write(message).unwrap(),
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    socket.flush().unwrap();
}

fn fast(socket: &mut fastwebsockets::FragmentCollector<Memory>) {
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let frame = match pin!(socket.read_frame()).poll(&mut cx) {
            Poll::Ready(frame) => frame.unwrap(),
            Poll::Pending => break,
        };
        let Poll::Ready(written) = pin!(socket.write_frame(frame)).poll(&mut cx) else {
            panic!("memory never waits")
        };
        written.unwrap();
    }
}

fn tokio(
    socket: &mut tokio_websockets::WebSocketStream<Memory>,
    gathered: &mut Vec<tokio_websockets::Message>,
) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(message)) = Pin::new(&mut *socket).poll_next(&mut cx) {
        gathered.push(message.unwrap());
    }
    for message in gathered.drain(..) {
        Pin::new(&mut *socket).start_send(message).unwrap();
    }
    assert!(Pin::new(socket).poll_flush(&mut cx).is_ready());
}

criterion_group!(benches, echo);
criterion_main!(benches);
