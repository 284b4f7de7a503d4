//! The resources of a server, by path.

pub(crate) mod entry;
pub(crate) mod error;
mod path;
mod table;

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use clws_handshake::{HttpRequest, HttpResponse};

use crate::client::context::ClientContext;
use crate::config::check::SHORTEST_HEAD;
use crate::drain::work::Works;
use crate::guard::DebugOn;
use crate::lock::{RwLock, rank};
use crate::resource::Resource;
use crate::resource::registry::entry::{Entry, Hook};
use crate::resource::registry::error::RegisterError;
use crate::resource::registry::table::Tables;
use crate::resource::settings::ResourceConfig;
use crate::runtime::handle::RuntimeHandle;
use crate::stats::snapshot::Registered as RegisteredClients;

/// The name of the fallback, in the place of a path.
const FALLBACK: &str = "the fallback";

/// The resources of a server: each path's handlers, and the origins that it admits.
///
/// A request goes to the resource registered for exactly its path; else to that of the longest
/// matching [prefix](Self::register_prefix); else to the [fallback](Self::register_fallback); else
/// it gets 404.
///
/// Resources can be changed while the server runs. Two servers in one process share no resource.
///
/// ```
/// use clws_server::{Config, Origins, Resource, Server};
///
/// struct Silent;
/// impl Resource for Silent {}
///
/// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
/// let resources = server.resources();
/// resources.register("/silent", Origins::any(), Silent)?;
/// assert!(resources.register("/silent", Origins::any(), Silent).is_err());
/// assert!(resources.find("/silent").is_some());
/// assert!(resources.unregister("/silent"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Resources(Arc<Inner>);

struct Inner {
    tables: RwLock<Tables, { rank::REGISTRY }>,
    /// The context of clients whose resource has no settings of its own.
    context: Arc<ClientContext>,
}

impl Resources {
    /// The handlers that a drain of the server waits for.
    pub(crate) fn works(&self) -> &Works {
        &self.0.context.shared.drain.works
    }

    pub(crate) fn new(context: Arc<ClientContext>) -> Self {
        Self(Arc::new(Inner { tables: RwLock::default(), context }))
    }

    /// Registers a resource for a path, which clients must request exactly:
    /// `register-global-resource`.
    ///
    /// # Errors
    ///
    /// The path is taken, no request can have it, an entry of the origins can match
    /// nothing, or a [setting](ResourceConfig) is invalid.
    pub fn register(
        &self,
        path: &str,
        settings: impl Into<ResourceConfig>,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        self.register_shared(path, settings, Arc::new(resource))
    }

