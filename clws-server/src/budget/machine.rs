//! The memory that this process may use: that of the machine, or the limit of its control group.

use std::path::Path;
use std::sync::OnceLock;

/// The assumed memory of a system that does not report it.
const DEFAULT_MEMORY: usize = 4 << 30;

/// The least value of [`quarter_of_memory`].
const MIN_QUARTER: usize = 64 << 20;

/// A quarter of the memory that this process may use. It is determined once.
pub(crate) fn quarter_of_memory() -> usize {
    static QUARTER: OnceLock<usize> = OnceLock::new();
    *QUARTER.get_or_init(|| {
        let memory = if cfg!(any(target_os = "linux", target_os = "android")) {
            memory(&|path| std::fs::read_to_string(path).ok())
        } else {
            None
        };
        (memory.unwrap_or(DEFAULT_MEMORY) / 4).max(MIN_QUARTER)
    })
}

/// The memory in bytes that Linux reports in its files.
fn memory(read: &dyn Fn(&Path) -> Option<String>) -> Option<usize> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| total(&text));
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| group_limit(line, read));
    machine.into_iter().chain(limits).min()
}

/// Parses the line `MemTotal:       24576000 kB`.
fn total(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit of a control group and its ancestors. The line is `0::/path` in version 2 of
/// control groups, and `4:memory:/path` in version 1.
fn group_limit(line: &str, read: &dyn Fn(&Path) -> Option<String>) -> Option<usize> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let (root, file) = if controllers.is_empty() {
        ("/sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    // A container sees its own group as the root, although the line may have the path outside.
    let group = Path::new(path.trim_start_matches('/'));
    let limits = group.ancestors().filter_map(|group| read(&Path::new(root).join(group).join(file)));
    limits.filter_map(|limit| limit.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: (&str, &str) = ("/proc/meminfo", "MemTotal:       24576000 kB\nMemFree: 1 kB\n");

    fn of(files: &[(&str, &str)]) -> Option<usize> {
        memory(&|path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_least_limit_of_the_machine_and_its_groups() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[MEMINFO]), Some(24_576_000 * 1024));
        let own = ("/proc/self/cgroup", "0::/a/b\n");
        assert_eq!(of(&[MEMINFO, own]), Some(24_576_000 * 1024));
        let unlimited = ("/sys/fs/cgroup/a/b/memory.max", "max\n");
        let around = ("/sys/fs/cgroup/a/memory.max", "1000000\n");
        assert_eq!(of(&[MEMINFO, own, unlimited]), Some(24_576_000 * 1024));
        assert_eq!(of(&[MEMINFO, own, unlimited, around]), Some(1_000_000));
        assert_eq!(of(&[own, around]), Some(1_000_000));
        let container = ("/sys/fs/cgroup/memory.max", "500000");
        assert_eq!(of(&[MEMINFO, own, around, container]), Some(500_000));
    }

    #[test]
    fn reads_the_limits_of_version_1() {
        let own = ("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/docker/1\n");
        let unlimited = ("/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "9223372036854771712\n");
        let limited = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "2000000\n");
        assert_eq!(of(&[MEMINFO, own, unlimited]), Some(24_576_000 * 1024));
        assert_eq!(of(&[MEMINFO, own, unlimited, limited]), Some(2_000_000));
    }

    #[test]
    fn ignores_files_that_it_cannot_parse() {
        assert_eq!(of(&[("/proc/meminfo", "MemTotal: much")]), None);
        assert_eq!(of(&[MEMINFO, ("/proc/self/cgroup", "0\n\n::\n1:memory")]), Some(24_576_000 * 1024));
        assert!(quarter_of_memory() >= MIN_QUARTER);
    }
}
