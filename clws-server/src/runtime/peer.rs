//! Whether a peer has ended its side, for the sockets of all runtimes.

/// Whether the peer of a socket sends nothing more, although input may be unread. False on systems
/// that do not tell.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn peer_has_ended(socket: &impl std::os::fd::AsFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    // A reset or a complete close is reported too.
    let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
    poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count > 0)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const fn peer_has_ended<S>(_: &S) -> bool {
    false
}
