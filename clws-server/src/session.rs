//! The life of one connection, sans-IO: opening handshake, messages, closing handshake.
//!
//! Octets and time come in, octets and a deadline go out; sockets are its drivers' business (`shard`, `stream`). Every
//! rule about time-outs, limits and closing is here and is tested without a socket.

use std::io::{self, IoSlice};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clws_handshake::{HeadScanner, HttpRequest, Offer, Reject, Request, Status, Version};
use clws_proto::{CloseCode, Event, Receiver, Role, Sender};

use crate::home::Place;
use crate::pool::Pool;
use crate::resource::{Cause, Disconnect, Opening};
use crate::server::Shared;
use crate::{Client, Peer};

/// One connection.
pub(crate) struct Session {
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

/// What a session needs to know of the world around it.
pub(crate) struct Context<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) place: Place<'a>,
    pub(crate) now: Instant,
}

enum Stage {
    Handshake(Box<Handshake>),
    Open(Open),
    Ending(Box<Ending>),
    Over,
}

/// Before the request is complete.
struct Handshake {
    peer: Peer,
    scanner: HeadScanner,
    /// What came of the request; empty as long as nothing came.
    received: Vec<u8>,
    deadline: Deadline,
}

/// Messages go both ways, or we have sent a close frame and wait for the client's.
struct Open {
    receiver: Receiver,
    client: Client,
    /// What we wait for with a deadline, if anything.
    waiting: Option<Box<Waiting>>,
}

/// Something that a client has to do in time.
struct Waiting {
    /// For its close frame; otherwise for it to read what is queued.
    close: bool,
    /// `None` until `wait` sets it.
    deadline: Option<Deadline>,
    /// It has read something since the deadline was set.
    read: bool,
}

/// The application knows that it is over; the last octets go out.
struct Ending {
    /// The answer to a handshake that failed.
    reply: Vec<u8>,
    written: usize,
    /// The client whose outbox holds the last frames.
    client: Option<Client>,
    /// Whether the peer may still be sending. Then we end our side first and read to the end of its own, because to
    /// close a socket with unread input resets the connection and may destroy our last octets under way.
    linger: bool,
    flushed: bool,
    shut: bool,
    deadline: Deadline,
}

/// A point in time that the driver is told of once.
struct Deadline {
    at: Instant,
    told: bool,
}

impl Deadline {
    fn new(now: Instant, time: Duration) -> Self {
        Self { at: later(now, time), told: false }
    }
}

/// When that time is over. A year stands for all that is longer, `Duration::MAX` among it.
pub(crate) fn later(now: Instant, time: Duration) -> Instant {
    now + time.min(Duration::from_secs(365 * 24 * 60 * 60))
}

/// What was read, and where it is.
enum Input<'a> {
    /// In a buffer of the driver's.
    Lent(&'a mut [u8]),
    /// So many octets are in the receiver's own room.
    Direct(usize),
}

/// Why an open connection ends.
enum End {
    /// The client's close frame came, and was answered if it began.
    Closed(Disconnect),
    /// The client broke the protocol, a handler panicked: a close frame is queued, the client may still be sending.
    Failed(Cause),
    /// The connection is of no more use.
    Lost(Cause),
}

impl Session {
    pub(crate) fn new(peer: Peer, context: &Context<'_>) -> Self {
        let deadline = Deadline::new(context.now, context.shared.config.handshake_timeout);
        Self {
            stage: Stage::Handshake(Box::new(Handshake {
                peer,
                scanner: HeadScanner::new(),
                received: Vec::new(),
                deadline,
            })),
        }
    }

    /// A connection that is only told to go away.
    pub(crate) fn refused(reject: &Reject, context: &Context<'_>) -> Self {
        Self { stage: Stage::Ending(Box::new(Ending::reply(reject, context))) }
    }

    /// Takes what was read. It is spent afterwards: payloads are unmasked in place.
    pub(crate) fn receive(&mut self, input: &mut [u8], context: &Context<'_>) {
        match &mut self.stage {
            Stage::Open(open) => {
                if let Some(end) = open.receive(Input::Lent(input)) {
                    self.end(end, context);
                }
            }
            Stage::Handshake(_) => self.shake_hands(input, context),
            Stage::Ending(_) | Stage::Over => {}
        }
    }

    /// Where the next octets may be read to, without a copy from a scratch buffer: the payload of a big message.
    #[inline]
    pub(crate) fn room(&mut self) -> Option<&mut [u8]> {
        match &mut self.stage {
            Stage::Open(open) => open.receiver.room(&Pool),
            _ => None,
        }
    }

    /// Takes what was read to the [`room`](Self::room).
    pub(crate) fn receive_direct(&mut self, count: usize, context: &Context<'_>) {
        if let Stage::Open(open) = &mut self.stage
            && let Some(end) = open.receive(Input::Direct(count))
        {
            self.end(end, context);
        }
    }

