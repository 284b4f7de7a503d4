use std::io::{self, IoSlice};
use std::ops::Range;

use clws_proto::{CloseCode, Event, Receiver};

use super::{Context, Deadline, later};
use crate::Client;
use crate::guard::guard;
use crate::pool::Pool;
use crate::resource::{Cause, Disconnect};
use crate::time::now;

/// Messages go both ways, or we have sent a close frame and wait for the client's.
pub(super) struct Open {
    pub(super) receiver: Receiver,
    pub(super) client: Client,
    /// What we wait for with a deadline, if anything.
    pub(super) waiting: Option<Box<Waiting>>,
}

/// Something that a client has to do in time.
pub(super) struct Waiting {
    /// For its close frame; otherwise for it to read what is queued.
    close: bool,
    /// `None` until `wait` sets it.
    pub(super) deadline: Option<Deadline>,
    /// It has read something since the deadline was set.
    read: bool,
    /// Its connection is broken, and it is not read from: for the application to go on with what it has sent.
    broken: bool,
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
    Failed(Cause),
    /// The connection is of no more use.
    Lost(Cause),
}

impl Waiting {
    const fn new(close: bool) -> Self {
        Self { close, deadline: None, read: true, broken: false }
    }

    /// What it is when it did not come in time.
    pub(super) const fn cause(&self) -> Cause {
        match (self.close, self.broken) {
            (true, _) => Cause::CloseTimeout,
            (false, true) => Cause::Vanished,
            (false, false) => Cause::WriteTimeout,
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
            Some(waiting) if waiting.close => waiting.read |= read,
            Some(waiting) if waiting.broken => {}
            _ if all => self.waiting = None,
            Some(waiting) => waiting.read |= read,
            None => self.waiting = Some(Box::new(Waiting::new(false))),
        }
        if self.client.has_drained() && self.client.is_connected() && !self.client.is_closing() {
            let client = &self.client;
            let told = guard(client.config().debug_on(), || client.entry().resource.drained(client));
            if told.is_none() {
                client.close_quietly(CloseCode::INTERNAL, "");
                client.touch();
            }
        }
        Ok(all)
    }

    /// Sets the deadline for what the client has to do.
    pub(super) fn wait(&mut self, context: &Context<'_>) {
        let config = &context.shared.config;
        if self.client.is_closing() && self.waiting.as_ref().is_none_or(|waiting| !waiting.close) {
            self.waiting = Some(Box::new(Waiting::new(true)));
        }
        if let Some(waiting) = &mut self.waiting
            && std::mem::take(&mut waiting.read)
        {
            let time =
                if waiting.close || waiting.broken { config.close_timeout } else { config.write_timeout };
            let at = later(now(), time);
            match &mut waiting.deadline {
                // The driver keeps the one that it was told of, comes too early, and is told of this one then.
                Some(deadline) => {
                    deadline.told &= deadline.at <= at;
                    deadline.at = at;
                }
                None => waiting.deadline = Some(Deadline { at, told: false }),
            }
        }
    }

    /// The connection is broken, and what the client has sent before is not read for now.
    pub(super) fn broken(&mut self) {
        let waiting = self.waiting.get_or_insert_with(|| Box::new(Waiting::new(false)));
        if !std::mem::replace(&mut waiting.broken, true) {
            waiting.read = true; // the time begins now
        }
    }

    /// Tells the resource that the client is there.
    pub(super) fn connect(&mut self) {
        let client = &self.client;
        match guard(client.config().debug_on(), || client.entry().resource.connected(client)) {
            Some(Ok(())) => client.set_connected(),
            Some(Err(refuse)) => client.close_quietly(refuse.code, &refuse.reason),
            None => client.close_quietly(CloseCode::INTERNAL, ""),
        }
        client.touch();
    }

    /// Takes nothing more for the client, and tells the resource that it goes.
    pub(super) fn leave(&self, disconnect: &Disconnect) {
        let client = &self.client;
        client.seal();
        client.leave_groups();
        #[cfg(feature = "deflate")]
        if let Some(agreed) = client.agreed() {
            agreed.note(0);
        }
        tracing::debug!(peer = %client.peer(), code = disconnect.code.value(), "ended: {}", disconnect.cause);
        if client.is_connected() {
            guard(client.config().debug_on(), || client.entry().resource.disconnected(client, disconnect));
        }
    }

    /// Bytes of memory for input that is not handled, and for what compressed messages refer back to.
    #[inline]
    pub(super) fn held_input(&self) -> usize {
        let held = self.receiver.held();
        #[cfg(feature = "deflate")]
        let held = held + self.receiver.context_size();
        held
    }

    /// Whether events wait that were left when the client was paused, and it is no more.
    pub(super) fn may_go_on(&self) -> bool {
        self.receiver.has_unread() && !self.client.is_paused()
    }

    /// Hands the events in the input to the resource, until it pauses the client.
    #[inline]
    pub(super) fn receive(&mut self, input: Input<'_>) -> Option<End> {
        let client = &self.client;
        let resource = &*client.entry().resource;
        let mut events = match input {
            Input::Lent(input) => self.receiver.receive_with(input, &Pool),
            Input::Owned(buffer, range) => self.receiver.receive_owned(buffer, range, &Pool),
            Input::Direct(count) => self.receiver.receive_direct(count, &Pool),
        };
        // One guard for all of them: a panic ends the connection, so nothing half-done is looked at again.
        let end = guard(client.config().debug_on(), || {
            // What is not pulled is kept, and comes first when the client is resumed.
            while !client.is_paused() {
                match events.next() {
                    Ok(None) => return None,
                    Ok(Some(Event::Close(frame))) => {
                        client.answer_close(frame.as_ref());
                        let (code, reason) =
                            frame.map_or((CloseCode::NO_STATUS, ""), |frame| (frame.code, frame.reason));
                        return Some(End::Closed(Disconnect::new(code, reason, Cause::Closed)));
                    }
                    Ok(Some(Event::Ping(payload))) => client.answer_ping(&payload),
                    // We have sent a close frame: only the client's own is of interest.
                    Ok(Some(_)) if client.is_closing() => {}
                    Ok(Some(Event::Text(text))) => resource.text(client, text),
                    Ok(Some(Event::Binary(payload))) => resource.binary(client, payload),
                    Ok(Some(Event::Pong(payload))) => resource.pong(client, payload),
                    Ok(Some(_)) => {}
                    Err(error) => {
                        // RFC 6455 §7.1.7: "An endpoint MUST NOT continue to attempt to process data (including a
                        // responding Close frame) from the remote endpoint after being instructed to _Fail the
                        // WebSocket Connection_."
                        client
                            .close_quietly(error.close_code(client.websocket_version()), &error.to_string());
                        return Some(End::Failed(Cause::Protocol(error)));
                    }
                }
            }
            None
        });
        drop(events);
        #[cfg(feature = "deflate")]
        if let Some(agreed) = client.agreed() {
            agreed.note(self.receiver.context_size());
        }
        // Its connection is broken, but the application goes on with what had come: it has its time anew.
        if let Some(waiting) = &mut self.waiting {
            waiting.read |= waiting.broken;
        }
        end.unwrap_or_else(|| {
            client.close_quietly(CloseCode::INTERNAL, "");
            Some(End::Failed(Cause::Panic))
        })
    }
}
