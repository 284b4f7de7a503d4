use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use clws_handshake::Origins;

use crate::Resource;

/// The resources of a server: which path has which handler, and which origins it admits.
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
pub struct Resources(Arc<RwLock<HashMap<Box<str>, Arc<Entry>>>>);

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
    /// Another resource has it.
    #[error("{0:?} is registered already")]
    Taken(Box<str>),
}

impl Resources {
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
        let unfit = |byte: u8| byte <= b' ' || byte == 0x7F || byte == b'?' || byte == b'#';
        if !path.starts_with('/') || path.bytes().any(unfit) {
            return Err(RegisterError::InvalidPath(path.into()));
        }
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match map.entry(path.into()) {
            Slot::Occupied(_) => Err(RegisterError::Taken(path.into())),
            Slot::Vacant(slot) => {
                slot.insert(Arc::new(Entry { origins, resource }));
                Ok(())
            }
        }
    }

    /// The resource behind a path: `find-global-resource`.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<Arc<dyn Resource>> {
        self.entry(path).map(|entry| Arc::clone(&entry.resource))
    }

    /// Takes the resource from a path: `unregister-global-resource`; returns whether there was one.
    ///
    /// New clients get 404. Those that are connected stay, and their resource is dropped behind the last of them.
    pub fn unregister(&self, path: &str) -> bool {
        let removed = self.0.write().unwrap_or_else(PoisonError::into_inner).remove(path);
        // Dropped outside of the lock: the resource's own drop may come back here.
        removed.is_some()
    }

    pub(crate) fn entry(&self, path: &str) -> Option<Arc<Entry>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(map.keys()).finish()
    }
}
