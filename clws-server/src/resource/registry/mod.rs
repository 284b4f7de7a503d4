use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

use clws_handshake::{HttpRequest, HttpResponse, InvalidOrigin, Origins};

use crate::config::check::SHORTEST_HEAD;
use crate::guard::{DebugOn, discard};
use crate::lock::{RwLock, assert_none_held, rank};
use crate::resource::Resource;

mod path;

/// The resources of a server: which path has which handler, and which origins it admits.
///
/// A request goes to the resource registered for exactly its path; else to that of the longest
/// [prefix](Self::register_prefix) it begins with; else to the [fallback](Self::register_fallback); else it gets 404.
///
/// It can be changed while the server runs. Each server has its own: two servers in one process share no resource.
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
#[derive(Clone, Default)]
pub struct Resources(Arc<Inner>);

pub(crate) struct Inner {
    tables: RwLock<Tables, { rank::REGISTRY }>,
    debug: DebugOn,
    /// The bytes of the longest request head that the server takes.
    max_header_size: usize,
}

impl Default for Inner {
    fn default() -> Self {
        Self { tables: RwLock::default(), debug: DebugOn::default(), max_header_size: usize::MAX }
    }
}

#[derive(Default)]
struct Tables {
    exact: HashMap<Box<str>, Arc<Entry>>,
    /// Each key ends in `/`.
    prefixes: HashMap<Box<str>, Arc<Entry>>,
    /// The lengths that prefixes have, the longest first: only so many look-ups a path, whatever is asked for.
    lengths: Vec<usize>,
    fallback: Option<Arc<Entry>>,
    http: Option<Arc<Hook>>,
}

/// Answers requests that are no upgrade.
pub(crate) struct Hook {
    answer: Box<Answer>,
    debug: DebugOn,
}

type Answer = dyn Fn(&HttpRequest<'_>) -> HttpResponse + Send + Sync;

/// A registered resource.
pub(crate) struct Entry {
    pub(crate) origins: Origins,
    pub(crate) resource: Arc<dyn Resource>,
    debug: DebugOn,
}

/// Takes the place of a resource that is dropped.
struct Gone;

impl Resource for Gone {}

/// The last of its clients may be the last to hold it: its drop is code of the application.
impl Drop for Entry {
    fn drop(&mut self) {
        assert_none_held();
        discard(self.debug, std::mem::replace(&mut self.resource, Arc::new(Gone)));
        discard(self.debug, std::mem::take(&mut self.origins));
    }
}

impl Hook {
    /// The answer of the application.
    pub(crate) fn answer(&self, request: &HttpRequest<'_>) -> HttpResponse {
        (self.answer)(request)
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        discard(self.debug, std::mem::replace(&mut self.answer, Box::new(|_| HttpResponse::not_found())));
    }
}

/// A resource cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The path does not begin with `/`, or contains characters that clients percent-encode (`/ü` is `/%C3%BC`), a
    /// `?`, a `#`, a backslash, or a segment `.` or `..`.
    #[error("no request has the path {path:?}: {why}", path = .0, why = path::fault(.0).unwrap_or_default())]
    InvalidPath(Box<str>),
    /// The prefix is no such path, or does not end in `/`.
    #[error("no request has the prefix {path:?}: {why}", path = .0, why = path::prefix_fault(.0).unwrap_or_default())]
    InvalidPrefix(Box<str>),
    /// The path is so long that a request for it exceeds [`max_header_size`](crate::Config#structfield.max_header_size).
    #[error(
        "the path has {path} bytes, which no request head of `max_header_size` = {max_header_size} bytes can hold"
    )]
    PathTooLong {
        /// The length of the path in bytes.
        path: usize,
        /// The setting.
        max_header_size: usize,
    },
    /// The origins have an entry that no browser's origin can match: [`Origins::check`].
    #[error("the origins of {resource}: {error}")]
    InvalidOrigin {
        /// The path in quotation marks, or `the fallback`.
        resource: Box<str>,
        /// The entry, and the forms that are allowed.
        error: InvalidOrigin,
    },
    /// Another resource has it.
    #[error("{0:?} is registered already")]
    Taken(Box<str>),
    /// Another resource is the fallback.
    #[error("there is a fallback already")]
    FallbackTaken,
}

