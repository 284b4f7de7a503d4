//! Runs the examples as processes, over their standard streams. Dropping a `Program` kills its
//! process.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code; each test file uses a part"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// The longest wait of any test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running program.
pub struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
}

impl Program {
    pub fn start(path: &str, args: &[&str]) -> Self {
        let mut child = Command::new(path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take().unwrap(), "", sender.clone());
        forward(child.stderr.take().unwrap(), "! ", sender);
        Self { stdin: child.stdin.take(), child, lines }
    }

    /// The resident memory of the process in bytes.
    #[cfg(target_os = "linux")]
    pub fn memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    }

    /// The environment variables that the process was started with, each with a NUL at its end.
    #[cfg(target_os = "linux")]
    pub fn environment(&self) -> String {
        let bytes = std::fs::read(format!("/proc/{}/environ", self.child.id())).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The next line of output. Lines of standard error begin with `! `.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the program printed no further line")
    }

    /// Skips lines until one contains this text.
    #[track_caller]
    pub fn until(&self, text: &str) -> String {
        let mut passed = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => passed.push(line),
                Err(_) => panic!("no line contains {text:?}: {passed:#?}"),
            }
        }
    }

    #[track_caller]
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Closes its input and waits until it exits. Returns its status and remaining output.
    #[track_caller]
    pub fn finish(mut self) -> (ExitStatus, Vec<String>) {
        drop(self.stdin.take());
        self.ended()
    }

    /// Waits until the process exits without a signal.
    #[track_caller]
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("the program does not exit"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        (status, self.lines.iter().collect())
    }

    /// Sends it a signal.
    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    /// Kills it. Returns its remaining output.
    pub fn stop(mut self) -> Vec<String> {
        let _ = self.child.kill(); // may have exited already
        self.lines.iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // may have exited already
        let _ = self.child.wait();
    }
}

fn forward(from: impl Read + Send + 'static, mark: &'static str, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(format!("{mark}{line}")); // the test may have ended
        }
    });
}

/// Starts a server on a free loopback port. Returns the program and its URL without the final
/// slash.
#[track_caller]
pub fn serve(path: &str, args: &[&str]) -> (Program, String) {
    let server = Program::start(path, &[&["--listen", "127.0.0.1:0"], args].concat());
    let line = server.until("listening on ws"); // ws:// or wss://
    let url = line.trim_start_matches("listening on ").trim_end_matches('/').to_owned();
    (server, url)
}

/// Connects the example `client`.
pub fn client(url: &str, args: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_client"), &[&[url], args].concat())
}

/// Connects the example `client` and checks that the server accepts it.
#[track_caller]
pub fn connected(url: &str, args: &[&str]) -> Program {
    let client = client(url, args);
    let line = client.line();
    assert!(line.starts_with("connected, version "), "{line}");
    client
}

/// Sends one message. Returns whether the client succeeded, and its output.
#[track_caller]
pub fn once(url: &str, message: &str, args: &[&str]) -> (bool, String) {
    let (status, lines) = client(url, &[&["--once", message], args].concat()).finish();
    (status.success(), lines.join("\n"))
}
