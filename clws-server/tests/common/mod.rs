//! Helpers of the tests: a server on its own thread, a blocking client of any version, and a
//! resource that records its callbacks.
#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code; each test uses a part"
)]

pub mod bomb;
pub mod client;
pub mod flood;
pub mod gate;
pub mod hostile;
pub mod log;
pub mod memory;
pub mod own_process;
pub mod probe;
pub mod receivers;
pub mod server;
#[cfg(feature = "tls")]
pub mod tls;
pub mod wire;

use std::future::Future;
use std::thread;
use std::time::{Duration, Instant};

use clws_server::Version;

#[cfg(unix)]
pub use self::client::unix;
pub use self::client::{Peer, Received, Stream, read_to_end, tcp, text};
pub use self::probe::{Callback, Probe, Recorder};
pub use self::server::{Running, config};

/// The maximum duration of a wait. A wait that reaches it has failed. It is long, because the
/// machine may be busy.
pub const TIMEOUT: Duration = Duration::from_secs(40);

/// All versions. Tests of groups depend on this order.
pub const ALL_VERSIONS: [Version; 5] =
    [Version::Hybi00, Version::Hybi07, Version::Hybi08, Version::Rfc6455, Version::Hixie75];

/// The versions with binary messages, pings and close codes.
pub const HYBI_VERSIONS: [Version; 3] = [Version::Hybi07, Version::Hybi08, Version::Rfc6455];

/// Defines two tests for each function that takes a config: one with shards, one with a task per
/// client.
macro_rules! in_both_modes {
    ($($name:ident),* $(,)?) => {
        mod shards {
            $(#[test] fn $name() { super::$name(crate::common::config()); })*
        }
        mod tasks {
            $(#[test] fn $name() { super::$name(crate::common::config().task_per_client(true)); })*
        }
    };
}

/// Like `in_both_modes!`, but each test runs in its own process. A deadlock or an abort there fails
/// only that test.
macro_rules! in_both_modes_in_own_process {
    ($($name:ident),* $(,)?) => {
        mod shards {
            $(#[test] fn $name() {
                crate::common::own_process::run(concat!(module_path!(), "::", stringify!($name)), || {
                    super::$name(crate::common::config());
                });
            })*
        }
        mod tasks {
            $(#[test] fn $name() {
                crate::common::own_process::run(concat!(module_path!(), "::", stringify!($name)), || {
                    super::$name(crate::common::config().task_per_client(true));
                });
            })*
        }
    };
}

/// Defines tests without a config that run in their own process.
macro_rules! in_own_process {
    ($($name:ident),* $(,)?) => {
        mod own_process {
            $(#[test] fn $name() {
                crate::common::own_process::run(concat!(module_path!(), "::", stringify!($name)), || super::$name());
            })*
        }
    };
}

/// Waits for a future that is ready soon.
#[track_caller]
pub fn within<T>(future: impl Future<Output = T>) -> T {
    async_std::task::block_on(async_std::future::timeout(wire::SHORT_TIMEOUT, future))
        .expect("the future is not ready in time")
}

/// Waits until the condition holds.
#[track_caller]
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < end, "{what}: not in time");
        thread::sleep(Duration::from_millis(2));
    }
}
