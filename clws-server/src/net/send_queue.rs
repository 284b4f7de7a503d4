//! The bytes that the system holds for a TCP client that does not read.
//!
//! Linux takes up to 4 MiB for each client. The server learns that a client is slow only when the
//! system takes no more. Two settings bound what it takes.

use std::io;

use socket2::SockRef;

use crate::config::Config;
use crate::guard::log;

/// Linux uses twice the size that is set, because it also counts its own memory for each packet.
const COUNTED_TWICE: usize = if cfg!(any(target_os = "linux", target_os = "android")) { 2 } else { 1 };

/// Sets `SO_SNDBUF` and `TCP_NOTSENT_LOWAT`.
pub(super) fn set(socket: &SockRef<'_>, config: &Config) -> io::Result<()> {
    if let Some(bytes) = config.send_buffer {
        let set = socket.set_send_buffer_size(bytes.min(i32::MAX.unsigned_abs() as usize));
        set.map_err(|error| refused("send_buffer", bytes, &error))?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(bytes) = config.max_unsent {
        let set = socket.set_tcp_notsent_lowat(u32::try_from(bytes).unwrap_or(u32::MAX));
        set.map_err(|error| refused("max_unsent", bytes, &error))?;
    }
    Ok(())
}

/// Logs that the system limits the settings of a listening socket.
pub(super) fn log_limited(socket: &SockRef<'_>, config: &Config) {
    if let Some(bytes) = config.send_buffer
        && let Ok(size) = socket.send_buffer_size()
        && size / COUNTED_TWICE < bytes
    {
        let granted = size / COUNTED_TWICE;
        log(|| {
            tracing::warn!(
                send_buffer = bytes,
                granted,
                "the system limits send_buffer: on Linux, net.core.wmem_max is the most"
            );
        });
    }
    if cfg!(not(any(target_os = "linux", target_os = "android")))
        && let Some(bytes) = config.max_unsent
    {
        log(|| tracing::warn!(max_unsent = bytes, "max_unsent has no effect on this system"));
    }
}

fn refused(setting: &str, bytes: usize, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("the system refuses {setting} = {bytes}: {error}"))
}
