//! Certificates and keys in PEM, from memory or from files.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::net::tls::error::TlsError;
use crate::net::tls::resolver::ByName;

/// Where PEM text comes from. A file is read again at each reload.
#[derive(Clone)]
pub(super) enum Source {
    Memory(Arc<[u8]>),
    File(PathBuf),
}

/// A certificate chain and its private key.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain: Source,
    pub(super) key: Source,
}

impl Source {
    pub(super) const fn is_file(&self) -> bool {
        matches!(self, Self::File(_))
    }

    /// Reads the text. `subject` names it in an error, if it is not a file.
    pub(super) fn read(&self, subject: &str) -> Result<Arc<[u8]>, TlsError> {
        match self {
            Self::Memory(bytes) => Ok(Arc::clone(bytes)),
            Self::File(path) => {
                let read = fs::read(path);
                read.map(Into::into).map_err(|error| TlsError::caused(self.name(subject), error))
            }
        }
    }

    pub(super) fn name(&self, subject: &str) -> String {
        match self {
            Self::Memory(_) => subject.to_owned(),
            Self::File(path) => format!("{subject}, file `{}`", path.display()),
        }
    }
}

/// Loads the certificates of a server.
pub(super) fn load(identities: &[Identity], provider: &CryptoProvider) -> Result<ByName, TlsError> {
    if identities.is_empty() {
        return Err(TlsError::new("a server with TLS needs at least one certificate"));
    }
    let mut loaded = ByName::default();
    for (number, identity) in (1..).zip(identities) {
        let (subject, key_subject) = (format!("certificate {number}"), format!("key {number}"));
        let chain = certificates(&identity.chain, &subject)?;
        let key =
            PrivateKeyDer::from_pem_slice(&identity.key.read(&key_subject)?).map_err(
                |error| match error {
                    rustls::pki_types::pem::Error::NoItemsFound => TlsError::new(format!(
                        "{}: it has no PEM section `PRIVATE KEY`",
                        identity.key.name(&key_subject)
                    )),
                    error => TlsError::caused(identity.key.name(&key_subject), error),
                },
            )?;
        let names = chain
            .first()
            .map(|certificate| names(certificate, &identity.chain.name(&subject)))
            .transpose()?;
        // This checks that the key belongs to the certificate.
        let certified = CertifiedKey::from_der(chain, key, provider)
            .map_err(|error| TlsError::caused(identity.chain.name(&subject), error))?;
        loaded.add(certified, names.iter().flatten().map(String::as_str));
    }
    Ok(loaded)
}

/// Loads the authorities that sign client certificates, from their PEM text.
pub(super) fn load_roots(pem: &[u8], name: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in parse(pem, name)? {
        roots.add(certificate).map_err(|error| TlsError::caused(name, error))?;
    }
    Ok(roots)
}

fn certificates(source: &Source, subject: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    parse(&source.read(subject)?, &source.name(subject))
}

fn parse(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let parsed = parsed.map_err(|error| TlsError::caused(name, error))?;
    if parsed.is_empty() {
        return Err(TlsError::new(format!("{name}: it has no PEM section `CERTIFICATE`")));
    }
    Ok(parsed)
}

/// The DNS names of a certificate.
fn names(certificate: &CertificateDer<'_>, name: &str) -> Result<Vec<String>, TlsError> {
    let parsed =
        webpki::EndEntityCert::try_from(certificate).map_err(|error| TlsError::caused(name, error))?;
    Ok(parsed.valid_dns_names().map(str::to_owned).collect())
}
