//! The settings of TLS, and loading them into a config of rustls.

use std::sync::Arc;

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, version};

use crate::net::tls::certificates::{Identity, Source, load, load_roots};
use crate::net::tls::error::TlsError;
use crate::net::tls::info::TlsVersion;
use crate::net::tls::provider::{Ticketer, default_provider};
use crate::net::tls::resolver::Recording;

/// Where certificates come from, and the other settings.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) identities: Vec<Identity>,
    pub(super) client_roots: Option<Source>,
    pub(super) requires_client: bool,
    pub(super) resumes: bool,
    pub(super) min_version: TlsVersion,
}

impl Settings {
    pub(super) fn has_files(&self) -> bool {
        let mut sources = self.identities.iter().flat_map(|identity| [&identity.chain, &identity.key]);
        sources.any(Source::is_file) || self.client_roots.as_ref().is_some_and(Source::is_file)
    }

    /// Loads everything. Sessions of `earlier` can still be resumed, if clients are verified in the
    /// same way.
    pub(super) fn load(&self, earlier: Option<&Loaded>) -> Result<Loaded, TlsError> {
        const ROOTS: &str = "authorities of client certificates";
        let provider = Arc::new(default_provider());
        let resolver = load(&self.identities, &provider)?;
        let versions: &[_] = match self.min_version {
            TlsVersion::Tls12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::Tls13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::caused("versions of TLS", error))?;
        let client_roots = self.client_roots.as_ref().map(|roots| roots.read(ROOTS)).transpose()?;
        let builder = match (&self.client_roots, &client_roots) {
            (Some(source), Some(pem)) => {
                let name = source.name(ROOTS);
                let roots = Arc::new(load_roots(pem, &name)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if self.requires_client { verifier } else { verifier.allow_unauthenticated() };
                let verifier = verifier.build().map_err(|error| TlsError::caused(name, error))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ if self.requires_client => {
                return Err(TlsError::new(
                    "client certificates are required: add the authorities that sign them, with `client_certificates`",
                ));
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Recording(Arc::new(resolver))));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let clients = Some(Clients { roots: client_roots, required: self.requires_client });
        match earlier.filter(|earlier| self.resumes && earlier.resumes && earlier.clients == clients) {
            Some(earlier) => {
                config.ticketer = Arc::clone(&earlier.config.ticketer);
                config.session_storage = Arc::clone(&earlier.config.session_storage);
                config.send_tls13_tickets = 1;
            }
            None if self.resumes => {
                config.ticketer =
                    Ticketer::new().map_err(|error| TlsError::caused("session tickets", error))?;
                config.send_tls13_tickets = 1;
            }
            None => {
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
        }
        Ok(Loaded { config: Arc::new(config), clients, resumes: self.resumes })
    }
}

/// The settings of new connections.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) config: Arc<ServerConfig>,
    /// How clients are verified. `None` for a config of the application: then it is unknown.
    pub(super) clients: Option<Clients>,
    pub(super) resumes: bool,
}

/// How clients are verified. A session must not be resumed under other rules, because the client's
/// certificate is not verified again.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Clients {
    roots: Option<Arc<[u8]>>,
    required: bool,
}
