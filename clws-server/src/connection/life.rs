//! The events of a connection, as its driver reports them, and the driver's next action.

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::sync::Arc;

use clws_handshake::Reject;
use clws_proto::{CloseCode, Input};

use crate::client::Client;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::config::address::Peer;
use crate::connection::activity::input_len;
use crate::connection::closing::Closing;
use crate::connection::context::Context;
use crate::connection::handshake::Handshake;
use crate::connection::open::{End, Open};
use crate::connection::refusal::RETRY_AFTER;
use crate::connection::share::Share;
use crate::connection::throttle::MAX_THROTTLED_READ;
use crate::connection::{Action, Connection, Stage};
use crate::date::dated_reject;
use crate::guard::{Nowhere, discard};
use crate::stats::kinds::HandshakeOutcome;

impl Connection {
    pub(crate) fn new(peer: Peer, context: &Context<'_>) -> Self {
        Self { stage: Stage::Handshake(Box::new(Handshake::new(peer, context))) }
    }

    /// A connection that is refused before its request has arrived.
    pub(crate) fn refused(reject: &Reject, outcome: HandshakeOutcome, context: &Context<'_>) -> Self {
        context.counters().note_handshake(outcome);
        let response = dated_reject(reject, context.date()).response();
        Self { stage: Stage::Closing(Box::new(Closing::reply([response.into(), Cow::default()], context))) }
    }

