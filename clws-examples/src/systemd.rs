//! A service of systemd: its sockets, its readiness and its watchdog, with the feature `systemd`.
//!
//! `deploy/clws.service` and `deploy/clws.socket` are its units. Without systemd, nothing happens.

use std::error::Error;
use std::time::Duration;

use clws_server::{ServerBuilder, ServerHandle};
use listenfd::ListenFd;
use sd_notify::{NotifyState, notify, watchdog_enabled};

/// The sockets that systemd has opened for this process.
pub struct Sockets(ListenFd);

impl Sockets {
    /// Takes the sockets from the environment. Call it once.
    #[must_use]
    pub fn from_env() -> Self {
        Self(ListenFd::from_env())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len() == 0
    }

    /// Adds the sockets to a server, in the order of the lines in the socket unit.
    ///
    /// # Errors
    ///
    /// One of them is neither a TCP socket nor a Unix socket for streams.
    pub fn give_to(mut self, mut server: ServerBuilder) -> Result<ServerBuilder, Box<dyn Error>> {
        for index in 0..self.0.len() {
            // A socket of another kind stays where it is.
            if let Ok(Some(listener)) = self.0.take_tcp_listener(index) {
                server = server.listener(listener);
            } else if let Ok(Some(listener)) = self.0.take_unix_listener(index) {
                server = server.unix_listener(listener);
            } else {
                return Err(format!("socket {index} of systemd is not a listening TCP or Unix socket").into());
            }
        }
        Ok(server)
    }
}

/// Tells systemd that clients can connect. If the unit has a watchdog (`WatchdogSec`), also tells it
/// again and again that the server works.
///
/// Each beat waits until all threads that serve clients have answered, and is sent by a task of the
/// executor. A thread or an executor that is blocked for two thirds of the limit makes systemd
/// restart the service.
pub fn report(server: ServerHandle) {
    tell(&[NotifyState::Ready]);
    let Some(limit) = watchdog_enabled() else { return };
    // systemd recommends half of the limit. One lost beat is no reason for a restart.
    let interval = (limit / 3).max(Duration::from_millis(10));
    async_std::task::spawn(async move {
        loop {
            server.responds().await;
            tell(&[NotifyState::Watchdog]);
            async_std::task::sleep(interval).await;
        }
    });
}

/// Tells systemd that the service ends.
pub fn report_stop() {
    tell(&[NotifyState::Stopping]);
}

/// Without systemd there is nobody to tell, and this does nothing.
fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = notify(state) {
        eprintln!("systemd cannot be told {state:?}: {error}");
    }
}
