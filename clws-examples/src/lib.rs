//! What the example servers have in common: they give memory back to the system ([`return_freed_memory`]), end in order
//! ([`on_stop_signal`]), and bound how fast a client may go on ([`pace`]).

pub mod pace;
mod signals;

pub use signals::on_stop_signal;

/// The variable that glibc reads when a program starts, and the threshold for it. An allocation of so many bytes or more is
/// mapped by itself, and goes back to the system when it is freed.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const THRESHOLD: (&str, &str) = ("MALLOC_MMAP_THRESHOLD_", "131072");

/// Marks the second start, so that there is no third. Set it to run an example with glibc's defaults.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const RESTARTED: &str = "CLWS_EXAMPLES_RESTARTED";

/// Makes glibc give big buffers back to the system as soon as they are freed. Call it first in `main`.
///
/// By default, glibc raises its threshold for mapped allocations when the first big buffer is freed. Later buffers then lie
/// on its heaps, between small allocations, and most of that memory stays with the process when the clients have left. The
/// threshold can be fixed by an environment variable, or by a call that is unsafe in Rust.
///
/// This function starts the program again with the variable set. It does so once, and not if the variable is set already. The
/// process keeps its id. A service sets the variable in its unit file and needs no second start.
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
        (Ok(_), None) => return, // started without even a name: nothing to repeat
        (Err(error), _) => error,
    };
    eprintln!("memory of clients that left may stay with this process: starting again failed: {error}");
}

/// Does nothing: the problem is glibc's alone.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub const fn return_freed_memory() {}
