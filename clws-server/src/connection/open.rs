use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use clws_proto::{CloseCode, CloseFrame, Event, ProtocolError, Receiver};

use crate::buffer_pool::SharedBuffers;
use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::state::Disposition;
use crate::connection::share::Share;
use crate::connection::{Context, Deadline};
use crate::guard::{ApplicationValue, discard, guard, log};
use crate::resource::registry::entry::Entry;
use crate::time::{deadline_after, now};

/// Messages go both ways, or we have sent a close frame and wait for the client's.
pub(super) struct Open {
    pub(super) receiver: Receiver,
    pub(super) client: Client,
    pub(super) entry: Arc<Entry>,
    /// What we wait for with a deadline, if anything.
    pub(super) waiting: Option<Box<Waiting>>,
}

/// Something that a client has to do in time, and what becomes of one that is closing.
pub(super) struct Waiting {
    /// For its close frame; otherwise for it to read what is queued.
    close: bool,
    /// `None` until `wait` sets it.
    pub(super) deadline: Option<Deadline>,
    /// It has read something since the deadline was set.
    read: bool,
    /// Its connection is broken: for the application to take what the client has sent before.
    broken: bool,
    /// Why it is broken, where the system said so.
    error: Option<ApplicationValue<io::Error>>,
    /// Data messages that were read and discarded.
    undelivered: u64,
    /// Our side of the connection has been ended, in place of a close frame.
    shut: bool,
}

