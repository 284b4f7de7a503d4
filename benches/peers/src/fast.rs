//! fastwebsockets with hyper, as in its own echo example.

use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, WebSocketError, upgrade};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Failure;
use super::room::{Room, accept};

type Frames = Room<(OpCode, Bytes)>;

pub(crate) async fn serve(listener: TcpListener) -> Result<(), Failure> {
    let connection = |socket, room: Arc<Frames>| {
        let service = service_fn(move |request| answer(request, room.clone()));
        http1::Builder::new().serve_connection(TokioIo::new(socket), service).with_upgrades()
    };
    accept(listener, connection).await
}

async fn answer(
    mut request: Request<Incoming>,
    room: Arc<Frames>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let broadcast = request.uri().path() == "/broadcast";
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    if broadcast {
        tokio::spawn(tokio::task::unconstrained(relay(upgraded, room)));
    } else {
        tokio::spawn(tokio::task::unconstrained(echo(upgraded)));
    }
    Ok(response)
}

async fn echo(upgraded: upgrade::UpgradeFut) -> Result<(), WebSocketError> {
    let mut ws = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = ws.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => ws.write_frame(frame).await?,
            _ => {}
        }
    }
}

/// Reading cannot be cancelled, so it runs in a separate task. This path does not reassemble
/// fragments.
async fn relay(upgraded: upgrade::UpgradeFut, room: Arc<Frames>) -> Result<(), WebSocketError> {
    let mut mailbox = room.join();
    let (mut reading, mut writing) = upgraded.await?.split(tokio::io::split);
    let reader = tokio::spawn(tokio::task::unconstrained(async move {
        // The load generator sends no pings, and the end of the connection answers its close frame.
        let mut never = |_: Frame<'_>| async { Ok::<_, WebSocketError>(()) };
        while let Ok(frame) = reading.read_frame(&mut never).await {
            match frame.opcode {
                OpCode::Close => break,
                OpCode::Text | OpCode::Binary => {
                    room.send(&(frame.opcode, Bytes::copy_from_slice(&frame.payload)));
                }
                _ => {}
            }
        }
    }));
    while let Some((opcode, payload)) = mailbox.recv().await {
        if reader.is_finished() {
            break;
        }
        writing.write_frame(Frame::new(true, opcode, None, Payload::Borrowed(&payload))).await?;
    }
    Ok(())
}
