//! The middle stage: messages go both ways, or we have sent a close frame and wait for the
//! client's.

use std::io::{self, IoSlice};
use std::sync::Arc;

use clws_proto::{CloseCode, Event, Input, Reaction, Receiver};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::state::Disposition;
use crate::connection::context::Context;
use crate::connection::share::{FRAMES_PER_CHECK, Share};
use crate::connection::timer::{Deadline, Timer};
use crate::guard::{ApplicationValue, discard, enter, guard, log};
use crate::resource::registry::entry::Entry;

pub(super) struct Open {
    pub(super) receiver: Receiver,
    pub(super) client: Client,
    pub(super) entry: Arc<Entry>,
    /// Boxed, because most connections wait for nothing.
    pub(super) waiting: Option<Box<Waiting>>,
}

/// The timer, and the state of a connection that closes.
pub(super) struct Waiting {
    pub(super) deadline: Deadline,
    /// The error that broke the connection.
    error: Option<ApplicationValue<io::Error>>,
    /// Data messages that were read and discarded.
    undelivered: u64,
    /// Whether our side of the connection was ended, because the version has no close frame.
    our_side_ended: bool,
}

/// The reason for which the open stage ends.
pub(super) enum End {
    /// The client's close frame came. It was answered, unless it is an answer itself.
    Closed(Disconnect),
    /// The client broke the protocol, or a handler panicked: a close frame is queued, and the
    /// client may still be sending.
    Failed(DisconnectCause),
    /// Nothing more can be read.
    Lost(DisconnectCause),
}

impl Waiting {
    fn boxed(timer: Timer) -> Box<Self> {
        Box::new(Self { deadline: Deadline::new(timer), error: None, undelivered: 0, our_side_ended: false })
    }
}

impl Open {
    /// Writes queued data. The client has [`Timer::Write`] as long as data is left.
    pub(super) fn transmit(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut progress = false;
        let all =
            self.client.flush(&mut |slices| write(slices).inspect(|written| progress |= *written > 0))?;
        match &mut self.waiting {
            Some(waiting) => match waiting.deadline.timer() {
                Timer::Deliver => {}
                // The count is still needed when the client closes.
                Timer::Write if all && waiting.undelivered == 0 => self.waiting = None,
                _ => waiting.deadline.note_progress(progress),
            },
            None if all => {}
            None => self.waiting = Some(Waiting::boxed(Timer::Write)),
        }
        if self.client.note_flushed() && self.client.is_connected() && !self.client.is_closing() {
            let (client, entry) = (&self.client, &self.entry);
            let returned = guard(client.config().debug_on(), client, || entry.resource.drained(client));
            if returned.is_none() {
                client.fail();
            }
        }
        Ok(all)
    }

