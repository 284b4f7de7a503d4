//! wtx on tokio, with the loop of its benchmark. It writes each message separately.

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use wtx::collection::Vector;
use wtx::web_socket::{Frame, OpCode, WebSocketAcceptor, WebSocketPayloadOrigin};

use super::room::{Room, accept};
use super::{Failure, MAX_MESSAGE};

type Frames = Room<(OpCode, Arc<[u8]>)>;

pub(crate) async fn serve(listener: TcpListener) -> Result<(), Failure> {
    accept(listener, connection).await
}

async fn connection(socket: TcpStream, room: Arc<Frames>) -> Result<(), wtx::Error> {
    let mut broadcast = false;
    let mut ws = WebSocketAcceptor::default()
        .req(|request: &httparse::Request<'_, '_>| {
            broadcast = request.path == Some("/broadcast");
            Ok::<_, wtx::Error>(())
        })
        .accept(socket)
        .await?;
    ws.set_max_payload_len(MAX_MESSAGE);
    let mut buffer = Vector::new();
    if !broadcast {
        let (mut common, mut reader, mut writer) = ws.split_mut();
        loop {
            buffer.clear();
            let mut frame =
                reader.read_frame(&mut buffer, &mut common, WebSocketPayloadOrigin::Adaptive).await?;
            match frame.op_code() {
                OpCode::Close => return Ok(()),
                OpCode::Text | OpCode::Binary => writer.write_frame(&mut common, &mut frame).await?,
                _ => {}
            }
        }
    }

    let mut mailbox = room.join();
    let mut parts = ws.into_split(TcpStream::into_split)?;
    tokio::spawn(tokio::task::unconstrained(async move {
        let mut frame_of = Vec::new();
        while let Some((code, payload)) = mailbox.recv().await {
            // wtx needs a mutable payload, so each receiver gets a copy.
            frame_of.clear();
            frame_of.extend_from_slice(&payload);
            parts.writer.write_frame(&mut Frame::new_fin(code, frame_of.as_mut_slice())).await?;
        }
        Ok::<_, wtx::Error>(())
    }));
    loop {
        buffer.clear();
        let frame = parts.reader.read_frame(&mut buffer, WebSocketPayloadOrigin::Adaptive).await?;
        match frame.op_code() {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => room.send(&(frame.op_code(), Arc::from(&**frame.payload()))),
            _ => {}
        }
    }
}
