//! `client replay FILE`: sends the recorded bytes of a client to a server, and compares the answers.

use std::error::Error;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use clws_server::capture::{Content, Recording, Side, Transcript};

use crate::stream::{Stream, Trust};

/// Replay a recording of a server (`echo --capture`, feature `capture` of clws-server), and compare
/// the answers
#[derive(clap::Args)]
pub(crate) struct Flags {
    /// The file
    file: PathBuf,
    /// The server, as `ws://HOST[:PORT]`; the path is the recorded one [default: the recorded server]
    url: Option<String>,
    /// Speed: 1 keeps the recorded times, 10 is ten times as fast, and 0 waits only for answers
    #[arg(long, value_name = "FACTOR", default_value_t = 0.0, value_parser = speed)]
    speed: f64,
    /// Seconds to wait for the answers and for the end of the connection
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u32,
    /// Show the answers
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    trust: Trust,
}

fn speed(text: &str) -> Result<f64, &'static str> {
    text.parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0).ok_or("expected 0 or more")
}

/// The bytes of the server, which a thread reads.
#[derive(Default)]
struct Output {
    received: Mutex<Received>,
    changed: Condvar,
}

#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    has_ended: bool,
}

pub(crate) fn run(flags: &Flags) -> Result<(), Box<dyn Error>> {
    let name = flags.file.display();
    let recording = Recording::open(&flags.file).map_err(|error| format!("{name}: {error}"))?;
    recording.check_gaps().map_err(|error| format!("{name} cannot be replayed: {error}"))?;
    let patience = Duration::from_secs(flags.timeout.max(1).into());
    let url = flags.url.clone().unwrap_or_else(|| format!("ws://{}/", recording.server()));
    let stream = Stream::connect(&url, patience, &flags.trust)?;
    let output = Output::default();
    thread::scope(|scope| {
        scope.spawn(|| output.read(&stream));
        send(&stream, &recording, flags.speed, patience, &output);
        let _ = stream.shutdown(Shutdown::Write); // fails if the server has ended the connection
        if !output.wait(patience, |received| received.has_ended) {
            eprintln!("client: the server did not end the connection in time");
        }
        let _ = stream.shutdown(Shutdown::Both); // ends the thread
    });
    let replayed = Transcript::decode(&recording.bytes(Side::Client), &output.lock().bytes);
    if flags.verbose {
        for answer in &replayed.answers {
            crate::say(&format!("< {answer:?}"));
        }
    }
    let recorded = recording.transcript();
    crate::say(&format!("{} answers, {} in the recording", replayed.answers.len(), recorded.answers.len()));
    if !recording.is_complete() {
        crate::say("the recording ends before the connection");
    }
    match recorded.difference(&replayed) {
        None => {
            crate::say("the answers agree");
            Ok(())
        }
        Some(difference) => Err(format!("recording and replay differ: {difference}").into()),
    }
}

/// Sends the bytes of the client. Without a speed, the recorded answers must come before the next
/// bytes are sent.
fn send(stream: &Stream, recording: &Recording, speed: f64, patience: Duration, output: &Output) {
    let started = Instant::now();
    let mut expected = 0;
    let mut is_in_step = true;
    for entry in recording.entries() {
        match (entry.from, &entry.content) {
            (Side::Server, Content::Bytes(bytes)) => expected += bytes.len(),
            (Side::Client, content) => {
                if speed > 0.0 {
                    let at = entry.at.div_f64(speed.max(1e-3));
                    thread::sleep(at.saturating_sub(started.elapsed()));
                } else if is_in_step {
                    let limit = patience.min(Duration::from_secs(2));
                    is_in_step = output.wait(limit, |received| received.bytes.len() >= expected);
                }
                match content {
                    // A server that has ended the connection is a difference, if any.
                    Content::Bytes(bytes) if (&mut &*stream).write_all(bytes).is_err() => return,
                    Content::End | Content::Reset => return,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    output.wait(patience, |received| received.bytes.len() >= expected || received.has_ended);
}

impl Output {
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut stream: &Stream) {
        let mut buffer = [0; 64 * 1024];
        loop {
            let count = stream.read(&mut buffer).unwrap_or(0);
            let mut received = self.lock();
            received.bytes.extend_from_slice(&buffer[..count]);
            received.has_ended = count == 0;
            self.changed.notify_all();
            if count == 0 {
                return;
            }
        }
    }

    /// Waits until the output fits. Returns false if the time is over, or the server has ended
    /// before.
    fn wait(&self, limit: Duration, fits: impl Fn(&Received) -> bool) -> bool {
        let waits = |received: &mut Received| !fits(received) && !received.has_ended;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, waits);
        fits(&waited.unwrap_or_else(PoisonError::into_inner).0)
    }
}