    /// Handles input. The buffer's content is overwritten, because payloads are unmasked in place.
    /// A big message may keep an owned buffer, which is empty then.
    #[inline]
    pub(crate) fn handle_input(&mut self, input: Input<'_>, share: &mut Share, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => {
                let bytes = input_len(&input);
                if bytes > 0 {
                    open.note_input(bytes, context);
                }
                if let Some(end) = open.handle_input(input, share, context) {
                    self.end(end, context);
                }
            }
            Stage::Handshake(_) => match input {
                Input::Lent(bytes) => self.handle_request(bytes, share, context),
                Input::Owned(buffer, range) => {
                    self.handle_request(buffer.get_mut(range).unwrap_or_default(), share, context);
                }
                Input::Direct(_) => {}
            },
            Stage::Closing(_) | Stage::Closed => {}
        }
    }

    /// Where the next input can be read to without a copy: the payload of a big message. Report the
    /// number of bytes read to [`handle_input`](Self::handle_input) as [`Input::Direct`].
    #[inline]
    pub(crate) fn spare_capacity(&mut self, context: &Context<'_>) -> Option<&mut [u8]> {
        match &mut self.stage {
            Stage::Open(open) => {
                let most = if open.client.rates().is_some() { MAX_THROTTLED_READ } else { usize::MAX };
                let room = open.receiver.spare_capacity(context.environment.buffers)?;
                let most = most.min(room.len());
                room.get_mut(..most)
            }
            _ => None,
        }
    }

    /// Whether the driver may read. It may not while events are unread, while the application or
    /// the client takes nothing more, or while the application decides on the handshake.
    ///
    /// As long as this is false the driver must not look for the end of the input either, because
    /// the end would overtake the events.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        match &self.stage {
            Stage::Handshake(handshake) => !handshake.is_undecided(),
            Stage::Open(open) => open.wants_input(),
            // Another request waits until the response is written, so a client cannot pipeline more
            // than one read.
            Stage::Closing(closing) => closing.next.is_none(),
            Stage::Closed => true,
        }
    }

    /// Records that the driver does not read from the client because memory is short.
    pub(crate) fn note_held(&self) {
        if let Stage::Open(open) = &self.stage {
            open.client.note_held();
        }
    }

    /// Whether unread events can be handled now, by [`continue_events`](Self::continue_events).
    #[inline]
    pub(crate) fn can_continue(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.can_continue(),
            Stage::Handshake(handshake) => handshake.is_pipelined(),
            Stage::Closing(_) | Stage::Closed => false,
        }
    }

    /// Whether events of the last read are unread.
    #[inline]
    pub(crate) fn has_unread(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.receiver.has_unread())
    }

    /// Handles events of earlier reads until one must wait.
    #[inline]
    pub(crate) fn continue_events(&mut self, share: &mut Share, context: &Context<'_>) {
        if self.can_continue() {
            self.handle_input(Input::Lent(&mut []), share, context);
        }
    }

    /// Whether an event may take long, so that the time of a share must be measured from its start.
    #[inline]
    pub(crate) fn is_compressed(&self) -> bool {
        #[cfg(feature = "deflate")]
        let is_compressed = matches!(&self.stage, Stage::Open(open) if open.client.negotiated().is_some());
        #[cfg(not(feature = "deflate"))]
        let is_compressed = false;
        is_compressed
    }

    /// Whether reads must be small, because input may have to be kept: while the application
    /// decides on the handshake, while messages wait in a mailbox, while only pings are answered,
    /// and if a limit may stop the client.
    #[inline]
    pub(crate) fn reads_little(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => {
                open.client.has_queue() || open.reads_pings() || open.client.rates().is_some()
            }
            Stage::Handshake(_) | Stage::Closing(_) | Stage::Closed => true,
        }
    }

    /// Handles events of other threads: a handler's panic, a decision on the handshake, too many
    /// other handshakes. Call it when the wake target was woken.
    #[inline]
    pub(crate) fn resume(&mut self, share: &mut Share, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) if open.client.has_failed() => {
                self.end(End::Failed(DisconnectCause::Panic), context);
            }
            Stage::Handshake(handshake) if handshake.is_undecided() => {
                let mut bytes = std::mem::take(&mut handshake.received);
                let outcome = handshake.decided(&bytes, context);
                if self.conclude(outcome, &mut bytes, share, context)
                    && let Stage::Handshake(handshake) = &mut self.stage
                {
                    handshake.received = bytes;
                }
            }
            // As with any deadline, the driver reads once before it takes effect.
            Stage::Handshake(handshake) if handshake.is_displaced() => {
                handshake.deadline.end_now(context);
            }
            _ => {}
        }
    }

    /// Handles the end of the peer's side.
    pub(crate) fn end_of_input(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(_) => self.abandon_handshake(context),
            Stage::Open(open) => {
                // Hixie-75 has no closing handshake, and the WebKit that speaks hixie-76 leaves it
                // out: both end the TCP connection between two messages.
                let clean = open.client.websocket_version().is_hixie() && open.receiver.is_between_messages();
                let end = match open.take_error() {
                    Some(error) => End::Lost(DisconnectCause::Io(Arc::new(error))),
                    None if clean => {
                        End::Closed(Disconnect::new(CloseCode::NO_STATUS, "", DisconnectCause::Closed))
                    }
                    None => End::Lost(DisconnectCause::Vanished),
                };
                self.end(end, context);
            }
            Stage::Closing(closing) => {
                (closing.linger, closing.next) = (false, None);
                if closing.is_flushed() {
                    self.close();
                }
            }
            Stage::Closed => {}
        }
    }

    /// Reading failed: no more input comes.
    pub(crate) fn read_failed(&mut self, mut error: io::Error, context: &Context<'_>) {
        let debug = context.config().debug_on();
        if let Stage::Open(open) = &mut self.stage {
            if let Some(earlier) = open.take_error() {
                discard(debug, &open.client, std::mem::replace(&mut error, earlier));
            }
            self.end(End::Lost(DisconnectCause::Io(Arc::new(error))), context);
        } else {
            self.abandon_handshake(context);
            discard(debug, &Nowhere, error);
        }
        self.close();
    }

    /// Writing failed. Earlier input is still delivered: the driver continues to read, and reports
    /// the end of the input when nothing more is there.
    pub(crate) fn write_failed(&mut self, error: io::Error, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => {
                open.write_failed(error);
                open.rearm(context);
            }
            _ => {
                self.abandon_handshake(context);
                discard(context.config().debug_on(), &Nowhere, error);
                self.close();
            }
        }
    }

    /// Whether writing has failed, so that the input ends when nothing more can be read.
    #[inline]
    pub(crate) fn has_failed_to_write(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.has_failed_to_write())
    }

    /// The socket is broken, and is not read from. The application has some time to handle earlier
    /// input.
    pub(crate) fn broken(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(_) => self.abandon_handshake(context),
            Stage::Open(open) => {
                open.broken();
                open.rearm(context);
            }
            Stage::Closing(_) | Stage::Closed => {}
        }
    }

    /// The server stops: clients are closed with 1001, and requests get 503. Messages that come
    /// before the client's close frame are still delivered.
    pub(crate) fn stop(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(handshake) if handshake.is_idle() => {
                self.stage = Stage::Closing(Box::new(Closing::idle(context)));
            }
            Stage::Handshake(handshake) if handshake.has_received_nothing() => {
                context.counters().note_handshake(HandshakeOutcome::Stopping);
                self.stage = Stage::Closed;
            }
            Stage::Handshake(handshake) => {
                context.counters().note_handshake(HandshakeOutcome::Stopping);
                let received = std::mem::take(&mut handshake.received);
                self.refuse(Reject::unavailable(Some(RETRY_AFTER)), &received, context);
            }
            Stage::Open(open) => open.client.begin_close(CloseCode::GOING_AWAY, ""),
            Stage::Closing(closing) => closing.next = None,
            Stage::Closed => {}
        }
    }

    /// Ends the connection at once, because a stop takes too long.
    pub(crate) fn kill(&mut self) {
        if let Stage::Open(open) = &mut self.stage {
            open.leave(Disconnect::abnormal(DisconnectCause::Stopped));
        }
        self.close();
    }

    /// Writes queued data until `write` takes no more. Returns whether everything was written.
    pub(crate) fn transmit(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        match &mut self.stage {
            Stage::Handshake(handshake) => handshake.transmit(write),
            Stage::Closed => Ok(true),
            Stage::Open(open) => open.transmit(write),
            Stage::Closing(closing) => closing.transmit(write),
        }
    }

    /// The next action of the driver. Call it after every event, when everything that can be
    /// written is written.
    pub(crate) fn poll_action(&mut self, context: &Context<'_>) -> Action {
        match &mut self.stage {
            Stage::Open(open) if open.client.is_overdrawn() => self.drop_for_memory(context),
            Stage::Open(open) if open.client.is_aborted() => {
                self.end(End::Lost(DisconnectCause::Aborted), context);
                self.close();
            }
            Stage::Open(open) => {
                open.rearm(context);
                if open.ends_our_side() {
                    return Action::ShutdownWrite;
                }
            }
            Stage::Closing(closing) => {
                closing.rearm(context);
                if closing.is_flushed() && closing.next.is_some() {
                    return self.wait_for_next(context);
                }
                if closing.is_flushed() && !closing.linger {
                    self.close();
                } else if closing.is_flushed() && !std::mem::replace(&mut closing.our_side_ended, true) {
                    return Action::ShutdownWrite;
                }
            }
            Stage::Handshake(_) | Stage::Closed => {}
        }
        if let Stage::Closed = self.stage { Action::Drop } else { Action::Wait }
    }

    /// Whether the next bytes in both directions begin a frame.
    #[cfg(feature = "capture")]
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.receiver.is_between_messages()
            && !open.receiver.has_unread()
            && open.client.buffered_amount() == 0)
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.stage {
            Stage::Open(open) => Some(&open.client),
            Stage::Closing(closing) => closing.client.as_ref(),
            Stage::Handshake(_) | Stage::Closed => None,
        }
    }

    /// Bytes that wait to be written.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn queued(&self) -> usize {
        match &self.stage {
            Stage::Open(open) => open.client.buffered_amount(),
            Stage::Closing(closing) => closing.queued(),
            Stage::Handshake(handshake) => handshake.queued(),
            Stage::Closed => 0,
        }
    }

    /// Leaves the open stage: calls the resource's `disconnected`, and enters the closing stage.
    pub(super) fn end(&mut self, end: End, context: &Context<'_>) {
        let Stage::Open(mut open) = std::mem::replace(&mut self.stage, Stage::Closed) else { return };
        let our_side_ended = open.has_ended_our_side();
        let (disconnect, linger) = match end {
            End::Closed(disconnect) => (disconnect, false),
            End::Failed(cause) => (Disconnect::abnormal(cause), true),
            End::Lost(cause) => (Disconnect::abnormal(cause), false),
        };
        open.leave(disconnect);
        // A peer that has ended its side may still read queued data.
        let Open { client, .. } = open;
        self.stage = Stage::Closing(Box::new(Closing::new(Some(client), linger, our_side_ended, context)));
    }

    /// Waits for another request of a connection that is kept alive, unless the server drains.
    fn wait_for_next(&mut self, context: &Context<'_>) -> Action {
        if let Stage::Closing(closing) = &mut self.stage
            && let Some(mut next) = closing.next.take()
            && !context.clients.shared.drain.is_draining()
        {
            next.wait_for_next(context);
            self.stage = Stage::Handshake(next);
            return Action::Wait;
        }
        self.poll_action(context)
    }

    /// Ends a connection whose handshake is not complete.
    pub(super) fn abandon_handshake(&mut self, context: &Context<'_>) {
        if let Stage::Handshake(handshake) = &self.stage {
            if !handshake.is_idle() {
                context.counters().note_handshake(HandshakeOutcome::Abandoned);
            }
            self.stage = Stage::Closed;
        }
    }

    /// Enters the last stage. Queued data is lost.
    pub(super) fn close(&mut self) {
        let client = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Closing(closing) => closing.client,
            Stage::Open(open) => Some(open.client),
            Stage::Handshake(_) | Stage::Closed => None,
        };
        if let Some(client) = client {
            client.context().shared.drain.counts.note_unwritten(client.buffered_amount());
            client.abandon();
            #[cfg(feature = "capture")]
            client.forget_capture();
        }
    }
}