    /// The peer has ended its side.
    pub(crate) fn end_of_input(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(_) => self.stage = Stage::Over,
            Stage::Open(open) => {
                // hixie-76 has a closing handshake, but the WebKit that speaks it ends the TCP connection instead.
                let clean = open.client.websocket_version() == Version::Hybi00 && open.receiver.held() == 0;
                let end = if clean {
                    End::Closed(Disconnect {
                        code: CloseCode::NO_STATUS,
                        reason: String::new(),
                        cause: Cause::Closed,
                    })
                } else {
                    End::Lost(Cause::Vanished)
                };
                self.end(end, context);
            }
            Stage::Ending(ending) => {
                ending.linger = false;
                if ending.flushed {
                    self.stage = Stage::Over;
                }
            }
            Stage::Over => {}
        }
    }

    /// The socket failed.
    pub(crate) fn lost(&mut self, error: io::Error, context: &Context<'_>) {
        if let Stage::Open(_) = self.stage {
            self.end(End::Lost(Cause::Io(error)), context);
        }
        self.over();
    }

    /// Time has passed. Nothing happens before the deadline; whoever comes too early is told of it again.
    pub(crate) fn timed_out(&mut self, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(handshake) if handshake.deadline.at <= context.now => {
                let reject = Reject::custom(408, "the request did not come in time");
                self.stage = Stage::Ending(Box::new(Ending::reply(&reject, context)));
            }
            Stage::Open(Open { waiting: Some(waiting), .. })
                if waiting.deadline.as_ref().is_some_and(|deadline| deadline.at <= context.now) =>
            {
                let cause = if waiting.close { Cause::CloseTimeout } else { Cause::WriteTimeout };
                self.end(End::Lost(cause), context);
                self.over();
            }
            Stage::Ending(ending) if ending.deadline.at <= context.now => self.over(),
            _ => {
                if let Some(deadline) = self.deadline() {
                    deadline.told = false;
                }
            }
        }
    }

    /// The server stops: open connections are closed with 1001, others dropped.
    pub(crate) fn stop(&mut self) {
        match &mut self.stage {
            Stage::Handshake(_) => self.stage = Stage::Over,
            // A client that is closing already goes on with that.
            Stage::Open(open) => drop(open.client.close(CloseCode::GOING_AWAY, "")),
            Stage::Ending(_) | Stage::Over => {}
        }
    }

    /// The server has waited long enough.
    pub(crate) fn kill(&mut self) {
        if let Stage::Open(open) = &self.stage {
            open.leave(&Disconnect::abnormal(Cause::Stopped));
        }
        self.over();
    }

    /// Writes what there is to write, as far as `write` takes it; whether all of it went.
    pub(crate) fn flush(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        match &mut self.stage {
            Stage::Handshake(_) | Stage::Over => Ok(true),
            Stage::Open(open) => open.flush(write),
            Stage::Ending(ending) => {
                ending.flushed = ending.flush(write)?;
                Ok(ending.flushed)
            }
        }
    }

    /// What is to be done next; to be asked after everything that happened, when what could be written is written.
    pub(crate) fn next(&mut self, context: &Context<'_>) -> Next {
        match &mut self.stage {
            Stage::Open(open) if open.client.is_aborted() => {
                self.end(End::Lost(Cause::Aborted), context);
                self.over();
            }
            Stage::Open(open) => open.wait(context),
            Stage::Ending(ending) if ending.flushed && !ending.linger => self.over(),
            Stage::Ending(ending) if ending.flushed && !ending.shut => {
                ending.shut = true;
                return Next::ShutdownWrite;
            }
            Stage::Handshake(_) | Stage::Ending(_) | Stage::Over => {}
        }
        if let Stage::Over = self.stage { Next::Drop } else { Next::Wait }
    }

    /// A deadline that the driver has not been told of: [`timed_out`](Self::timed_out) is to be called then.
    pub(crate) fn new_deadline(&mut self) -> Option<Instant> {
        let deadline = self.deadline()?;
        (!std::mem::replace(&mut deadline.told, true)).then_some(deadline.at)
    }

    /// The deadline that the driver was told of, if that is still one.
    pub(crate) fn told_deadline(&mut self) -> Option<Instant> {
        self.deadline().filter(|deadline| deadline.told).map(|deadline| deadline.at)
    }

    fn deadline(&mut self) -> Option<&mut Deadline> {
        match &mut self.stage {
            Stage::Handshake(handshake) => Some(&mut handshake.deadline),
            Stage::Open(open) => open.waiting.as_mut()?.deadline.as_mut(),
            Stage::Ending(ending) => Some(&mut ending.deadline),
            Stage::Over => None,
        }
    }

    /// Octets that wait to be written.
    pub(crate) fn queued(&self) -> usize {
        match &self.stage {
            Stage::Open(open) => open.client.buffered_amount(),
            Stage::Ending(ending) => {
                ending.reply.len() - ending.written
                    + ending.client.as_ref().map_or(0, Client::buffered_amount)
            }
            Stage::Handshake(_) | Stage::Over => 0,
        }
    }

    fn shake_hands(&mut self, input: &mut [u8], context: &Context<'_>) {
        let Stage::Handshake(handshake) = &mut self.stage else { return };
        // A request that comes in one piece, and most do, is read where it lies.
        let mut kept = std::mem::take(&mut handshake.received);
        let whole = kept.is_empty();
        if !whole {
            kept.extend_from_slice(input);
        }
        let octets = if whole { input } else { &mut kept[..] };
        let (open, consumed) = match handshake.step(octets, context) {
            Ok(Status::Complete(opened)) => opened,
            Ok(Status::Partial) => {
                handshake.received = if whole { octets.to_vec() } else { kept };
                return;
            }
            Err(reject) => {
                tracing::debug!(peer = %handshake.peer, status = reject.status(), "refused: {}", reject.body());
                self.stage = Stage::Ending(Box::new(Ending::reply(&reject, context)));
                return;
            }
        };
        self.stage = Stage::Open(open);
        let Stage::Open(open) = &mut self.stage else { return };
        open.connect();
        // What the client sent behind its request, without waiting for the answer.
        let early = octets.get_mut(consumed..).unwrap_or_default();
        let end = open.receive(Input::Lent(early));
        if let Some(end) = end {
            self.end(end, context);
        }
    }

    /// Leaves the open stage: tells the application, and goes on to what is left to do.
    fn end(&mut self, end: End, context: &Context<'_>) {
        let Stage::Open(open) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        let (disconnect, linger) = match end {
            End::Closed(disconnect) => (disconnect, false),
            End::Failed(cause) => (Disconnect::abnormal(cause), true),
            End::Lost(cause) => (Disconnect::abnormal(cause), false),
        };
        // Where the peer has ended its side it may still read: what is queued gets its chance.
        open.leave(&disconnect);
        let deadline = Deadline::new(context.now, context.shared.config.close_timeout);
        self.stage = Stage::Ending(Box::new(Ending {
            reply: Vec::new(),
            written: 0,
            client: Some(open.client),
            linger,
            flushed: false,
            shut: false,
            deadline,
        }));
    }

    fn over(&mut self) {
        let client = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Ending(ending) => ending.client,
            Stage::Open(open) => Some(open.client),
            Stage::Handshake(_) | Stage::Over => None,
        };
        if let Some(client) = client {
            client.abandon();
        }
    }
}

