//! The load generator: one thread, one epoll, and frames that are masked before the clock starts.
//!
//! It is a *closed loop*: a connection sends its next message when an earlier one comes back. A
//! slow server is never overloaded, and a fast one never waits long. The generator adds little
//! cost: one `recv` and one `send` per connection and wake-up, one edge-triggered registration per
//! socket, and only headers of server frames are parsed unless `--verify` is given.
//!
//! | module | contents |
//! |---|---|
//! | [`args`] | the command line and its checks |
//! | [`frames`] | messages, encoded and masked in advance |
//! | [`reader`] | the parser and counter of server frames |
//! | [`deflate`] | permessage-deflate: the offer, compression in advance, inflation for comparison |
//! | [`opening`] | the client's side of the opening handshake, drafts 0, 7, 8 and 13 |
//! | [`conn`] | one connection |
//! | [`poll`], [`sys`] | epoll; `/proc`, limits, affinity |
//! | [`echo`], [`broadcast`], [`connect`], [`idle`] | the four loads |
//! | [`window`], [`report`] | the measured period and its results |

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
pub mod window;

pub use args::{Cli, Mode};
pub use error::Error;
pub use report::Report;

/// Runs one load.
///
/// # Errors
/// Invalid arguments, connection errors, and servers that stall or answer incorrectly.
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
