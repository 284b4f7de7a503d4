//! The middle stage: messages go both ways, or we have sent a close frame and wait for the
//! client's.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use clws_proto::{CloseCode, Receiver};
use tracing::field::display;

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::state::Disposition;
use crate::connection::context::Context;
use crate::connection::timer::{Deadline, Timer};
use crate::connection::watch::{Missed, ReadingRate, Watch};
use crate::guard::{ApplicationValue, discard, enter, guard, log};
use crate::resource::registry::entry::Entry;
use crate::time::now;

pub(super) struct Open {
    pub(super) receiver: Receiver,
    pub(super) client: Client,
    pub(super) entry: Arc<Entry>,
    /// Boxed, because most connections wait for nothing.
    pub(super) waiting: Option<Box<Waiting>>,
}

/// The deadlines of a connection, and the state of a connection that closes.
pub(super) struct Waiting {
    pub(super) deadline: Deadline,
    pub(super) watch: Watch,
    pub(super) rate: ReadingRate,
    /// The error that broke the connection.
    error: Option<ApplicationValue<io::Error>>,
    /// Data messages that were read and discarded.
    pub(super) undelivered: u64,
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
    pub(super) fn boxed(timer: Timer) -> Box<Self> {
        Box::new(Self {
            deadline: Deadline::new(timer),
            watch: Watch::default(),
            rate: ReadingRate::default(),
            error: None,
            undelivered: 0,
            our_side_ended: false,
        })
    }

    /// Whether the connection waits for nothing.
    fn is_empty(&self) -> bool {
        self.deadline.timer() == Timer::Nothing && self.watch.is_empty() && self.undelivered == 0
    }

    /// Records that the queue was written, all of it or `bytes` bytes.
    fn note_written(&mut self, all: bool, bytes: usize) {
        self.watch.note_written(bytes, self.deadline.timer() == Timer::Write);
        self.rate.note_written(bytes);
        match self.deadline.timer() {
            Timer::Deliver => {}
            // The count is still needed when the client closes.
            Timer::Write if all && self.undelivered == 0 => self.deadline.start(Timer::Nothing),
            Timer::Nothing if all => {}
            Timer::Nothing => self.deadline.start(Timer::Write),
            _ => self.deadline.note_progress(bytes > 0),
        }
    }
}

impl Open {
    /// Writes queued data. The client has [`Timer::Write`] as long as data is left.
    pub(super) fn transmit(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let mut bytes = 0;
        let all = self.client.flush(&mut |slices| write(slices).inspect(|written| bytes += written))?;
        match &mut self.waiting {
            Some(waiting) => {
                waiting.note_written(all, bytes);
                self.waiting.take_if(|waiting| waiting.is_empty());
            }
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

    /// Starts the timer of the closing handshake if the client was closed, and sets the deadlines.
    #[inline]
    pub(super) fn rearm(&mut self, context: &Context<'_>) {
        self.note_pause(context);
        if self.client.is_closing() {
            let waiting = self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Close));
            if matches!(waiting.deadline.timer(), Timer::Nothing | Timer::Write) {
                waiting.deadline.start(Timer::Close);
            }
        }
        if self.waiting.is_some() {
            self.rearm_waiting(context);
        }
    }

    fn rearm_waiting(&mut self, context: &Context<'_>) {
        let is_reading = self.is_reading(context);
        let Some(waiting) = &mut self.waiting else { return };
        let (config, now) = (self.client.config(), || context.now());
        waiting.deadline.rearm(context, config);
        let timer = waiting.deadline.timer();
        match timer {
            // The deadline of the closing handshake is shorter.
            Timer::Close | Timer::Deliver => waiting.watch.stop(),
            _ => waiting.watch.rearm(is_reading, config, &now),
        }
        let is_blocked = match timer {
            Timer::Write => true,
            Timer::Close => self.client.buffered_amount() > 0,
            _ => false,
        };
        waiting.rate.rearm(is_blocked, config, &now);
        self.waiting.take_if(|waiting| waiting.is_empty());
    }

    /// The end of the connection, if the client has not met an expectation in time.
    pub(super) fn missed(&mut self, context: &Context<'_>) -> Option<End> {
        let is_in_message = !self.receiver.is_between_messages();
        let (waiting, config, now) = (self.waiting.as_mut()?, self.client.config(), context.now());
        if waiting.rate.is_missed(now, config) {
            return Some(End::Lost(DisconnectCause::WriteTimeout));
        }
        let (code, reason, cause) = match waiting.watch.missed(now, is_in_message, config)? {
            Missed::Pong => (CloseCode::INTERNAL, "no answer to a ping", DisconnectCause::KeepaliveTimeout),
            Missed::Message => {
                (CloseCode::POLICY, "the message is too slow", DisconnectCause::MessageTimeout)
            }
            Missed::Idle => (CloseCode::GOING_AWAY, "no message", DisconnectCause::IdleTimeout),
        };
        self.client.queue_close(code, reason);
        Some(End::Failed(cause))
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
        let drain = &client.context().shared.drain;
        drain.note_left();
        drain.counts.note_end(disconnect.ended_by(), disconnect.undelivered);
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = client.negotiated() {
            negotiated.note(0);
        }
        let in_span = enter(client);
        log(|| {
            let remote = client.remote().map(display);
            tracing::debug!(peer = %client.peer(), client = remote, code = disconnect.code.value(), "ended: {disconnect}");
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
            && ((!self.is_throttled()
                && (self.client.disposition() != Disposition::Wait
                    || (self.client.hears_pings() && self.receiver.is_ping_next())))
                || self.receiver.is_close_next())
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
            && !self.is_throttled()
    }

    /// Whether the client is read from only for its pings. Hixie versions have none.
    #[inline]
    pub(super) fn reads_pings(&self) -> bool {
        self.client.disposition() == Disposition::Wait
            && self.client.hears_pings()
            && !self.receiver.is_in_message()
            && !self.client.websocket_version().is_hixie()
    }

    /// Whether the client's input waits until a limit permits more.
    ///
    /// Nothing is read from the client meanwhile, so its [clocks](Self::is_reading) stand still.
    #[inline]
    pub(super) fn is_throttled(&self) -> bool {
        self.client.rates().is_some() && self.throttled_until().is_some()
    }

    /// The time at which a throttled client continues.
    pub(super) fn throttled_until(&self) -> Option<Instant> {
        let rates = self.client.rates()?;
        if self.has_no_limits() { None } else { rates.waits_until(now()) }
    }

    /// Whether the client's limits have no effect any more, because either side closes or the
    /// connection is broken. What is left is bounded by a deadline.
    pub(super) fn has_no_limits(&self) -> bool {
        let is_broken = |waiting: &Waiting| waiting.deadline.timer() == Timer::Deliver;
        self.client.is_closing() || self.waiting.as_deref().is_some_and(is_broken)
    }
}
