//! soketto on tokio, with buffered reads and writes as in its own examples. Replies to messages
//! that were read together share one flush.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::io::{BufReader, BufWriter};
use soketto::handshake::{Server, server::Response};
use soketto::{Data, Receiver, Sender, connection};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::room::{Room, accept};
use super::{Failure, MAX_MESSAGE};

type Socket = BufReader<BufWriter<Compat<TcpStream>>>;
type Messages = Room<(bool, Arc<[u8]>)>;

pub(crate) async fn serve(listener: TcpListener) -> Result<(), Failure> {
    accept(listener, connection).await
}

async fn connection(socket: TcpStream, room: Arc<Messages>) -> Result<(), Failure> {
    let mut server = Server::new(BufReader::new(BufWriter::new(socket.compat())));
    let (key, broadcast) = {
        let request = server.receive_request().await?;
        (request.key(), request.path() == "/broadcast")
    };
    server.send_response(&Response::Accept { key, protocol: None }).await?;
    let mut builder = server.into_builder();
    builder.set_max_message_size(MAX_MESSAGE);
    builder.set_max_frame_size(MAX_MESSAGE);
    let (sender, receiver) = builder.finish();
    if broadcast {
        relay(sender, receiver, &room).await
    } else {
        echo(sender, receiver).await.map_err(Into::into)
    }
}

async fn echo(mut sender: Sender<Socket>, mut receiver: Receiver<Socket>) -> Result<(), connection::Error> {
    let mut message = Vec::new();
    loop {
        message.clear();
        let kind = {
            let mut next = pin!(receiver.receive_data(&mut message));
            // Check without waiting whether the next message is available.
            match poll_fn(|cx| Poll::Ready(next.as_mut().poll(cx))).await {
                Poll::Ready(kind) => kind?,
                Poll::Pending => {
                    sender.flush().await?;
                    next.await?
                }
            }
        };
        send(&mut sender, kind.is_text(), &mut message).await?;
    }
}

async fn send(sender: &mut Sender<Socket>, text: bool, message: &mut [u8]) -> Result<(), connection::Error> {
    if text {
        sender.send_text(std::str::from_utf8(message)?).await
    } else {
        sender.send_binary_mut(message).await
    }
}

async fn relay(
    mut sender: Sender<Socket>,
    mut receiver: Receiver<Socket>,
    room: &Messages,
) -> Result<(), Failure> {
    let mut mailbox = room.join();
    tokio::spawn(tokio::task::unconstrained(async move {
        while let Some(mut message) = mailbox.recv().await {
            loop {
                let (text, payload) = message;
                if text {
                    sender.send_text(std::str::from_utf8(&payload)?).await?;
                } else {
                    sender.send_binary(&payload).await?;
                }
                match mailbox.try_recv() {
                    Ok(next) => message = next,
                    Err(_) => break,
                }
            }
            sender.flush().await?;
        }
        Ok::<_, connection::Error>(())
    }));
    let mut message = Vec::new();
    loop {
        message.clear();
        let kind: Data = receiver.receive_data(&mut message).await?;
        room.send(&(kind.is_text(), Arc::from(&*message)));
    }
}
