//! The clients of `/broadcast`, and the loop that accepts connections.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Failure;

/// Accepts connections, and serves each in a task. All of them share a room.
pub(crate) async fn accept<M, F>(
    listener: TcpListener,
    connection: impl Fn(TcpStream, Arc<Room<M>>) -> F,
) -> Result<(), Failure>
where
    M: Clone,
    F: Future<Output: Send> + Send + 'static,
{
    let room = Arc::new(Room::new());
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        // The load generator reports connection errors.
        tokio::spawn(tokio::task::unconstrained(connection(socket, room.clone())));
    }
}

/// A list of mailboxes, one for each connection at `/broadcast`.
#[derive(Debug)]
pub(crate) struct Room<M>(Mutex<Vec<UnboundedSender<M>>>);

impl<M: Clone> Room<M> {
    /// Creates an empty room.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Adds a client. Dropping the receiver removes the client.
    pub(crate) fn join(&self) -> UnboundedReceiver<M> {
        let (sender, receiver) = unbounded_channel();
        self.lock().push(sender);
        receiver
    }

    /// Sends a message to all clients.
    pub(crate) fn send(&self, message: &M) {
        self.lock().retain(|mailbox| mailbox.send(message.clone()).is_ok());
    }

    fn lock(&self) -> MutexGuard<'_, Vec<UnboundedSender<M>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
