//! The error for an invalid value in the configuration.

use std::fmt;
use std::io;

/// An invalid value of a [`Config`](crate::Config) field.
///
/// [`Server::bind`](crate::Server::bind) returns it inside an [`io::Error`] of the kind
/// [`InvalidInput`](io::ErrorKind::InvalidInput):
///
/// ```
/// use clws_server::{Config, ConfigError, Server};
///
/// let error = Server::bind(Config::default().max_clients(0)).unwrap_err();
/// assert_eq!(error.to_string(), "`max_clients` is 0: allowed is at least 1");
/// let error = error.get_ref().and_then(|inner| inner.downcast_ref::<ConfigError>()).unwrap();
/// assert_eq!((error.field(), error.value(), error.allowed()), ("max_clients", "0", "at least 1"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    field: &'static str,
    value: String,
    allowed: String,
}

impl ConfigError {
    /// The name of the field, which is also its key in a file: `max_clients`, or `deflate.level` in
    /// a table.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field
    }

    /// The value of the field, as text.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The allowed values, as text.
    #[must_use]
    pub fn allowed(&self) -> &str {
        &self.allowed
    }

    pub(super) fn new(field: &'static str, value: impl Into<String>, allowed: impl Into<String>) -> Self {
        Self { field, value: value.into(), allowed: allowed.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}: allowed is {}", self.field, self.value, self.allowed)
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for io::Error {
    fn from(error: ConfigError) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}
