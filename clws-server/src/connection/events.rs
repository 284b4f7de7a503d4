//! The input of an open connection: its events are delivered to the resource or answered.

use std::time::Instant;

use clws_proto::{CloseCode, Event, Input, Reaction};

use crate::client::Client;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::state::Disposition;
use crate::connection::context::Context;
use crate::connection::keepalive;
use crate::connection::open::{End, Open, Waiting};
use crate::connection::share::{FRAMES_PER_CHECK, Share};
use crate::connection::throttle::Throttle;
use crate::connection::timer::Timer;
use crate::guard::guard;

/// The length of a client's control frame without its payload.
const CONTROL_HEADER: usize = 6;

impl Open {
    /// Handles input and delivers its events until the share is over.
    #[inline]
    pub(super) fn handle_input(
        &mut self,
        input: Input<'_>,
        share: &mut Share,
        context: &Context<'_>,
    ) -> Option<End> {
        let client = &self.client;
        let throttle = Throttle::begin(client, &input).filter(|_| !self.has_no_limits());
        let counters = context.counters();
        let resource = &*self.entry.resource;
        let started = counters.takes_sample().then(|| context.now());
        let (mut handled, mut delivered, mut undelivered, mut control) = (false, 0, 0, 0);
        let mut pong = None;
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
                    Disposition::Wait => {
                        client.note_held();
                        return None;
                    }
                };
                if throttle.is_some_and(Throttle::must_wait) {
                    return None;
                }
                let event = events.next_within(FRAMES_PER_CHECK);
                if let (Some(throttle), Ok(Some(event))) = (throttle, &event)
                    && let Err(cause) = throttle.charge(event)
                {
                    let is_message = matches!(event, Event::Text(_) | Event::Binary(_))
                        || matches!(event, Event::Piece(piece) if piece.last);
                    undelivered += u64::from(is_message);
                    return Some(End::Failed(cause));
                }
                let bytes = match event {
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
                        if let Some(number) = keepalive::number_in(&payload, client.id()) {
                            pong = Some((number, context.now()));
                        } else if deliver {
                            resource.pong(client, payload);
                        }
                        control += CONTROL_HEADER + bytes;
                        bytes
                    }
                    Ok(Some(event)) => match react(client, &event.reaction()) {
                        Ok(bytes) => {
                            control += CONTROL_HEADER + bytes;
                            bytes
                        }
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
        let rest = throttle.filter(|_| matches!(end, Some(None)) && !self.receiver.has_unread());
        let excess = rest.and_then(|throttle| throttle.charge_rest().err());
        if undelivered > 0 {
            self.waiting.get_or_insert_with(|| Waiting::boxed(Timer::Close)).undelivered += undelivered;
        }
        if let Some((number, at)) = pong {
            self.pong_came(number, at, context);
        }
        // Progress of the application, not of the peer.
        if let Some(waiting) = &mut self.waiting {
            if delivered + undelivered > 0 {
                waiting.watch.note_message();
            }
            waiting.watch.note_control_frames(control);
            waiting.deadline.note_progress(handled && waiting.deadline.timer() == Timer::Deliver);
        }
        match end {
            None => {
                self.client.queue_close(CloseCode::INTERNAL, "");
                Some(End::Failed(DisconnectCause::Panic))
            }
            Some(None) if excess.is_some() => excess.map(End::Failed),
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

    /// Handles the answer to a keepalive ping, which came at `at`.
    fn pong_came(&mut self, number: u64, at: Instant, context: &Context<'_>) {
        let Some(waiting) = &mut self.waiting else { return };
        if let Some(rtt) = waiting.watch.pong.as_ref().and_then(|pong| pong.answered(number, at)) {
            self.client.set_rtt(rtt);
            context.counters().note_rtt(rtt);
            waiting.watch.pong = None;
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
