//! The reasons why a resource cannot be registered.

use clws_handshake::InvalidOrigin;

use crate::config::error::ConfigError;
use crate::resource::registry::path;

/// A resource cannot be registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The path does not begin with `/`, or contains characters that clients percent-encode (`/ü`
    /// is `/%C3%BC`), a `?`, a `#`, a backslash, or a segment `.` or `..`.
    #[error("no request has the path {path:?}: {why}", path = .0, why = path::fault(.0).unwrap_or_default())]
    InvalidPath(Box<str>),
    /// The prefix is no such path, or does not end in `/`.
    #[error("no request has the prefix {path:?}: {why}", path = .0, why = path::prefix_fault(.0).unwrap_or_default())]
    InvalidPrefix(Box<str>),
    /// The path is so long that a request for it exceeds
    /// [`max_header_size`](crate::Config#structfield.max_header_size).
    #[error(
        "the path has {path} bytes, which no request head of `max_header_size` = {max_header_size} bytes can hold"
    )]
    PathTooLong {
        /// The length of the path in bytes.
        path: usize,
        /// The setting.
        max_header_size: usize,
    },
    /// The origins have an entry that no browser's origin can match:
    /// [`Origins::check`](crate::Origins::check).
    #[error("the origins of {resource}: {error}")]
    InvalidOrigin {
        /// The path in quotation marks, or `the fallback`.
        resource: Box<str>,
        /// The entry, and the forms that are allowed.
        error: InvalidOrigin,
    },
    /// A setting of the [`ResourceConfig`](crate::ResourceConfig) has a value that is not allowed:
    /// [`Config::check`](crate::Config::check).
    #[error("the settings of {resource}: {error}")]
    InvalidSetting {
        /// The path in quotation marks, or `the fallback`.
        resource: Box<str>,
        /// The setting, its value, and the allowed values.
        error: ConfigError,
    },
    /// The resource needs a task for its clients, and the server has no
    /// [runtime](crate::runtime).
    #[error(
        "{0:?} needs a runtime: enable the feature `async-std`, `tokio` or `smol` of clws-server, or call `ServerBuilder::runtime`"
    )]
    NoRuntime(Box<str>),
    /// The path has another resource.
    #[error("{0:?} is registered already")]
    Taken(Box<str>),
    /// There is another fallback.
    #[error("there is a fallback already")]
    FallbackTaken,
}
