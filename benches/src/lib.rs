//! Tools that measure clws and compare it with other libraries.
//!
//! | command | output |
//! |---|---|
//! | `cargo run --release -p clws-benches --bin load -- echo …` | messages per second, latency, the server's CPU per message |
//! | `cargo run --release -p clws-benches --bin abuse` | a well-behaved client, and the server's memory, during attacks |
//! | `cargo bench -p clws-benches` | the codecs alone: mask, UTF-8, decode, encode, compression, handshake |
//! | `python3 benches/compare` | every row for every server, with the servers of `benches/peers` |
//!
//! The load generator uses the client role of clws-proto and clws-handshake. It runs on Linux only
//! (epoll, `/proc`); on other systems the crate builds without it.

pub mod abuse;
pub mod random;
pub mod text;
#[cfg(feature = "tls")]
mod tls;

#[cfg(target_os = "linux")]
pub mod load;

/// The examples of the workspace's README are tested as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
