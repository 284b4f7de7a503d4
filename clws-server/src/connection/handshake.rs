use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::sync::Arc;

use clws_handshake::{Acceptance, CONTINUE, HeadScanner, HttpRequest, Reject, Request, RequestHead, Status};
use clws_proto::{Receiver, Role, Sender};

use crate::client::Client;
use crate::client::NewClient;
use crate::config::Config;
use crate::connection::closing::Reply;
use crate::connection::open::Open;
use crate::connection::{Context, Deadline};
use crate::date::{dated, dated_reject};
use crate::guard::{ApplicationValue, guard, log};
use crate::net::socket::Peer;
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::resource::pending::Pending;
use crate::resource::registry::entry::Entry;

/// What Adobe's Flash Player sends before its sockets may connect, with a NUL behind it.
const POLICY_REQUEST: &[u8] = b"<policy-file-request/>\0";

const NOTHING: Cow<'static, [u8]> = Cow::Borrowed(&[]);

/// Before the request is complete, and until the application has decided on it.
pub(super) struct Handshake {
    pub(super) peer: Peer,
    scanner: HeadScanner,
    /// What came of the request; empty as long as nothing came.
    pub(super) received: Vec<u8>,
    pub(super) deadline: Deadline,
    /// The request is complete, and the application takes its time.
    asked: Option<Box<Asked>>,
    interim: Interim,
}

/// The interim answer to a client that waits for it before it sends the rest of its request.
#[derive(Default)]
struct Interim {
    is_due: bool,
    /// How many bytes of it are written.
    written: usize,
}

/// A request that the application decides on later.
struct Asked {
    pending: Arc<Pending<Result<Accept, Reject>>>,
    entry: Arc<Entry>,
    opening: Opening,
    has_adapter_data: bool,
}

/// What a handshake came to.
pub(super) enum Outcome {
    /// More is needed: of the request, or the application's decision.
    Wait,
    /// A client; the octets behind its request begin there.
    Open(Open, usize),
    /// An answer to something that does not become a client.
    Reply(Reply),
}

impl Handshake {
    pub(super) fn new(peer: Peer, context: &Context<'_>) -> Self {
        let deadline = Deadline::after(context.clients.config.handshake_timeout);
        Self {
            peer,
            scanner: HeadScanner::new(),
            received: Vec::new(),
            deadline,
            asked: None,
            interim: Interim::default(),
        }
    }

    /// Whether the application is asked, so that nothing more is to be read before it has decided.
    pub(super) const fn is_asking(&self) -> bool {
        self.asked.is_some()
    }

