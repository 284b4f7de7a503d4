//! The asynchronous runtime of a server: where its tasks run, and what wakes them.
//!
//! A server has threads for its sockets, the *shards*, and inline handlers run there. A runtime
//! runs the rest: [async handlers](crate::async_handler), [resource
//! listeners](crate::Resources::run_resource_listener) and the futures of
//! [`Accept::decided_by`](crate::Accept::decided_by).
//!
//! | feature | runtime | constructor |
//! |---|---|---|
//! | `async-std` (default) | async-std's global executor | `async_std` |
//! | `tokio` | a runtime of tokio, which is running | `tokio`, `tokio_handle` |
//! | `smol` | smol's global executor | `smol` |
//!
//! The features can be combined. [`ServerBuilder::bind`](crate::ServerBuilder::bind) takes the
//! first of these whose feature is enabled: the tokio runtime that runs on its thread, async-std,
//! smol. [`ServerBuilder::runtime`](crate::ServerBuilder::runtime) sets another runtime. Two servers
//! of one process can have different runtimes.
//!
//! Without a runtime, inline resources, mailboxes and streams work. A registration that needs a
//! task is an error.

#[cfg(any(feature = "async-std", feature = "smol"))]
mod async_socket;
#[cfg(feature = "async-std")]
mod async_std;
pub(crate) mod clock;
pub(crate) mod handle;
#[cfg(any(feature = "async-std", feature = "smol", feature = "tokio"))]
mod peer;
#[cfg(feature = "smol")]
mod smol;
#[cfg(feature = "tokio")]
pub(crate) mod tokio;
pub(crate) mod traits;

use std::sync::Arc;

#[cfg(feature = "async-std")]
pub use self::async_std::async_std;
#[cfg(feature = "smol")]
pub use self::smol::smol;
#[cfg(feature = "tokio")]
pub use self::tokio::{tokio, tokio_handle};
pub use self::traits::{BoxFuture, BoxStream, Runtime, RuntimeSocket};

/// The runtime for a test that blocks its thread, if the runtime of that thread has no other thread.
#[cfg(feature = "testing")]
pub(crate) fn for_blocking_test() -> Option<Arc<dyn Runtime>> {
    #[cfg(feature = "tokio")]
    return self::tokio::for_blocking_test();
    #[cfg(not(feature = "tokio"))]
    None
}

/// The runtime for a server that was given none.
pub(crate) fn current() -> Option<Arc<dyn Runtime>> {
    #[cfg(feature = "tokio")]
    if let Ok(runtime) = tokio() {
        return Some(runtime);
    }
    #[cfg(feature = "async-std")]
    return Some(async_std());
    #[cfg(all(feature = "smol", not(feature = "async-std")))]
    return Some(smol());
    #[cfg(not(any(feature = "smol", feature = "async-std")))]
    None
}
