//! The order in which a driver calls a connection. It is the same for sockets, streams and tests.
//!
//! 1. [`receive`]: unread events are handled, then input is read and handled, as far as the
//!    client's share allows.
//! 2. [`settle`]: events of other threads, output, the next action, the next deadline.
//! 3. [`expire`], when a deadline has passed and `receive` has read once since: the deadline takes
//!    effect. Then `settle` again.
//!
//! A driver calls `settle` alone when its connection was woken, or when the socket takes output
//! again.

use std::io;
#[cfg(feature = "capture")]
use std::net::SocketAddr;
#[cfg(feature = "capture")]
use std::sync::Arc;
use std::time::Instant;

use clws_proto::Input;

#[cfg(feature = "capture")]
use crate::capture::recorder::Recorder;
#[cfg(feature = "capture")]
use crate::capture::tap::Tap;
use crate::connection::context::Context;
use crate::connection::share::Share;
use crate::connection::{Action, Connection};
use crate::stats::counters::Counters;

/// The socket or stream of one connection.
pub(crate) trait Io {
    /// Whether there may be input to read. A cheap test, which is asked first.
    fn is_readable(&self) -> bool {
        true
    }

    /// Whether a read may bring input. It is asked before each read, when the connection wants
    /// input.
    fn may_read(&mut self, connection: &Connection) -> bool;

    /// Reads once: into the connection's spare capacity, or into a buffer.
    fn read(&mut self, connection: &mut Connection, context: &Context<'_>) -> Read<'_>;

    /// The input of the last read was handled.
    fn handled(&mut self, connection: &Connection);

    /// Calls [`Connection::transmit`] until everything is written or the socket takes no more.
    /// Counts the written bytes.
    fn transmit(&mut self, connection: &mut Connection, counters: &Counters) -> io::Result<()>;

    /// Writing failed. Earlier input must be read to its end.
    fn write_failed(&mut self);

    fn shutdown_write(&mut self);

    /// Records the connection from now on, unless it is recorded already. `begin` takes our
    /// address.
    #[cfg(feature = "capture")]
    fn attach(&mut self, _begin: &mut dyn FnMut(Option<SocketAddr>) -> Option<Tap>) {}

    /// The connection is dropped now. Everything that can be written was written.
    #[inline]
    fn finish(&mut self) {}

    /// Whether both directions have ended, and no read would notice.
    fn is_broken(&mut self, connection: &Connection) -> bool;
}

/// The result of one read.
pub(crate) enum Read<'a> {
    Input(Input<'a>),
    /// The peer has ended its side.
    End,
    /// No input is there.
    Nothing,
    /// The read must be repeated.
    Interrupted,
    /// Bytes came that are no input of the connection, such as a TLS handshake.
    #[cfg(feature = "__tls")]
    Consumed,
    /// The peer's side of the socket has ended, but not its TLS session.
    #[cfg(feature = "__tls")]
    Truncated,
    /// The TLS session has failed.
    #[cfg(feature = "__tls")]
    TlsFailed(io::Error),
    /// The peer speaks plain HTTP instead of TLS.
    #[cfg(feature = "__tls")]
    PlainHttp,
    Failed(io::Error),
}

/// The remaining work after [`settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Wait, at most until a new deadline.
    Wait(Option<Instant>),
    Drop,
}

/// Handles unread events, then reads and handles input until the share is over or nothing may be
/// read. Returns whether a read brought anything.
#[inline]
pub(crate) fn receive(
    connection: &mut Connection,
    io: &mut impl Io,
    share: &mut Share,
    context: &Context<'_>,
) -> bool {
    let mut progress = false;
    connection.continue_events(share, context);
    while !share.is_over() && io.is_readable() && connection.wants_input() && io.may_read(connection) {
        match io.read(connection, context) {
            Read::Input(input) => {
                context.counters().note_read(input_len(&input));
                connection.handle_input(input, share, context);
                io.handled(connection);
            }
            Read::End => connection.end_of_input(context),
            Read::Nothing if connection.has_failed_to_write() => connection.end_of_input(context),
            Read::Nothing => continue,
            Read::Interrupted => {}
            #[cfg(feature = "__tls")]
            Read::Consumed => share.spend_frames(),
            #[cfg(feature = "__tls")]
            Read::Truncated => connection.input_truncated(context),
            #[cfg(feature = "__tls")]
            Read::TlsFailed(error) => connection.tls_failed(error, context),
            #[cfg(feature = "__tls")]
            Read::PlainHttp => connection.refuse_plain_http(context),
            Read::Failed(error) => connection.read_failed(error, context),
        }
        attach(connection, io, context);
        progress = true;
    }
    progress
}

/// The number of bytes that a read has brought.
#[inline]
fn input_len(input: &Input<'_>) -> usize {
    match input {
        Input::Lent(bytes) => bytes.len(),
        Input::Owned(_, range) => range.len(),
        Input::Direct(count) => *count,
    }
}

/// Handles events of other threads, writes output, and carries out the next action.
#[inline]
pub(crate) fn settle(connection: &mut Connection, io: &mut impl Io, context: &Context<'_>) -> Settled {
    connection.resume(&mut Share::new(context.environment.now), context);
    attach(connection, io, context);
    if let Err(error) = io.transmit(connection, context.counters()) {
        connection.write_failed(error, context);
        io.write_failed();
    }
    attach(connection, io, context);
    match connection.poll_action(context) {
        Action::Wait => {}
        Action::ShutdownWrite => io.shutdown_write(),
        Action::Drop => {
            io.finish();
            return Settled::Drop;
        }
    }
    if io.is_broken(connection) {
        connection.broken(context);
        if connection.poll_action(context) == Action::Drop {
            io.finish();
            return Settled::Drop;
        }
    }
    Settled::Wait(connection.poll_timeout())
}

/// Begins a recording that the application wants, if the connection is at a point where it can
/// begin.
#[cfg(feature = "capture")]
#[inline]
fn attach(connection: &Connection, io: &mut impl Io, context: &Context<'_>) {
    #[cold]
    fn begin(connection: &Connection, io: &mut impl Io, recorder: &Arc<Recorder>) {
        let Some(client) = connection.client() else { return };
        let number = client.id().number();
        let Some(is_late) = recorder.is_late(number) else { return };
        if (!is_late || connection.is_between_frames())
            && let Some(request) = recorder.take_request(number)
        {
            let (peer, remote) = (client.peer(), client.remote());
            io.attach(&mut |server| recorder.begin_request(&request, peer, remote, server));
        }
    }
    if let Some(recorder) = context.recorder()
        && recorder.has_requests()
    {
        begin(connection, io, recorder);
    }
}

#[cfg(not(feature = "capture"))]
#[inline]
const fn attach(_: &Connection, _: &mut impl Io, _: &Context<'_>) {}

/// Lets a deadline that has passed take effect. Returns false if it must be tried later, because
/// `has_more` input waits that may have arrived before the deadline.
pub(crate) fn expire(connection: &mut Connection, has_more: bool, context: &Context<'_>) -> bool {
    if connection.is_due(context) && has_more && connection.has_grace(context) {
        return false;
    }
    connection.handle_timeout(context);
    true
}