impl Resources {
    pub(crate) fn new(debug: DebugOn, max_header_size: usize) -> Self {
        Self(Arc::new(Inner { tables: RwLock::default(), debug, max_header_size }))
    }

    pub(crate) fn debug_on(&self) -> DebugOn {
        self.0.debug
    }

    /// The registration of a resource at a path. It keeps neither the resource nor the server.
    pub(crate) fn registered(&self, path: &str, resource: &Arc<dyn Resource>) -> Registered {
        Registered { tables: Arc::downgrade(&self.0), path: path.into(), resource: Arc::downgrade(resource) }
    }

    /// Puts a resource behind a path, which clients must ask for exactly: `register-global-resource`.
    ///
    /// # Errors
    ///
    /// The path is taken, no request can have it, or an entry of the origins can match nothing.
    pub fn register(
        &self,
        path: &str,
        origins: Origins,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        self.register_shared(path, origins, Arc::new(resource))
    }

    /// The same with a resource that the caller keeps a handle of, or that stands behind several paths.
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn register_shared(
        &self,
        path: &str,
        origins: Origins,
        resource: Arc<dyn Resource>,
    ) -> Result<(), RegisterError> {
        if path::fault(path).is_some() {
            return Err(RegisterError::InvalidPath(path.into()));
        }
        self.check(path, &origins)?;
        let entry = self.new_entry(origins, resource);
        // What is refused is dropped outside of the lock: the resource's own drop may come back here.
        let refused = put(&mut self.write().exact, path, entry);
        refused.map_err(|_| RegisterError::Taken(path.into()))
    }

    /// Puts a resource behind all paths that begin with a prefix, `/rooms/` for instance, and have no resource of their
    /// own. Which one was asked for is the [`resource_name`](crate::Client::resource_name).
    ///
    /// # Errors
    ///
    /// The prefix is taken, does not end in `/`, no request can have it, or an entry of the origins can match nothing.
    pub fn register_prefix(
        &self,
        prefix: &str,
        origins: Origins,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        if path::prefix_fault(prefix).is_some() {
            return Err(RegisterError::InvalidPrefix(prefix.into()));
        }
        self.check(prefix, &origins)?;
        let entry = self.new_entry(origins, Arc::new(resource));
        let refused = {
            let mut tables = self.write();
            let refused = put(&mut tables.prefixes, prefix, entry);
            tables.measure();
            refused
        };
        refused.map_err(|_| RegisterError::Taken(prefix.into()))
    }

    /// Puts a resource behind all paths that have no other.
    ///
    /// # Errors
    ///
    /// There is one already, or an entry of the origins can match nothing.
    pub fn register_fallback(&self, origins: Origins, resource: impl Resource) -> Result<(), RegisterError> {
        check_origins("the fallback", &origins)?;
        let entry = self.new_entry(origins, Arc::new(resource));
        let mut tables = self.write();
        if tables.fallback.is_some() {
            drop(tables); // before the entry
            return Err(RegisterError::FallbackTaken);
        }
        tables.fallback = Some(entry);
        Ok(())
    }

    /// Answers requests that ask for no WebSocket, on the same port: a page, a health check. It takes the place of the
    /// hook that was there; without one they get 426.
    ///
    /// The hook is called on the shard, as the handlers of a [`Resource`] are. It sees the head of the request, within the
    /// handshake's limits; a body is not read. The connection is closed behind the answer.
    ///
    /// Requests of HTTP/1.0 and of any later 1.x are answered. A `HEAD` may be answered as a `GET` is: the body is not
    /// sent. The hook sees every method but `CONNECT`, which is refused, and no request whose body has no certain end.
    ///
    /// ```
    /// use clws_server::{Config, HttpResponse, Server};
    ///
    /// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
    /// server.http(|request| match request.path() {
    ///     "/" => HttpResponse::html("<!doctype html><title>clws</title><p>It runs."),
    ///     "/health" => HttpResponse::text(200, "ok"),
    ///     _ => HttpResponse::not_found(),
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn http(&self, answer: impl Fn(&HttpRequest<'_>) -> HttpResponse + Send + Sync + 'static) {
        let hook = Arc::new(Hook { answer: Box::new(answer), debug: self.0.debug });
        let before = self.write().http.replace(hook);
        drop(before); // outside of the lock: it is the application's
    }

    /// The resource that a client that asks for this path gets: `find-global-resource`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Arc<dyn Resource>> {
        self.entry(path).map(|entry| Arc::clone(&entry.resource))
    }

