//! How busy the machine was with other things while something was measured.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::load::sys;

/// What others used up to a moment, on the whole machine.
#[derive(Debug)]
pub(super) struct Meter {
    at: Instant,
    wait: Duration,
    stolen: Duration,
    others: HashMap<u32, Duration>,
}

impl Meter {
    /// Begins now.
    pub(super) fn start() -> Self {
        Self {
            at: Instant::now(),
            wait: sys::own_wait().unwrap_or_default(),
            stolen: stolen(&fs::read_to_string("/proc/stat").unwrap_or_default()),
            others: programs(),
        }
    }

    /// How much of one core all who are not the server and not this process have taken since, 1.0 being a whole one: the CPU
    /// time of every other program, what a hypervisor gave to other machines, or how long this thread was kept waiting for
    /// its core, whichever tells more. (Programs that began and ended in between show in the last one only.)
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

/// The CPU time of every other program so far. Threads of the kernel are left out: some of what they do is the load's.
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

/// The time that a hypervisor gave to others while this machine had work to do; the kernel counts it in hundredths.
fn stolen(stat: &str) -> Duration {
    let ticks = stat.lines().next().and_then(|line| line.split_whitespace().nth(8)?.parse().ok());
    Duration::from_millis(10 * ticks.unwrap_or(0u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stolen_time_is_read() {
        assert_eq!(stolen("cpu  1 2 3 4 5 6 7 80 9 10\ncpu0 1"), Duration::from_millis(800));
        assert_eq!(stolen(""), Duration::ZERO);
    }

    #[test]
    fn others_are_seen_and_the_server_is_not() {
        let meter = Meter::start();
        let mut child = std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        while sys::cpu(child.id()).unwrap() < Duration::from_millis(200) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10)); // on a busy machine it takes a while to use that much
        }
        let (all, without) = (meter.share(0), meter.share(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(all > 0.0 && all > without, "{all} {without}");
    }
}
