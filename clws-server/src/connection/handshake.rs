//! The first stage: the request is read, and the application decides on it (`decision.rs`).

use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use clws_handshake::{CONTINUE, HandshakeLimits, HeadScanner, HttpRequest, Reject, Request, Status};

use crate::config::address::{Peer, Remote};
use crate::connection::accepted::failed;
use crate::connection::context::Context;
use crate::connection::handshakes::HandshakePermit;
use crate::connection::open::Open;
use crate::connection::refusal::RETRY_AFTER;
use crate::connection::reply::Reply;
use crate::connection::timer::{Deadline, Timer};
#[cfg(feature = "http")]
use crate::connection::upgrade::{Upgrade, UpgradeAnswer};
use crate::date::{dated, dated_reject};
use crate::guard::{Scope, guard_other};
#[cfg(feature = "__tls")]
use crate::net::tls::info::TlsCell;
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::resource::pending::Pending;
use crate::resource::registry::entry::Entry;
use crate::stats::kinds::HandshakeOutcome;

/// The request of Adobe's Flash Player for a policy file, which it sends before its sockets may
/// connect.
const POLICY_REQUEST: &[u8] = b"<policy-file-request/>\0";

const NOTHING: Cow<'static, [u8]> = Cow::Borrowed(&[]);

/// The most HTTP requests of one connection. It bounds what a client costs with small requests.
const MAX_REQUESTS: u32 = 100;

pub(super) struct Handshake {
    pub(super) peer: Peer,
    /// The source in the header of the PROXY protocol.
    pub(super) source: Option<SocketAddr>,
    /// The client, if a trusted proxy reports it.
    pub(super) remote: Option<Remote>,
    scanner: HeadScanner,
    /// The bytes of the request so far.
    pub(super) received: Vec<u8>,
    pub(super) deadline: Deadline,
    /// Taken until the request is complete.
    pub(super) permit: Option<HandshakePermit>,
    /// The request is complete, and the application decides on it later.
    pub(super) asked: Option<Box<Asked>>,
    pub(super) interim: Interim,
    /// The HTTP requests that the application has answered.
    answered: u32,
    /// The client has sent bytes of another request before the last response was written.
    is_pipelined: bool,
    /// What the TLS handshake agrees on, when it is complete. `None` without TLS.
    #[cfg(feature = "__tls")]
    pub(super) tls: Option<Arc<TlsCell>>,
    /// Another HTTP server has read the request, and sends the answer.
    #[cfg(feature = "http")]
    pub(super) upgrade: Option<Box<Upgrade>>,
}

/// The interim answer `100 Continue`, which a client may wait for before it sends the rest of its
/// request.
#[derive(Default)]
pub(super) struct Interim {
    is_due: bool,
    pub(super) written: usize,
}

/// A complete request without a decision.
pub(super) struct Asked {
    pub(super) pending: Arc<Pending<Result<Accept, Reject>>>,
    pub(super) entry: Arc<Entry>,
    pub(super) opening: Opening,
    pub(super) has_adapter_data: bool,
}

/// The result of reading the request.
pub(super) enum Outcome {
    /// The rest of the request is missing, or the decision of the application.
    Wait,
    /// A client, and the length of its request.
    Open(Open, usize),
    /// An answer for the HTTP server that has read the request.
    #[cfg(feature = "http")]
    Upgrade(UpgradeAnswer),
    /// An answer to a peer that does not become a client. It is counted already.
    Reply(Reply),
    /// An answer of the application to an HTTP request of that length. The connection is kept alive.
    Page(Reply, usize),
    /// A refusal for a reason that is counted separately.
    Refused(Reject, HandshakeOutcome),
}

impl Handshake {
    pub(super) fn new(peer: Peer, context: &Context<'_>) -> Self {
        let deadline = Deadline::started(Timer::Handshake, context);
        Self {
            peer,
            source: None,
            remote: None,
            scanner: HeadScanner::new(),
            received: Vec::new(),
            deadline,
            permit: Some(context.handshakes.enter(context.wake_target.to_wake_target())),
            asked: None,
            interim: Interim::default(),
            answered: 0,
            is_pipelined: false,
            #[cfg(feature = "__tls")]
            tls: None,
            #[cfg(feature = "http")]
            upgrade: None,
        }
    }

