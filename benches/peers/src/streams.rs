//! Libraries whose connections are a `Stream` and a `Sink` of messages: tokio-tungstenite,
//! tokio-websockets and async-tungstenite.
//!
//! One loop serves them all: it reads until nothing more is available, then flushes once.

use std::future::poll_fn;
use std::net;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::{
    Message as TungsteniteMessage,
    handshake::server::{ErrorResponse, Request, Response},
    protocol::WebSocketConfig,
};

use super::room::{Room, accept};
use super::{Failure, MAX_MESSAGE, Settings};

/// The number of buffered reply bytes above which the library writes without a flush.
const WRITE_THRESHOLD: usize = 128 << 10;

/// The maximum number of messages of one connection that are answered together.
const BATCH: usize = 256;

/// Distinguishes text and binary messages from control frames.
pub(crate) trait Data {
    fn is_data(&self) -> bool;
}

impl Data for TungsteniteMessage {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}

impl Data for tokio_websockets::Message {
    fn is_data(&self) -> bool {
        self.is_text() || self.is_binary()
    }
}

/// The settings of tungstenite. It zeroes its whole read buffer before each read, so small messages
/// are several times cheaper with a small buffer, and large messages with a large one.
fn tungstenite_config(settings: &Settings) -> WebSocketConfig {
    let config = WebSocketConfig::default();
    let read_buffer = settings.read_buffer.unwrap_or(config.read_buffer_size);
    config.read_buffer_size(read_buffer)
}

/// tokio-tungstenite on tokio, with TLS if there is an acceptor.
pub(crate) async fn tokio_tungstenite(
    listener: tokio::net::TcpListener,
    tls: Option<TlsAcceptor>,
    settings: &Settings,
) -> Result<(), Failure> {
    let config = tungstenite_config(settings);
    let connection = |socket, room: Arc<Room<TungsteniteMessage>>| {
        let tls = tls.clone();
        async move {
            match tls {
                None => tungstenite(socket, &room, config).await,
                Some(tls) => tungstenite(tls.accept(socket).await?, &room, config).await,
            }
        }
    };
    accept(listener, connection).await
}

/// A connection of tokio-tungstenite.
async fn tungstenite(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    room: &Room<TungsteniteMessage>,
    config: WebSocketConfig,
) -> Result<(), Failure> {
    let mut path = String::new();
    let note = note_path(&mut path);
    let ws = tokio_tungstenite::accept_hdr_async_with_config(stream, note, Some(config)).await?;
    run(ws, &path, room).await
}

/// tokio-websockets as in its own echo example, with the same write threshold as tungstenite.
pub(crate) async fn tokio_websockets(listener: tokio::net::TcpListener) -> Result<(), Failure> {
    use tokio_websockets::{Config, Limits, Message, ServerBuilder};

    let connection = |socket, room: Arc<Room<Message>>| async move {
        let server = ServerBuilder::new()
            .config(Config::default().frame_size(usize::MAX).flush_threshold(WRITE_THRESHOLD))
            .limits(Limits::default().max_payload_len(Some(MAX_MESSAGE)));
        let (request, ws) = server.accept(socket).await?;
        run(ws, request.uri().path(), &room).await
    };
    accept(listener, connection).await
}

/// async-tungstenite on async-std's executor.
pub(crate) fn async_std(listener: net::TcpListener, settings: &Settings) -> Result<(), Failure> {
    let config = tungstenite_config(settings);
    let threads = settings.threads;
    if std::env::var_os("ASYNC_STD_THREAD_COUNT").is_none()
        && threads != std::thread::available_parallelism()?.get()
    {
        return Err("async-std ignores --threads: set ASYNC_STD_THREAD_COUNT instead".into());
    }
    let room = Arc::new(Room::new());
    async_std::task::block_on(async {
        let listener = async_std::net::TcpListener::from(listener);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            let room = room.clone();
            async_std::task::spawn(async move {
                let mut path = String::new();
                let ws = async_tungstenite::accept_hdr_async_with_config(
                    socket,
                    note_path(&mut path),
                    Some(config),
                )
                .await?;
                run(ws, &path, &room).await
            });
        }
    })
}

/// A tungstenite callback that accepts every request and stores its path.
#[expect(clippy::result_large_err, reason = "tungstenite's own signature")]
fn note_path(
    path: &mut String,
) -> impl FnOnce(&Request, Response) -> Result<Response, ErrorResponse> + Unpin {
    |request, response| {
        request.uri().path().clone_into(path);
        Ok(response)
    }
}

/// Serves a connection to this path.
pub(crate) async fn run<S, M, E>(ws: S, path: &str, room: &Room<M>) -> Result<(), Failure>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E>,
    M: Data + Clone,
    E: std::error::Error + Send + Sync + 'static,
{
    let mut ws = pin!(ws);
    let result = if path == "/broadcast" {
        let mut mailbox = room.join();
        poll_fn(|cx| relay(ws.as_mut(), room, &mut mailbox, cx)).await
    } else {
        let mut collected = Vec::new();
        poll_fn(|cx| echo(ws.as_mut(), &mut collected, cx)).await
    };
    result.map_err(Into::into)
}

/// Echoes until the connection ends: collects the available messages, sends them, and flushes once.
///
/// Sending between reads would make tokio-websockets write each message separately, because it
/// flushes before it reads. Nothing is read while replies cannot be written.
fn echo<S, M, E>(mut ws: Pin<&mut S>, collected: &mut Vec<M>, cx: &mut Context<'_>) -> Poll<Result<(), E>>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E>,
    M: Data,
{
    loop {
        ready!(ws.as_mut().poll_ready(cx))?;
        let mut more = true;
        while more && collected.len() < BATCH {
            match ws.as_mut().poll_next(cx)? {
                Poll::Ready(Some(message)) if message.is_data() => collected.push(message),
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => more = false,
            }
        }
        for message in collected.drain(..) {
            ws.as_mut().start_send(message)?;
        }
        ready!(ws.as_mut().poll_flush(cx))?;
        if !more {
            return Poll::Pending;
        }
    }
}

/// Sends received messages to the room, and writes the room's messages.
fn relay<S, M, E>(
    mut ws: Pin<&mut S>,
    room: &Room<M>,
    mailbox: &mut UnboundedReceiver<M>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), E>>
where
    S: Stream<Item = Result<M, E>> + Sink<M, Error = E>,
    M: Data + Clone,
{
    loop {
        match ws.as_mut().poll_next(cx)? {
            Poll::Ready(Some(message)) if message.is_data() => room.send(&message),
            Poll::Ready(Some(_)) => {}
            Poll::Ready(None) => return Poll::Ready(Ok(())),
            Poll::Pending => break,
        }
    }
    loop {
        ready!(ws.as_mut().poll_ready(cx))?;
        match mailbox.poll_recv(cx) {
            Poll::Ready(Some(message)) => ws.as_mut().start_send(message)?,
            Poll::Ready(None) | Poll::Pending => break,
        }
    }
    ready!(ws.as_mut().poll_flush(cx))?;
    Poll::Pending
}
