//! Instruments that measure clws, and its peers beside it.
//!
//! | run | what it tells |
//! |---|---|
//! | `cargo run --release -p clws-benches --bin load -- echo …` | messages per second, latency, the server's CPU per message |
//! | `cargo bench -p clws-benches` | the codecs alone: mask, UTF-8, decode, encode, compression, handshake |
//! | `cargo run --release -p clws-benches --features peers --bin compare` | every row, every server, side by side |
//!
//! The load generator knows nothing of clws: it speaks the four drafts by itself, so that a fault shared by both ends
//! cannot hide. It is written for Linux (epoll, `/proc`); elsewhere the crate builds without it.

pub mod random;
pub mod text;

#[cfg(target_os = "linux")]
pub mod load;

#[cfg(all(target_os = "linux", feature = "peers"))]
pub mod compare;
#[cfg(all(target_os = "linux", feature = "peers"))]
pub mod peers;

/// The examples of the workspace's README are tested as the documentation's are.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
