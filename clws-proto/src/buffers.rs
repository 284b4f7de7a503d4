use std::fmt;

/// A pool that big buffers come from and go back to, for a driver of many connections.
///
/// Fresh memory for each big message costs more than the message: the system maps it, clears it and takes it back. A
/// pool is asked when a message has to be assembled ([`Receiver::receive_with`](crate::Receiver::receive_with)) and is
/// given the buffer when the message is done or, forwarded, has been written
/// ([`Sender::consume_with`](crate::Sender::consume_with)). How much it keeps is its own decision.
pub trait Buffers: fmt::Debug {
    /// A buffer, of any capacity; its content does not matter. An empty `Vec` where there is none.
    fn take(&self) -> Vec<u8>;

    /// Takes a buffer back, or drops it.
    fn give(&self, buffer: Vec<u8>);
}

/// No pool: buffers are allocated and freed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPool;

impl Buffers for NoPool {
    fn take(&self) -> Vec<u8> {
        Vec::new()
    }

    fn give(&self, _buffer: Vec<u8>) {}
}
