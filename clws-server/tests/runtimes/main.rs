//! Each runtime, and none. The features decide which of the tests exist, and the gate runs them with
//! each runtime feature alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "../common/mod.rs"]
#[macro_use]
mod common;

#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod each;
#[cfg(not(any(feature = "async-std", feature = "smol", feature = "tokio")))]
mod none;
mod other;
#[cfg(feature = "tokio")]
mod tokio_blocking;
#[cfg(feature = "tokio")]
mod tokio_ends;
#[cfg(feature = "tokio")]
mod tokio_works;
