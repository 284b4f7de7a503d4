//! The `Sink` of a `WebSocket` keeps the contract of `futures::Sink`: a flush waits for the write,
//! and a close for the end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use crate::common::{Peer, Received, Running, TIMEOUT, text};
use clws_server::{
    Client, CloseCode, Config, Message, Origins, SendError, Server, Version, WebSocket, async_handler,
};
use futures::{FutureExt, Sink, SinkExt, StreamExt, stream};

in_both_modes!(
    a_flush_waits_until_all_data_is_written,
    a_flush_waits_for_data_sent_by_other_handles,
    a_flush_of_nothing_does_not_wait,
    a_close_waits_for_the_clients_close_frame,
    a_close_after_the_clients_waits_for_queued_data,
    an_unanswered_close_fails,
    an_abort_ends_a_flush,
    a_stop_ends_a_flush,
    a_vanished_client_ends_a_flush,
    a_client_that_closes_can_read_the_queued_data,
    a_client_that_breaks_the_protocol_can_read_the_queued_data,
    a_close_by_another_handle_ends_a_waiting_send,
    nothing_can_be_sent_after_a_close,
    the_last_waiting_task_is_woken,
    the_reader_may_be_dropped_during_a_flush,
    the_inherent_send_does_not_wait_for_the_write,
    a_stream_is_forwarded_and_closed,
);

/// A report of the handler.
enum Report {
    /// The number of messages of 16 KiB after which the client's outbox and socket buffers are
    /// full.
    Filled(Client, usize),
    /// The client has closed.
    Closed,
    /// The result of a flush or a close, and the number of bytes queued at that moment.
    Done(Result<(), SendError>, usize),
}

type ReportSender = mpsc::Sender<Report>;

/// The peer is dropped before the server, because the server waits for it.
struct Harness {
    peer: Peer,
    server: Running,
    reports: Receiver<Report>,
}

/// A client served by an async handler. The write backlog is large enough for all messages of these
/// tests.
fn serve<R: Future<Output = ()> + Send + 'static>(
    config: Config,
    handler_function: impl Fn(WebSocket, ReportSender) -> R + Send + Sync + 'static,
) -> Harness {
    let mut config = config.max_write_backlog(256 << 20).listen("127.0.0.1:0");
    if config.write_high_water == Config::default().write_high_water {
        config = config.write_high_water(256 << 20);
    }
    let server = Server::bind(config).unwrap();
    let (tx, reports) = channel();
    let tx = Mutex::new(tx);
    let handler = async_handler(move |socket| handler_function(socket, tx.lock().unwrap().clone()));
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let peer = server.connect(Version::Rfc6455, "/");
    Harness { peer, server, reports }
}

impl Harness {
    #[track_caller]
    fn filled(&self) -> (Client, usize) {
        let Ok(Report::Filled(client, messages)) = self.reports.recv_timeout(TIMEOUT) else { panic!() };
        (client, messages)
    }

    #[track_caller]
    fn done(&self) -> (Result<(), SendError>, usize) {
        let Ok(Report::Done(result, queued)) = self.reports.recv_timeout(TIMEOUT) else { panic!() };
        (result, queued)
    }

    /// Checks that the handler waits. A handler that does not wait may still be missed here.
    #[track_caller]
    fn assert_waits(&self) {
        let reports = self.reports.recv_timeout(Duration::from_millis(100));
        assert!(matches!(reports, Err(mpsc::RecvTimeoutError::Timeout)), "the handler does not wait");
    }

    #[track_caller]
    fn read(&mut self, messages: usize) {
        for _ in 0..messages {
            assert!(matches!(self.peer.next(), Received::Binary(_)));
        }
    }

    #[track_caller]
    fn end(mut self) {
        assert!(matches!(self.peer.next(), Received::Close(_)));
        self.peer.finish();
        self.server.wait_for_clients(0);
    }
}

