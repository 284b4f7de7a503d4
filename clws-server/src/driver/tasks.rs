//! Accepting connections and serving each with a separate task of the executor.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};

use crate::config::address::Peer;
use crate::driver::state::DriverState;
use crate::driver::stream;
use crate::net::acceptor::Acceptor;
use crate::net::shortage::{Shortage, refuse_stream};
use crate::net::tcp::set_accepted_options;
use crate::runtime;
use crate::time::now;

/// The time between two attempts to accept when the system fails.
const RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// The connections after which accepting yields to other tasks.
const BATCH: u32 = 64;

/// Accepts connections until the server stops, and serves each in a separate task.
pub(crate) async fn serve_tasks(listener: Acceptor, state: Arc<DriverState>) -> io::Result<()> {
    let accepting = match &listener {
        Acceptor::Tcp { listener, .. } => runtime::Listener::tcp(listener.try_clone()?),
        #[cfg(unix)]
        Acceptor::Unix(socket) => runtime::Listener::unix(socket.listener.try_clone()?),
        #[cfg(all(test, unix))]
        Acceptor::Sim(_) => return Ok(()),
    };
    let mut stop = state.stopped();
    let mut accepted = 0_u32;
    loop {
        match select(Box::pin(accepting.accept()), stop).await {
            Either::Left((Ok((socket, address)), rest)) => {
                stop = rest;
                let refuse = |socket: &runtime::Stream| refuse_stream(&socket.sock_ref());
                let Some(socket) = state.shortage.admit(socket, refuse) else { continue };
                if address.is_some() {
                    set_accepted_options(socket.sock_ref(), state.config());
                }
                let peer = address.map_or(Peer::Unix, Peer::Tcp);
                runtime::spawn(stream::drive(socket, peer, Arc::clone(&state), state.admit()));
                accepted = accepted.wrapping_add(1);
                if accepted.is_multiple_of(BATCH) {
                    runtime::yield_now().await;
                }
            }
            Either::Left((Err(error), rest)) => {
                stop = rest;
                handle_error(error, &listener, &state).await;
            }
            Either::Right(_) => return Ok(()),
        }
    }
}

/// Handles a failure of `accept`. Without a descriptor, refuses the client that waits. Otherwise
/// waits for a moment.
async fn handle_error(error: io::Error, listener: &Acceptor, state: &DriverState) {
    if error.kind() == io::ErrorKind::ConnectionAborted {
        return;
    }
    if Shortage::is_meant_by(&error) {
        match state.shortage.refuse(listener, state.config()) {
            Ok(()) => return runtime::yield_now().await,
            // No client waits. `accept` reports that only when a descriptor is free again.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => state.shortage.log_error(&error),
        }
    } else {
        state.shortage.log_error(&error);
    }
    runtime::timer(now() + RETRY_INTERVAL).await;
    state.shortage.prepare();
}
