//! A connection with a TLS session.

use std::borrow::Cow;
use std::sync::Arc;
use std::{fmt, io};

use clws_handshake::Reject;

use crate::client::disconnect::DisconnectCause;
use crate::config::address::Peer;
use crate::connection::closing::Closing;
use crate::connection::context::Context;
use crate::connection::handshake::Handshake;
use crate::connection::open::End;
use crate::connection::reply::Reply;
use crate::connection::{Connection, Stage};
use crate::date::dated_reject;
use crate::guard::log;
use crate::net::tls::info::TlsCell;
use crate::stats::kinds::HandshakeOutcome;

impl Connection {
    /// A connection with TLS. `info` is set when the TLS handshake is complete.
    pub(crate) fn with_tls(peer: Peer, info: Arc<TlsCell>, context: &Context<'_>) -> Self {
        let mut handshake = Handshake::new(peer, context);
        handshake.tls = Some(info);
        Self { stage: Stage::Handshake(Box::new(handshake)) }
    }

    /// The TLS session has failed: nothing more can be read, and only an alert is written.
    pub(crate) fn tls_failed(&mut self, error: io::Error, context: &Context<'_>) {
        match &mut self.stage {
            Stage::Handshake(_) => self.end_tls_handshake(&error, Reply::default(), context),
            Stage::Open(open) => {
                let earlier = open.take_error();
                let client = &open.client;
                client.context().shared.drain.counts.note_unwritten(client.buffered_amount());
                client.abandon();
                let cause = DisconnectCause::Io(Arc::new(earlier.unwrap_or(error)));
                self.end(End::Failed(cause), context);
            }
            Stage::Closing(_) | Stage::Closed => self.close(),
        }
    }

    /// A request came without TLS. The answer is written without TLS too.
    pub(crate) fn refuse_plain_http(&mut self, context: &Context<'_>) {
        const REASON: &str = "this port speaks TLS: use wss:// or https://";
        let reject = dated_reject(&Reject::custom(400, REASON), context.date());
        self.end_tls_handshake(&"a plain HTTP request", [reject.response().into(), Cow::default()], context);
    }

    /// The peer's side has ended without a `close_notify`: the end may be forged, so it is never a
    /// clean end of the client.
    pub(crate) fn input_truncated(&mut self, context: &Context<'_>) {
        let Stage::Open(open) = &mut self.stage else { return self.end_of_input(context) };
        log(|| tracing::debug!(peer = %open.client.peer(), "the TLS session ended without a close_notify"));
        let error = open.take_error();
        let cause = error.map_or(DisconnectCause::Vanished, |error| DisconnectCause::Io(Arc::new(error)));
        self.end(End::Lost(cause), context);
    }

    /// Ends a connection that has no client yet. `reason` is a fault of its TLS session, and `reply`
    /// is written before the end.
    fn end_tls_handshake(&mut self, reason: &dyn fmt::Display, reply: Reply, context: &Context<'_>) {
        let Stage::Handshake(handshake) = &self.stage else { return };
        if handshake.is_securing() {
            context.counters().note_handshake(HandshakeOutcome::Tls);
            log(|| tracing::debug!(peer = %handshake.peer, "the TLS handshake failed: {reason}"));
        } else {
            if !handshake.is_idle() {
                context.counters().note_handshake(HandshakeOutcome::Abandoned);
            }
            log(|| tracing::debug!(peer = %handshake.peer, "the TLS session failed: {reason}"));
        }
        self.stage = Stage::Closing(Box::new(Closing::reply(reply, context)));
    }
}
