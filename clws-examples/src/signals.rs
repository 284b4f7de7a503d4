//! Stop signals for the examples: [`on_stop_signal`], and [`drain_on_signal`] for servers.

use std::io;
use std::time::Duration;

use clws_server::{Drain, Report, ServerHandle};

/// Drains a server on `SIGTERM` or `SIGINT` (Ctrl-C): see [`on_stop_signal`].
///
/// The clients are closed within two seconds, and everything ends within ten. Service managers wait
/// longer before they kill a process: systemd 90 seconds, Kubernetes 30.
///
/// # Errors
///
/// The system refused a signal handler or a thread.
pub fn drain_on_signal(server: ServerHandle) -> io::Result<()> {
    let drain = Drain::new().within(Duration::from_secs(10)).spread(Duration::from_secs(2));
    on_stop_signal(move || {
        #[cfg(all(feature = "systemd", unix))]
        crate::systemd::report_stop();
        server.drain(drain);
    })
}

/// Prints the report of a server that has ended, as one line: `stopped: 3 clients closed, ..`.
pub fn say_report(report: &Report) {
    crate::say(&format!("stopped: {report}"));
}

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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::flag;
    use signal_hook::iterator::Signals;

    let stopping = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The order matters: the first signal must find the flag unset, and then sets it.
        flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?;
        flag::register(signal, Arc::clone(&stopping))?;
    }
    // Registered last: when the thread wakes up, the flag is set. Otherwise a second signal could
    // come before that, and would end the process with the status of the first.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        // A signal that came before the registration has only set the flag.
        if stopping.load(Ordering::SeqCst) || signals.forever().next().is_some() {
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
