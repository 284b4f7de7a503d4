//! The settings of recordings.

use std::fmt;
use std::path::PathBuf;

use crate::config::address::Peer;

/// A rule that chooses connections by their peers.
pub(super) type Rule = Box<dyn Fn(&Peer) -> bool + Send + Sync>;

/// The connections that a server records, and the directory for the files: see
/// [`ServerBuilder::capture`](crate::ServerBuilder::capture).
///
/// Without a [rule](Self::peers), only the connections that the application chooses are recorded.
pub struct Capture {
    pub(super) directory: PathBuf,
    pub(super) rule: Option<Rule>,
    pub(super) max_recordings: usize,
    pub(super) max_file_size: usize,
    pub(super) max_total_size: usize,
    pub(super) max_queued: usize,
}

impl Capture {
    /// Records into new files in that directory, which is created if it does not exist. Existing
    /// files are never changed.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            rule: None,
            max_recordings: 100,
            max_file_size: 64 << 20,
            max_total_size: 1 << 30,
            max_queued: 8 << 20,
        }
    }

    /// Sets the rule that chooses connections by their peers. It is called for each new connection,
    /// on the thread that serves it, so it must be quick. These recordings begin with the first
    /// byte.
    ///
    /// Behind a proxy, the peer is the proxy, because the client is not known yet. Recordings that
    /// the application chooses have the address of the client.
    ///
    /// A panic of the rule is logged, and the connection is not recorded.
    #[must_use]
    pub fn peers(mut self, rule: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        self.rule = Some(Box::new(rule));
        self
    }

    /// Sets the most recordings of the server, finished ones included. The default is 100.
    /// An open recording takes a descriptor.
    #[must_use]
    pub const fn max_recordings(mut self, number: usize) -> Self {
        self.max_recordings = number;
        self
    }

    /// Sets the most bytes of a file. The default is 64 MiB. A recording that reaches the limit ends
    /// there: [`Recording::is_complete`](crate::capture::Recording::is_complete) is false.
    #[must_use]
    pub const fn max_file_size(mut self, bytes: usize) -> Self {
        self.max_file_size = bytes;
        self
    }

    /// Sets the most bytes of all files together that the server writes. The default is 1 GiB.
    /// Recordings that reach the limit end there, and no other begins.
    #[must_use]
    pub const fn max_total_size(mut self, bytes: usize) -> Self {
        self.max_total_size = bytes;
        self
    }

    /// Sets the most bytes that wait to be written into files. The default is 8 MiB. Bytes that do
    /// not fit are missing in the recording: see [`Content::Missing`](crate::capture::Content::Missing).
    ///
    /// This memory is not a part of [`max_buffered`](crate::Config#structfield.max_buffered).
    #[must_use]
    pub const fn max_queued(mut self, bytes: usize) -> Self {
        self.max_queued = bytes;
        self
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("directory", &self.directory)
            .field("has_rule", &self.rule.is_some())
            .field("max_recordings", &self.max_recordings)
            .field("max_file_size", &self.max_file_size)
            .field("max_total_size", &self.max_total_size)
            .field("max_queued", &self.max_queued)
            .finish()
    }
}