/// Sends until the socket buffers are full.
async fn fill(
    sink: &mut (impl Sink<Message, Error = SendError> + Unpin),
    client: &Client,
    tx: &ReportSender,
) {
    for sent in 0..4000 {
        if is_full(client).await {
            return tx.send(Report::Filled(client.clone(), sent)).unwrap();
        }
        sink.feed(vec![0; 16 * 1024].into()).await.unwrap();
    }
    panic!("the socket buffers never fill");
}

/// Whether the socket buffers are full, and much is queued.
async fn is_full(client: &Client) -> bool {
    let queued = client.buffered_amount();
    for _ in 0..5 {
        if queued <= 1 << 20 || client.buffered_amount() != queued {
            return false;
        }
        // The server may only be slower than this task.
        async_std::task::sleep(Duration::from_millis(50)).await;
    }
    client.buffered_amount() == queued
}

/// Fills the socket buffers, and flushes.
async fn fill_and_flush(mut socket: WebSocket, tx: ReportSender) {
    let client = socket.client().clone();
    fill(&mut socket, &client, &tx).await;
    let flushed = socket.flush().await;
    tx.send(Report::Done(flushed, client.buffered_amount())).unwrap();
}

async fn close_sink(mut socket: WebSocket, tx: ReportSender) {
    let closed = SinkExt::close(&mut socket).await;
    tx.send(Report::Done(closed, socket.client().buffered_amount())).unwrap();
}

fn a_flush_waits_until_all_data_is_written(config: Config) {
    let mut harness = serve(config, fill_and_flush);
    let (_, messages) = harness.filled();
    harness.assert_waits();
    harness.read(messages);
    assert_eq!(harness.done(), (Ok(()), 0));
    harness.end();
}

fn a_flush_waits_for_data_sent_by_other_handles(config: Config) {
    let mut harness = serve(config, |mut socket, tx| async move {
        let client = socket.client().clone();
        let other = thread::spawn(move || {
            for _ in 0..1500 {
                client.send_binary(&[0; 16 * 1024]).unwrap();
            }
            client
        });
        let client = other.join().unwrap();
        tx.send(Report::Filled(client.clone(), 1500)).unwrap();
        let flushed = socket.flush().await;
        tx.send(Report::Done(flushed, client.buffered_amount())).unwrap();
    });
    let (_, messages) = harness.filled();
    harness.assert_waits();
    harness.read(messages);
    assert_eq!(harness.done(), (Ok(()), 0));
    harness.end();
}

fn a_flush_of_nothing_does_not_wait(config: Config) {
    let mut harness = serve(config, |mut socket, tx| async move {
        SinkExt::send(&mut socket, "once".into()).await.unwrap();
        let flushed = socket.flush().now_or_never().expect("nothing is queued");
        tx.send(Report::Done(flushed, 0)).unwrap();
    });
    assert_eq!(harness.peer.next(), text("once"));
    assert_eq!(harness.done(), (Ok(()), 0));
    harness.end();
}

fn a_close_waits_for_the_clients_close_frame(config: Config) {
    let mut harness = serve(config, close_sink);
    assert_eq!(harness.peer.next(), Received::Close(Some((1000, String::new()))));
    harness.assert_waits();
    harness.peer.finish();
    assert_eq!(harness.done(), (Ok(()), 0));
    harness.server.wait_for_clients(0);
}

fn a_close_after_the_clients_waits_for_queued_data(config: Config) {
    let mut harness = serve(config, |mut socket, tx| async move {
        let client = socket.client().clone();
        fill(&mut socket, &client, &tx).await;
        while socket.next().await.is_some() {}
        tx.send(Report::Closed).unwrap();
        close_sink(socket, tx).await;
    });
    let (_, messages) = harness.filled();
    harness.peer.close(4000, "that is enough");
    assert!(matches!(harness.reports.recv_timeout(TIMEOUT), Ok(Report::Closed)));
    harness.assert_waits();
    harness.read(messages);
    assert_eq!(harness.peer.next(), Received::Close(Some((4000, String::new()))));
    assert_eq!(harness.done(), (Ok(()), 0));
}