    /// Whether nothing has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.received.is_empty()
    }

    /// The answer to a request that is refused, of which `received` has come.
    pub(super) fn refusal(&self, reject: &Reject, received: &[u8]) -> Reply {
        let answer = dated_reject(reject).response_to(received);
        // An interim answer that is on its way is written to its end.
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
    pub(super) fn flush(
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

    /// What a client is told whose time is over.
    pub(super) fn timed_out(&self) -> Reject {
        match self.asked {
            Some(_) => Reject::custom(503, "the resource did not decide in time"),
            None => Reject::custom(408, "the request did not come in time"),
        }
    }

    /// Reads the request, as far as it came, and lets the application decide on it.
    pub(super) fn step(&mut self, octets: &[u8], context: &Context<'_>) -> Result<Outcome, Reject> {
        let config = &context.clients.config;
        if let Some(policy) = &config.policy_file
            && octets.first() == POLICY_REQUEST.first()
        {
            if octets.starts_with(POLICY_REQUEST) {
                return Ok(Outcome::Reply([[policy.as_bytes(), b"\0"].concat().into(), NOTHING]));
            }
            if POLICY_REQUEST.starts_with(octets) {
                return Ok(Outcome::Wait);
            }
        }
        let caps = config.caps();
        let Status::Complete(length) = self.scanner.scan(octets, &caps)? else { return Ok(Outcome::Wait) };
        let (head, body) = octets.split_at_checked(length).unwrap_or((octets, &[]));
        let http = HttpRequest::parse(head, &caps)?;
        match http.upgrade(body, &caps) {
            Ok(Status::Complete(request)) => self.ask(request, context),
            Ok(Status::Partial) => {
                // RFC 9110 §10.1.1: a server "MAY omit sending a 100 (Continue) response if it has already received some or
                // all of the content".
                self.interim.is_due = http.expects_continue() && body.is_empty();
                Ok(Outcome::Wait)
            }
            // RFC 9110 §9.3.6: CONNECT asks for a tunnel, which no page is.
            Err(reject) if http.wants_upgrade() || http.method() == "CONNECT" => Err(reject),
            Err(reject) => match context.resources.hook() {
                Some(hook) => {
                    http.has_body()?; // it is not read, but must not be read in two ways
                    let answer = guard(config.debug_on(), || hook.answer(&http)).ok_or_else(failed)?;
                    let (head, body) = dated(answer).into_parts(&http);
                    Ok(Outcome::Reply([head.into(), body]))
                }
                None => Ok(Outcome::Reply(self.refusal(&reject, octets))),
            },
        }
    }

    /// Goes on when the application has decided; `octets` are those that the request is in.
    pub(super) fn decided(&mut self, octets: &[u8], context: &Context<'_>) -> Result<Outcome, Reject> {
        let Some(asked) = self.asked.take() else { return Ok(Outcome::Wait) };
        let Some(decision) = asked.pending.take() else {
            self.asked = Some(asked);
            return Ok(Outcome::Wait);
        };
        let caps = context.clients.config.caps();
        // It was found complete before.
        let Status::Complete(length) = HeadScanner::new().scan(octets, &caps)? else { return Err(failed()) };
        let (head, body) = octets.split_at_checked(length).unwrap_or((octets, &[]));
        let Status::Complete(request) = HttpRequest::parse(head, &caps)?.upgrade(body, &caps)? else {
            return Err(failed());
        };
        let mut accept = decision?;
        accept.has_adapter_data |= asked.has_adapter_data;
        self.answer(request, asked.entry, asked.opening, accept, context)
    }

    /// Finds the resource, and asks it.
    fn ask(&mut self, request: Request<'_>, context: &Context<'_>) -> Result<Outcome, Reject> {
        let config = &context.clients.config;
        let Some(entry) = context.resources.entry(request.path()) else { return Err(Reject::not_found()) };
        let admits = guard(config.debug_on(), || entry.origins.allows(request.origin()));
        if !admits.ok_or_else(failed)? {
            return Err(Reject::forbidden("this origin is not admitted"));
        }
        let opening = Opening {
            head: request.to_head(true),
            version: request.version(),
            peer: self.peer,
            debug: config.debug_on(),
        };
        let mut accept =
            guard(config.debug_on(), || entry.resource.accept(&opening)).ok_or_else(failed)??;
        accept.set_debug(config.debug_on());
        self.answer(request, entry, opening, accept, context)
    }

    /// Does what the application decided.
    fn answer(
        &mut self,
        request: Request<'_>,
        entry: Arc<Entry>,
        opening: Opening,
        accept: Accept,
        context: &Context<'_>,
    ) -> Result<Outcome, Reject> {
        if let Some(pending) = accept.pending {
            pending.wake(context.wake_target.to_wake_target(), context.clients.config.debug_on());
            self.asked =
                Some(Box::new(Asked { pending, entry, opening, has_adapter_data: accept.has_adapter_data }));
            return Ok(Outcome::Wait);
        }
        let consumed = request.consumed();
        let open = open(request, entry, opening, accept, self.interim.written, context)?;
        Ok(Outcome::Open(open, consumed))
    }
}

/// Writes the answer of a client that is taken, except for the bytes of an interim answer that are written.
fn open(
    request: Request<'_>,
    entry: Arc<Entry>,
    opening: Opening,
    #[cfg_attr(not(feature = "deflate"), expect(unused_mut, reason = "what was negotiated on goes in"))]
    mut accept: Accept,
    interim: usize,
    context: &Context<'_>,
) -> Result<Open, Reject> {
    let config = &context.clients.config;
    let mut offer = Acceptance::new().with_secure(accept.secure);
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
    #[cfg(feature = "deflate")]
    let deflate = accept.deflate.unwrap_or(config.deflate);
    #[cfg(feature = "deflate")]
    if let Some(deflate) = &deflate {
        offer = offer.with_deflate(deflate);
    }
    let head = kept(opening.head, &request, config);
    if config.keep_headers && head.is_truncated() {
        let limit = config.max_kept_headers;
        log(|| tracing::debug!(peer = %opening.peer, limit, "the request has more headers than are kept"));
    }
    let accepted = request.accept(&offer).map_err(|error| {
        log(|| {
            tracing::error!(resource = head.path(), "a resource gave an answer that cannot be sent: {error}");
        });
        failed()
    })?;

    let version = accepted.version;
    let mut sender = Sender::server(version);
    crate::buffer_pool::lend(&mut sender);
    sender.preface(accepted.response.get(interim..).unwrap_or_default());
    #[cfg_attr(not(feature = "deflate"), expect(unused_mut, reason = "as above"))]
    let mut receiver = Receiver::new(version, Role::Server, Arc::clone(&context.clients.limits));
    #[cfg(feature = "deflate")]
    if let (Some(params), Some(config)) = (accepted.deflate, deflate) {
        let codecs = crate::codecs::codecs(&config);
        sender = sender.with_deflate(params, &codecs);
        receiver = receiver.with_deflate(params, &codecs);
        accept.negotiated = Some(crate::codecs::Negotiated::new(params, codecs));
    }
    let client = Client::new(NewClient {
        sender,
        context: Arc::clone(context.clients),
        wake_target: context.wake_target.to_wake_target(),
        head,
        peer: opening.peer,
        subprotocol: accept.subprotocol,
        data: accept.data.and_then(ApplicationValue::into_inner),
        #[cfg(feature = "deflate")]
        negotiated: accept.negotiated,
        has_adapter_data: accept.has_adapter_data,
    });
    Ok(Open { receiver, client, entry, waiting: None })
}

/// What the client keeps of its request.
fn kept(whole: RequestHead, request: &Request<'_>, config: &Config) -> RequestHead {
    let limit = if config.keep_headers { config.max_kept_headers } else { 0 };
    if whole.memory() <= limit { whole } else { request.to_head_within(limit) }
}

fn failed() -> Reject {
    Reject::custom(500, "the resource failed")
}
