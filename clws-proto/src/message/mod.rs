//! Whole messages, and messages in progress.

pub(crate) mod assembler;
pub(crate) mod binary;
pub(crate) mod event;
pub(crate) mod reaction;
pub(crate) mod text;
