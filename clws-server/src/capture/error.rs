//! The errors of recordings.

/// A recording did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The server was built without [`capture`](crate::ServerBuilder::capture).
    #[error("the server does not record: give its builder a `Capture`")]
    Off,
    /// There are [`max_recordings`](crate::capture::Capture::max_recordings), or all files together
    /// have [`max_total_size`](crate::capture::Capture::max_total_size).
    #[error("the limit on recordings is reached")]
    Limit,
    /// The connection has ended.
    #[error("the connection has ended")]
    Closed,
}

/// A file is no recording, or a recording cannot be replayed. Positions count bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The file ends within a block. The program that recorded was killed, or the copy is
    /// incomplete.
    #[error("the file ends within the block at byte {at}")]
    Truncated {
        /// The beginning of the block.
        at: usize,
    },
    /// The file has another format, or is damaged.
    #[error("the file is not a recording of clws, at byte {at}: {why}")]
    Format {
        /// The beginning of the block.
        at: usize,
        /// The fault.
        why: &'static str,
    },
    /// The file has no packets of a connection.
    #[error("the file has no connection")]
    Empty,
    /// Bytes of the client are missing, because the queue of the recorder was full.
    #[error("{missing} bytes of the client are missing after its first {after} bytes")]
    Gap {
        /// The bytes before the gap.
        after: usize,
        /// The length of the gap.
        missing: u32,
    },
}
