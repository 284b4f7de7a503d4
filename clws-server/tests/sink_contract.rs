//! The `Sink` of a `WebSocket` keeps the contract of `futures::Sink`: what is flushed is written, what is closed is over.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;

use clws_server::{
    Client, CloseCode, Config, Message, Origins, SendError, Server, Version, WebSocket, async_handler,
};
use common::{Got, PATIENCE, Peer, Running, text};
use futures::{FutureExt, Sink, SinkExt, StreamExt, stream};

in_both_modes!(
    a_flush_waits_until_all_is_written,
    a_flush_waits_for_what_others_have_sent,
    a_flush_of_nothing_does_not_wait,
    a_close_waits_for_the_clients_close_frame,
    a_close_behind_the_clients_waits_for_what_is_queued,
    a_close_that_is_not_answered_fails,
    an_abort_ends_a_flush,
    a_stop_ends_a_flush,
    a_client_that_vanishes_ends_a_flush,
    a_client_that_closes_may_read_the_rest,
    a_client_that_breaks_the_protocol_may_read_the_rest,
    a_close_from_elsewhere_ends_the_wait_for_room,
    behind_a_close_nothing_can_be_sent,
    the_last_task_that_waits_is_woken,
    the_reader_may_be_dropped_meanwhile,
    the_inherent_send_does_not_wait,
    a_stream_is_forwarded_and_closed,
);

/// What a handler tells.
enum Told {
    /// The number of messages of 16 KiB that were sent to this client. It takes no more of them.
    Filled(Client, usize),
    /// The client has closed.
    Closed,
    /// A flush or a close, and how much was queued then.
    Done(Result<(), SendError>, usize),
}

type Tell = mpsc::Sender<Told>;

/// The peer is dropped before the server, which otherwise would wait for it.
struct Scene {
    peer: Peer,
    server: Running,
    told: Receiver<Told>,
}

/// A client that is served with that function. Nothing is refused for want of room.
fn serve<R: Future<Output = ()> + Send + 'static>(
    config: Config,
    function: impl Fn(WebSocket, Tell) -> R + Send + Sync + 'static,
) -> Scene {
    let mut config = config.max_write_backlog(256 << 20).listen("127.0.0.1:0");
    if config.write_high_water == Config::default().write_high_water {
        config = config.write_high_water(256 << 20);
    }
    let server = Server::bind(config).unwrap();
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let handler = async_handler(move |socket| function(socket, tell.lock().unwrap().clone()));
    server.resources().register("/", Origins::any(), handler).unwrap();
    let server = Running::run(server);
    let peer = server.connect(Version::Rfc6455, "/");
    Scene { peer, server, told }
}

impl Scene {
    #[track_caller]
    fn filled(&self) -> (Client, usize) {
        let Ok(Told::Filled(client, messages)) = self.told.recv_timeout(PATIENCE) else { panic!() };
        (client, messages)
    }

    #[track_caller]
    fn done(&self) -> (Result<(), SendError>, usize) {
        let Ok(Told::Done(result, queued)) = self.told.recv_timeout(PATIENCE) else { panic!() };
        (result, queued)
    }

    /// The handler waits. (One that goes on by itself may be seen here, or later.)
    #[track_caller]
    fn assert_waits(&self) {
        let told = self.told.recv_timeout(Duration::from_millis(100));
        assert!(matches!(told, Err(mpsc::RecvTimeoutError::Timeout)), "it does not wait");
    }

    #[track_caller]
    fn read(&mut self, messages: usize) {
        for _ in 0..messages {
            assert!(matches!(self.peer.next(), Got::Binary(_)));
        }
    }

    #[track_caller]
    fn end(mut self) {
        assert!(matches!(self.peer.next(), Got::Close(_)));
        self.peer.finish();
        self.server.wait_for_clients(0);
    }
}

/// Sends more than the client's and the system's buffers take.
async fn fill(sink: &mut (impl Sink<Message, Error = SendError> + Unpin), client: &Client, tell: &Tell) {
    for sent in 0..4000 {
        if is_full(client).await {
            return tell.send(Told::Filled(client.clone(), sent)).unwrap();
        }
        sink.feed(vec![0; 16 * 1024].into()).await.unwrap();
    }
    panic!("it never is too much");
}

/// Whether the client takes no more, and much is queued.
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

/// Fills the client, and flushes.
async fn fill_and_flush(mut socket: WebSocket, tell: Tell) {
    let client = socket.client().clone();
    fill(&mut socket, &client, &tell).await;
    let flushed = socket.flush().await;
    tell.send(Told::Done(flushed, client.buffered_amount())).unwrap();
}

async fn close(mut socket: WebSocket, tell: Tell) {
    let closed = SinkExt::close(&mut socket).await;
    tell.send(Told::Done(closed, socket.client().buffered_amount())).unwrap();
}

fn a_flush_waits_until_all_is_written(config: Config) {
    let mut scene = serve(config, fill_and_flush);
    let (_, messages) = scene.filled();
    scene.assert_waits();
    scene.read(messages);
    assert_eq!(scene.done(), (Ok(()), 0));
    scene.end();
}

