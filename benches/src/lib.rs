//! Tools that measure clws and compare it with other libraries.
//!
//! | command | output |
//! |---|---|
//! | `cargo run --release -p clws-benches --bin load -- echo …` | messages per second, latency, the server's CPU per message |
//! | `cargo bench -p clws-benches` | the codecs alone: mask, UTF-8, decode, encode, compression, handshake |
//! | `cargo run --release -p clws-benches --features peers --bin compare` | every row for every server |
//!
//! The load generator uses the client role of clws-proto and clws-handshake. It runs on Linux only
//! (epoll, `/proc`); on other systems the crate builds without it.

pub mod random;
pub mod text;

#[cfg(target_os = "linux")]
pub mod load;

#[cfg(all(target_os = "linux", feature = "peers"))]
pub mod compare;
#[cfg(all(target_os = "linux", feature = "peers"))]
pub mod peers;

/// The examples of the workspace's README are tested as doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
