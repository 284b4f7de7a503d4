//! The decision of the application on a request.

use std::sync::Arc;

use clws_handshake::{HeadScanner, HttpRequest, Reject, Request, Status};

use crate::admission::ConnectionPermit;
use crate::connection::accepted::{failed, open};
use crate::connection::context::Context;
use crate::connection::handshake::{Asked, Handshake, Outcome, Requested};
use crate::connection::proxied::{ProxiedFault, remote};
use crate::connection::refusal::refusal;
#[cfg(feature = "http")]
use crate::connection::upgrade::UpgradeAnswer;
use crate::guard::{Fields, guard, guard_other, log};
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::resource::registry::entry::Entry;

impl Handshake {
    /// Continues with the decision of the application, if there is one. The request is in `bytes`.
    pub(super) fn decided(&mut self, bytes: &[u8], context: &Context<'_>) -> Result<Outcome, Reject> {
        let Some(asked) = self.asked.take() else { return Ok(Outcome::Wait) };
        let Some(decision) = asked.pending.take() else {
            self.asked = Some(asked);
            return Ok(Outcome::Wait);
        };
        if asked.pending.is_abandoned() {
            let Fields { peer, client, resource, version, .. } = Fields::of(&asked.opening);
            log(|| {
                tracing::error!(
                    peer,
                    client,
                    resource,
                    version,
                    "a decision on a client was dropped without an answer"
                );
            });
        }
        let handshake_limits = context.config().handshake_limits();
        // The request was complete before the application was asked.
        let Status::Complete(length) = HeadScanner::new().scan(bytes, &handshake_limits)? else {
            return Err(failed());
        };
        let (head, body) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        let http = HttpRequest::parse(head, &handshake_limits)?;
        let Status::Complete(request) = self.read(http, body, &handshake_limits)? else {
            return Err(failed());
        };
        let mut accept = decision?;
        accept.has_adapter_data |= asked.has_adapter_data;
        self.answer(request, asked.entry, asked.opening, accept, context)
    }

    /// Finds the resource, and asks it for a decision.
    pub(super) fn ask(&mut self, request: Request<'_>, context: &Context<'_>) -> Result<Outcome, Reject> {
        self.permit = None;
        let config = context.config();
        let Some(entry) = context.resources.entry(request.path()) else { return Err(Reject::not_found()) };
        let remote = match remote(self.peer, self.source, &request.headers(), context) {
            Ok(remote) => remote,
            Err(ProxiedFault::Malformed(reject)) => return Err(reject),
            Err(ProxiedFault::Crowded) => {
                let Some((reject, outcome)) = refusal(ConnectionPermit::Crowded) else {
                    return Err(failed());
                };
                return Ok(Outcome::Refused(reject, outcome));
            }
        };
        self.remote = remote;
        let place = Requested { path: request.path(), peer: self.peer, remote };
        #[cfg(feature = "__tls")]
        let has_tls = self.tls.is_some();
        #[cfg(not(feature = "__tls"))]
        let has_tls = false;
        let is_secure = has_tls || remote.is_some_and(|remote| remote.is_secure);
        let admits = guard_other(config.debug_on(), "a rule for origins", &place, || {
            entry.origins.allows_at(request.origin(), request.host(), is_secure)
        });
        if !admits.ok_or_else(failed)? {
            return Err(Reject::forbidden("this origin is not admitted"));
        }
        let opening = Opening {
            head: request.to_head(true),
            version: request.version(),
            peer: self.peer,
            #[cfg(feature = "__tls")]
            tls: self.tls.as_ref().and_then(|tls| tls.get().cloned()),
            remote,
            debug: config.debug_on(),
            #[cfg(feature = "http")]
            extensions: self.upgrade.as_ref().map(|upgrade| Arc::clone(&upgrade.extensions)),
        };
        let mut accept =
            guard(config.debug_on(), &opening, || entry.resource.accept(&opening)).ok_or_else(failed)??;
        accept.set_debug(config.debug_on());
        self.answer(request, entry, opening, accept, context)
    }

    /// Carries out the decision of the application.
    fn answer(
        &mut self,
        request: Request<'_>,
        entry: Arc<Entry>,
        opening: Opening,
        mut accept: Accept,
        context: &Context<'_>,
    ) -> Result<Outcome, Reject> {
        if let Some(mut task) = accept.task.take() {
            let path = request.path();
            task.set_path(path);
            if let Err(error) = context.clients.shared.runtime.spawn(task) {
                log(|| tracing::error!(resource = path, "a decision in a future is not possible: {error}"));
                return Err(failed());
            }
        }
        if let Some(pending) = accept.pending {
            pending.wake(context.wake_target.to_wake_target(), context.config().debug_on());
            self.asked =
                Some(Box::new(Asked { pending, entry, opening, has_adapter_data: accept.has_adapter_data }));
            return Ok(Outcome::Wait);
        }
        #[cfg(feature = "http")]
        if self.is_upgrade() {
            let (open, response) = open(request, entry, opening, accept, None, context)?;
            return Ok(Outcome::Upgrade(UpgradeAnswer::accepted(open, response)));
        }
        let consumed = request.consumed();
        let (open, _) = open(request, entry, opening, accept, Some(self.interim.written), context)?;
        Ok(Outcome::Open(open, consumed))
    }
}