/// What was read, and where it is.
pub(super) enum Input<'a> {
    /// In a buffer of the driver's.
    Lent(&'a mut [u8]),
    /// In a part of a buffer, which a big message may keep.
    Owned(&'a mut Vec<u8>, Range<usize>),
    /// So many octets are in the receiver's own room.
    Direct(usize),
}

/// Why an open connection ends.
pub(super) enum End {
    /// The client's close frame came, and was answered if it began.
    Closed(Disconnect),
    /// The client broke the protocol, a handler panicked: a close frame is queued, the client may still be sending.
    Failed(DisconnectCause),
    /// The connection is of no more use.
    Lost(DisconnectCause),
}

impl Waiting {
    const fn new(close: bool) -> Self {
        Self { close, deadline: None, read: true, broken: false, error: None, undelivered: 0, shut: false }
    }

    /// Why the connection ends if this does not come in time.
    pub(super) fn cause(&mut self) -> DisconnectCause {
        match (self.error.take().and_then(ApplicationValue::into_inner), self.close, self.broken) {
            (Some(error), ..) => DisconnectCause::Io(Arc::new(error)),
            (None, _, true) => DisconnectCause::Vanished,
            (None, true, false) => DisconnectCause::CloseTimeout,
            (None, false, false) => DisconnectCause::WriteTimeout,
        }
    }
}

impl Open {
    /// Writes what is queued, and takes note of whether the client reads.
    pub(super) fn flush(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut read = false;
        let all = self.client.flush(&mut |slices| write(slices).inspect(|written| read |= *written > 0))?;
        match &mut self.waiting {
            // What is counted there must not be forgotten: its close frame is being written, and waited for from then on.
            Some(waiting) if waiting.close || waiting.undelivered > 0 => waiting.read |= read,
            Some(waiting) if waiting.broken => {}
            _ if all => self.waiting = None,
            Some(waiting) => waiting.read |= read,
            None => self.waiting = Some(Box::new(Waiting::new(false))),
        }
        if self.client.note_flushed() && self.client.is_connected() && !self.client.is_closing() {
            let (client, entry) = (&self.client, &self.entry);
            let told = guard(client.config().debug_on(), || entry.resource.drained(client));
            if told.is_none() {
                client.fail();
            }
        }
        Ok(all)
    }

    /// Sets the deadline for what the client has to do.
    pub(super) fn wait(&mut self, context: &Context<'_>) {
        let config = &context.clients.config;
        if self.client.is_closing() {
            let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::new(true)));
            // The time for its answer begins now, whatever it was to do before.
            waiting.read |= !waiting.close && !waiting.broken;
            waiting.close = true;
        }
        if let Some(waiting) = &mut self.waiting
            && std::mem::take(&mut waiting.read)
        {
            let time =
                if waiting.close || waiting.broken { config.close_timeout } else { config.write_timeout };
            let at = deadline_after(now(), time);
            match &mut waiting.deadline {
                // The driver keeps the one that it was told of, comes too early, and is told of this one then.
                Some(deadline) => {
                    deadline.armed &= deadline.at <= at;
                    deadline.at = at;
                }
                None => waiting.deadline = Some(Deadline { at, armed: false }),
            }
        }
    }

    /// Whether our side of the connection is to be ended now, which is told once: the client is closed, all that was queued for
    /// it is written, and its version has no close frame that would tell it. It ends its own side then, as it would
    /// answer a close frame.
    pub(super) fn ends_our_side(&mut self) -> bool {
        !self.client.websocket_version().has_close_frame()
            && self.client.is_closing()
            && self.client.buffered_amount() == 0
            && self
                .waiting
                .as_mut()
                .is_some_and(|waiting| !waiting.broken && !std::mem::replace(&mut waiting.shut, true))
    }

    pub(super) fn has_ended_our_side(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.shut)
    }

    /// The connection is broken, and what the client has sent before waits to be taken: its time begins now.
    pub(super) fn broken(&mut self) {
        let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::new(false)));
        if !std::mem::replace(&mut waiting.broken, true) {
            waiting.read = true;
        }
    }

    /// The system does not take what we write any more. What the client has sent before is still delivered.
    pub(super) fn write_failed(&mut self, error: io::Error) {
        let error = ApplicationValue::new(error, self.client.config().debug_on()); // it may be one of the application's stream
        self.client.abandon();
        self.broken();
        if let Some(waiting) = &mut self.waiting {
            waiting.error.get_or_insert(error);
        }
    }

    /// Why writing has failed, if it has.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.waiting.as_mut()?.error.take()?.into_inner()
    }

    pub(super) fn has_failed_to_write(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.error.is_some())
    }

    /// Tells the resource that the client is there.
    pub(super) fn connect(&mut self) {
        let (client, entry) = (&self.client, &self.entry);
        match guard(client.config().debug_on(), || entry.resource.connected(client)) {
            Some(Ok(())) => {
                client.set_connected();
                client.forget_hosts();
            }
            Some(Err(refuse)) => client.refuse(&refuse),
            None => client.refuse(&Close::new(CloseCode::INTERNAL, "")),
        }
        client.wake();
    }

    /// Takes nothing more for the client, and tells the resource that it goes.
    pub(super) fn leave(&mut self, mut disconnect: Disconnect) {
        disconnect.undelivered = self.discard_unread();
        let (client, entry) = (&self.client, &self.entry);
        client.seal();
        client.leave_groups();
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = client.negotiated() {
            negotiated.note(0);
        }
        log(|| {
            tracing::debug!(peer = %client.peer(), code = disconnect.code.value(), "ended: {disconnect}");
        });
        if client.is_connected() {
            guard(client.config().debug_on(), || entry.resource.disconnected(client, &disconnect));
        } else {
            client.notify_hosts(&disconnect);
        }
        discard(client.config().debug_on(), disconnect); // an error of the application's stream may be in it
    }

    /// Bytes of memory for input that is not handled, and for what compressed messages refer back to.
    #[inline]
    pub(super) fn held_input(&self) -> usize {
        let held = self.receiver.held();
        #[cfg(feature = "deflate")]
        let held = held + self.receiver.context_size();
        held
    }

    /// Whether events wait that the application may have now.
    #[inline]
    pub(super) fn may_go_on(&self) -> bool {
        self.receiver.has_unread()
            && (self.client.disposition() != Disposition::Wait
                || self.receiver.is_close_next()
                || (self.client.hears_pings() && self.receiver.is_ping_next()))
    }

    /// Whether more may be read: what was read before has been delivered, and the application takes more.
    ///
    /// One that is closing is read from even if the application takes nothing, for it may be gone; its messages wait. So is one
    /// that has more answers than it reads, until a message begins: pings are answered meanwhile, which tell it that this side
    /// is alive.
    #[inline]
    pub(super) fn wants_input(&self) -> bool {
        !self.receiver.has_unread()
            && (self.client.disposition() != Disposition::Wait
                || self.client.is_closing()
                || self.reads_pings())
    }

    /// Whether it is read from for the sake of its pings only.
    #[inline]
    pub(super) fn reads_pings(&self) -> bool {
        self.client.disposition() == Disposition::Wait
            && self.client.hears_pings()
            && !self.receiver.is_in_message()
            && !self.client.websocket_version().is_hixie() // which has no pings
    }

    /// Whether events of the last read wait.
    #[inline]
    pub(super) fn has_unread(&self) -> bool {
        self.receiver.has_unread()
    }

    /// Delivers what was read, until the share is over.
    #[inline]
    pub(super) fn receive(&mut self, input: Input<'_>, share: &mut Share) -> Option<End> {
        let client = &self.client;
        let resource = &*self.entry.resource;
        let (mut delivered, mut undelivered) = (false, 0);
        let mut events = match input {
            Input::Lent(bytes) => self.receiver.receive_with(bytes, &SharedBuffers),
            Input::Owned(buffer, range) => self.receiver.receive_owned(buffer, range, &SharedBuffers),
            Input::Direct(count) => self.receiver.receive_direct(count, &SharedBuffers),
        };
        // One guard for all of them: a panic ends the connection, so nothing half-done is looked at again.
        let end = guard(client.config().debug_on(), || {
            // Events that are not pulled are kept by the receiver, and come first when the client goes on.
            while !share.is_over() {
                let deliver = match client.disposition() {
                    Disposition::Deliver => true,
                    Disposition::Discard => false,
                    Disposition::Wait if client.hears_pings() && events.is_ping_next() => false,
                    Disposition::Wait => return None,
                };
                let bytes = match events.next() {
                    Ok(None) => return None,
                    Ok(Some(Event::Close(frame))) => return Some(answer_close(client, frame.as_ref())),
                    Ok(Some(Event::Ping(payload))) => {
                        client.answer_ping(&payload);
                        payload.len()
                    }
                    Ok(Some(Event::Text(text))) => {
                        let bytes = text.len();
                        if deliver {
                            resource.text(client, text);
                        } else {
                            undelivered += 1;
                        }
                        bytes
                    }
                    Ok(Some(Event::Binary(payload))) => {
                        let bytes = payload.len();
                        if deliver {
                            resource.binary(client, payload);
                        } else {
                            undelivered += 1;
                        }
                        bytes
                    }
                    Ok(Some(Event::Pong(payload))) => {
                        let bytes = payload.len();
                        if deliver {
                            resource.pong(client, payload);
                        }
                        bytes
                    }
                    Ok(Some(_)) => 0,
                    Err(error) => return Some(fail(client, error)),
                };
                delivered = true;
                share.spend(bytes);
            }
            None
        });
        drop(events);
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = client.negotiated() {
            negotiated.note(self.receiver.context_size());
        }
        if undelivered > 0 {
            self.waiting.get_or_insert_with(|| Box::new(Waiting::new(true))).undelivered += undelivered;
        }
        // Its connection is broken, but the application goes on with what had come: it has its time anew.
        if let Some(waiting) = &mut self.waiting {
            waiting.read |= waiting.broken && delivered;
        }
        match end {
            None => {
                self.client.queue_close(CloseCode::INTERNAL, "");
                Some(End::Failed(DisconnectCause::Panic))
            }
            Some(None) => self.close_behind(),
            Some(end) => end,
        }
    }

    /// The client's close frame takes effect though the application is full, if no message waits before it.
    #[inline]
    fn close_behind(&mut self) -> Option<End> {
        if !self.receiver.is_close_next() {
            return None;
        }
        match self.receiver.receive(&mut []).next() {
            Ok(Some(Event::Close(frame))) => Some(answer_close(&self.client, frame.as_ref())),
            Ok(_) => None, // it is not complete
            Err(error) => Some(fail(&self.client, error)),
        }
    }

    /// Discards what was read and not delivered; returns how many data messages were, these and earlier ones.
    fn discard_unread(&mut self) -> u64 {
        self.receiver.discard() + self.waiting.as_ref().map_or(0, |waiting| waiting.undelivered)
    }
}

/// The client's close frame came.
fn answer_close(client: &Client, frame: Option<&CloseFrame<'_>>) -> End {
    client.answer_close(frame);
    let (code, reason) = frame.map_or((CloseCode::NO_STATUS, ""), |frame| (frame.code, frame.reason));
    End::Closed(Disconnect::new(code, reason, DisconnectCause::Closed))
}

/// The client broke the protocol.
fn fail(client: &Client, error: ProtocolError) -> End {
    // RFC 6455 §7.1.7: "An endpoint MUST NOT continue to attempt to process data (including a responding Close frame) from
    // the shard_handle endpoint after being instructed to _Fail the WebSocket Connection."
    client.queue_close(error.close_code(client.websocket_version()), &error.to_string());
    End::Failed(DisconnectCause::Protocol(error))
}