fn a_flush_waits_for_what_others_have_sent(config: Config) {
    let mut scene = serve(config, |mut socket, tell| async move {
        let client = socket.client().clone();
        let other = thread::spawn(move || {
            for _ in 0..1500 {
                client.send_binary(&[0; 16 * 1024]).unwrap();
            }
            client
        });
        let client = other.join().unwrap();
        tell.send(Told::Filled(client.clone(), 1500)).unwrap();
        let flushed = socket.flush().await;
        tell.send(Told::Done(flushed, client.buffered_amount())).unwrap();
    });
    let (_, messages) = scene.filled();
    scene.assert_waits();
    scene.read(messages);
    assert_eq!(scene.done(), (Ok(()), 0));
    scene.end();
}

fn a_flush_of_nothing_does_not_wait(config: Config) {
    let mut scene = serve(config, |mut socket, tell| async move {
        SinkExt::send(&mut socket, "once".into()).await.unwrap();
        let flushed = socket.flush().now_or_never().expect("nothing is queued");
        tell.send(Told::Done(flushed, 0)).unwrap();
    });
    assert_eq!(scene.peer.next(), text("once"));
    assert_eq!(scene.done(), (Ok(()), 0));
    scene.end();
}

fn a_close_waits_for_the_clients_close_frame(config: Config) {
    let mut scene = serve(config, close);
    assert_eq!(scene.peer.next(), Got::Close(Some((1000, String::new()))));
    scene.assert_waits();
    scene.peer.finish();
    assert_eq!(scene.done(), (Ok(()), 0));
    scene.server.wait_for_clients(0);
}

fn a_close_behind_the_clients_waits_for_what_is_queued(config: Config) {
    let mut scene = serve(config, |mut socket, tell| async move {
        let client = socket.client().clone();
        fill(&mut socket, &client, &tell).await;
        while socket.next().await.is_some() {}
        tell.send(Told::Closed).unwrap();
        close(socket, tell).await;
    });
    let (_, messages) = scene.filled();
    scene.peer.close(4000, "that is enough");
    assert!(matches!(scene.told.recv_timeout(PATIENCE), Ok(Told::Closed)));
    scene.assert_waits();
    scene.read(messages);
    assert_eq!(scene.peer.next(), Got::Close(Some((4000, String::new()))));
    assert_eq!(scene.done(), (Ok(()), 0));
}

fn a_close_that_is_not_answered_fails(config: Config) {
    let mut scene = serve(config.close_timeout(Duration::from_millis(150)), close);
    assert_eq!(scene.peer.next(), Got::Close(Some((1000, String::new()))));
    assert_eq!(scene.done(), (Err(SendError::Closed), 0));
}

fn an_abort_ends_a_flush(config: Config) {
    let scene = serve(config, fill_and_flush);
    let (client, _) = scene.filled();
    client.abort();
    assert_eq!(scene.done(), (Err(SendError::Closed), 0));
}

fn a_stop_ends_a_flush(config: Config) {
    let scene = serve(config.close_timeout(Duration::from_millis(150)), fill_and_flush);
    scene.filled();
    scene.server.handle.stop();
    assert_eq!(scene.done(), (Err(SendError::Closed), 0));
}

fn a_client_that_vanishes_ends_a_flush(config: Config) {
    let Scene { server, peer, told } = serve(config, fill_and_flush);
    assert!(matches!(told.recv_timeout(PATIENCE), Ok(Told::Filled(..))));
    drop(peer);
    assert!(matches!(told.recv_timeout(PATIENCE), Ok(Told::Done(Err(SendError::Closed), 0))));
    server.wait_for_clients(0);
}

fn a_client_that_closes_may_read_the_rest(config: Config) {
    let mut scene = serve(config, fill_and_flush);
    let (_, messages) = scene.filled();
    scene.peer.close(4000, "that is enough");
    scene.assert_waits();
    scene.read(messages);
    assert_eq!(scene.peer.next(), Got::Close(Some((4000, String::new()))));
    assert_eq!(scene.done(), (Ok(()), 0));
}

/// The server waits for the end of its side then, but the flush does not.
fn a_client_that_breaks_the_protocol_may_read_the_rest(config: Config) {
    let mut scene = serve(config, fill_and_flush);
    let (_, messages) = scene.filled();
    scene.peer.raw(&[0xFF; 10]);
    scene.assert_waits();
    scene.read(messages);
    assert!(matches!(scene.peer.next(), Got::Close(Some((1002, _)))));
    assert_eq!(scene.done(), (Ok(()), 0));
}

