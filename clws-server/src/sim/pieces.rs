//! Messages in pieces: the handler joins them, and handles whole messages.

use std::cell::RefCell;
use std::collections::HashMap;

use clws_proto::Piece;

thread_local! {
    /// The pieces of messages in progress, by connection.
    static MESSAGES: RefCell<HashMap<u32, Vec<u8>>> = RefCell::default();
}

/// Adds a piece. Returns the message if it is complete.
pub(super) fn join(conn: u32, piece: Piece<'_>) -> Option<Vec<u8>> {
    MESSAGES.with_borrow_mut(|messages| {
        let message = messages.entry(conn).or_default();
        if piece.first {
            message.clear(); // an earlier run may have left one
        }
        message.extend_from_slice(piece.bytes());
        if piece.last { messages.remove(&conn) } else { None }
    })
}
