use std::io::{self, IoSlice};

use super::{Context, Deadline};
use crate::Client;

/// The application knows that it is over; the last octets go out.
pub(super) struct Ending {
    /// The answer to a handshake that failed, or to a request that was none.
    reply: Vec<u8>,
    written: usize,
    /// The client whose outbox holds the last frames.
    pub(super) client: Option<Client>,
    /// Whether the peer may still be sending. Then we end our side first and read to the end of its own, because to
    /// close a socket with unread input resets the connection and may destroy our last octets under way.
    pub(super) linger: bool,
    pub(super) flushed: bool,
    pub(super) shut: bool,
    pub(super) deadline: Deadline,
}

impl Ending {
    /// To a peer that never became a client.
    pub(super) fn reply(reply: Vec<u8>, context: &Context<'_>) -> Self {
        Self { reply, ..Self::new(None, true, context) }
    }

    /// Of a connection that was open.
    pub(super) fn of(client: Client, linger: bool, context: &Context<'_>) -> Self {
        Self::new(Some(client), linger, context)
    }

    fn new(client: Option<Client>, linger: bool, context: &Context<'_>) -> Self {
        let deadline = Deadline::new(context.now, context.shared.config.close_timeout);
        Self { reply: Vec::new(), written: 0, client, linger, flushed: false, shut: false, deadline }
    }

    /// Octets that wait to be written.
    pub(super) fn queued(&self) -> usize {
        self.reply.len() - self.written + self.client.as_ref().map_or(0, Client::buffered_amount)
    }

    pub(super) fn flush(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while let Some(rest) = self.reply.get(self.written..)
            && !rest.is_empty()
        {
            match write(&[IoSlice::new(rest)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.client.as_ref().map_or(Ok(true), |client| client.flush(write))
    }
}
