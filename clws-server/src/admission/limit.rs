//! The limit of the process on open descriptors (`RLIMIT_NOFILE`).

/// The descriptors that a server may need. They are part of the sum for the process until this is
/// dropped, because a process may have several servers.
#[derive(Debug)]
pub(super) struct Needed(usize);

#[cfg(unix)]
mod unix {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::Needed;
    use crate::guard::log;
    use crate::lock::{Lock, rank};

    /// The sum over all servers of this process. The lock also makes reading and raising the limit
    /// one step.
    static SUM: Lock<usize, { rank::DESCRIPTORS }> = Lock::new(0);

    impl Needed {
        pub(in crate::admission) fn new(number: usize) -> Self {
            let mut sum = SUM.lock();
            *sum = sum.saturating_add(number);
            Self(number)
        }

        /// Returns the limit, raised to the sum if `raise` is set; `None` if there is no limit.
        pub(in crate::admission) fn provide(&self, raise: bool) -> Option<usize> {
            let (before, after) = {
                let sum = SUM.lock();
                let before = getrlimit(Resource::Nofile);
                if raise {
                    raise_to(
                        before,
                        u64::try_from(sum.saturating_add(super::open_now())).unwrap_or(u64::MAX),
                    );
                }
                (before.current, getrlimit(Resource::Nofile).current)
            };
            if before != after {
                log(|| tracing::debug!(?before, ?after, "raised the limit on descriptors"));
            }
            after.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
        }
    }

    impl Drop for Needed {
        fn drop(&mut self) {
            let mut sum = SUM.lock();
            *sum = sum.saturating_sub(self.0);
        }
    }

    /// Raises the soft limit, at most to the hard limit.
    fn raise_to(limit: Rlimit, needed: u64) {
        let Some(soft) = limit.current else { return };
        let mut target = limit.maximum.map_or(needed, |hard| needed.min(hard));
        // Some systems refuse a soft limit below the hard limit, and do not say which they accept.
        while target > soft && setrlimit(Resource::Nofile, Rlimit { current: Some(target), ..limit }).is_err()
        {
            target /= 2;
        }
    }
}

/// Other systems have no such limit.
#[cfg(not(unix))]
impl Needed {
    pub(super) const fn new(number: usize) -> Self {
        Self(number)
    }

    pub(super) const fn provide(&self, _: bool) -> Option<usize> {
        let _ = self.0;
        None
    }
}

/// The number of open descriptors, or 0 if the system does not list them.
pub(super) fn open_now() -> usize {
    let folder =
        if cfg!(any(target_os = "linux", target_os = "android")) { "/proc/self/fd" } else { "/dev/fd" };
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}
