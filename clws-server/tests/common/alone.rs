//! A scenario in a process of its own, so that a deadlock or an abort is one failed test.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Set in the other process.
const ALONE: &str = "CLWS_TEST_ALONE";

/// The time after which the other process is ended.
const LIMIT: Duration = Duration::from_secs(13);

/// Runs this test program again with nothing but `test`, which is the test that calls this.
#[track_caller]
pub fn run(test: &str, scenario: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        return scenario();
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]).env(ALONE, "1");
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
    let how = status.map_or_else(|| "hangs".to_owned(), |status| status.to_string());
    assert!(passed, "{test}: {how}\n{stderr}");
}

fn collect(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