/// The client reads nothing, so that nothing else ends the wait.
fn a_close_from_elsewhere_ends_the_wait_for_room(config: Config) {
    for inherent in [true, false] {
        let scene = serve(config.clone().write_high_water(10_000), move |mut socket, tell| async move {
            let client = socket.client().clone();
            while !is_full(&client).await {
                client.send_binary(&[0; 16 * 1024]).unwrap();
            }
            tell.send(Told::Filled(client, 0)).unwrap();
            let message = Message::from("more");
            let sent = if inherent { socket.send(message).await } else { socket.feed(message).await };
            tell.send(Told::Done(sent, 0)).unwrap();
        });
        let (client, _) = scene.filled();
        scene.assert_waits();
        client.close(CloseCode::NORMAL);
        assert_eq!(scene.done(), (Err(SendError::Closed), 0));
        client.abort();
    }
}

fn behind_a_close_nothing_can_be_sent(config: Config) {
    let mut scene = serve(config, |mut socket, tell| async move {
        socket.close(CloseCode::new(4000));
        let ready = poll_fn(|cx| socket.poll_ready_unpin(cx)).now_or_never().expect("it does not wait");
        tell.send(Told::Done(ready, 0)).unwrap();
        for _ in 0..2 {
            let closed = SinkExt::close(&mut socket).await;
            tell.send(Told::Done(closed, 0)).unwrap();
        }
        let flushed = socket.flush().now_or_never().expect("it is over");
        tell.send(Told::Done(flushed, 0)).unwrap();
        let ready = socket.feed("more".into()).now_or_never().expect("it is over");
        tell.send(Told::Done(ready, 0)).unwrap();
    });
    assert_eq!(scene.peer.next(), Got::Close(Some((4000, String::new()))));
    assert_eq!(scene.done(), (Err(SendError::Closed), 0));
    scene.peer.finish();
    assert_eq!([scene.done(), scene.done(), scene.done()], [(Ok(()), 0); 3]);
    assert_eq!(scene.done(), (Err(SendError::Closed), 0));
}

/// Counts as a task that is woken.
struct Rings(mpsc::Sender<&'static str>, &'static str);

impl Wake for Rings {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(self.1);
    }
}

/// A flush is begun by one task and goes on in another.
fn the_last_task_that_waits_is_woken(config: Config) {
    let (ring, rang) = channel();
    let ring = Mutex::new(ring);
    let mut scene = serve(config, move |mut socket, tell| {
        let wakers = ["first", "second"].map(|name| Arc::new(Rings(ring.lock().unwrap().clone(), name)));
        async move {
            let client = socket.client().clone();
            fill(&mut socket, &client, &tell).await;
            for waker in wakers.map(Waker::from) {
                let polled = Pin::new(&mut socket).poll_flush(&mut Context::from_waker(&waker));
                assert!(polled.is_pending());
            }
            tell.send(Told::Done(Ok(()), 0)).unwrap();
            std::future::pending::<()>().await;
        }
    });
    let (client, messages) = scene.filled();
    assert_eq!(scene.done(), (Ok(()), 0));
    scene.read(messages);
    assert_eq!(rang.recv_timeout(PATIENCE), Ok("second"));
    assert_eq!(client.buffered_amount(), 0);
    client.close(CloseCode::NORMAL);
    scene.end();
}

fn the_reader_may_be_dropped_meanwhile(config: Config) {
    let mut scene = serve(config, |socket, tell| async move {
        let (reader, mut writer) = socket.split();
        let client = writer.client().clone();
        fill(&mut writer, &client, &tell).await;
        let mut flush = writer.flush();
        assert!((&mut flush).now_or_never().is_none());
        drop(reader);
        let flushed = flush.await;
        tell.send(Told::Done(flushed, client.buffered_amount())).unwrap();
    });
    let (_, messages) = scene.filled();
    scene.assert_waits();
    scene.read(messages);
    assert_eq!(scene.done(), (Ok(()), 0));
    scene.end();
}

fn the_inherent_send_does_not_wait(config: Config) {
    let mut scene = serve(config, |mut socket, tell| async move {
        let client = socket.client().clone();
        for _ in 0..1500 {
            socket.send(vec![0; 16 * 1024]).await.unwrap();
        }
        tell.send(Told::Filled(client, 1500)).unwrap();
    });
    let (client, messages) = scene.filled();
    assert!(client.buffered_amount() > 0);
    scene.read(messages);
    scene.end();
}

fn a_stream_is_forwarded_and_closed(config: Config) {
    for all in [true, false] {
        let mut scene = serve(config.clone(), move |mut socket, tell| async move {
            let mut messages = stream::iter((0..500).map(|_| Ok(Message::from(vec![0; 16 * 1024]))));
            let client = socket.client().clone();
            let sent = if all {
                socket.send_all(&mut messages).await
            } else {
                let (_, writer) = socket.split();
                messages.forward(writer).await
            };
            tell.send(Told::Done(sent, client.buffered_amount())).unwrap();
        });
        scene.read(500);
        if all {
            assert_eq!(scene.done(), (Ok(()), 0));
            scene.end();
        } else {
            assert_eq!(scene.peer.next(), Got::Close(Some((1000, String::new()))));
            scene.assert_waits();
            scene.peer.finish();
            assert_eq!(scene.done(), (Ok(()), 0));
        }
    }
}