fn an_unanswered_close_fails(config: Config) {
    let mut harness = serve(config.close_timeout(Duration::from_millis(150)), close_sink);
    assert_eq!(harness.peer.next(), Received::Close(Some((1000, String::new()))));
    assert_eq!(harness.done(), (Err(SendError::Closed), 0));
}

fn an_abort_ends_a_flush(config: Config) {
    let harness = serve(config, fill_and_flush);
    let (client, _) = harness.filled();
    client.abort();
    assert_eq!(harness.done(), (Err(SendError::Closed), 0));
}

fn a_stop_ends_a_flush(config: Config) {
    let harness = serve(config.close_timeout(Duration::from_millis(150)), fill_and_flush);
    harness.filled();
    harness.server.handle.stop();
    assert_eq!(harness.done(), (Err(SendError::Closed), 0));
}

fn a_vanished_client_ends_a_flush(config: Config) {
    let Harness { server, peer, reports } = serve(config, fill_and_flush);
    assert!(matches!(reports.recv_timeout(TIMEOUT), Ok(Report::Filled(..))));
    drop(peer);
    assert!(matches!(reports.recv_timeout(TIMEOUT), Ok(Report::Done(Err(SendError::Closed), 0))));
    server.wait_for_clients(0);
}

fn a_client_that_closes_can_read_the_queued_data(config: Config) {
    let mut harness = serve(config, fill_and_flush);
    let (_, messages) = harness.filled();
    harness.peer.close(4000, "that is enough");
    harness.assert_waits();
    harness.read(messages);
    assert_eq!(harness.peer.next(), Received::Close(Some((4000, String::new()))));
    assert_eq!(harness.done(), (Ok(()), 0));
}

/// After a protocol error the server also waits for the end of the client's side, but the flush
/// does not.
fn a_client_that_breaks_the_protocol_can_read_the_queued_data(config: Config) {
    let mut harness = serve(config, fill_and_flush);
    let (_, messages) = harness.filled();
    harness.peer.raw(&[0xFF; 10]);
    harness.assert_waits();
    harness.read(messages);
    assert!(matches!(harness.peer.next(), Received::Close(Some((1002, _)))));
    assert_eq!(harness.done(), (Ok(()), 0));
}

/// The client reads nothing, so only the close can end the wait.
fn a_close_by_another_handle_ends_a_waiting_send(config: Config) {
    for inherent in [true, false] {
        let harness = serve(config.clone().write_high_water(10_000), move |mut socket, tx| async move {
            let client = socket.client().clone();
            while !is_full(&client).await {
                client.send_binary(&[0; 16 * 1024]).unwrap();
            }
            tx.send(Report::Filled(client, 0)).unwrap();
            let message = Message::from("more");
            let sent = if inherent { socket.send(message).await } else { socket.feed(message).await };
            tx.send(Report::Done(sent, 0)).unwrap();
        });
        let (client, _) = harness.filled();
        harness.assert_waits();
        client.close(CloseCode::NORMAL);
        assert_eq!(harness.done(), (Err(SendError::Closed), 0));
        client.abort();
    }
}

fn nothing_can_be_sent_after_a_close(config: Config) {
    let mut harness = serve(config, |mut socket, tx| async move {
        socket.close(CloseCode::new(4000));
        let ready = poll_fn(|cx| socket.poll_ready_unpin(cx)).now_or_never().expect("`poll_ready` waits");
        tx.send(Report::Done(ready, 0)).unwrap();
        for _ in 0..2 {
            let closed = SinkExt::close(&mut socket).await;
            tx.send(Report::Done(closed, 0)).unwrap();
        }
        let flushed = socket.flush().now_or_never().expect("a flush after the close waits");
        tx.send(Report::Done(flushed, 0)).unwrap();
        let ready = socket.feed("more".into()).now_or_never().expect("a send after the close waits");
        tx.send(Report::Done(ready, 0)).unwrap();
    });
    assert_eq!(harness.peer.next(), Received::Close(Some((4000, String::new()))));
    assert_eq!(harness.done(), (Err(SendError::Closed), 0));
    harness.peer.finish();
    assert_eq!([harness.done(), harness.done(), harness.done()], [(Ok(()), 0); 3]);
    assert_eq!(harness.done(), (Err(SendError::Closed), 0));
}

