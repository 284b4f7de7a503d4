//! Whole messages, pieces of messages, and messages in progress.

pub(crate) mod assembler;
pub(crate) mod binary;
pub(crate) mod event;
pub(crate) mod piece;
pub(crate) mod reaction;
pub(crate) mod stream;
pub(crate) mod text;
