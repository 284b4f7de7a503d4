//! Registered resources and the HTTP hook: application code that is dropped under the guard.

use std::sync::Arc;

use clws_handshake::{HttpRequest, HttpResponse, Origins};

use crate::client::context::ClientContext;
use crate::guard::{DebugOn, Nowhere, discard};
use crate::lock::assert_none_held;
use crate::resource::Resource;
use crate::stats::per_resource::ResourceClients;

/// A registered resource.
pub(crate) struct Entry {
    pub(crate) origins: Origins,
    pub(crate) resource: Arc<dyn Resource>,
    pub(crate) clients: ResourceClients,
    /// The settings of its clients.
    pub(crate) context: Arc<ClientContext>,
    /// Longer messages are delivered in pieces.
    pub(crate) stream_above: Option<usize>,
    /// The path or prefix, for the log.
    path: Box<str>,
}

/// Answers requests that are no upgrade.
pub(crate) struct Hook {
    answer: Box<Answer>,
    debug: DebugOn,
}

type Answer = dyn Fn(&HttpRequest<'_>) -> HttpResponse + Send + Sync;

/// Replaces a resource that is dropped.
struct Gone;

impl Resource for Gone {}

impl Entry {
    pub(super) fn new(
        origins: Origins,
        resource: Arc<dyn Resource>,
        context: Arc<ClientContext>,
        stream_above: Option<usize>,
        path: Box<str>,
    ) -> Self {
        Self { origins, resource, clients: ResourceClients::default(), context, stream_above, path }
    }
}

/// The last open connection of a resource may hold the last reference to it.
impl Drop for Entry {
    fn drop(&mut self) {
        assert_none_held();
        let debug = self.context.config.debug_on();
        discard(debug, &self.path, std::mem::replace(&mut self.resource, Arc::new(Gone)));
        discard(debug, &self.path, std::mem::take(&mut self.origins));
    }
}

impl Hook {
    pub(super) const fn new(answer: Box<Answer>, debug: DebugOn) -> Self {
        Self { answer, debug }
    }

    /// The answer of the application.
    pub(crate) fn answer(&self, request: &HttpRequest<'_>) -> HttpResponse {
        (self.answer)(request)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        discard(
            self.debug,
            &Nowhere,
            std::mem::replace(&mut self.answer, Box::new(|_| HttpResponse::not_found())),
        );
    }
}
