//! The thread of a shard.

use std::future::Future;
use std::io;
use std::thread;

use futures::channel::oneshot;

use crate::driver::shard::Shard;
use crate::guard::{DebugOn, Nowhere, guard_other};

impl Shard {
    /// Runs the shard on a new thread. The future ends with the thread.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub(crate) fn spawn(self, name: String) -> io::Result<impl Future<Output = io::Result<()>>> {
        let (done, ended) = oneshot::channel();
        let runtime = self.state.runtime().clone();
        let run = move || {
            let ended = self.run();
            // The send fails when `Server::run` was dropped. It may wake a task of the application.
            guard_other(DebugOn::default(), "a waker", &Nowhere, || drop(done.send(ended)));
        };
        thread::Builder::new().name(name).spawn(move || runtime.enter(run))?;
        Ok(async { ended.await.unwrap_or_else(|_| Err(io::Error::other("a shard panicked"))) })
    }
}
