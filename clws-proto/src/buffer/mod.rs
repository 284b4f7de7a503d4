//! The memory that payloads lie in: who owns it, and where it goes afterwards.

pub(crate) mod pool;
pub(crate) mod slice;
