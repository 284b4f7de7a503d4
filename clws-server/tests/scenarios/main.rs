//! The scenarios: each file tests one aspect of a running server. They share one program, so that
//! they link once and run in parallel.
//!
//! A test that changes its process runs in a process of its own (`in_own_process!`), or is a
//! separate program in the folder above. A new file needs a `mod` line here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::alloc::System;

use cap::Cap;

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

mod accept_blocked;
mod always_closes;
mod amplify;
mod async_handler;
mod backpressure;
mod bad_input;
mod blocked_handshakes;
mod budget;
mod budget_bombs;
mod budget_gone;
mod budget_partial;
mod budget_queues;
mod budget_readers;
mod builder;
mod call_itself;
mod capture;
mod client_list;
mod clients_per_ip;
mod close_is_silent;
mod closed_window;
mod closing;
mod config;
mod debugging;
mod deciding;
mod defaults;
mod deflate;
mod descriptors;
mod drain;
mod drain_report;
mod drop_deadlock;
mod drop_panic;
mod drop_panic_in_calls;
mod echo;
mod fair;
mod fair_bombs;
mod fair_broadcast;
mod group_members;
mod groups;
mod growth;
mod handed_in_too_late;
mod handshake_flood;
mod hixie75;
mod hooked_streams;
mod hostile_bytes;
mod hostile_deflate;
mod hostile_idle;
mod hostile_memory;
mod http;
mod http_kept_alive;
mod http_rules;
mod isolation_bytes;
mod isolation_drops;
mod isolation_log;
mod isolation_streams;
mod isolation_threads;
mod isolation_wakers;
mod kept_headers;
mod late_close;
mod limits;
mod listener;
mod listening;
mod logging;
mod long_deadlines;
mod lookup;
mod lost;
mod lost_async;
mod mailbox;
mod max_clients;
mod memory_is_returned;
mod one_listener;
mod one_write;
mod opening;
mod panic_payload;
mod panics;
mod pause;
mod pings;
mod pongs_pass;
mod proxied;
mod proxy_protocol;
mod rates;
mod record_streams;
mod refused_after_handing_in;
mod registry;
mod reset;
mod resource_settings;
mod responds;
mod restart;
mod send_to_many;
mod sending;
mod silence;
mod sink_contract;
mod slow_members;
mod slow_policies;
mod spans;
mod starve;
mod stats;
mod stop_delivers;
mod stop_undecided;
mod stopping;
mod streamed;
mod streamed_adapters;
mod streams;
#[cfg(feature = "tls")]
mod tls;
#[cfg(feature = "tls")]
mod tls_certificates;
mod tls_destructor;
mod topics;
mod two_servers;
mod undelivered;
mod unix_path;
mod unsent;
#[cfg(feature = "http")]
mod upgrade;
#[cfg(feature = "http")]
mod upgrade_given_up;
#[cfg(feature = "http")]
mod upgrade_http_2;
#[cfg(feature = "http")]
mod upgrade_recorded;
mod wakers;

/// Counts the allocated bytes, for tests that run in a process of their own.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);
