//! The last stage: the application knows that the connection has ended, and the last bytes are
//! written. A connection that is kept alive after an HTTP response goes back to the first stage.

use std::borrow::Cow;
use std::io::{self, IoSlice};

use crate::client::Client;
use crate::connection::context::Context;
use crate::connection::handshake::Handshake;
use crate::connection::reply::Reply;
use crate::connection::timer::{Deadline, Timer};
use crate::connection::watch::ReadingRate;

pub(super) struct Closing {
    /// The answer to a refused handshake or to another HTTP request.
    reply: Reply,
    written: usize,
    /// The client whose outbox holds the last frames.
    pub(super) client: Option<Client>,
    /// The peer may still be sending. Then our side is ended first, and input is read to its end:
    /// closing a socket with unread input resets the connection and may destroy our last bytes in
    /// flight.
    pub(super) linger: bool,
    /// Our side of the connection was ended.
    pub(super) our_side_ended: bool,
    /// After the response, the connection waits for another request.
    pub(super) next: Option<Box<Handshake>>,
    /// [`Timer::Write`] until everything is written, then [`Timer::Close`].
    pub(super) deadline: Deadline,
    pub(super) rate: ReadingRate,
}

impl Closing {
    /// Answers a peer that never became a client.
    pub(super) fn reply(reply: Reply, context: &Context<'_>) -> Self {
        Self { reply, ..Self::new(None, true, false, context) }
    }

    /// Answers a request, and then waits for the next one.
    pub(super) fn page(reply: Reply, next: Box<Handshake>, context: &Context<'_>) -> Self {
        Self { next: Some(next), ..Self::reply(reply, context) }
    }

    /// Ends a connection that is kept alive and has made no further request.
    pub(super) fn idle(context: &Context<'_>) -> Self {
        Self::reply(Reply::default(), context)
    }

    /// Ends a connection that was open. `our_side_ended` means that our side was ended already.
    pub(super) fn new(
        client: Option<Client>,
        linger: bool,
        our_side_ended: bool,
        context: &Context<'_>,
    ) -> Self {
        let deadline = Deadline::started(Timer::Write, context);
        let rate = ReadingRate::default();
        let reply = Reply::default();
        Self { reply, written: 0, client, linger, our_side_ended, next: None, deadline, rate }
    }

    /// Whether everything was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.deadline.timer() == Timer::Close
    }

    /// Bytes that wait to be written.
    #[cfg(any(test, fuzzing))]
    pub(super) fn queued(&self) -> usize {
        self.reply.iter().map(|part| part.len()).sum::<usize>() - self.written
            + self.client.as_ref().map_or(0, Client::buffered_amount)
    }

    /// The bytes of memory that the HTTP answer takes, and the beginning of the next request.
    pub(super) fn held_reply(&self) -> usize {
        let held = |part: &Cow<'_, [u8]>| if let Cow::Owned(bytes) = part { bytes.capacity() } else { 0 };
        let next = self.next.as_ref().map_or(0, |next| next.received.capacity());
        self.reply.iter().map(held).sum::<usize>() + next
    }

    /// Sets the deadlines that have started.
    pub(super) fn rearm(&mut self, context: &Context<'_>) {
        // A client has the settings of its resource.
        let config = self.client.as_ref().map_or(context.config(), Client::config);
        self.deadline.rearm(context, config);
        self.rate.rearm(self.deadline.timer() == Timer::Write, config, &|| context.now());
    }

    /// Whether the peer reads the rest more slowly than it must.
    pub(super) fn is_too_slow(&mut self, context: &Context<'_>) -> bool {
        let config = self.client.as_ref().map_or(context.config(), Client::config);
        self.rate.is_missed(context.now(), config)
    }

    /// Writes the rest. Restarts the deadline on progress: `write_timeout` while data is queued,
    /// `close_timeout` once it is flushed.
    pub(super) fn transmit(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut bytes = 0;
        let all = self.write_all(&mut |slices| write(slices).inspect(|written| bytes += written));
        self.deadline.note_progress(bytes > 0);
        self.rate.note_written(bytes);
        let all = all?;
        if all && !self.is_flushed() {
            self.deadline.start(Timer::Close);
        }
        if let Some(client) = &self.client {
            // Wakes tasks that wait for the flush. The resource has had its last call.
            let _ = client.note_flushed();
        }
        Ok(all)
    }

    fn write_all(&mut self, write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<bool> {
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
        self.client.as_ref().map_or(Ok(true), |client| client.flush(write))
    }
}
