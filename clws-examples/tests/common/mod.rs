//! The examples as processes: each is started, talked to by its standard streams, and killed when it is dropped.
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

/// No wait of these tests is longer; whoever reaches it has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs, until this is dropped at the latest.
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

    /// The next line it says; what it says on standard error begins with `! `.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("it says nothing more")
    }

    /// Passes over lines until one contains that text.
    #[track_caller]
    pub fn until(&self, text: &str) -> String {
        let mut passed = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => passed.push(line),
                Err(_) => panic!("it does not say {text:?} but {passed:#?}"),
            }
        }
    }

    #[track_caller]
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Ends its input and waits until it has ended; its status, and what it still said.
    #[track_caller]
    pub fn finish(mut self) -> (ExitStatus, Vec<String>) {
        drop(self.stdin.take());
        self.ended()
    }

    /// Waits until it has ended of itself.
    #[track_caller]
    pub fn ended(mut self) -> (ExitStatus, Vec<String>) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("it does not end"),
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

    /// Stops it by force; what it still said.
    pub fn stop(mut self) -> Vec<String> {
        let _ = self.child.kill(); // it has ended already
        self.lines.iter().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it has ended already
        let _ = self.child.wait();
    }
}

fn forward(from: impl Read + Send + 'static, mark: &'static str, to: mpsc::Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = to.send(format!("{mark}{line}")); // nobody wants it any more
        }
    });
}

/// Starts one of the servers on a free port of the loopback; the program, and its URL without a final slash.
#[track_caller]
pub fn serve(path: &str, args: &[&str]) -> (Program, String) {
    let server = Program::start(path, &[&["--listen", "127.0.0.1:0"], args].concat());
    let line = server.until("listening on ws://");
    let url = line.trim_start_matches("listening on ").trim_end_matches('/').to_owned();
    (server, url)
}

/// Connects the example `client`.
pub fn client(url: &str, args: &[&str]) -> Program {
    Program::start(env!("CARGO_BIN_EXE_client"), &[&[url], args].concat())
}

/// Connects the example `client`, and sees that the server takes it.
#[track_caller]
pub fn connected(url: &str, args: &[&str]) -> Program {
    let client = client(url, args);
    let line = client.line();
    assert!(line.starts_with("connected, version "), "{line}");
    client
}

/// Asks for one answer; whether the client's status was good, and all it said.
#[track_caller]
pub fn once(url: &str, message: &str, args: &[&str]) -> (bool, String) {
    let (status, lines) = client(url, &[&["--once", message], args].concat()).finish();
    (status.success(), lines.join("\n"))
}
