//! TLS on a blocking TCP stream, for a thread that reads and another thread that writes.

use std::error::Error;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::stream::Trust;

/// The size of one read. rustls takes so many bytes at a time.
const READ: usize = 4096;

/// A TLS connection. No thread waits for the socket while it holds the lock of the session, so a
/// writer does not hold up a reader.
pub(crate) struct TlsStream {
    tcp: TcpStream,
    session: Mutex<ClientConnection>,
    /// Held while records are encrypted and written, so that they are written in their order.
    writing: Mutex<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl TlsStream {
    /// Performs the TLS handshake with a host, as a URL names it.
    pub(crate) fn shake_hands(
        tcp: TcpStream,
        host: &str,
        patience: Duration,
        trust: &Trust,
    ) -> Result<Self, Box<dyn Error>> {
        let name = host.trim_matches(['[', ']']).to_owned();
        let name =
            ServerName::try_from(name).map_err(|error| format!("the name `{host}` is not valid: {error}"))?;
        let mut session = ClientConnection::new(Arc::new(config(trust)?), name)?;
        tcp.set_read_timeout(Some(patience))?;
        while session.is_handshaking() {
            session.complete_io(&mut &tcp).map_err(explain)?;
        }
        Ok(Self { tcp, session: Mutex::new(session), writing: Mutex::new(()) })
    }

    /// Sets the longest wait of a read.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.tcp.set_read_timeout(timeout)
    }

    /// Reads decrypted bytes. 0 is the end that close_notify announces. An end without close_notify
    /// is an error.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match lock(&self.session).reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            let mut input = [0; READ];
            let count = (&self.tcp).read(&mut input)?;
            let mut session = lock(&self.session);
            let mut rest = &input[..count];
            let mut processed = Ok(());
            loop {
                session.read_tls(&mut rest)?; // without input, it notes the end
                processed = processed.and(session.process_new_packets().map(drop));
                if rest.is_empty() || processed.is_err() {
                    break;
                }
            }
            let wants_write = session.wants_write();
            drop(session);
            if wants_write {
                self.write_vectored(&[])?; // an answer to a key update, or an alert
            }
            processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        }
    }

    /// Encrypts and writes bytes, and everything that waits to be written.
    pub(crate) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let _order = lock(&self.writing);
        let mut output = Vec::new();
        let mut session = lock(&self.session);
        let count = session.writer().write_vectored(slices)?;
        while session.wants_write() {
            session.write_tls(&mut output)?;
        }
        drop(session);
        (&self.tcp).write_all(&output)?;
        Ok(count)
    }

    /// Ends one side or both, with close_notify.
    pub(crate) fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read {
            lock(&self.session).send_close_notify();
            self.write_vectored(&[])?;
        }
        self.tcp.shutdown(how)
    }
}

/// The settings of a client with this trust.
fn config(trust: &Trust) -> Result<ClientConfig, Box<dyn Error>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = match trust.insecure {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider))),
        false => builder.with_root_certificates(roots(trust.ca.as_deref())?),
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The certificate authorities in a file, or those of the system.
fn roots(file: Option<&Path>) -> Result<RootCertStore, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    let Some(file) = file else {
        // Systems have certificates that rustls cannot use. The others are enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    let failed =
        |error: &dyn std::fmt::Display| format!("cannot use the certificates in {}: {error}", file.display());
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| failed(&error))? {
        roots.add(certificate.map_err(|error| failed(&error))?).map_err(|error| failed(&error))?;
    }
    if roots.is_empty() { Err(failed(&"the file has none in PEM").into()) } else { Ok(roots) }
}

/// Adds the remedy to an error of the handshake.
fn explain(error: io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(_)) => format!(
            "the TLS handshake failed: {error}; --ca FILE trusts the authorities in a file, and --insecure any certificate"
        ),
        Some(rustls::Error::InvalidMessage(_)) => {
            format!("the TLS handshake failed: {error}; a server without TLS has a URL with ws://")
        }
        _ if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            "the server did not finish the TLS handshake in time".to_owned()
        }
        _ => format!("the TLS handshake failed: {error}"),
    }
}

/// Accepts every certificate, for `--insecure`. The signatures of the handshake must still be right.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let supported = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, supported)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let supported = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, supported)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
