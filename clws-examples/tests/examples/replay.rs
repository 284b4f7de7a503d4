//! `echo --capture` and `client replay`: a recorded connection is sent again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{PATIENCE, Program, connected, once, serve};
use clws_server::capture::Recording;

const ECHO: &str = env!("CARGO_BIN_EXE_echo");

/// A directory that is removed with its files.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("clws-replay-{name}-{}", std::process::id())))
    }

    /// The only file, when its recording is complete.
    #[track_caller]
    fn file(&self) -> PathBuf {
        let end = Instant::now() + PATIENCE;
        loop {
            let file = fs::read_dir(&self.0).unwrap().next().map(|file| file.unwrap().path());
            let is_complete =
                |file: &PathBuf| Recording::open(file).is_ok_and(|recording| recording.is_complete());
            if let Some(file) = file.filter(is_complete) {
                return file;
            }
            assert!(Instant::now() < end, "no recording is complete");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn replay(file: &Path, args: &[&str]) -> (ExitStatus, Vec<String>) {
    let args = [&["replay", file.to_str().unwrap()], args].concat();
    Program::start(env!("CARGO_BIN_EXE_client"), &args).finish()
}

#[test]
fn a_recording_of_each_version_is_replayed() {
    for version in ["75", "0", "7", "8", "13"] {
        let directory = Directory::new(version);
        let flags = ["--hixie", "--hixie-75", "--capture", directory.0.to_str().unwrap()];
        let (server, url) = serve(ECHO, &flags);
        assert_eq!(
            once(&format!("{url}/echo"), "hello", &["--version", version]),
            (true, "hello".to_owned())
        );
        let file = directory.file();
        drop(server);
        let (server, url) = serve(ECHO, &["--hixie", "--hixie-75"]);
        for speed in ["0", "1", "1000"] {
            let (status, lines) = replay(&file, &[&url, "-v", "--speed", speed]);
            assert!(lines.iter().any(|line| line == "< Text(\"hello\")"), "{version}: {lines:#?}");
            assert!(status.success() && lines.iter().any(|line| line == "the answers agree"), "{lines:#?}");
        }
        drop(server);
    }
}

#[test]
fn another_answer_is_reported() {
    let directory = Directory::new("other");
    let (server, url) = serve(ECHO, &["--capture", directory.0.to_str().unwrap()]);
    let mut client = connected(&url, &[]);
    client.say("hello");
    client.until("< text 5 hello");
    client.say("a long message");
    client.until("< text 14 a long message");
    assert!(client.finish().0.success());
    let file = directory.file();
    drop(server);
    let (_server, url) = serve(ECHO, &["--max-message", "10"]);
    let (status, lines) = replay(&file, &[&url]);
    assert!(!status.success());
    let error =
        "! client: recording and replay differ: message 2 is Text(\"a long message\") and Close(1009, ";
    assert!(lines.iter().any(|line| line.starts_with(error)), "{lines:#?}");

    // Without a URL, the recorded server is asked, which is gone.
    let (status, lines) = replay(&file, &[]);
    assert!(
        !status.success() && lines.iter().any(|line| line.contains("cannot connect to 127.0.0.1:")),
        "{lines:#?}"
    );
    // A file that is cut.
    let cut = directory.0.join("cut");
    let bytes = fs::read(&file).unwrap();
    fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let (status, lines) = replay(&cut, &[]);
    assert!(
        !status.success() && lines.iter().any(|line| line.contains("ends within the block")),
        "{lines:#?}"
    );
}
