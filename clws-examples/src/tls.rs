//! The flags of a server with TLS: certificates from files, or a self-signed one.

use std::error::Error;
use std::path::PathBuf;

use clws_server::Tls;

/// The names in a self-signed certificate.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Flags of a server with TLS.
#[derive(Debug, clap::Args)]
pub struct TlsFlags {
    /// Serve with TLS: the certificate chain in PEM; SIGHUP reads both files again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve with TLS and a new self-signed certificate for localhost, for tests: browsers warn of it
    #[arg(long, conflicts_with = "tls_cert")]
    tls_self_signed: bool,
}

impl TlsFlags {
    /// The certificate that the flags name. `None` without such a flag.
    ///
    /// A certificate from files is read again on SIGHUP. Clients stay connected.
    ///
    /// # Errors
    ///
    /// A file cannot be used, or the system refused a signal handler.
    pub fn load(&self) -> Result<Option<Tls>, Box<dyn Error>> {
        if let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) {
            let tls = Tls::from_files(cert, key)?;
            reload_on_hangup(tls.clone())?;
            return Ok(Some(tls));
        }
        self.tls_self_signed.then(self_signed).transpose()
    }
}

fn self_signed() -> Result<Tls, Box<dyn Error>> {
    let made = rcgen::generate_simple_self_signed(NAMES.map(str::to_owned))?;
    Ok(Tls::from_pem(made.cert.pem(), made.signing_key.serialize_pem())?)
}

/// Reads the files of the certificate again on each SIGHUP. An error is logged, and the earlier
/// certificate stays.
#[cfg(unix)]
fn reload_on_hangup(tls: Tls) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGHUP])?;
    std::thread::Builder::new().name("reload".to_owned()).spawn(move || {
        for _ in signals.forever() {
            match tls.reload() {
                Ok(()) => tracing::info!("the certificate was read again"),
                Err(error) => tracing::error!("the earlier certificate stays: {error}"),
            }
        }
    })?;
    Ok(())
}

#[cfg(not(unix))]
fn reload_on_hangup(_: Tls) -> std::io::Result<()> {
    Ok(())
}
