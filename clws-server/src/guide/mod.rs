//! The guide: one page for each question of the first hour.
//!
//! | chapter | answers |
//! |---|---|
//! | [handlers] | How do I write the code for a path? Which of the four forms fits? Uploads in pieces |
//! | [sending] | How do I send? What happens if a client reads slowly, and which messages may be dropped? |
//! | [groups] | How do I send one message to many clients? |
//! | [running] | Which settings are there, and how do I choose them? |
//! | [limits] | What can a client cost me, and which setting bounds it? |
//! | [closing] | How does a connection end? How do I drain, stop or restart the server? |
//! | [authentication] | Who is this client? May this page connect? |
//! | [compression] | When does permessage-deflate help, and what does it cost? |
//! | [testing] | How do I test a handler without a network? How do I record and replay a connection? |
//! | [deployment] | Proxy, keepalive, systemd, containers, health checks, logs, several processes |
//! | [tls] | How does the server speak TLS itself? Certificates, reload, client certificates |
//! | [capacity] | How many clients fit? Descriptors, memory and the allocator |
//! | [metrics] | What does my server do? Statistics, metrics, logs |
//! | [tokio] | How do I use the server in a program on tokio? What runs where? |
//! | [axum_and_hyper] | How do I serve WebSockets behind a router that owns the port? |
//! | [from_tokio_tungstenite] | I know tokio-tungstenite. What is it called here? |
//!
//! The module exists only in the documentation. Its examples are tests: each of them is compiled
//! and run.

#[doc = include_str!("handlers.md")]
pub mod handlers {}

#[doc = include_str!("sending.md")]
pub mod sending {}

#[doc = include_str!("groups.md")]
pub mod groups {}

#[doc = include_str!("running.md")]
pub mod running {}

#[doc = include_str!("limits.md")]
pub mod limits {}

#[doc = include_str!("closing.md")]
pub mod closing {}

#[doc = include_str!("authentication.md")]
pub mod authentication {}

#[doc = include_str!("compression.md")]
#[cfg_attr(
    not(feature = "deflate"),
    allow(rustdoc::broken_intra_doc_links, reason = "the items are documented with the feature")
)]
pub mod compression {}

#[doc = include_str!("testing.md")]
#[cfg_attr(
    not(feature = "testing"),
    allow(rustdoc::broken_intra_doc_links, reason = "the items are documented with the feature")
)]
pub mod testing {}

#[doc = include_str!("deployment.md")]
pub mod deployment {}

#[doc = include_str!("tls.md")]
#[cfg_attr(
    not(feature = "__tls"),
    allow(rustdoc::broken_intra_doc_links, reason = "the items are documented with the feature")
)]
pub mod tls {}

#[doc = include_str!("capacity.md")]
pub mod capacity {}

#[doc = include_str!("metrics.md")]
#[cfg_attr(
    not(feature = "metrics"),
    allow(rustdoc::broken_intra_doc_links, reason = "the items are documented with the feature")
)]
pub mod metrics {}

#[doc = include_str!("tokio.md")]
#[cfg(any(not(doctest), feature = "tokio"))]
#[cfg_attr(
    not(feature = "tokio"),
    allow(rustdoc::broken_intra_doc_links, reason = "the items are documented with the feature")
)]
pub mod tokio {}

#[cfg(any(not(doctest), all(feature = "http", feature = "tokio")))]
#[doc = include_str!("axum_and_hyper.md")]
#[cfg_attr(
    not(feature = "http"),
    allow(rustdoc::broken_intra_doc_links, reason = "the items are documented with the feature")
)]
pub mod axum_and_hyper {}

#[doc = include_str!("from_tokio_tungstenite.md")]
pub mod from_tokio_tungstenite {}