/// A waker that sends its name to the test.
struct NamedWaker(mpsc::Sender<&'static str>, &'static str);

impl Wake for NamedWaker {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(self.1);
    }
}

/// One task starts a flush, and another task continues it.
fn the_last_waiting_task_is_woken(config: Config) {
    let (woken, wakes) = channel();
    let woken = Mutex::new(woken);
    let mut harness = serve(config, move |mut socket, tx| {
        let wakers =
            ["first", "second"].map(|name| Arc::new(NamedWaker(woken.lock().unwrap().clone(), name)));
        async move {
            let client = socket.client().clone();
            fill(&mut socket, &client, &tx).await;
            for waker in wakers.map(Waker::from) {
                let polled = Pin::new(&mut socket).poll_flush(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            }
            tx.send(Report::Done(Ok(()), 0)).unwrap();
            std::future::pending::<()>().await;
        }
    });
    let (client, messages) = harness.filled();
    assert_eq!(harness.done(), (Ok(()), 0));
    harness.read(messages);
    assert_eq!(wakes.recv_timeout(TIMEOUT), Ok("second"));
    assert_eq!(client.buffered_amount(), 0);
    client.close(CloseCode::NORMAL);
    harness.end();
}

fn the_reader_may_be_dropped_during_a_flush(config: Config) {
    let mut harness = serve(config, |socket, tx| async move {
        let (reader, mut writer) = socket.split();
        let client = writer.client().clone();
        fill(&mut writer, &client, &tx).await;
        let mut flush = writer.flush();
        assert!((&mut flush).now_or_never().is_none());
        drop(reader);
        let flushed = flush.await;
        tx.send(Report::Done(flushed, client.buffered_amount())).unwrap();
    });
    let (_, messages) = harness.filled();
    harness.assert_waits();
    harness.read(messages);
    assert_eq!(harness.done(), (Ok(()), 0));
    harness.end();
}

fn the_inherent_send_does_not_wait_for_the_write(config: Config) {
    let mut harness = serve(config, |mut socket, tx| async move {
        let client = socket.client().clone();
        for _ in 0..1500 {
            socket.send(vec![0; 16 * 1024]).await.unwrap();
        }
        tx.send(Report::Filled(client, 1500)).unwrap();
    });
    let (client, messages) = harness.filled();
    assert!(client.buffered_amount() > 0);
    harness.read(messages);
    harness.end();
}

fn a_stream_is_forwarded_and_closed(config: Config) {
    for all in [true, false] {
        let mut harness = serve(config.clone(), move |mut socket, tx| async move {
            let mut messages = stream::iter((0..500).map(|_| Ok(Message::from(vec![0; 16 * 1024]))));
            let client = socket.client().clone();
            let sent = if all {
                socket.send_all(&mut messages).await
            } else {
                let (_, writer) = socket.split();
                messages.forward(writer).await
            };
            tx.send(Report::Done(sent, client.buffered_amount())).unwrap();
        });
        harness.read(500);
        if all {
            assert_eq!(harness.done(), (Ok(()), 0));
            harness.end();
        } else {
            assert_eq!(harness.peer.next(), Received::Close(Some((1000, String::new()))));
            harness.assert_waits();
            harness.peer.finish();
            assert_eq!(harness.done(), (Ok(()), 0));
        }
    }
}
