//! The load generator: one thread, one epoll, frames that were masked before the clock started.
//!
//! It is a *closed loop*: a connection sends its next message when an earlier one came back, so a slow server is never
//! drowned and a fast one is never kept waiting. Everything that the server's figures could be blamed on is kept small:
//! one `recv` and one `send` per connection and wake-up, sockets registered once (edge-triggered), server frames parsed by
//! their header only unless `--verify` asks for more.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | the command line and what it refuses |
//! | [`frames`] | messages to send, encoded and masked beforehand |
//! | [`reader`] | what the server sends, counted |
//! | [`deflate`] | permessage-deflate: the offer, compressing beforehand, inflating to compare |
//! | [`opening`] | the client's side of the opening handshake, drafts 0, 7, 8, 13 |
//! | [`conn`] | one connection |
//! | [`poll`], [`sys`] | epoll; `/proc`, limits, affinity |
//! | [`echo`], [`broadcast`], [`connect`], [`idle`] | the four loads |
//! | [`report`] | what came out |

pub mod args;
pub mod broadcast;
pub mod conn;
pub mod connect;
pub mod deflate;
pub mod echo;
pub mod error;
pub mod frames;
pub mod idle;
pub mod opening;
pub mod poll;
pub mod reader;
pub mod report;
pub mod sys;

pub use args::{Cli, Mode};
pub use error::Error;
pub use report::Report;

/// Runs one load to its end.
///
/// # Errors
/// Whatever kept the load from ending well: arguments, connections, a server that stopped answering or answered wrongly.
pub fn run(mode: &Mode) -> Result<Report, Error> {
    let common = mode.common();
    common.check()?;
    if let Some(core) = common.core {
        sys::pin_this_thread(core)?;
    }
    match mode {
        Mode::Echo(args) => echo::run(args),
        Mode::Idle(args) => idle::run(args),
        Mode::Broadcast(args) => broadcast::run(args),
        Mode::Connect(args) => connect::run(args),
    }
}
