//! Each file tests one aspect of the crate. They share one program, so that they link once and run in
//! parallel. A new file needs a `mod` line here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "../common/mod.rs"]
mod common;

mod closing;
mod connection;
mod connection_end;
mod connection_random;
mod deflate_abandoned;
mod deflate_corrupt;
mod deflate_examples;
mod deflate_first_error;
mod deflate_golden;
mod deflate_limits;
mod deflate_memory;
mod deflate_roundtrip;
mod deflate_rules;
mod deflate_sending;
mod deflate_shared;
mod deflate_utf8;
mod deflate_windows;
mod direct;
mod discarding;
mod draft0;
mod framing_rules;
mod garbage;
mod held;
mod hixie75;
mod keepalive;
mod limits;
mod many_frames;
mod memory;
mod owned;
mod pongs;
mod pongs_meter;
mod pongs_pass;
mod pongs_random;
mod pool;
mod reaction;
mod rfc_examples;
mod roundtrip;
mod sending;
mod sizes;
mod splits;
mod stream;
#[cfg(feature = "deflate")]
mod stream_deflate;
mod stream_random;
mod utf8;
