//! Runs a test in its own process, so that a deadlock or an abort fails only that test.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set in the other process.
const IN_OWN_PROCESS: &str = "CLWS_TEST_ALONE";

/// The time limit of the other process.
const LIMIT: Duration = Duration::from_secs(180);

/// Gives the executor more threads than the machine has processors. Handlers of several tests block
/// a thread at the same time, and would otherwise keep all tasks of other tests from running.
///
/// A test in its own process has the usual number of threads.
pub fn provide_executor_threads() {
    if std::env::var_os(IN_OWN_PROCESS).is_none() {
        // Only the first call in a process has an effect.
        async_global_executor::init_with_config(
            async_global_executor::GlobalExecutorConfig::default().with_min_threads(16).with_max_threads(16),
        );
    }
}

/// The name of a test in its program: its path without the crate.
pub fn test_name(path: &str) -> &str {
    path.split_once("::").map_or(path, |(_, name)| name)
}

/// Runs this test program again with only the test at `path`, which must be the calling test.
#[track_caller]
pub fn run(path: &str, scenario: impl FnOnce()) {
    if std::env::var_os(IN_OWN_PROCESS).is_some() {
        return scenario();
    }
    let test = test_name(path);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(IN_OWN_PROCESS, "1");
    // Many of these tests panic on purpose. A backtrace takes most of the test's time, because each
    // process reads the debug information again.
    command.env("RUST_BACKTRACE", "0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break Some(status);
        }
        if Instant::now() > end {
            child.kill().unwrap();
            child.wait().unwrap();
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let passed = status.is_some_and(|status| status.success()) && stdout.contains("1 passed");
    let outcome = status.map_or_else(|| "timed out".to_owned(), |status| status.to_string());
    assert!(passed, "{test}: {outcome}\n{stderr}");
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
