//! yawc with hyper, with the settings of its comparison: UTF-8 validation, no compression,
//! large read buffers (except where memory is measured), and one flush for the replies of a batch.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use yawc::{Frame, OpCode, Options, WebSocket, WebSocketError};

use super::room::{Room, accept};
use super::streams::{self, Data};
use super::{Failure, MAX_MESSAGE, Settings};

/// The read buffer size of yawc's own comparison.
const READ_BUFFER: usize = 128 << 10;
/// The number of buffered bytes above which it writes.
const WRITE_THRESHOLD: usize = 64 << 10;
/// A smaller configured read buffer means that memory is measured, so yawc keeps its default.
const SMALL: usize = 8 << 10;

impl Data for Frame {
    fn is_data(&self) -> bool {
        matches!(self.opcode(), OpCode::Text | OpCode::Binary)
    }
}

pub(crate) async fn serve(listener: TcpListener, settings: &Settings) -> Result<(), Failure> {
    let mut options = Options::default()
        .with_utf8()
        .without_compression()
        .with_limits(MAX_MESSAGE, MAX_MESSAGE)
        .with_backpressure_boundary(WRITE_THRESHOLD);
    if settings.read_buffer.is_none_or(|bytes| bytes >= SMALL) {
        options = options.with_read_buffer_capacity(READ_BUFFER);
    }
    let connection = |socket, room: Arc<Room<Frame>>| {
        let options = options.clone();
        let service = service_fn(move |request| answer(request, options.clone(), room.clone()));
        http1::Builder::new().serve_connection(TokioIo::new(socket), service).with_upgrades()
    };
    accept(listener, connection).await
}

async fn answer(
    mut request: Request<Incoming>,
    options: Options,
    room: Arc<Room<Frame>>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let path = request.uri().path().to_owned();
    let (response, upgraded) = WebSocket::upgrade_with_options(&mut request, options)?;
    tokio::spawn(tokio::task::unconstrained(async move {
        streams::run(upgraded.await?.map(Ok::<_, WebSocketError>), &path, &room).await
    }));
    Ok(response)
}
