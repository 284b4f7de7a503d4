//! Incomplete headers, frames and messages of drafts 7, 8 and 13.

use crate::frame::header::{Header, MAX_HEADER};
use crate::message::assembler::MessageAssembler;

/// An incomplete header, frame or message, or several of them.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) header: [u8; MAX_HEADER],
    pub(super) header_len: u8,
    pub(super) frame: Option<Frame>,
    pub(super) control: Vec<u8>,
    pub(super) message: Option<Message>,
}

/// A frame whose payload is incomplete.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) received: usize,
}

/// A data message in progress.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) data: MessageAssembler,
    pub(super) fragments: u32,
    /// Its frames carry compressed data.
    pub(super) compressed: bool,
}