    /// Takes the resource from a path: `unregister-global-resource`; returns whether there was one.
    ///
    /// New clients get what else fits, or 404. Those that are connected stay, and their resource is dropped behind the last
    /// of them.
    pub fn unregister(&self, path: &str) -> bool {
        // Dropped outside of the lock: the resource's own drop may come back here.
        let removed = self.write().exact.remove(path);
        removed.is_some()
    }

    /// Takes the resource from a [prefix](Self::register_prefix); returns whether there was one.
    pub fn unregister_prefix(&self, prefix: &str) -> bool {
        let removed = {
            let mut tables = self.write();
            let removed = tables.prefixes.remove(prefix);
            tables.measure();
            removed
        };
        removed.is_some()
    }

    /// Takes the [fallback](Self::register_fallback) away; returns whether there was one.
    pub fn unregister_fallback(&self) -> bool {
        let removed = self.write().fallback.take();
        removed.is_some()
    }

    pub(crate) fn entry(&self, path: &str) -> Option<Arc<Entry>> {
        let tables = self.read();
        let prefixes = || {
            let candidates = tables.lengths.iter().filter_map(|length| path.get(..*length));
            candidates.filter(|prefix| prefix.ends_with('/')).find_map(|prefix| tables.prefixes.get(prefix))
        };
        tables.exact.get(path).or_else(prefixes).or(tables.fallback.as_ref()).cloned()
    }

    pub(crate) fn hook(&self) -> Option<Arc<Hook>> {
        self.read().http.clone()
    }

    /// Whether a request for a path and from an origin can ever get to it.
    fn check(&self, path: &str, origins: &Origins) -> Result<(), RegisterError> {
        let max_header_size = self.0.max_header_size;
        let is_root = path == "/"; // it fits into each head that `bind` allows
        if !is_root && path.len().saturating_add(SHORTEST_HEAD - "/".len()) > max_header_size {
            return Err(RegisterError::PathTooLong { path: path.len(), max_header_size });
        }
        check_origins(&format!("{path:?}"), origins)
    }

    fn new_entry(&self, origins: Origins, resource: Arc<dyn Resource>) -> Arc<Entry> {
        Arc::new(Entry { origins, resource, debug: self.0.debug })
    }

    fn read(&self) -> impl Deref<Target = Tables> {
        self.0.tables.read()
    }

    fn write(&self) -> impl DerefMut<Target = Tables> {
        self.0.tables.write()
    }
}

fn check_origins(resource: &str, origins: &Origins) -> Result<(), RegisterError> {
    origins.check().map_err(|error| RegisterError::InvalidOrigin { resource: resource.into(), error })
}

/// Puts an entry into a table; where there is one already, gives it back.
fn put(table: &mut HashMap<Box<str>, Arc<Entry>>, path: &str, entry: Arc<Entry>) -> Result<(), Arc<Entry>> {
    match table.entry(path.into()) {
        Slot::Occupied(_) => Err(entry),
        Slot::Vacant(slot) => {
            slot.insert(entry);
            Ok(())
        }
    }
}

impl Tables {
    fn measure(&mut self) {
        self.lengths = self.prefixes.keys().map(|prefix| prefix.len()).collect();
        self.lengths.sort_unstable_by(|a, b| b.cmp(a));
        self.lengths.dedup();
    }
}

/// Where a listener was registered, to take its path back.
pub(crate) struct Registered {
    tables: Weak<Inner>,
    path: Box<str>,
    resource: Weak<dyn Resource>,
}

impl Registered {
    /// Frees the path, if it is still this resource's.
    pub(crate) fn unregister(&self) {
        let Some(inner) = self.tables.upgrade() else { return };
        let resources = Resources(inner);
        let removed = {
            let mut tables = resources.write();
            match tables.exact.get(&self.path) {
                Some(entry) if std::ptr::addr_eq(Arc::as_ptr(&entry.resource), self.resource.as_ptr()) => {
                    tables.exact.remove(&self.path)
                }
                _ => None,
            }
        };
        drop(removed); // outside of the lock
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<_> = {
            let tables = self.read();
            tables.exact.keys().chain(tables.prefixes.keys()).cloned().collect()
        };
        f.debug_set().entries(paths).finish() // the formatter is the caller's: not under the lock
    }
}
