//! Settings of TLS.

use std::fmt;
use std::path::PathBuf;

use crate::net::tls::certificates::{Identity, Source};
use crate::net::tls::error::TlsError;
use crate::net::tls::handle::Tls;
use crate::net::tls::info::TlsVersion;
use crate::net::tls::settings::Settings;

/// Certificates and settings for [`Tls`]: see [`Tls::builder`].
///
/// ```
/// use clws_server::{Tls, TlsVersion};
///
/// # fn pem(name: &str) -> (String, String) {
/// #     let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
/// #     (made.cert.pem(), made.signing_key.serialize_pem())
/// # }
/// # let (org_chain, org_key) = pem("example.org");
/// # let (com_chain, com_key) = pem("*.example.com");
/// let tls = Tls::builder()
///     .certificate(org_chain, org_key) // also for clients that ask for an unknown name
///     .certificate(com_chain, com_key)
///     .min_version(TlsVersion::Tls13)
///     .build()?;
/// # Ok::<(), clws_server::TlsError>(())
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TlsBuilder(Settings);

impl Tls {
    /// Loads one certificate chain and its private key, both in PEM.
    ///
    /// # Errors
    ///
    /// The errors of [`TlsBuilder::build`].
    pub fn from_pem(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        Self::builder().certificate(chain, key).build()
    }

    /// Loads one certificate chain and its private key from PEM files, which
    /// [`reload`](Self::reload) reads again.
    ///
    /// # Errors
    ///
    /// The errors of [`TlsBuilder::build`].
    pub fn from_files(chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        Self::builder().certificate_files(chain, key).build()
    }

    /// Takes several certificates, client certificates and other settings.
    pub const fn builder() -> TlsBuilder {
        TlsBuilder(Settings {
            identities: Vec::new(),
            client_roots: None,
            requires_client: false,
            resumes: true,
            min_version: TlsVersion::Tls12,
        })
    }
}

impl TlsBuilder {
    /// Adds a certificate chain and its private key, both in PEM. The server's own certificate comes
    /// first in the chain.
    ///
    /// With several certificates, the server name in the client's handshake (SNI) chooses one by
    /// the DNS names in it. The first certificate is for clients that ask for no name, or for an
    /// unknown one. Two certificates with the same name and different kinds of keys are possible:
    /// the first one that the client can verify is used.
    pub fn certificate(mut self, chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let memory = |bytes: &[u8]| Source::Memory(bytes.into());
        self.0.identities.push(Identity { chain: memory(chain.as_ref()), key: memory(key.as_ref()) });
        self
    }

    /// Adds a certificate chain and its key from PEM files, which [`Tls::reload`] reads again.
    pub fn certificate_files(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.0.identities.push(Identity { chain: Source::File(chain.into()), key: Source::File(key.into()) });
        self
    }

    /// Asks clients for a certificate, which one of these authorities (PEM) must have signed. A
    /// client without a certificate is still accepted. A resource sees the certificates with
    /// [`TlsInfo::client_certificates`](crate::TlsInfo::client_certificates).
    ///
    /// Revocation lists need a config of rustls: see [`Tls::from_rustls`].
    pub fn client_certificates(mut self, authorities: impl AsRef<[u8]>) -> Self {
        self.0.client_roots = Some(Source::Memory(authorities.as_ref().into()));
        self
    }

    /// As [`client_certificates`](Self::client_certificates), with a PEM file that [`Tls::reload`]
    /// reads again.
    pub fn client_certificate_file(mut self, authorities: impl Into<PathBuf>) -> Self {
        self.0.client_roots = Some(Source::File(authorities.into()));
        self
    }

    /// Refuses clients without a certificate. Without the authorities from
    /// [`client_certificates`](Self::client_certificates), [`build`](Self::build) fails.
    pub const fn require_client_certificates(mut self) -> Self {
        self.0.requires_client = true;
        self
    }

    /// Whether clients may resume sessions, which saves most of a handshake's time. On by default:
    /// each client gets one ticket, encrypted with a key that changes every six hours and is in no
    /// file.
    ///
    /// Without a ticket, the first answer to a TLS 1.3 client without `TCP_NODELAY` takes about
    /// 40 ms longer, because the server's handshake then ends without a segment that acknowledges
    /// the client's.
    pub const fn resumption(mut self, resumes: bool) -> Self {
        self.0.resumes = resumes;
        self
    }

    /// The oldest version that clients may use. [`TlsVersion::Tls12`] by default.
    pub const fn min_version(mut self, version: TlsVersion) -> Self {
        self.0.min_version = version;
        self
    }

    /// Loads the certificates.
    ///
    /// # Errors
    ///
    /// - No certificate was added.
    /// - A file cannot be read, is not PEM, or has no certificate or no key.
    /// - A key does not belong to its certificate.
    /// - Client certificates are required, and no authority was added.
    pub fn build(self) -> Result<Tls, TlsError> {
        let loaded = self.0.load(None)?;
        Ok(Tls::new(loaded, Some(self.0)))
    }
}

impl fmt::Debug for TlsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sources contain private keys.
        f.debug_struct("TlsBuilder").field("certificates", &self.0.identities.len()).finish_non_exhaustive()
    }
}
