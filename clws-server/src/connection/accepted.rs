//! A client of an accepted request, and the response to it.

use std::sync::Arc;

use clws_handshake::{Acceptance, Accepted, Reject, Request, RequestHead};
use clws_proto::{Receiver, Role, Sender};

#[cfg(feature = "capture")]
use crate::capture::error::CaptureError;
#[cfg(feature = "capture")]
use crate::capture::recorder;
use crate::client::rates::Rates;
use crate::client::{Client, NewClient};
#[cfg(feature = "deflate")]
use crate::codecs::Negotiated;
use crate::config::Config;
use crate::connection::context::Context;
use crate::connection::open::Open;
use crate::guard::{ApplicationValue, log};
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::resource::registry::entry::Entry;

/// Makes a client of an accepted request.
///
/// The response is queued, without its first `written` bytes: they are the part of `100 Continue`
/// that was written already. `None` means that another HTTP server sends the response.
pub(super) fn open(
    request: Request<'_>,
    entry: Arc<Entry>,
    opening: Opening,
    accept: Accept,
    written: Option<usize>,
    context: &Context<'_>,
) -> Result<(Open, Accepted), Reject> {
    let config = &entry.context.config;
    let mut acceptance = Acceptance::new().secure(accept.secure || opening.is_secure());
    if let Some(name) = &accept.subprotocol {
        acceptance = acceptance.subprotocol(name);
    }
    if let Some(origin) = &accept.origin {
        acceptance = acceptance.origin(origin);
    }
    if let Some(location) = &accept.location {
        acceptance = acceptance.location(location);
    }
    for (name, value) in &accept.headers {
        acceptance = acceptance.header(name, value);
    }
    #[cfg(feature = "deflate")]
    let deflate = accept.deflate.unwrap_or(config.deflate);
    #[cfg(feature = "deflate")]
    if let Some(deflate) = &deflate {
        acceptance = acceptance.deflate(deflate);
    }
    let head = kept(opening.head, &request, config);
    if config.keep_headers && head.is_truncated() {
        let limit = config.max_kept_headers;
        log(|| tracing::debug!(peer = %opening.peer, limit, "the request has more headers than are kept"));
    }
    let accepted = request.accept(&acceptance).map_err(|error| {
        log(|| {
            let (peer, resource, version) = (opening.peer, head.path(), opening.version.number());
            tracing::error!(%peer, resource, version, "a resource gave an answer that cannot be sent: {error}");
        });
        failed()
    })?;

    let version = accepted.version;
    let mut sender = Sender::server(version);
    sender.set_policy(config.slow_policy);
    (context.environment.lend_outbox)(&mut sender);
    if let Some(written) = written {
        sender.preface(accepted.response.get(written..).unwrap_or_default());
    }
    let mut receiver = Receiver::new(version, Role::Server, Arc::clone(&entry.context.limits));
    if let Some(above) = entry.stream_above {
        receiver = receiver.stream_messages(above);
    }
    #[cfg(feature = "deflate")]
    let mut negotiated = None;
    #[cfg(feature = "deflate")]
    if let (Some(params), Some(config)) = (accepted.deflate, deflate) {
        let codecs = (context.environment.codecs)(&config);
        sender = sender.deflate(params, &codecs);
        receiver = receiver.deflate(params, &codecs);
        negotiated = Some(Negotiated::new(params, codecs));
    }
    let client = Client::new(NewClient {
        sender,
        context: Arc::clone(&entry.context),
        wake_target: context.wake_target.to_wake_target(),
        head,
        peer: opening.peer,
        remote: opening.remote,
        subprotocol: accept.subprotocol,
        data: accept.data.and_then(ApplicationValue::into_inner),
        #[cfg(feature = "deflate")]
        negotiated,
        has_adapter_data: accept.has_adapter_data,
        rates: Rates::new(config),
    });
    if let Some(stored) = context.new_client {
        drop(stored.set(client.clone())); // a connection has one client
    }
    #[cfg(feature = "capture")]
    if accept.capture {
        record(&client, context);
    }
    Ok((Open { receiver, client, entry, waiting: None }, accepted))
}

/// Asks for a recording of the connection. `Connection::conclude` adds the request.
#[cfg(feature = "capture")]
#[cold]
fn record(client: &Client, context: &Context<'_>) {
    let request = recorder::Request { received: Vec::new(), sent: Vec::new(), is_late: false };
    let recorder = context.recorder().ok_or(CaptureError::Off);
    if let Err(error) = recorder.and_then(|recorder| recorder.request(client.id().number(), request)) {
        log(|| tracing::debug!(peer = %client.peer(), "a client is not recorded: {error}"));
    }
}

/// The part of the request head that the client keeps.
fn kept(whole: RequestHead, request: &Request<'_>, config: &Config) -> RequestHead {
    let limit = if config.keep_headers { config.max_kept_headers } else { 0 };
    if whole.memory() <= limit { whole } else { request.to_head_within(limit) }
}

/// The answer to an error of the application.
pub(super) fn failed() -> Reject {
    Reject::custom(500, "the resource failed")
}
