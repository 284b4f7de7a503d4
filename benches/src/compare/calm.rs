//! CPU use by other programs during a measurement.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::load::sys;

/// The CPU time that other programs had used at one moment.
#[derive(Debug)]
pub(super) struct Meter {
    at: Instant,
    wait: Duration,
    stolen: Duration,
    others: HashMap<u32, Duration>,
}

impl Meter {
    /// Starts now.
    pub(super) fn start() -> Self {
        Self {
            at: Instant::now(),
            wait: sys::own_wait().unwrap_or_default(),
            stolen: stolen(&fs::read_to_string("/proc/stat").unwrap_or_default()),
            others: programs(),
        }
    }

    /// The share of one core that was not available to the measurement since the start: 1.0 is a
    /// whole core.
    ///
    /// It is the larger of two times. One is the CPU time of other programs, without the server and
    /// this process, plus steal time. The other is the time that this thread waited for its core.
    /// Programs that start and end in between count only in the waiting time.
    pub(super) fn share(&self, server: u32) -> f64 {
        let now = Self::start();
        let used: Duration = now
            .others
            .iter()
            .filter(|(pid, _)| **pid != server)
            .map(|(pid, cpu)| cpu.saturating_sub(self.others.get(pid).copied().unwrap_or_default()))
            .sum();
        let taken = used + now.stolen.saturating_sub(self.stolen);
        let waited = now.wait.saturating_sub(self.wait);
        taken.max(waited).as_secs_f64() / now.at.duration_since(self.at).as_secs_f64().max(1e-3)
    }
}

/// The CPU time of every other program so far. Kernel threads are left out, because part of their
/// work is caused by the load.
fn programs() -> HashMap<u32, Duration> {
    let me = std::process::id();
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != me)
        .filter(|pid| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty()))
        .filter_map(|pid| Some((pid, sys::cpu(pid).ok()?)))
        .collect()
}

/// The steal time in `/proc/stat`, which the kernel counts in hundredths of a second.
fn stolen(stat: &str) -> Duration {
    let ticks = stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
    Duration::from_millis(10 * ticks.unwrap_or(0u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_the_steal_time() {
        assert_eq!(stolen("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1"), Duration::from_millis(800));
        assert_eq!(stolen(""), Duration::ZERO);
    }

    #[test]
    fn counts_other_programs_but_not_the_server() {
        let meter = Meter::start();
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while sys::cpu(child.id()).unwrap() < Duration::from_millis(200) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10)); // a busy machine needs several rounds
        }
        let (all, without) = (meter.share(0), meter.share(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(all > 0.0 && all > without, "{all} {without}");
    }
}
