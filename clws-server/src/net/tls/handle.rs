//! A handle of certificates and settings, which can be replaced while the server runs.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;

use crate::lock::{RwLock, rank};
use crate::net::tls::error::TlsError;
use crate::net::tls::resolver::Recording;
use crate::net::tls::settings::{Loaded, Settings};

/// The certificates and settings of a server with TLS: see
/// [`ServerBuilder::tls`](crate::ServerBuilder::tls).
///
/// It is a handle and cheap to clone. [`reload`](Self::reload) and [`replace`](Self::replace) change
/// the certificates while the server runs: new connections use the new ones, and existing
/// connections continue.
///
/// The chapter [tls](crate::guide::tls) has examples.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<State, { rank::TLS }>>);

struct State {
    loaded: Loaded,
    /// `None` for a config of the application.
    settings: Option<Settings>,
}

impl Tls {
    /// Takes a config of rustls 0.23, for settings that [`builder`](Self::builder) does not have.
    ///
    /// The config should have `http/1.1` as its only protocol (ALPN). Early data is switched off,
    /// because an attacker can repeat it. The code in the config, such as a certificate resolver,
    /// runs on the threads of the shards and must not block.
    #[must_use]
    pub fn from_rustls(config: Arc<ServerConfig>) -> Self {
        let mut config = Arc::unwrap_or_clone(config);
        config.max_early_data_size = 0;
        config.cert_resolver = Arc::new(Recording(config.cert_resolver));
        Self::new(Loaded { config: Arc::new(config), clients: None, resumes: true }, None)
    }

    /// Reads the files again. New connections use the new certificates. Sessions of earlier
    /// connections can still be resumed, unless the authorities of client certificates have
    /// changed.
    ///
    /// # Errors
    ///
    /// The errors of [`TlsBuilder::build`](crate::TlsBuilder::build), and an error if there is no
    /// file to read again. After an error, the earlier certificates stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        let (earlier, settings) = {
            let state = self.0.read();
            (state.loaded.clone(), state.settings.clone())
        };
        let settings = settings.filter(Settings::has_files).ok_or_else(|| {
            TlsError::new("a reload needs certificates from files: use `replace` for others")
        })?;
        let loaded = settings.load(Some(&earlier))?;
        self.set(State { loaded, settings: Some(settings) });
        Ok(())
    }

    /// Takes over the certificates and settings of another handle. New connections use them, as after
    /// a [`reload`](Self::reload). `with` does not change.
    pub fn replace(&self, with: &Self) {
        let (mut loaded, settings) = {
            let state = with.0.read();
            (state.loaded.clone(), state.settings.clone())
        };
        let earlier = self.0.read().loaded.clone();
        let is_alike = loaded.clients.is_some() && loaded.clients == earlier.clients;
        if is_alike && loaded.resumes && earlier.resumes {
            let config = Arc::make_mut(&mut loaded.config);
            config.ticketer = Arc::clone(&earlier.config.ticketer);
            config.session_storage = Arc::clone(&earlier.config.session_storage);
        }
        self.set(State { loaded, settings });
    }

    /// The earlier state may contain code of the application, so it is dropped after the lock.
    fn set(&self, state: State) {
        let earlier = std::mem::replace(&mut *self.0.write(), state);
        drop(earlier);
    }

    pub(super) fn new(loaded: Loaded, settings: Option<Settings>) -> Self {
        Self(Arc::new(RwLock::new(State { loaded, settings })))
    }

    /// The settings for the next connection.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read().loaded.config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}
