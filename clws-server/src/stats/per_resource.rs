//! The clients of one resource, by version.

use std::sync::atomic::{AtomicUsize, Ordering};

use clws_handshake::Version;

use crate::stats::kinds::{VERSIONS, version_index};

/// Counts the clients that a resource has at the moment. Several shards change it, but only when a
/// client comes or goes.
#[derive(Debug, Default)]
pub(crate) struct ResourceClients([AtomicUsize; VERSIONS.len()]);

impl ResourceClients {
    pub(crate) fn connected(&self, version: Version) {
        if let Some(count) = self.0.get(version_index(version)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn disconnected(&self, version: Version) {
        if let Some(count) = self.0.get(version_index(version)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The number of clients of each version.
    pub(crate) fn by_version(&self) -> [(Version, u64); VERSIONS.len()] {
        let mut counts = VERSIONS.map(|version| (version, 0));
        for ((_, count), clients) in counts.iter_mut().zip(&self.0) {
            *count = clients.load(Ordering::Relaxed) as u64;
        }
        counts
    }
}
