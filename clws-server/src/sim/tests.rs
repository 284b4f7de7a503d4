//! The tests that run seeds.

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::panic;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::sim::harness::{Report, run};
use crate::sim::log::Check;

/// Number of seeds in an ordinary test run.
const SEEDS: u64 = 100;

thread_local! {
    static SIMULATES: Cell<bool> = const { Cell::new(false) };
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Takes the unintended panics of this thread.
pub(super) fn panics() -> Vec<String> {
    PANICS.take()
}

/// Records panics in a hook, because the server takes them for panics of a handler.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if SIMULATES.get() {
                PANICS.with_borrow_mut(|panics| panics.push(info.to_string()));
            } else {
                report(info);
            }
        }));
    });
}

pub(super) fn simulate(seed: u64, keeps_trace: bool) -> Report {
    watch_panics();
    SIMULATES.set(true);
    let conn = number("CLWS_CONN").and_then(|conn| u32::try_from(conn).ok());
    let report = run(seed, keeps_trace, conn);
    SIMULATES.set(false);
    report
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect(name))
}

#[test]
fn seeds() {
    if let Some(seed) = number("CLWS_SEED") {
        let report = simulate(seed, true);
        let lines = report.trace.join("\n");
        let violations: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
        println!("{lines}\nseed {seed}, {} steps, {} messages", report.steps, report.messages);
        assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
        return;
    }
    let (seeds, next) = (number("CLWS_SEEDS").unwrap_or(SEEDS), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZeroUsize::get) {
            scope.spawn(|| {
                let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed) as u64);
                numbers.take_while(|&seed| seed < seeds).for_each(check);
            });
        }
    });
}

fn check(seed: u64) {
    if simulate(seed, false).violations.is_empty() {
        return;
    }
    let report = simulate(seed, true);
    let violations: Vec<_> = report.violations.iter().map(ToString::to_string).collect();
    let last = report.trace.len().saturating_sub(40);
    panic!(
        "seed {seed}:\n{}\n{}\nRun with CLWS_SEED={seed} to repeat it with a longer trace",
        violations.join("\n"),
        report.trace[last..].join("\n")
    );
}

/// Prints how often each check fails, and its first seed: `CLWS_CENSUS=1000`.
#[test]
fn census() {
    let Some(seeds) = number("CLWS_CENSUS") else { return };
    let mut found = std::collections::BTreeMap::<Check, (u64, u64, String)>::new();
    let (mut steps, mut messages, mut hash) = (0, 0, 0u64);
    for seed in 0..seeds {
        let report = simulate(seed, false);
        hash = hash.rotate_left(1) ^ report.hash;
        steps += report.steps;
        messages += u64::from(report.messages);
        let mut checks: Vec<_> = report.violations.iter().map(|violation| violation.check).collect();
        checks.dedup();
        if number("CLWS_LIST").is_some() {
            println!("{seed}: hash {:016x}", report.hash);
            report.violations.iter().for_each(|violation| println!("{seed}: {violation}"));
        }
        for violation in report.violations {
            let entry = found.entry(violation.check).or_insert((seed, 0, violation.to_string()));
            entry.1 += u64::from(checks.contains(&violation.check));
            checks.retain(|check| *check != violation.check);
        }
    }
    println!("{seeds} seeds, {steps} steps, {messages} messages sent, hash {hash:016x}");
    for (check, (first, count, text)) in found {
        println!("{check:?}: {count} seeds, first {first}: {text}");
    }
}

#[test]
fn a_seed_repeats_the_same_run() {
    for seed in 0..20 {
        let (first, second) = (simulate(seed, false), simulate(seed, true));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first.steps, second.steps, "seed {seed}");
    }
}
