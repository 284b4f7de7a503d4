//! Common parts of the examples.
//!
//! A server reads its configuration with [`read_config`] and prints its addresses with
//! [`announce`].
//!
//! The servers return memory to the system ([`return_freed_memory`]), stop gracefully
//! ([`drain_on_signal`]), limit the rate of a client ([`pace`]) and serve web pages ([`pages`]).
//! With the feature `metrics`, `echo` and `chat` also serve metrics for Prometheus. With the feature
//! `tls`, `echo` serves with TLS, and with the feature `systemd` it is a service of systemd.
//! Errors of `main` are printed by [`exit_code`].

#[cfg(feature = "metrics")]
pub mod metrics;
pub mod pace;
pub mod pages;
mod settings;
mod signals;
#[cfg(all(feature = "systemd", unix))]
pub mod systemd;
#[cfg(feature = "tls")]
pub mod tls;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clws_server::Listen;

pub use settings::{read_config, seconds, seconds_above_zero};
pub use signals::{drain_on_signal, on_stop_signal, say_report};

/// Prints the addresses of a server, one `listening on ADDRESS` a line.
pub fn announce(addresses: &[Listen]) {
    for address in addresses {
        // The URL says whether the address has TLS, but it names no unspecified address.
        let url = address.url().unwrap_or_default();
        match (url.split_once("://"), address.socket_addr()) {
            (Some((scheme, _)), Some(socket)) => say(&format!("listening on {scheme}://{socket}/")),
            _ => say(&format!("listening on {address}")),
        }
    }
}

/// Prints a line. A closed standard output is no reason to end a server.
pub fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

/// The exit status for the result of an example. An error is printed as `NAME: error`.
///
/// A `main` that returns a `Result` prints errors with `Debug`, which is for programmers.
#[must_use]
pub fn exit_code(name: &str, result: Result<(), impl Display>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The variable that glibc reads at program start, and the threshold for it. glibc maps each
/// allocation of at least this many bytes separately, and unmaps it when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Marks the restarted process, so that it does not restart again. Set it to run an example with
/// glibc's defaults.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const RESTARTED: &str = "CLWS_EXAMPLES_RESTARTED";

/// Makes glibc return big buffers to the system as soon as they are freed. Call it first in `main`.
///
/// By default, glibc raises its threshold for mapped allocations when the first big buffer is
/// freed. Later buffers then come from its heaps, between small allocations, and most of that
/// memory stays with the process after the clients have left. Only an environment variable, or a
/// call that is unsafe in Rust, fixes the threshold.
///
/// This function starts the program again with the variable set. It does so once, and only if the
/// variable is not set. The process id stays the same. A service can set the variable in its unit
/// file and avoid the restart.
///
/// On systems without glibc, nothing happens.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn return_freed_memory() {
    use std::env;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    let (name, bytes) = THRESHOLD;
    if env::var_os(name).is_some() || env::var_os(RESTARTED).is_some() {
        return;
    }
    let mut arguments = env::args_os();
    let error = match (env::current_exe(), arguments.next()) {
        (Ok(program), Some(argument_0)) => {
            let mut command = Command::new(program);
            command.arg0(argument_0).args(arguments).env(name, bytes).env(RESTARTED, "1").exec()
        }
        (Ok(_), None) => return, // started without a program name: cannot restart
        (Err(error), _) => error,
    };
    eprintln!(
        "cannot restart with {name}={bytes}: {error}; memory of disconnected clients may stay with this process"
    );
}

/// Does nothing, because only glibc needs it.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn return_freed_memory() {}