    /// Starts the timer of the closing handshake if the client was closed, and sets the deadline.
    #[inline]
    pub(super) fn rearm(&mut self, context: &Context<'_>) {
        if self.client.is_closing() {
            let waiting = self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Close));
            if waiting.deadline.timer() == Timer::Write {
                waiting.deadline.start(Timer::Close);
            }
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.deadline.rearm(context, self.client.config());
        }
    }

    /// Whether our side of the connection must be ended now. Returns true once: the client is
    /// closed, everything is written, and the version has no close frame. The client then ends its
    /// side, as it would answer a close frame.
    pub(super) fn ends_our_side(&mut self) -> bool {
        !self.client.websocket_version().has_close_frame()
            && self.client.is_closing()
            && self.client.buffered_amount() == 0
            && self.waiting.as_mut().is_some_and(|waiting| {
                waiting.deadline.timer() != Timer::Deliver
                    && !std::mem::replace(&mut waiting.our_side_ended, true)
            })
    }

    pub(super) fn has_ended_our_side(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.our_side_ended)
    }

    /// Starts the time in which the application has to handle the input of a broken connection.
    pub(super) fn broken(&mut self) {
        let waiting = self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Deliver));
        if waiting.deadline.timer() != Timer::Deliver {
            waiting.deadline.start(Timer::Deliver);
        }
    }

    /// Records that writing has failed. Earlier input is still delivered.
    pub(super) fn write_failed(&mut self, error: io::Error) {
        // The error may come from a stream of the application.
        let error = ApplicationValue::new(error, self.client.config().debug_on());
        self.client.abandon();
        self.broken();
        if let Some(waiting) = &mut self.waiting {
            waiting.error.get_or_insert(error);
        }
    }

    /// The error of the failed write, if one failed.
    pub(super) fn take_error(&mut self) -> Option<io::Error> {
        self.waiting.as_mut()?.error.take()?.into_inner()
    }

    pub(super) fn has_failed_to_write(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| waiting.error.is_some())
    }

    /// Calls the resource's `connected`.
    pub(super) fn connect(&mut self) {
        let (client, entry) = (&self.client, &self.entry);
        client.note_opened();
        entry.clients.connected(client.websocket_version());
        match guard(client.config().debug_on(), client, || entry.resource.connected(client)) {
            Some(Ok(())) => {
                client.set_connected();
                client.forget_hosts();
            }
            Some(Err(refuse)) => client.refuse(&refuse),
            None => client.refuse(&Close::new(CloseCode::INTERNAL, "")),
        }
        client.wake();
    }

    /// Discards unread input, seals the outbox, and calls the resource's `disconnected`.
    pub(super) fn leave(&mut self, mut disconnect: Disconnect) {
        let earlier = self.waiting.as_ref().map_or(0, |waiting| waiting.undelivered);
        disconnect.undelivered = self.receiver.discard() + earlier;
        let (client, entry) = (&self.client, &self.entry);
        client.seal();
        client.note_ended(&disconnect);
        entry.clients.disconnected(client.websocket_version());
        client.leave_groups();
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = client.negotiated() {
            negotiated.note(0);
        }
        let in_span = enter(client);
        log(|| {
            tracing::debug!(peer = %client.peer(), code = disconnect.code.value(), "ended: {disconnect}");
        });
        drop(in_span);
        if client.is_connected() {
            guard(client.config().debug_on(), client, || entry.resource.disconnected(client, &disconnect));
        } else {
            client.notify_hosts(&disconnect);
        }
        // `disconnect` may contain an error of the application's stream.
        discard(client.config().debug_on(), client, disconnect);
    }

    /// The bytes of memory for unhandled input and for the compression context of received
    /// messages.
    #[inline]
    pub(super) fn held_input(&self) -> usize {
        let held = self.receiver.held();
        #[cfg(feature = "deflate")]
        let held = held + self.receiver.context_size();
        held
    }

    /// Whether unread events can be handled now.
    #[inline]
    pub(super) fn can_continue(&self) -> bool {
        self.receiver.has_unread()
            && (self.client.disposition() != Disposition::Wait
                || self.receiver.is_close_next()
                || (self.client.hears_pings() && self.receiver.is_ping_next()))
    }

    /// Whether more may be read: all events were handled, and the application takes more.
    ///
    /// A client that is closing is read from even if the application takes nothing, because the
    /// client may have vanished; its messages wait. A client that does not read its answers is read
    /// from until a message begins, so that its pings are answered.
    #[inline]
    pub(super) fn wants_input(&self) -> bool {
        !self.receiver.has_unread()
            && (self.client.disposition() != Disposition::Wait
                || self.client.is_closing()
                || self.reads_pings())
    }

    /// Whether the client is read from only for its pings. Hixie versions have none.
    #[inline]
    pub(super) fn reads_pings(&self) -> bool {
        self.client.disposition() == Disposition::Wait
            && self.client.hears_pings()
            && !self.receiver.is_in_message()
            && !self.client.websocket_version().is_hixie()
    }

    /// Handles input and delivers its events until the share is over.
    #[inline]
    pub(super) fn handle_input(
        &mut self,
        input: Input<'_>,
        share: &mut Share,
        context: &Context<'_>,
    ) -> Option<End> {
        let client = &self.client;
        let counters = context.counters();
        let resource = &*self.entry.resource;
        let started = counters.takes_sample().then(|| context.now());
        let (mut handled, mut delivered, mut undelivered) = (false, 0, 0);
        let mut events = self.receiver.receive_input(input, context.environment.buffers);
        // One guard for all events: a panic ends the connection, so half-handled events are not
        // seen again.
        let end = guard(client.config().debug_on(), client, || {
            // The receiver keeps events that are not pulled, and returns them first the next time.
            while !share.is_over() {
                let deliver = match client.disposition() {
                    Disposition::Deliver => true,
                    Disposition::Discard => false,
                    Disposition::Wait if client.hears_pings() && events.is_ping_next() => false,
                    Disposition::Wait => return None,
                };
                let bytes = match events.next_within(FRAMES_PER_CHECK) {
                    Ok(None) => {
                        if !events.has_input() {
                            return None;
                        }
                        share.spend_frames();
                        continue;
                    }
                    Ok(Some(Event::Text(text))) => {
                        let bytes = text.len();
                        if deliver {
                            delivered += 1;
                            resource.text(client, text);
                        } else {
                            undelivered += 1;
                        }
                        bytes
                    }
                    Ok(Some(Event::Binary(payload))) => {
                        let bytes = payload.len();
                        if deliver {
                            delivered += 1;
                            resource.binary(client, payload);
                        } else {
                            undelivered += 1;
                        }
                        bytes
                    }
                    Ok(Some(Event::Piece(piece))) => {
                        let bytes = piece.bytes().len();
                        // A message counts once, at its end.
                        let messages = u64::from(piece.last);
                        if deliver {
                            delivered += messages;
                            resource.piece(client, piece);
                        } else {
                            undelivered += messages;
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
                    Ok(Some(event)) => match react(client, &event.reaction()) {
                        Ok(bytes) => bytes,
                        Err(end) => return Some(end),
                    },
                    Err(error) => return react(client, &error.into()).err(),
                };
                handled = true;
                share.spend(bytes);
            }
            None
        });
        drop(events);
        counters.note_received(delivered);
        if let Some(started) = started {
            counters.note_handlers(context.now().saturating_duration_since(started), delivered);
        }
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = client.negotiated() {
            negotiated.note(self.receiver.context_size());
        }
        if undelivered > 0 {
            self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Close)).undelivered += undelivered;
        }
        // Progress of the application, not of the peer.
        if let Some(waiting) = &mut self.waiting {
            waiting.deadline.note_progress(handled && waiting.deadline.timer() == Timer::Deliver);
        }
        match end {
            None => {
                self.client.queue_close(CloseCode::INTERNAL, "");
                Some(End::Failed(DisconnectCause::Panic))
            }
            Some(None) => self.handle_close_after_pause(),
            Some(end) => end,
        }
    }

    /// Handles the client's close frame although the application takes no messages, if no message
    /// comes before it.
    #[inline]
    fn handle_close_after_pause(&mut self) -> Option<End> {
        if !self.receiver.is_close_next() {
            return None;
        }
        match self.receiver.receive(&mut []).next() {
            Ok(Some(event)) => react(&self.client, &event.reaction()).err(),
            Ok(None) => None, // it is not complete
            Err(error) => react(&self.client, &error.into()).err(),
        }
    }
}

/// Delivers the event or sends the answer that the protocol requires. Returns the number of handled
/// payload bytes, or the reason for which the connection ends.
fn react(client: &Client, reaction: &Reaction<'_>) -> Result<usize, End> {
    client.react(reaction);
    match reaction {
        Reaction::Pong(payload) => Ok(payload.len()),
        Reaction::AnswerClose(frame) => {
            let (code, reason) = frame.map_or((CloseCode::NO_STATUS, ""), |frame| (frame.code, frame.reason));
            Err(End::Closed(Disconnect::new(code, reason, DisconnectCause::Closed)))
        }
        // RFC 6455 §7.1.7: "An endpoint MUST NOT continue to attempt to process data (including a
        // responding Close frame) from the remote endpoint after being instructed to _Fail the
        // WebSocket Connection."
        Reaction::Fail(error) => Err(End::Failed(DisconnectCause::Protocol(*error))),
        _ => Ok(0),
    }
}