/// A driver that is dropped, a future that serves a stream for instance, leaves no client that nobody hears of.
impl Drop for Session {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Handshake {
    /// Reads the request, as far as it came, and lets the application decide on it.
    fn step(&mut self, octets: &[u8], context: &Context<'_>) -> Result<Status<(Open, usize)>, Reject> {
        let caps = context.shared.config.caps();
        let Status::Complete(length) = self.scanner.scan(octets, &caps)? else { return Ok(Status::Partial) };
        let (head, body) = octets.split_at_checked(length).unwrap_or((octets, &[]));
        let request = match HttpRequest::parse(head, &caps)?.upgrade(body, &caps)? {
            Status::Complete(request) => request,
            Status::Partial => return Ok(Status::Partial),
        };
        let consumed = request.consumed();
        Ok(Status::Complete((self.decide(request, context)?, consumed)))
    }

    fn decide(&self, request: Request<'_>, context: &Context<'_>) -> Result<Open, Reject> {
        let shared = context.shared;
        let Some(entry) = shared.resources.entry(request.path()) else { return Err(Reject::not_found()) };
        let failed = || Reject::custom(500, "the resource failed");
        if !guard(|| entry.origins.allows(request.origin())).ok_or_else(failed)? {
            return Err(Reject::forbidden("this origin is not admitted"));
        }
        let opening = Opening { head: request.to_head(true), version: request.version(), peer: self.peer };
        let accept = guard(|| entry.resource.accept(&opening)).ok_or_else(failed)??;

        let mut offer = Offer::new().with_secure(accept.secure);
        if let Some(name) = &accept.subprotocol {
            offer = offer.with_subprotocol(name);
        }
        if let Some(origin) = &accept.origin {
            offer = offer.with_origin(origin);
        }
        if let Some(location) = &accept.location {
            offer = offer.with_location(location);
        }
        for (name, value) in &accept.headers {
            offer = offer.with_header(name, value);
        }
        let head = if shared.config.keep_headers { opening.head } else { request.to_head(false) };
        let accepted = request.accept(&offer).map_err(|error| {
            tracing::error!(resource = head.path(), "a resource gave an answer that cannot be sent: {error}");
            failed()
        })?;

        let version = accepted.version;
        let mut sender = Sender::server(version);
        sender.give_buffer(crate::pool::take());
        sender.preface(&accepted.response);
        let client =
            Client::new(sender, context.place.to_home(), entry, Arc::clone(shared), head, accept, self.peer);
        let receiver = Receiver::new(version, Role::Server, shared.config.limits());
        Ok(Open { receiver, client, waiting: None })
    }
}

impl Open {
    /// Writes what is queued, and takes note of whether the client reads.
    fn flush(&mut self, write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<bool> {
        let mut read = false;
        let all = self.client.flush(&mut |slices| write(slices).inspect(|written| read |= *written > 0))?;
        match &mut self.waiting {
            Some(waiting) if waiting.close => waiting.read |= read,
            _ if all => self.waiting = None,
            Some(waiting) => waiting.read |= read,
            None => self.waiting = Some(Box::new(Waiting { close: false, deadline: None, read: true })),
        }
        Ok(all)
    }

    /// Sets the deadline for what the client has to do.
    fn wait(&mut self, context: &Context<'_>) {
        let config = &context.shared.config;
        if self.client.is_closing() && self.waiting.as_ref().is_none_or(|waiting| !waiting.close) {
            self.waiting = Some(Box::new(Waiting { close: true, deadline: None, read: true }));
        }
        if let Some(waiting) = &mut self.waiting
            && std::mem::take(&mut waiting.read)
        {
            let time = if waiting.close { config.close_timeout } else { config.write_timeout };
            let at = later(context.now, time);
            match &mut waiting.deadline {
                // The driver keeps the one that it was told of, comes too early, and is told of this one then.
                Some(deadline) => deadline.at = at,
                None => waiting.deadline = Some(Deadline { at, told: false }),
            }
        }
    }

    /// Tells the resource that the client is there.
    fn connect(&mut self) {
        let client = &self.client;
        match guard(|| client.entry().resource.connected(client)) {
            Some(Ok(())) => client.set_connected(),
            Some(Err(refuse)) => client.close_quietly(refuse.code, &refuse.reason),
            None => client.close_quietly(CloseCode::INTERNAL, ""),
        }
        client.touch();
    }

    /// Takes nothing more for the client, and tells the resource that it goes.
    fn leave(&self, disconnect: &Disconnect) {
        self.client.seal();
        tracing::debug!(peer = %self.client.peer(), code = disconnect.code.value(), "ended: {}", disconnect.cause);
        if self.client.is_connected() {
            guard(|| self.client.entry().resource.disconnected(&self.client, disconnect));
        }
    }

    /// Hands the events in the input to the resource.
    #[inline]
    fn receive(&mut self, input: Input<'_>) -> Option<End> {
        let client = &self.client;
        let resource = &*client.entry().resource;
        let mut events = match input {
            Input::Lent(input) => self.receiver.receive_with(input, &Pool),
            Input::Direct(count) => self.receiver.receive_direct(count, &Pool),
        };
        // One guard for all of them: a panic ends the connection, so nothing half-done is looked at again.
        let end = catch_unwind(AssertUnwindSafe(|| {
            loop {
                match events.next() {
                    Ok(None) => return None,
                    Ok(Some(Event::Close(frame))) => {
                        client.answer_close(frame.as_ref());
                        let (code, reason) =
                            frame.map_or((CloseCode::NO_STATUS, ""), |frame| (frame.code, frame.reason));
                        let reason = reason.to_owned();
                        return Some(End::Closed(Disconnect { code, reason, cause: Cause::Closed }));
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
        }));
        end.unwrap_or_else(|panic| {
            log_panic(&*panic);
            client.close_quietly(CloseCode::INTERNAL, "");
            Some(End::Failed(Cause::Panic))
        })
    }
}

impl Ending {
    fn reply(reject: &Reject, context: &Context<'_>) -> Self {
        Self {
            reply: reject.response(),
            written: 0,
            client: None,
            linger: true,
            flushed: false,
            shut: false,
            deadline: Deadline::new(context.now, context.shared.config.close_timeout),
        }
    }

    fn flush(&mut self, write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>) -> io::Result<bool> {
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

/// Calls code of the application; a panic in it is logged.
fn guard<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| log_panic(&*panic)).ok()
}

fn log_panic(panic: &(dyn std::any::Any + Send)) {
    let message = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    tracing::error!("a handler panicked: {message}");
}

#[cfg(test)]
mod tests;
