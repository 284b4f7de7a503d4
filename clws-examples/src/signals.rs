//! How the examples end: [`on_stop_signal`].

use std::io;

/// Calls `stop` when the process is told to end, by `SIGTERM` or by `SIGINT` (Ctrl-C). A second signal ends the process at once,
/// with status 143 or 130.
///
/// `stop` runs on a thread of its own and may wait.
///
/// On systems without these signals, nothing happens.
///
/// # Errors
///
/// The system refuses a signal handler or a thread.
#[cfg(unix)]
pub fn on_stop_signal(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    // First: a signal that comes before the flag is looked at still stops the server.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let told = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the first signal finds the flag unset, and sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&told))?;
        flag::register(signal, Arc::clone(&told))?;
    }
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            stop();
        }
    })?;
    Ok(())
}

/// Does nothing: there are no such signals.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn on_stop_signal(_: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}
