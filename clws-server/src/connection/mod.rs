//! The life of one connection, sans-IO: opening handshake, messages, closing handshake.
//!
//! Bytes and time come in, bytes and a deadline go out; sockets are its drivers' business (`shard`, `stream`). The
//! rules for closing and for the deadlines of one connection are here and are tested without a socket.

mod closing;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handshake;
mod open;
pub(crate) mod share;

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clws_handshake::Reject;
use clws_proto::CloseCode;

use crate::budget::{Budget, FREE};
use crate::buffer_pool::SharedBuffers;
use crate::client::Client;
use crate::client::context::ClientContext;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::connection::closing::Closing;
use crate::connection::handshake::{Handshake, Outcome};
use crate::connection::open::{End, Input, Open};
use crate::connection::share::Share;
use crate::date::dated_reject;
use crate::guard::{discard, log};
use crate::net::socket::Peer;
use crate::resource::registry::Resources;
use crate::time::{deadline_after, now};
use crate::wake::WakeTargetRef;

/// One connection.
pub(crate) struct Connection {
    stage: Stage,
}

/// What a driver has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Wait for input, for room to write, or for the deadline.
    Wait,
    /// End our side of the socket, then wait for the peer to end its own.
    ShutdownWrite,
    /// Drop the socket.
    Drop,
}

/// What a connection needs to know of the harness around it.
pub(crate) struct Context<'a> {
    pub(crate) clients: &'a Arc<ClientContext>,
    pub(crate) resources: &'a Resources,
    pub(crate) wake_target: WakeTargetRef<'a>,
}

enum Stage {
    Handshake(Box<Handshake>),
    Open(Open),
    Closing(Box<Closing>),
    Closed,
}

/// A point in time that the driver is told of once.
struct Deadline {
    at: Instant,
    armed: bool,
}

impl Deadline {
    /// That time from now on, by the clock and not by the beginning of the event loop turn: a handler may have taken long.
    fn after(time: Duration) -> Self {
        Self { at: deadline_after(now(), time), armed: false }
    }
}

/// Seconds after which a client may try again that was told 503 because the server stops: about what a restart takes.
pub(crate) const RETRY_AFTER: u32 = 5;

impl Connection {
    pub(crate) fn new(peer: Peer, context: &Context<'_>) -> Self {
        Self { stage: Stage::Handshake(Box::new(Handshake::new(peer, context))) }
    }

    /// A connection that is only told to go away, before its request has come.
    pub(crate) fn refused(reject: &Reject, context: &Context<'_>) -> Self {
        Self {
            stage: Stage::Closing(Box::new(Closing::reply(
                [dated_reject(reject).response().into(), Cow::default()],
                context,
            ))),
        }
    }