    /// Registers a resource that the caller keeps a handle to, or that serves several paths.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_shared(
        &self,
        path: &str,
        settings: impl Into<ResourceConfig>,
        resource: Arc<dyn Resource>,
    ) -> Result<(), RegisterError> {
        if path::fault(path).is_some() {
            return Err(RegisterError::InvalidPath(path.into()));
        }
        self.check_path(path)?;
        let entry = self.new_entry(path, settings.into(), resource)?;
        // A refused entry is dropped after the lock.
        let added = self.write().add(path, entry);
        added.map_err(|_| RegisterError::Taken(path.into()))
    }

    /// Registers a resource for all paths that begin with a prefix, for instance `/rooms/`, and
    /// have no resource themselves. The requested path is the
    /// [`resource_name`](crate::Client::resource_name).
    ///
    /// # Errors
    ///
    /// The prefix is taken, does not end in `/`, no request can have it, or an entry of the origins
    /// can match nothing.
    pub fn register_prefix(
        &self,
        prefix: &str,
        settings: impl Into<ResourceConfig>,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        if path::prefix_fault(prefix).is_some() {
            return Err(RegisterError::InvalidPrefix(prefix.into()));
        }
        self.check_path(prefix)?;
        let entry = self.new_entry(prefix, settings.into(), Arc::new(resource))?;
        let added = self.write().add_prefix(prefix, entry);
        added.map_err(|_| RegisterError::Taken(prefix.into()))
    }

    /// Registers a resource for all paths that have no other.
    ///
    /// # Errors
    ///
    /// There is one already, an entry of the origins can match
    /// nothing, or a [setting](ResourceConfig) is invalid.
    pub fn register_fallback(
        &self,
        settings: impl Into<ResourceConfig>,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        let entry = self.new_entry(FALLBACK, settings.into(), Arc::new(resource))?;
        let mut tables = self.write();
        if tables.fallback.is_some() {
            drop(tables); // before the entry
            return Err(RegisterError::FallbackTaken);
        }
        tables.fallback = Some(entry);
        Ok(())
    }

    /// Answers requests that are no WebSocket upgrade, on the same port: a page, a health check. It
    /// replaces an earlier hook. Without one, such requests get 426.
    ///
    /// The hook is called on the shard, as the handlers of a [`Resource`] are. It gets the head of
    /// the request, within the handshake's limits. A body is not read, and the connection is closed
    /// after the answer to such a request.
    ///
    /// The connection is kept alive after a `GET` or `HEAD`, so that a page, its assets and its
    /// WebSocket can use the same one. Each request has a deadline,
    /// [`handshake_timeout`](crate::Config#structfield.handshake_timeout), from the answer to the
    /// one before. A connection makes at most 100 requests. Until an answer is written, no further
    /// request is read. Stop and drain close connections that wait for a request.
    ///
    /// A client that has the page already gets 304, if the answer has an `ETag` or `Last-Modified`
    /// that matches the condition of the request: see [`HttpResponse::conditional`].
    ///
    /// Requests of HTTP/1.0 and of any later 1.x are answered. A `HEAD` may be answered as a `GET`
    /// is: the body is not sent. The hook sees every method but `CONNECT`, which is refused, and no
    /// request whose body has no definite end.
    ///
    /// ```
    /// use clws_server::{Config, HttpResponse, Server};
    ///
    /// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
    /// server.resources().http(|request| match request.path() {
    ///     "/" => HttpResponse::html("<!doctype html><title>clws</title><p>It runs."),
    ///     "/health" => HttpResponse::text(200, "ok"),
    ///     _ => HttpResponse::not_found(),
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn http(&self, answer: impl Fn(&HttpRequest<'_>) -> HttpResponse + Send + Sync + 'static) {
        let hook = Arc::new(Hook::new(Box::new(answer), self.debug_on()));
        let before = self.write().http.replace(hook);
        drop(before); // outside of the lock: it is the application's
    }

    /// Returns the resource for a path: `find-global-resource`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Arc<dyn Resource>> {
        self.entry(path).map(|entry| Arc::clone(&entry.resource))
    }

    /// Removes the resource of a path: `unregister-global-resource`. Returns whether there was one.
    ///
    /// New clients get another resource that fits, or 404. Connected clients stay, and the resource
    /// is dropped after the last of them.
    pub fn unregister(&self, path: &str) -> bool {
        let removed = self.write().remove(path); // dropped after the lock
        removed.is_some()
    }

    /// Removes the resource of a [prefix](Self::register_prefix). Returns whether there was one.
    pub fn unregister_prefix(&self, prefix: &str) -> bool {
        let removed = self.write().remove_prefix(prefix);
        removed.is_some()
    }

    /// Removes the [fallback](Self::register_fallback). Returns whether there was one.
    pub fn unregister_fallback(&self) -> bool {
        let removed = self.write().fallback.take();
        removed.is_some()
    }

    pub(crate) fn entry(&self, path: &str) -> Option<Arc<Entry>> {
        self.read().find(path)
    }

    pub(crate) fn hook(&self) -> Option<Arc<Hook>> {
        self.read().http.clone()
    }

    /// The clients of each registered resource.
    pub(crate) fn clients(&self) -> Vec<RegisteredClients> {
        self.read().clients()
    }

    /// The runtime of the server.
    pub(crate) fn runtime(&self) -> &RuntimeHandle {
        &self.0.context.shared.runtime
    }

    pub(crate) fn debug_on(&self) -> DebugOn {
        self.0.context.config.debug_on()
    }

    /// The registration of a resource at a path. It keeps neither the resource nor the server.
    pub(crate) fn registered(&self, path: &str, resource: &Arc<dyn Resource>) -> Registered {
        Registered {
            resources: Arc::downgrade(&self.0),
            path: path.into(),
            resource: Arc::downgrade(resource),
        }
    }

    /// Checks that a request for the path can exist.
    fn check_path(&self, path: &str) -> Result<(), RegisterError> {
        let max_header_size = self.0.context.config.max_header_size;
        let is_root = path == "/"; // it fits into each head that `bind` allows
        if !is_root && path.len().saturating_add(SHORTEST_HEAD - "/".len()) > max_header_size {
            return Err(RegisterError::PathTooLong { path: path.len(), max_header_size });
        }
        Ok(())
    }

    fn new_entry(
        &self,
        path: &str,
        settings: ResourceConfig,
        resource: Arc<dyn Resource>,
    ) -> Result<Arc<Entry>, RegisterError> {
        if resource.needs_runtime() && self.runtime().check().is_err() {
            return Err(RegisterError::NoRuntime(path.into()));
        }
        let name = || if path == FALLBACK { path.into() } else { format!("{path:?}").into() };
        settings.origins.check().map_err(|error| RegisterError::InvalidOrigin { resource: name(), error })?;
        let context = match settings.config(&self.0.context.config) {
            None => Arc::clone(&self.0.context),
            Some(config) => {
                config.check().map_err(|error| RegisterError::InvalidSetting { resource: name(), error })?;
                Arc::new(self.0.context.with_config(config))
            }
        };
        Ok(Arc::new(Entry::new(settings.origins, resource, context, settings.stream_above, path.into())))
    }

    fn read(&self) -> impl Deref<Target = Tables> {
        self.0.tables.read()
    }

    fn write(&self) -> impl DerefMut<Target = Tables> {
        self.0.tables.write()
    }
}

/// The registration of a resource listener, to free its path.
pub(crate) struct Registered {
    resources: Weak<Inner>,
    path: Box<str>,
    resource: Weak<dyn Resource>,
}

impl Registered {
    /// Frees the path, unless it has another resource by now.
    pub(crate) fn unregister(&self) {
        let Some(inner) = self.resources.upgrade() else { return };
        let resources = Resources(inner);
        let removed = {
            let mut tables = resources.write();
            let is_own = tables
                .exact(&self.path)
                .is_some_and(|entry| std::ptr::addr_eq(Arc::as_ptr(&entry.resource), self.resource.as_ptr()));
            is_own.then(|| tables.remove(&self.path))
        };
        drop(removed); // outside of the lock
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = self.read().paths();
        f.debug_set().entries(paths).finish() // the formatter is the caller's: not under the lock
    }
}
