//! The choice of a certificate by the server name that a client asks for.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

thread_local! {
    /// The server name of the latest ClientHello on this thread. A session reads it right after the
    /// call in which rustls has handled its ClientHello.
    static SERVER_NAME: RefCell<Option<Box<str>>> = const { RefCell::new(None) };
}

/// Takes the server name of the ClientHello that this thread has just handled.
pub(super) fn take_server_name() -> Option<Box<str>> {
    SERVER_NAME.try_with(|name| name.try_borrow_mut().ok()?.take()).ok().flatten()
}

/// Records the server name, because a session without buffers does not tell it. Then asks the
/// resolver inside.
#[derive(Debug)]
pub(super) struct Recording(pub(super) Arc<dyn ResolvesServerCert>);

impl ResolvesServerCert for Recording {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(|name| name.to_ascii_lowercase().into());
        let _ = SERVER_NAME.try_with(|stored| stored.try_borrow_mut().map(|mut stored| *stored = name));
        self.0.resolve(hello)
    }

    fn only_raw_public_keys(&self) -> bool {
        self.0.only_raw_public_keys()
    }
}

/// Certificates by the names in them. The first one is for clients that ask for no name, or for a
/// name that no certificate has.
#[derive(Default)]
pub(super) struct ByName {
    all: Vec<Arc<CertifiedKey>>,
    /// Names in lower case. A wildcard is stored without its `*`, as `.example.org`.
    names: HashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
}

impl ByName {
    /// Adds a certificate with the names in it.
    pub(super) fn add<'a>(&mut self, key: CertifiedKey, names: impl Iterator<Item = &'a str>) {
        let key = Arc::new(key);
        for name in names {
            let name = name.to_ascii_lowercase();
            let name = name.strip_prefix('*').unwrap_or(&name);
            self.names.entry(name.into()).or_default().push(Arc::clone(&key));
        }
        self.all.push(key);
    }

    /// The certificates for a name, best first.
    fn candidates(&self, name: Option<&str>) -> &[Arc<CertifiedKey>] {
        let of = |name: &str| self.names.get(name).map(Vec::as_slice);
        let named = name.and_then(|name| {
            let name = name.to_ascii_lowercase();
            // RFC 9525 §6.3: a wildcard matches exactly one label.
            of(&name).or_else(|| of(name.get(name.find('.')?..)?))
        });
        named.unwrap_or_else(|| self.all.get(..1).unwrap_or_default())
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = self.candidates(hello.server_name());
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        candidates.iter().find(fits).or_else(|| candidates.first()).cloned()
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByName").field("names", &self.names.keys()).finish_non_exhaustive()
    }
}
