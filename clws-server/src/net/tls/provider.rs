//! The cryptographic library: aws-lc-rs, or ring if only that feature is on.

#[cfg(feature = "tls")]
pub(super) use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
#[cfg(not(feature = "tls"))]
pub(super) use rustls::crypto::ring::{Ticketer, default_provider};