    /// Whether the TLS handshake is not complete, so that nothing can be answered.
    pub(super) fn is_securing(&self) -> bool {
        #[cfg(feature = "__tls")]
        let is_securing = self.tls.as_ref().is_some_and(|tls| tls.get().is_none());
        #[cfg(not(feature = "__tls"))]
        let is_securing = false;
        is_securing
    }

    /// Whether another HTTP server has read the request, and answers all others itself.
    pub(super) const fn is_upgrade(&self) -> bool {
        #[cfg(feature = "http")]
        let is_upgrade = self.upgrade.is_some();
        #[cfg(not(feature = "http"))]
        let is_upgrade = false;
        is_upgrade
    }

    /// Whether the application has not decided yet. Nothing more is read until then.
    pub(super) const fn is_undecided(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether the request must come now, because there are too many connections without one.
    pub(super) fn is_displaced(&self) -> bool {
        self.permit.as_ref().is_some_and(HandshakePermit::is_displaced)
    }

    /// Whether no byte of the request has arrived.
    pub(super) fn has_received_nothing(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether the connection was kept alive after a response, and has made no further request. Its
    /// end is then as it should be.
    pub(super) fn is_idle(&self) -> bool {
        self.answered > 0 && self.received.is_empty()
    }

    /// Whether input has arrived that was not looked at.
    pub(super) const fn is_pipelined(&self) -> bool {
        self.is_pipelined
    }

    /// The handshake after a response. `rest` is input that has arrived already.
    pub(super) fn after_page(&mut self, rest: &[u8]) -> Box<Self> {
        let deadline = Deadline::new(Timer::Nothing); // starts with `wait_for_next`
        Box::new(Self {
            peer: self.peer,
            source: self.source,
            remote: self.remote,
            scanner: HeadScanner::new(),
            received: rest.to_vec(),
            deadline,
            permit: None,
            asked: None,
            interim: Interim::default(),
            answered: self.answered + 1,
            is_pipelined: !rest.is_empty(),
            #[cfg(feature = "__tls")]
            tls: self.tls.take(),
            #[cfg(feature = "http")]
            upgrade: None,
        })
    }

    /// Waits for another request, with a deadline like that of the first one.
    pub(super) fn wait_for_next(&mut self, context: &Context<'_>) {
        self.deadline = Deadline::started(Timer::Handshake, context);
        self.permit = Some(context.handshakes.enter(context.wake_target.to_wake_target()));
    }

    /// Whether the connection is kept alive after the response to this request.
    fn keeps_alive(&self, http: &HttpRequest<'_>, has_body: bool, context: &Context<'_>) -> bool {
        // A body is not read, so its end would not be found. A page and its assets have none.
        matches!(http.method(), "GET" | "HEAD")
            && !has_body
            && http.keeps_alive()
            && self.answered + 1 < MAX_REQUESTS
            && !context.clients.shared.drain.is_draining()
    }

    /// The answer to a refused request. `received` is its part that has arrived.
    pub(super) fn refusal(&self, reject: &Reject, received: &[u8], context: &Context<'_>) -> Reply {
        let answer = dated_reject(reject, context.date()).response_to(received);
        // An interim answer that was partly written is completed first.
        match self.interim.written {
            0 => [answer.into(), NOTHING],
            written => [CONTINUE.get(written..).unwrap_or_default().into(), answer.into()],
        }
    }

    /// Bytes that wait to be written.
    #[cfg(any(test, fuzzing))]
    pub(super) fn queued(&self) -> usize {
        if self.interim.is_due { CONTINUE.len() - self.interim.written } else { 0 }
    }

    /// Writes the interim answer, if one is due.
    pub(super) fn transmit(
        &mut self,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while self.interim.is_due && self.interim.written < CONTINUE.len() {
            let rest = CONTINUE.get(self.interim.written..).unwrap_or_default();
            match write(&[IoSlice::new(rest)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => self.interim.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// The refusal of a request whose time is over.
    pub(super) fn timed_out(&self) -> (Reject, HandshakeOutcome) {
        match self.asked {
            None if self.is_displaced() => (
                Reject::custom(503, "too many clients have not sent their request"),
                HandshakeOutcome::HandshakeLimit,
            ),
            Some(_) => {
                (Reject::custom(503, "the resource did not decide in time"), HandshakeOutcome::Undecided)
            }
            None => (Reject::custom(408, "the request did not come in time"), HandshakeOutcome::TimedOut),
        }
    }

    /// Reads the request, of which `bytes` have arrived. When it is complete, asks the application.
    pub(super) fn step(&mut self, bytes: &[u8], context: &Context<'_>) -> Result<Outcome, Reject> {
        self.is_pipelined = false;
        let config = context.config();
        if let Some(policy) = &config.policy_file
            && bytes.first() == POLICY_REQUEST.first()
        {
            if bytes.starts_with(POLICY_REQUEST) {
                context.counters().note_handshake(HandshakeOutcome::Http);
                return Ok(Outcome::Reply([[policy.as_bytes(), b"\0"].concat().into(), NOTHING]));
            }
            if POLICY_REQUEST.starts_with(bytes) {
                return Ok(Outcome::Wait);
            }
        }
        let handshake_limits = config.handshake_limits();
        let Status::Complete(length) = self.scanner.scan(bytes, &handshake_limits)? else {
            return Ok(Outcome::Wait);
        };
        let (head, body) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        let http = HttpRequest::parse(head, &handshake_limits)?;
        match self.read(http, body, &handshake_limits) {
            Ok(Status::Complete(_)) if context.clients.shared.drain.is_draining() => {
                Ok(Outcome::Refused(Reject::unavailable(Some(RETRY_AFTER)), HandshakeOutcome::Stopping))
            }
            Ok(Status::Complete(request)) => self.ask(request, context),
            Ok(Status::Partial) => {
                // RFC 9110 §10.1.1: a server "MAY omit sending a 100 (Continue) response if it has
                // already received some or all of the content".
                self.interim.is_due = http.expects_continue() && body.is_empty();
                Ok(Outcome::Wait)
            }
            // RFC 9110 §9.3.6: CONNECT asks for a tunnel, not for a response with content.
            Err(reject) if http.wants_upgrade() || http.method() == "CONNECT" || self.is_upgrade() => {
                Err(reject)
            }
            Err(reject) => match context.resources.hook() {
                Some(hook) => {
                    let has_body = http.has_body()?; // refuses a length that can be read in two ways
                    let place = Requested { path: http.path(), peer: self.peer, remote: self.remote };
                    let answer =
                        guard_other(config.debug_on(), "the HTTP hook", &place, || hook.answer(&http));
                    let answer = answer.ok_or_else(failed)?;
                    let keeps_alive = self.keeps_alive(&http, has_body, context);
                    let answer = dated(answer, context.date()).conditional(&http);
                    let answer = if keeps_alive { answer.keep_alive() } else { answer };
                    let (head, body) = answer.into_parts(&http);
                    context.counters().note_handshake(HandshakeOutcome::Http);
                    let reply = [head.into(), body];
                    Ok(if keeps_alive { Outcome::Page(reply, length) } else { Outcome::Reply(reply) })
                }
                None => {
                    context.counters().note_rejected(reject.status());
                    Ok(Outcome::Reply(self.refusal(&reject, bytes, context)))
                }
            },
        }
    }

    /// Reads a request as an opening handshake.
    pub(super) fn read<'a>(
        &self,
        http: HttpRequest<'a>,
        body: &'a [u8],
        handshake_limits: &HandshakeLimits,
    ) -> Result<Status<Request<'a>>, Reject> {
        #[cfg(feature = "http")]
        if let Some(upgrade) = &self.upgrade {
            return upgrade.read(http, handshake_limits).map(Status::Complete);
        }
        http.upgrade(body, handshake_limits)
    }
}

/// A request without an [`Opening`], for the log.
pub(super) struct Requested<'a> {
    pub(super) path: &'a str,
    pub(super) peer: Peer,
    /// The client, if a trusted proxy reports it.
    pub(super) remote: Option<Remote>,
}

impl Scope for Requested<'_> {
    fn resource(&self) -> Option<String> {
        Some(self.path.to_owned())
    }

    fn peer(&self) -> Option<String> {
        Some(self.peer.to_string())
    }

    fn client(&self) -> Option<String> {
        self.remote.map(|remote| remote.to_string())
    }
}
