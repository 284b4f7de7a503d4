//! Each file tests one aspect of the crate. They share one program, so that they link once and run in
//! parallel. A new file needs a `mod` line here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[path = "../common/mod.rs"]
mod common;

mod answers;
mod captures;
mod client;
mod deflate_answers;
mod deflate_offers;
mod empty_lines;
mod expect;
mod extended_connect;
mod head;
mod heads;
mod hixie75;
mod host;
mod http_versions;
mod interim;
mod origins;
mod parts;
mod props;
mod refusals;
mod request_bodies;
mod scanner;
