//! Leaving a port to another socket that listens on it, without losing a client in between.

use std::net::TcpListener;
use std::time::Duration;

use socket2::SockRef;

/// The time in which connections that were being opened are completed and accepted. It is shorter
/// than the second after which a client repeats a lost SYN.
pub(crate) const SETTLE_TIME: Duration = Duration::from_millis(300);

/// Makes the system ignore further connection requests to this socket, if it can. Returns whether
/// it does.
///
/// The system resets every connection that waits when a listening socket is closed, even if another
/// socket listens on the port with `SO_REUSEPORT`. So the queue must be empty at that moment. A
/// client whose request is ignored repeats it after a second. By then this socket is closed, and
/// the request reaches the other one.
pub(super) fn ignore_requests(listener: &TcpListener) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use socket2::SockFilter;

        // The instructions of classic BPF (linux/bpf_common.h). A filter of a TCP socket sees each
        // segment from its TCP header on, and returns the number of bytes to keep.
        const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
        const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
        const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
        const RETURN: u16 = 0x06; // BPF_RET | BPF_K
        const FLAGS: u32 = 13; // the byte of the TCP header with the flags
        const SYN: u32 = 0x02;
        const ACK: u32 = 0x10;
        let drop_requests = [
            SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
            SockFilter::new(AND, 0, 0, SYN | ACK),
            SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
        ];
        SockRef::from(listener).attach_filter(&drop_requests).is_ok()
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (listener, SockRef::from(listener));
        false
    }
}
