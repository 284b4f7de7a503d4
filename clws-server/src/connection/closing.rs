use std::borrow::Cow;
use std::io::{self, IoSlice};

use crate::client::Client;
use crate::connection::{Context, Deadline};
use crate::time::{deadline_after, now};

/// The head and the body of an answer.
pub(super) type Reply = [Cow<'static, [u8]>; 2];

/// The application knows that it is over; the last octets go out.
pub(super) struct Closing {
    /// The answer to a handshake that failed, or to a request that was none: its head and its body.
    reply: Reply,
    written: usize,
    /// The client whose outbox holds the last frames.
    pub(super) client: Option<Client>,
    /// Whether the peer may still be sending. Then we end our side first and read to the end of its own, because to
    /// close a socket with unread input resets the connection and may destroy our last octets under way.
    pub(super) linger: bool,
    pub(super) flushed: bool,
    pub(super) shut: bool,
    pub(super) deadline: Deadline,
    /// It has read something since the deadline was set.
    read: bool,
    /// The deadline is that of one for whom all is written.
    was_flushed: bool,
}

impl Closing {
    /// To a peer that never became a client.
    pub(super) fn reply(reply: Reply, context: &Context<'_>) -> Self {
        Self { reply, ..Self::new(None, true, context) }
    }

    /// Of a connection that was open.
    ///
    /// `shut`: whether our side is ended already.
    pub(super) fn of(client: Client, linger: bool, shut: bool, context: &Context<'_>) -> Self {
        Self { shut, ..Self::new(Some(client), linger, context) }
    }

    fn new(client: Option<Client>, linger: bool, context: &Context<'_>) -> Self {
        let deadline = Deadline::after(context.clients.config.write_timeout);
        let (reply, flushed, shut, read, was_flushed) = (Reply::default(), false, false, false, false);
        Self { reply, written: 0, client, linger, flushed, shut, deadline, read, was_flushed }
    }

    /// Bytes that wait to be written.
    #[cfg(any(test, fuzzing))]
    pub(super) fn queued(&self) -> usize {
        self.reply.iter().map(|part| part.len()).sum::<usize>() - self.written
            + self.client.as_ref().map_or(0, Client::buffered_amount)
    }

    /// Bytes of memory of an answer.
    pub(super) fn held_reply(&self) -> usize {
        let held = |part: &Cow<'_, [u8]>| if let Cow::Owned(bytes) = part { bytes.capacity() } else { 0 };
        self.reply.iter().map(held).sum()
    }

    /// Who still reads what is queued for it has its time anew: that of any client to read, and when all is written that
    /// to end its side.
    pub(super) fn wait(&mut self, context: &Context<'_>) {
        let config = &context.clients.config;
        let ends = self.flushed && !std::mem::replace(&mut self.was_flushed, self.flushed);
        if std::mem::take(&mut self.read) || ends {
            let time = if self.flushed { config.close_timeout } else { config.write_timeout };
            let at = deadline_after(now(), time);
            self.deadline.armed &= self.deadline.at <= at;
            self.deadline.at = at;
        }
    }

    pub(super) fn flush(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let read = &mut self.read;
        let mut write = |slices: &[IoSlice<'_>]| write(slices).inspect(|written| *read |= *written > 0);
        let [head, body] = &self.reply;
        while self.written < head.len() + body.len() {
            let rest = [
                IoSlice::new(head.get(self.written..).unwrap_or_default()),
                IoSlice::new(body.get(self.written.saturating_sub(head.len())..).unwrap_or_default()),
            ];
            match write(&rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.client.as_ref().map_or(Ok(true), |client| client.flush(&mut write))
    }
}
