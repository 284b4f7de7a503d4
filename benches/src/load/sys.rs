//! What Linux tells about a process, and what this one asks of it.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use rustix::thread::CpuSet;

use super::error::Error;

/// Memory of a process, in octets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Resident: pages shared with other processes count in full.
    pub rss: u64,
    /// Proportional: a page shared by two counts half.
    pub pss: u64,
}

/// The memory of a process now.
///
/// # Errors
/// When the process is gone, or belongs to somebody else.
pub fn memory(pid: u32) -> Result<Memory, Error> {
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

/// The CPU time that all threads of a process used so far.
///
/// # Errors
/// When the process is gone, or the kernel keeps no such figures.
pub fn cpu(pid: u32) -> Result<Duration, Error> {
    let path = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&path).map_err(|e| Error::io(path, e))?;
    // A thread may end between the listing and the reading.
    let texts = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok());
    Ok(texts.map(|text| schedstat(&text)[0]).sum())
}

/// How long this thread was kept waiting for its core so far, while it could have run: somebody else was there.
///
/// # Errors
/// When the kernel keeps no such figures.
pub fn own_wait() -> Result<Duration, Error> {
    let path = "/proc/thread-self/schedstat";
    let text = fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
    Ok(schedstat(&text)[1])
}

/// Time on a core, and time waiting for one.
fn schedstat(text: &str) -> [Duration; 2] {
    let mut fields = text.split_whitespace().map(|n| Duration::from_nanos(n.parse().unwrap_or(0)));
    [fields.next().unwrap_or_default(), fields.next().unwrap_or_default()]
}

/// The CPU time of this process so far.
#[must_use]
pub fn own_cpu() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Raises the soft limit of open files to the hard one, and tells the hard one (`None`: there is no limit).
///
/// # Errors
/// What the system refused.
pub fn raise_file_limit() -> Result<Option<u64>, Error> {
    let limit = rustix::process::getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        rustix::process::setrlimit(Resource::Nofile, raised)
            .map_err(|e| Error::io("raising the limit of open files", e))?;
    }
    Ok(limit.maximum)
}

/// Makes sure that this many sockets can be open.
///
/// # Errors
/// [`Error::Usage`] when the hard limit is too low.
pub fn need_sockets(sockets: usize) -> Result<(), Error> {
    let need = sockets as u64 + 32;
    match raise_file_limit()? {
        Some(hard) if hard < need => Err(Error::Usage(format!(
            "{sockets} connections need {need} open files, and this shell allows {hard} (ulimit -Hn)"
        ))),
        _ => Ok(()),
    }
}

/// Keeps this thread, and processes that it starts from now on, on one core.
///
/// # Errors
/// When there is no such core, or this process may not use it.
pub fn pin_this_thread(core: usize) -> Result<(), Error> {
    run_on(&[core])
}

/// Lets this thread, and processes that it starts from now on, run on these cores only.
///
/// # Errors
/// When there is no such core, or this process may use none of them.
pub fn run_on(cores: &[usize]) -> Result<(), Error> {
    let mut set = CpuSet::new();
    for core in cores {
        if *core >= CpuSet::MAX_CPU {
            return Err(Error::Usage(format!("there is no core {core}")));
        }
        set.set(*core);
    }
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|e| Error::io(format!("running on cores {cores:?}"), e))
}

/// The cores that this thread may run on.
///
/// # Errors
/// What the system refused.
pub fn cores() -> Result<Vec<usize>, Error> {
    let set = rustix::thread::sched_getaffinity(None).map_err(|e| Error::io("sched_getaffinity", e))?;
    Ok((0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollup_is_read() {
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
        assert!(own_wait().is_ok());
        assert_eq!(schedstat("5 7 9\n"), [Duration::from_nanos(5), Duration::from_nanos(7)]);
        assert!(cpu(u32::MAX).is_err());
        assert!(!cores().unwrap().is_empty());
        assert!(pin_this_thread(1 << 20).is_err());
    }
}
