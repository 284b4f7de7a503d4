//! Memory tuning: pools of buffers, the buffer of an outbox, and the accounting of shared messages.
//!
//! A driver of many connections needs these names. Any other user of the crate does not.

pub(crate) mod meter;
pub(crate) mod pool;
pub(crate) mod receipt;
pub(crate) mod slice;

pub use crate::buffer::meter::Meter;
pub use crate::buffer::pool::{BufferPool, NoPool};
pub use crate::buffer::receipt::{Fate, Receipt};
pub use crate::send::outbox::OutboxBuffer;
