use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use clws_handshake::{HttpRequest, HttpResponse, Origins};

use crate::guard::DebugOn;
use crate::{Listener, ListenerHandle, ListenerTask, Resource, rt};

/// The resources of a server: which path has which handler, and which origins it admits.
///
/// A request goes to the resource registered for exactly its path; else to that of the longest
/// [prefix](Self::register_prefix) it begins with; else to the [fallback](Self::register_fallback); else it gets 404.
///
/// It can be changed while the server runs. Two servers share nothing.
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

#[derive(Default)]
struct Inner {
    tables: RwLock<Tables>,
    debug: DebugOn,
}

#[derive(Default)]
struct Tables {
    exact: HashMap<Box<str>, Arc<Entry>>,
    /// Each key ends in `/`.
    prefixes: HashMap<Box<str>, Arc<Entry>>,
    fallback: Option<Arc<Entry>>,
    http: Option<Arc<Hook>>,
}

/// Answers requests that are no upgrade.
pub(crate) type Hook = dyn Fn(&HttpRequest<'_>) -> HttpResponse + Send + Sync;

/// A registered resource.
pub(crate) struct Entry {
    pub(crate) origins: Origins,
    pub(crate) resource: Arc<dyn Resource>,
}

/// A path cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// It does not begin with `/`, or has a `?`, a `#`, a blank or a control character in it.
    #[error("{0:?} is not a path that a request can have")]
    InvalidPath(Box<str>),
    /// It does not begin and end with `/`, or is no path.
    #[error("{0:?} is not a prefix of paths that ends in a slash")]
    InvalidPrefix(Box<str>),
    /// Another resource has it.
    #[error("{0:?} is registered already")]
    Taken(Box<str>),
    /// Another resource is the fallback.
    #[error("there is a fallback already")]
    FallbackTaken,
}

impl Resources {
    pub(crate) fn new(debug: DebugOn) -> Self {
        Self(Arc::new(Inner { tables: RwLock::default(), debug }))
    }

    /// Puts a resource behind a path, which clients must ask for exactly: `register-global-resource`.
    ///
    /// # Errors
    ///
    /// The path is no path, or is taken.
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
        if !is_path(path) {
            return Err(RegisterError::InvalidPath(path.into()));
        }
        put(&mut self.write().exact, path, Entry { origins, resource })
    }

    /// Puts a resource behind all paths that begin with a prefix, `/rooms/` for instance, and have no resource of their
    /// own. Which one was asked for is the [`resource_name`](crate::Client::resource_name).
    ///
    /// # Errors
    ///
    /// The prefix does not end in `/`, is no path, or is taken.
    pub fn register_prefix(
        &self,
        prefix: &str,
        origins: Origins,
        resource: impl Resource,
    ) -> Result<(), RegisterError> {
        if !is_path(prefix) || !prefix.ends_with('/') {
            return Err(RegisterError::InvalidPrefix(prefix.into()));
        }
        put(&mut self.write().prefixes, prefix, Entry { origins, resource: Arc::new(resource) })
    }

    /// Puts a resource behind all paths that have no other.
    ///
    /// # Errors
    ///
    /// There is one already.
    pub fn register_fallback(&self, origins: Origins, resource: impl Resource) -> Result<(), RegisterError> {
        let mut tables = self.write();
        if tables.fallback.is_some() {
            return Err(RegisterError::FallbackTaken);
        }
        tables.fallback = Some(Arc::new(Entry { origins, resource: Arc::new(resource) }));
        Ok(())
    }

    /// Registers a [`Listener`] and runs it, in a task of async-std's executor: `run-resource-listener`. When it is
    /// [killed](ListenerHandle::kill), its path is free again. (A [`ListenerTask`] leaves the running to you.)
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn run_resource_listener<L: Listener>(
        &self,
        path: &str,
        origins: Origins,
        listener: L,
    ) -> Result<ListenerHandle<L>, RegisterError> {
        let task = ListenerTask::new(listener).debug_on(self.0.debug);
        let (handle, resource) = (task.handle(), task.resource());
        let registered = Arc::downgrade(&resource);
        self.register_shared(path, origins, resource)?;
        // The task must not hold the server: the listener ends when the server is gone.
        let (tables, path) = (Arc::downgrade(&self.0), Box::<str>::from(path));
        rt::spawn(async move {
            task.run().await;
            if let Some(tables) = tables.upgrade() {
                let resources = Self(tables);
                let mut tables = resources.write();
                let still =
                    |entry: &Arc<Entry>| std::ptr::addr_eq(Arc::as_ptr(&entry.resource), registered.as_ptr());
                let removed = match tables.exact.get(&path) {
                    Some(entry) if still(entry) => tables.exact.remove(&path),
                    _ => None,
                };
                drop(tables);
                drop(removed);
            }
        });
        Ok(handle)
    }

    /// Answers requests that ask for no WebSocket, on the same port: a page, a health check. It takes the place of the
    /// hook that was there; without one they get 426.
    ///
    /// The hook is called on the shard, as the handlers of a [`Resource`] are. It sees the head of the request, within the
    /// handshake's limits; a body is not read. The connection is closed behind the answer.
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
        let before = self.write().http.replace(Arc::new(answer));
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
        let removed = self.write().prefixes.remove(prefix);
        removed.is_some()
    }

    /// Takes the [fallback](Self::register_fallback) away; returns whether there was one.
    pub fn unregister_fallback(&self) -> bool {
        let removed = self.write().fallback.take();
        removed.is_some()
    }

    pub(crate) fn entry(&self, path: &str) -> Option<Arc<Entry>> {
        let tables = self.read();
        let found = tables.exact.get(path).or_else(|| {
            let mut rest = if tables.prefixes.is_empty() { "" } else { path };
            while let Some(slash) = rest.rfind('/') {
                let prefix = rest.get(..=slash)?;
                if let Some(entry) = tables.prefixes.get(prefix) {
                    return Some(entry);
                }
                rest = rest.get(..slash)?;
            }
            tables.fallback.as_ref()
        });
        found.cloned()
    }

    pub(crate) fn hook(&self) -> Option<Arc<Hook>> {
        self.read().http.clone()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.0.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.0.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request can ask for it.
fn is_path(path: &str) -> bool {
    let unfit = |byte: u8| byte <= b' ' || byte == 0x7F || byte == b'?' || byte == b'#';
    path.starts_with('/') && !path.bytes().any(unfit)
}

fn put(table: &mut HashMap<Box<str>, Arc<Entry>>, path: &str, entry: Entry) -> Result<(), RegisterError> {
    match table.entry(path.into()) {
        Slot::Occupied(_) => Err(RegisterError::Taken(path.into())),
        Slot::Vacant(slot) => {
            slot.insert(Arc::new(entry));
            Ok(())
        }
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.read();
        f.debug_set().entries(tables.exact.keys()).entries(tables.prefixes.keys()).finish()
    }
}
