//! Streams that count accepted bytes as written, as TLS libraries do. A stream encrypts a record,
//! cannot send it, and sends it when the same bytes are offered again.

use std::io;
use std::net::{Shutdown, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::Duration;

use crate::common::wire::{PING, PONG, TEXT, Wire, dial, request, soon};
use crate::common::{Probe, config, within};
use async_std::net::TcpStream;
use clws_server::{Listen, Origins, Peer, Server, SharedMessage};
use futures::io::{AsyncRead, AsyncWrite};

const RECORD: usize = 16 * 1024;

struct Records {
    socket: TcpStream,
    /// The "encrypted" record, of which `sent` bytes are sent.
    record: Vec<u8>,
    sent: usize,
    /// The number of times that a record had to wait.
    waits: Arc<AtomicUsize>,
}

impl AsyncRead for Records {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Records {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.record.is_empty() {
            this.record.extend_from_slice(&bytes[..bytes.len().min(RECORD)]);
        } else {
            // OpenSSL calls a shorter retry a "bad write retry".
            assert!(bytes.len() >= this.record.len());
        }
        while this.sent < this.record.len() {
            let Poll::Ready(sent) = Pin::new(&mut this.socket).poll_write(cx, &this.record[this.sent..])
            else {
                this.waits.fetch_add(1, Ordering::Relaxed);
                return Poll::Pending;
            };
            this.sent += sent?;
        }
        this.sent = 0;
        Poll::Ready(Ok(std::mem::take(&mut this.record).len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.record.len() {
            let this = &mut *self;
            this.sent += ready!(Pin::new(&mut this.socket).poll_write(cx, &this.record[this.sent..]))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.socket.shutdown(Shutdown::Write))
    }
}

/// Pings are answered while a record waits. The pongs are not inserted into the bytes of that
/// record.
#[test]
fn pongs_follow_the_bytes_that_a_stream_has_seen() {
    const COUNT: usize = 4000;
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    let (probe, recorder) = Probe::new();
    server.resources().register_shared("/", Origins::any(), probe).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut wire = Wire { socket: dial(&Listen::Tcp(listener.local_addr().unwrap())) };
    let waits = Arc::new(AtomicUsize::new(0));
    let stream = Records {
        socket: TcpStream::from(listener.accept().unwrap().0),
        record: Vec::new(),
        sent: 0,
        waits: Arc::clone(&waits),
    };
    let task = async_std::task::spawn(server.handle().serve_stream(stream, Peer::Stream));
    wire.raw(request("/").as_bytes());
    assert!(wire.head().starts_with("HTTP/1.1 101 "));
    let client = recorder.connected();
    for number in 0..COUNT {
        client.send(SharedMessage::text(format!("{number:03000}"))).unwrap();
    }
    let (mut numbers, mut pongs) = (0, Vec::new());
    for ping in 0..20u8 {
        // A record waits at each ping, because the stream fills up in the meantime.
        thread::sleep(Duration::from_millis(20));
        soon("a record waits", || waits.load(Ordering::Relaxed) > 0);
        wire.send(PING, &[ping]);
        for _ in 0..COUNT / 40 {
            match wire.next().unwrap() {
                (TEXT, text) => {
                    assert_eq!(text, format!("{numbers:03000}").into_bytes());
                    numbers += 1;
                }
                (PONG, payload) => pongs.extend(payload),
                other => panic!("{other:?}"),
            }
        }
    }
    while numbers < COUNT || pongs.len() < 20 {
        match wire.next().unwrap() {
            (TEXT, text) => {
                assert_eq!(text, format!("{numbers:03000}").into_bytes());
                numbers += 1;
            }
            (PONG, payload) => pongs.extend(payload),
            other => panic!("{other:?}"),
        }
    }
    assert!(pongs.iter().copied().eq(0..20));
    wire.finish();
    within(task);
    assert_eq!(recorder.disconnected().0, 1000);
}
