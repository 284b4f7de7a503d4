//! Stop signals for the examples: [`on_stop_signal`].

use std::io;

/// Calls `stop` on `SIGTERM` or `SIGINT` (Ctrl-C). A second signal ends the process at once, with
/// status 143 or 130.
///
/// `stop` runs on a separate thread and may block.
///
/// On systems without these signals, nothing happens.
///
/// # Errors
///
/// The system refused a signal handler or a thread.
#[cfg(unix)]
pub fn on_stop_signal(stop: impl FnOnce() + Send + 'static) -> io::Result<()> {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    // Registered before the flag, so that a signal in between still stops the server.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal must find the flag unset, and then sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        if signals.forever().next().is_some() {
            stop();
        }
    })?;
    Ok(())
}

/// Does nothing, because these signals do not exist here.
///
/// # Errors
///
/// None.
#[cfg(not(unix))]
pub fn on_stop_signal(_: impl FnOnce() + Send + 'static) -> io::Result<()> {
    Ok(())
}
