//! The error for certificates and keys that cannot be used.

use std::error::Error;
use std::{fmt, io};

/// A certificate, a key or a setting of [`Tls`](crate::Tls) that cannot be used. The text names the
/// file and says what is wrong with it.
///
/// ```
/// use clws_server::Tls;
///
/// let error = Tls::from_pem("", "").unwrap_err();
/// assert_eq!(error.to_string(), "certificate 1: it has no PEM section `CERTIFICATE`");
/// ```
#[derive(Debug)]
pub struct TlsError {
    text: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl TlsError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), source: None }
    }

    /// The text ends with the text of the cause.
    pub(super) fn caused(text: impl fmt::Display, cause: impl Error + Send + Sync + 'static) -> Self {
        Self { text: format!("{text}: {cause}"), source: Some(Box::new(cause)) }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for TlsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
