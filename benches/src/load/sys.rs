//! Process figures from Linux, and limits and affinity of this process.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use rustix::thread::CpuSet;

use super::error::Error;

/// The memory of a process in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Resident set size. Shared pages count in full.
    pub(super) rss: u64,
    /// Proportional set size. A page shared by two processes counts half.
    pub(super) pss: u64,
}

/// The current memory of a process.
pub(super) fn memory(pid: u32) -> Result<Memory, Error> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|e| Error::io(path, e))?;
    Ok(parse_rollup(&text))
}

fn parse_rollup(text: &str) -> Memory {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("0");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    Memory { rss: field("Rss:"), pss: field("Pss:") }
}

/// The CPU time of all threads of a process so far.
pub(super) fn cpu(pid: u32) -> Result<Duration, Error> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).map_err(|e| Error::io(path, e))?;
    // A thread may end between the listing and the reading.
    let texts = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    Ok(texts.map(|text| schedstat(&text)).sum())
}

/// The time on a core.
fn schedstat(text: &str) -> Duration {
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// The CPU time of this process so far.
pub(super) fn own_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Raises the soft limit of open files to the hard limit, and checks that this many sockets can be
/// open.
pub(super) fn need_sockets(sockets: usize) -> Result<(), Error> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(Resource::Nofile, raised)
            .map_err(|e| Error::io("raising the limit of open files", e))?;
    }
    let need = sockets as u64 + 32;
    match limit.maximum {
        Some(hard) if hard < need => Err(Error::Usage(format!(
            "{sockets} connections need {need} open files, but the limit is {hard}: raise it (ulimit -Hn)"
        ))),
        _ => Ok(()),
    }
}

/// Pins this thread to one core.
pub(super) fn pin_this_thread(core: usize) -> Result<(), Error> {
    if core >= CpuSet::MAX_CPU {
        return Err(Error::Usage(format!("there is no core {core}")));
    }
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).map_err(|e| Error::io(format!("running on core {core}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_a_rollup() {
        let text = "5571a-7ffd [rollup]\nRss:                2000 kB\nPss:                 733 kB\nPss_Anon:  160 kB\n";
        assert_eq!(parse_rollup(text), Memory { rss: 2000 << 10, pss: 733 << 10 });
        assert_eq!(parse_rollup(""), Memory::default());
    }

    #[test]
    fn this_process_has_figures() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap().rss > 0);
        assert!(own_cpu() > Duration::ZERO);
        assert!(cpu(pid).is_ok());
        assert_eq!(schedstat("5 7 9\n"), Duration::from_nanos(5));
        assert!(cpu(u32::MAX).is_err());
        assert!(pin_this_thread(1 << 20).is_err());
    }
}