    /// Takes what was read. It is spent afterwards: payloads are unmasked in place.
    pub(crate) fn receive(&mut self, input: &mut [u8], share: &mut Share, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => {
                if let Some(end) = open.receive(Input::Lent(input), share) {
                    self.end(end, context);
                }
            }
            Stage::Handshake(_) => self.shake_hands(input, share, context),
            Stage::Closing(_) | Stage::Closed => {}
        }
    }

    /// The same with a buffer, which a big message may keep; it is empty then.
    #[inline]
    pub(crate) fn receive_owned(
        &mut self,
        buffer: &mut Vec<u8>,
        range: Range<usize>,
        share: &mut Share,
        context: &Context<'_>,
    ) {
        match &mut self.stage {
            Stage::Open(open) => {
                if let Some(end) = open.receive(Input::Owned(buffer, range), share) {
                    self.end(end, context);
                }
            }
            _ => self.receive(buffer.get_mut(range).unwrap_or_default(), share, context),
        }
    }

    /// Whether the driver may read. It is false while events that were read wait to be delivered, while the application has
    /// more of the client's messages than it can take, while the client has more answers than it reads, and while the
    /// application decides on the handshake.
    ///
    /// As long as it is false the driver must not look for the end of the input either: that would overtake the events.
    #[inline]
    pub(crate) fn wants_input(&self) -> bool {
        match &self.stage {
            Stage::Handshake(handshake) => !handshake.is_asking(),
            Stage::Open(open) => open.wants_input(),
            Stage::Closing(_) | Stage::Closed => true,
        }
    }

    /// Whether events that were read before can be delivered now, by [`go_on`](Self::continue_events).
    #[inline]
    pub(crate) fn may_go_on(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.may_go_on(),
            _ => false,
        }
    }

    /// Whether events of the last read wait to be delivered, now or later.
    #[inline]
    pub(crate) fn has_unread(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.has_unread())
    }

    /// Whether its events may take long, so that the time of its share is to be measured from the beginning.
    #[inline]
    pub(crate) fn is_compressed(&self) -> bool {
        #[cfg(feature = "deflate")]
        let is_compressed = matches!(&self.stage, Stage::Open(open) if open.client.negotiated().is_some());
        #[cfg(not(feature = "deflate"))]
        let is_compressed = false;
        is_compressed
    }

    /// Whether what is read may have to be kept beside what the application has, so that little is to be read at once: its
    /// decision on the handshake is waited for, its messages wait for others to be handled, or only its pings are answered.
    #[inline]
    pub(crate) fn reads_little(&self) -> bool {
        match &self.stage {
            Stage::Open(open) => open.client.has_queue() || open.reads_pings(),
            Stage::Handshake(_) | Stage::Closing(_) | Stage::Closed => true,
        }
    }

    /// Delivers events that were read before and waited.
    pub(crate) fn continue_events(&mut self, share: &mut Share, context: &Context<'_>) {
        if self.may_go_on() {
            self.receive(&mut [], share, context);
        }
    }

    /// Takes note of what happened elsewhere: a handler's panic, a decision on the handshake. To be called when the home
    /// was touched.
    #[inline]
    pub(crate) fn resume(&mut self, share: &mut Share, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) if open.client.has_failed() => {
                self.end(End::Failed(DisconnectCause::Panic), context);
            }
            Stage::Handshake(handshake) if handshake.is_asking() => {
                let mut octets = std::mem::take(&mut handshake.received);
                let outcome = handshake.decided(&octets, context);
                if self.conclude(outcome, &mut octets, share, context)
                    && let Stage::Handshake(handshake) = &mut self.stage
                {
                    handshake.received = octets;
                }
            }
            _ => {}
        }
    }

    /// Where the next octets may be read to, without a copy from a read_buffers buffer: the payload of a big message.
    #[inline]
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        match &mut self.stage {
            Stage::Open(open) => open.receiver.spare_capacity(&SharedBuffers),
            _ => None,
        }
    }

    /// Takes what was read to the [`room`](Self::room).
    pub(crate) fn receive_direct(&mut self, count: usize, share: &mut Share, context: &Context<'_>) {
        if let Stage::Open(open) = &mut self.stage
            && let Some(end) = open.receive(Input::Direct(count), share)
        {
            self.end(end, context);
        }
    }

    /// The peer has ended its side.
    pub(crate) fn end_of_input(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(_) => self.stage = Stage::Closed,
            Stage::Open(open) => {
                // hixie-75 has no closing handshake, and the WebKit that speaks hixie-76 leaves it out: they end the TCP
                // connection between two messages.
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
                closing.linger = false;
                if closing.flushed {
                    self.stage = Stage::Closed;
                }
            }
            Stage::Closed => {}
        }
    }

    /// Reading failed: nothing more comes.
    pub(crate) fn read_failed(&mut self, mut error: io::Error, context: &Context<'_>) {
        let debug = context.clients.config.debug_on();
        if let Stage::Open(open) = &mut self.stage {
            if let Some(earlier) = open.take_error() {
                discard(debug, std::mem::replace(&mut error, earlier));
            }
            self.end(End::Lost(DisconnectCause::Io(Arc::new(error))), context);
        } else {
            discard(debug, error);
        }
        self.over();
    }

    /// Writing failed. What has come from the client before is still delivered, and what the system holds is still read: the
    /// driver goes on reading, and reports the end of the input when there is nothing more.
    pub(crate) fn write_failed(&mut self, error: io::Error, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => {
                open.write_failed(error);
                open.wait(context);
            }
            _ => {
                discard(context.clients.config.debug_on(), error);
                self.over();
            }
        }
    }

    /// Whether writing has failed, so that the input ends where nothing more of it is there.
    #[inline]
    pub(crate) fn has_failed_to_write(&self) -> bool {
        matches!(&self.stage, Stage::Open(open) if open.has_failed_to_write())
    }

    /// Whether a deadline is over, so that [`timed_out`](Self::timed_out) would end something.
    pub(crate) fn is_due(&mut self) -> bool {
        self.deadline().is_some_and(|deadline| deadline.at <= now())
    }

    /// Whether a deadline that is over may take effect a little later, because input waits that may have come before it: what the
    /// peer was to do may be in it. It has as long as a closing handshake, for a peer may send for ever.
    pub(crate) fn has_grace(&mut self, context: &Context<'_>) -> bool {
        let time = context.clients.config.close_timeout;
        self.deadline().is_some_and(|deadline| now() < deadline_after(deadline.at, time))
    }

    /// Time has passed. Nothing happens before the deadline; whoever comes too early is told of it again. What has arrived
    /// counts: the driver reads once before it calls this.
    pub(crate) fn timed_out(&mut self, context: &Context<'_>) {
        // What the peer has done since the deadline was set gives it time anew.
        match &mut self.stage {
            Stage::Open(open) => open.wait(context),
            Stage::Closing(closing) => closing.wait(context),
            Stage::Handshake(_) | Stage::Closed => {}
        }
        match &mut self.stage {
            Stage::Handshake(handshake) if handshake.deadline.at <= now() => {
                let reply = handshake.refusal(&handshake.timed_out(), &handshake.received);
                self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
            }
            Stage::Open(Open { waiting: Some(waiting), .. })
                if waiting.deadline.as_ref().is_some_and(|deadline| deadline.at <= now()) =>
            {
                let cause = waiting.cause();
                self.end(End::Lost(cause), context);
                self.over();
            }
            Stage::Closing(closing) if closing.deadline.at <= now() => self.over(),
            _ => {
                if let Some(deadline) = self.deadline() {
                    deadline.armed = false;
                }
            }
        }
    }

    /// The socket is broken, but is not read from, so that nothing tells of it: the application has some time left to take
    /// what came before.
    pub(crate) fn broken(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(_) => self.stage = Stage::Closed,
            Stage::Open(open) => {
                open.broken();
                open.wait(context);
            }
            Stage::Closing(_) | Stage::Closed => {}
        }
    }

    /// The server stops: clients are closed with 1001, requests are told 503. What a client has sent before its own close
    /// frame is still delivered.
    pub(crate) fn stop(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            // Nothing was asked for yet.
            Stage::Handshake(handshake) if handshake.is_untouched() => self.stage = Stage::Closed,
            Stage::Handshake(handshake) => {
                let reject = Reject::unavailable(Some(RETRY_AFTER));
                let reply = handshake.refusal(&reject, &handshake.received);
                self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
            }
            Stage::Open(open) => open.client.begin_close(CloseCode::GOING_AWAY, ""),
            Stage::Closing(_) | Stage::Closed => {}
        }
    }

    /// The server has waited long enough.
    pub(crate) fn kill(&mut self) {
        if let Stage::Open(open) = &mut self.stage {
            open.leave(Disconnect::abnormal(DisconnectCause::Stopped));
        }
        self.over();
    }

    /// Writes what there is to write, as far as `write` takes it; whether all of it went.
    pub(crate) fn flush(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        match &mut self.stage {
            Stage::Handshake(handshake) => handshake.flush(write),
            Stage::Closed => Ok(true),
            Stage::Open(open) => open.flush(write),
            Stage::Closing(closing) => {
                closing.flushed = closing.flush(write)?;
                if let Some(client) = &closing.client {
                    let _ = client.note_flushed(); // for those that wait for it; the resource is told of nothing more
                }
                Ok(closing.flushed)
            }
        }
    }

    /// What is to be done next; to be asked after everything that happened, when what could be written is written.
    pub(crate) fn next(&mut self, context: &Context<'_>) -> Next {
        if let Stage::Closing(closing) = &mut self.stage {
            closing.wait(context);
        }
        match &mut self.stage {
            Stage::Open(open) if open.client.is_overdrawn() => self.drop_for_memory(context),
            Stage::Open(open) if open.client.is_aborted() => {
                self.end(End::Lost(DisconnectCause::Aborted), context);
                self.over();
            }
            Stage::Open(open) => {
                open.wait(context);
                if open.ends_our_side() {
                    return Next::ShutdownWrite;
                }
            }
            Stage::Closing(closing) if closing.flushed && !closing.linger => self.over(),
            Stage::Closing(closing) if closing.flushed && !closing.shut => {
                closing.shut = true;
                return Next::ShutdownWrite;
            }
            Stage::Handshake(_) | Stage::Closing(_) | Stage::Closed => {}
        }
        if let Stage::Closed = self.stage { Next::Drop } else { Next::Wait }
    }

    /// A deadline that the driver has not been told of: [`timed_out`](Self::timed_out) is to be called then.
    pub(crate) fn new_deadline(&mut self) -> Option<Instant> {
        let deadline = self.deadline()?;
        (!std::mem::replace(&mut deadline.armed, true)).then_some(deadline.at)
    }

    /// The deadline that the driver was told of, if that is still one.
    pub(crate) fn told_deadline(&mut self) -> Option<Instant> {
        self.deadline().filter(|deadline| deadline.armed).map(|deadline| deadline.at)
    }

    fn deadline(&mut self) -> Option<&mut Deadline> {
        match &mut self.stage {
            Stage::Handshake(handshake) => Some(&mut handshake.deadline),
            Stage::Open(open) => open.waiting.as_mut()?.deadline.as_mut(),
            Stage::Closing(closing) => Some(&mut closing.deadline),
            Stage::Closed => None,
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

    /// Bytes of memory that it holds beside what its client does: input that is not handled, and answers to what is no
    /// WebSocket.
    #[inline]
    pub(crate) fn held_input(&self) -> usize {
        match &self.stage {
            Stage::Open(open) => open.held_input(),
            Stage::Handshake(handshake) => handshake.received.capacity(),
            Stage::Closing(closing) => closing.held_reply(),
            Stage::Closed => 0,
        }
    }

    /// Bytes of memory that are held for it.
    pub(crate) fn held(&self) -> usize {
        self.held_input() + self.client().map_or(0, Client::held)
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        match &self.stage {
            Stage::Open(open) => Some(&open.client),
            Stage::Closing(closing) => closing.client.as_ref(),
            Stage::Handshake(_) | Stage::Closed => None,
        }
    }

    /// Whether it is not read from because memory is short: it holds much; or nothing is left, and what is read would only
    /// wait for others to be handled.
    #[inline]
    pub(crate) fn is_held_back(&self, budget: &Budget) -> bool {
        budget.is_pressed() && self.is_held_back_pressed(budget)
    }

    #[cold]
    fn is_held_back_pressed(&self, budget: &Budget) -> bool {
        match &self.stage {
            // What compressed messages refer back to is there however little it sends. Where it is closed, what comes is
            // dropped, and its close frame is to be seen.
            Stage::Open(open) => {
                let held = self.held().saturating_sub(open.client.compression_context());
                let waits = open.client.has_queue() && budget.is_over();
                (waits || held > FREE) && !open.client.is_closing()
            }
            Stage::Handshake(_) => self.held() > FREE,
            Stage::Closing(_) | Stage::Closed => false,
        }
    }

    /// Too much memory is held, most of it here. It ends at once, and what is queued is lost.
    pub(crate) fn drop_for_memory(&mut self, context: &Context<'_>) {
        if let Stage::Closed = self.stage {
            return;
        }
        let (held, peer) = (self.held(), self.client().map(Client::peer));
        log(|| tracing::warn!(?peer, held, "dropped a client, because too much memory is held"));
        context.clients.budget.note_dropped();
        if let Stage::Open(_) = self.stage {
            self.end(End::Lost(DisconnectCause::Budget), context);
        }
        self.over();
    }

    fn shake_hands(&mut self, input: &mut [u8], share: &mut Share, context: &Context<'_>) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        // A request that comes in one piece, and most do, is read where it lies.
        let mut kept = std::mem::take(&mut handshake.received);
        let whole = kept.is_empty();
        if !whole {
            kept.extend_from_slice(input);
        }
        let octets = if whole { input } else { &mut kept[..] };
        let asking = handshake.is_asking();
        let outcome = if asking { Ok(Outcome::Wait) } else { handshake.step(octets, context) };
        if self.conclude(outcome, octets, share, context)
            && let Stage::Handshake(handshake) = &mut self.stage
        {
            handshake.received = if whole { octets.to_vec() } else { kept };
        }
    }

    /// Leaves the handshake stage, if that is what it came to; whether it still waits. `octets` are all that came.
    fn conclude(
        &mut self,
        outcome: Result<Outcome, Reject>,
        octets: &mut [u8],
        share: &mut Share,
        context: &Context<'_>,
    ) -> bool {
        let Stage::Handshake(handshake) = &self.stage else { return false };
        let (open, consumed) = match outcome {
            Ok(Outcome::Wait) => return true,
            Ok(Outcome::Open(open, consumed)) => (open, consumed),
            Ok(Outcome::Reply(reply)) => {
                self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
                return false;
            }
            Err(reject) => {
                log(|| {
                    tracing::debug!(peer = %handshake.peer, status = reject.status(), "refused: {}", reject.body());
                });
                let reply = handshake.refusal(&reject, octets);
                self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
                return false;
            }
        };
        self.stage = Stage::Open(open);
        let Stage::Open(open) = &mut self.stage else { return false };
        open.connect();
        // What the client sent behind its request, without waiting for the answer.
        let early = octets.get_mut(consumed..).unwrap_or_default();
        if let Some(end) = open.receive(Input::Lent(early), share) {
            self.end(end, context);
        }
        false
    }

    /// Leaves the open stage: tells the application, and goes on to what is left to do.
    fn end(&mut self, end: End, context: &Context<'_>) {
        let Stage::Open(mut open) = std::mem::replace(&mut self.stage, Stage::Closed) else { return };
        let shut = open.has_ended_our_side();
        let (disconnect, linger) = match end {
            End::Closed(disconnect) => (disconnect, false),
            End::Failed(cause) => (Disconnect::abnormal(cause), true),
            End::Lost(cause) => (Disconnect::abnormal(cause), false),
        };
        // Where the peer has ended its side it may still read: what is queued gets its chance.
        open.leave(disconnect);
        self.stage = Stage::Closing(Box::new(Closing::of(open.client, linger, shut, context)));
    }

    fn over(&mut self) {
        let client = match std::mem::replace(&mut self.stage, Stage::Closed) {
            Stage::Closing(closing) => closing.client,
            Stage::Open(open) => Some(open.client),
            Stage::Handshake(_) | Stage::Closed => None,
        };
        if let Some(client) = client {
            client.abandon();
        }
    }
}

/// A driver that is dropped, a future that serves a stream for instance, leaves no client that nobody hears of.
impl Drop for Connection {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests;
