//! The load generator: one thread, one epoll, and frames that are masked before the clock starts.
//!
//! It is a *closed loop*: a connection sends its next message when an earlier one comes back. A
//! slow server is never overloaded, and a fast one never waits long. The generator adds little
//! cost: about one `recv` and one `send` per connection and wake-up, and one edge-triggered
//! registration per socket. clws-proto's client encodes the messages in advance and decodes every
//! message that comes back.
//!
//! | module | contents |
//! |---|---|
//! | `args`, `tls_args` | the command line and its checks |
//! | `ring` | messages, encoded in advance, and the check of those that come back |
//! | `link`, `tls` | a stream to the server; TLS on it (feature `tls`) |
//! | `handshake`, `client` | opening a connection; a connection |
//! | `drive` | epoll and the event loop |
//! | `echo`, `broadcast`, `connect`, `idle` | the four loads |
//! | `meter`, `report` | the measured period and its results |
//! | `sys` | `/proc`, limits, affinity |

mod args;
mod broadcast;
mod client;
mod connect;
mod drive;
mod echo;
mod error;
mod handshake;
mod idle;
mod link;
mod meter;
mod report;
mod ring;
mod sys;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod tls_args;

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
