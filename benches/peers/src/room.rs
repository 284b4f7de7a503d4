//! The clients of `/broadcast`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

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
