//! The tests of the examples: each file tests one example or one aspect. They share one program, so
//! that they link once and run in parallel. A new file needs a `mod` line here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod common;

mod async_handler;
mod chat;
mod client;
mod custom_io;
mod deploy;
mod drain;
mod echo;
mod errors;
mod ping;
mod replay;
mod returned_memory;
mod rooms_auth;
mod signals;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "axum")]
mod with_axum;
#[cfg(feature = "hyper")]
mod with_hyper;
