//! `abuse`: attacks on a server, one after the other, each beside a client that behaves well.
//!
//! Everything stays on loopback and ends by itself. The verdict of an attack is about loss, panics,
//! memory and descriptors, never about time: the machine may be busy. With `--tls` (feature `tls`), the
//! server and the client that behaves well speak TLS, and the attacks are on TLS.

mod attacks;
#[cfg(feature = "tls")]
mod tls;

use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use clap::Parser;
use hdrhistogram::Histogram;

/// Settings of the server. Deadlines are short, so that they pass during an attack.
const CONFIG: &str = "listen = [\"127.0.0.1:0\"]\nmax_buffered = 134217728\nhandshake_timeout = 1\n\
    close_timeout = 1\nwrite_timeout = 2\nping_interval = 1\nping_timeout = 1\nmessage_timeout = 2\n";
/// The growth that `max_buffered` allows: a quarter more for a moment.
const MAX_GROWTH: u64 = (128 << 20) / 4 * 5 + KEPT;
/// Memory that the server may keep: buffers for the next messages, and the heap.
const KEPT: u64 = 64 << 20;
/// The longest time to wait for an echo, and for the server to recover from an attack.
const PATIENCE: Duration = Duration::from_secs(60);

/// Attacks an echo server, and prints how a client that behaves well fares meanwhile
#[derive(Debug, Parser)]
pub struct Args {
    /// The server to start, with `--config FILE --deflate`; it prints `listening on ws://ADDRESS/`
    /// [default: the program `echo` in the folder of this one]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Run only attacks whose names contain this text
    #[arg(long, default_value = "")]
    only: String,
    /// Attack TLS; the server then gets the flag `--tls-self-signed`, and prints
    /// `listening on wss://ADDRESS/`
    #[cfg(feature = "tls")]
    #[arg(long)]
    tls: bool,
    /// A short run for tests: 30 connections and a fifth of a second, not 300 and 5 seconds
    #[arg(long)]
    quick: bool,
}

impl Args {
    #[cfg(feature = "tls")]
    const fn tls(&self) -> bool {
        self.tls
    }

    #[cfg(not(feature = "tls"))]
    const fn tls(&self) -> bool {
        false
    }

    /// The attacks.
    fn attacks(&self) -> &'static [(&'static str, Attack)] {
        #[cfg(feature = "tls")]
        if self.tls {
            return tls::ALL;
        }
        attacks::ALL
    }

    /// Opens the connection of the client that behaves well.
    fn open(&self, target: &Target) -> Option<Box<dyn Stream>> {
        #[cfg(feature = "tls")]
        if self.tls {
            return Some(Box::new(tls::open(target)?));
        }
        Some(Box::new(attacks::open(target)?))
    }
}

/// An attack ends when the time of its target is over.
type Attack = fn(&Target);

/// The connection of the client that behaves well.
trait Stream: Read + Write + Send {
    /// Sets the longest wait of a read.
    fn set_patience(&self, patience: Duration) -> Result<()>;
}

impl Stream for TcpStream {
    fn set_patience(&self, patience: Duration) -> Result<()> {
        self.set_read_timeout(Some(patience))
    }
}

/// What an attack attacks, and for how long.
struct Target {
    address: SocketAddr,
    connections: usize,
    until: Instant,
}

impl Target {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }
}

/// Memory and descriptors of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Usage {
    rss: u64,
    descriptors: usize,
}

impl Usage {
    fn of(process: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count);
        Self { rss: kib.unwrap_or(0) << 10, descriptors }
    }
}

/// A server process, which ends with this value.
struct Server {
    process: Child,
    /// The panics on its standard error. Each of them is a fault, also if the server catches it.
    panics: Arc<AtomicUsize>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
    }
}

impl Server {
    fn start(args: &Args) -> Result<(Self, SocketAddr)> {
        let beside = || Ok::<_, Error>(env::current_exe()?.with_file_name("echo"));
        let program = args.server.clone().map_or_else(beside, Ok)?;
        let config = env::temp_dir().join(format!("clws-abuse-{}.toml", std::process::id()));
        fs::write(&config, CONFIG)?;
        let mut command = Command::new(&program);
        command.arg("--config").arg(&config).args(["--deflate", "--log-level", "off"]).stdout(Stdio::piped());
        let begin = if args.tls() { "listening on wss://" } else { "listening on ws://" };
        if args.tls() {
            command.arg("--tls-self-signed");
        }
        let failed = |error| Error::other(format!("{}: {error}; build it first", program.display()));
        let process = command.stderr(Stdio::piped()).spawn().map_err(failed)?;
        let mut server = Self { process, panics: Arc::default() };
        let (errors, panics) = (server.process.stderr.take(), Arc::clone(&server.panics));
        thread::spawn(move || {
            for line in errors.map(BufReader::new).into_iter().flat_map(BufRead::lines).map_while(Result::ok)
            {
                panics.fetch_add(usize::from(line.contains("panicked at")), Ordering::Relaxed);
                eprintln!("{line}");
            }
        });
        let mut lines = server.process.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let address = |line: &str| line.strip_prefix(begin)?.strip_suffix('/')?.parse().ok();
        let address = lines.find_map(|line| address(&line.ok()?));
        let _ = fs::remove_file(config);
        address.ok_or_else(|| failed(Error::other("it prints no address"))).map(|address| (server, address))
    }
}

/// Runs the attacks. Returns whether all verdicts are good.
///
/// # Errors
/// The server does not start, or no client can connect before an attack.
pub fn run(args: &Args) -> Result<bool> {
    let (mut server, mut address) = Server::start(args)?;
    let mut all_good = true;
    println!("| attack | p50 ms | p99 ms | max ms | RSS MiB before, peak, after | descriptors | verdict |");
    println!("|---|---|---|---|---|---|---|");
    for (name, attack) in args.attacks().iter().filter(|(name, _)| name.contains(&*args.only)) {
        let (row, is_good) = measure(&mut server, address, args, *attack)?;
        println!("| {name} | {row} |");
        all_good &= is_good;
        if !is_good {
            (server, address) = Server::start(args)?; // the next attack begins with a healthy server
        }
    }
    Ok(all_good)
}

/// Runs one attack. Returns its row, and whether the verdict is good.
fn measure(server: &mut Server, address: SocketAddr, args: &Args, attack: Attack) -> Result<(String, bool)> {
    let (millis, connections) = if args.quick { (200, 30) } else { (5000, 300) };
    let (id, panics) = (server.process.id(), Arc::clone(&server.panics));
    let usage = || Usage::of(id);
    let mut target = Target { address, connections, until: Instant::now() };
    // The first client makes the server open what it needs without clients.
    drop(args.open(&target));
    let mut before = Usage::default();
    while before != usage() {
        before = usage();
        thread::sleep(Duration::from_millis(100));
    }
    let stream = args.open(&target).ok_or_else(|| Error::other("no client can connect"))?;
    target.until = Instant::now() + Duration::from_millis(millis);
    let mut peak = before;
    let over = AtomicBool::new(false);
    let echoed = thread::scope(|scope| {
        let good = scope.spawn(|| echo_until(stream, &over));
        let attacking = scope.spawn(|| attack(&target));
        while !attacking.is_finished() {
            let Usage { rss, descriptors } = usage();
            peak = Usage { rss: rss.max(peak.rss), descriptors: descriptors.max(peak.descriptors) };
            thread::sleep(Duration::from_millis(10));
        }
        over.store(true, Ordering::Relaxed);
        good.join().unwrap_or_else(|_| Err(Error::other("it panicked")))
    });

    let end = Instant::now() + PATIENCE;
    let has_returned = |now: Usage| (now.rss <= before.rss + KEPT, now.descriptors <= before.descriptors);
    let mut after = usage();
    while has_returned(after) != (true, true) && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
        after = usage();
    }
    let (has_returned_memory, has_returned_descriptors) = has_returned(after);
    let faults = [
        (server.process.try_wait()?.is_some(), "the server has ended".to_owned()),
        (panics.swap(0, Ordering::Relaxed) > 0, "it panicked".to_owned()),
        (echoed.is_err(), format!("the good client failed: {:?}", echoed.as_ref().err())),
        (peak.rss > before.rss + MAX_GROWTH, "it took too much memory".to_owned()),
        (!has_returned_memory, "it keeps memory".to_owned()),
        (!has_returned_descriptors, "it keeps descriptors".to_owned()),
    ];
    let faults: Vec<_> = faults.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)).collect();
    let verdict = if faults.is_empty() { "good".to_owned() } else { faults.join("; ") };
    let times =
        |quantile| echoed.as_ref().map_or(0.0, |times| times.value_at_quantile(quantile) as f64 / 1000.0);
    let [rss, descriptors] = [|u: Usage| u.rss >> 20, |u: Usage| u.descriptors as u64]
        .map(|of| [before, peak, after].map(|usage| of(usage).to_string()).join(", "));
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(times);
    let row = format!("{p50:.2} | {p99:.2} | {max:.2} | {rss} | {descriptors} | {verdict}");
    Ok((row, faults.is_empty()))
}

/// The good client: sends a message, waits for its echo, and sends the next one, until the attack is
/// over. Any other answer is an error. Returns the microseconds of the echoes.
fn echo_until(mut stream: Box<dyn Stream>, over: &AtomicBool) -> Result<Histogram<u64>> {
    stream.set_patience(PATIENCE)?;
    let mut times = Histogram::new_with_max(10 * PATIENCE.as_secs() * 1_000_000, 3).map_err(Error::other)?;
    for number in 0_u64.. {
        let message = format!("message {number}");
        let started = Instant::now();
        stream.write_all(&attacks::message(message.as_bytes()))?;
        let mut echo = vec![0; 2 + message.len()];
        stream.read_exact(&mut echo)?;
        if !echo.ends_with(message.as_bytes()) {
            return Err(Error::other(format!("{echo:?} for {message:?}")));
        }
        times.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
        if over.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(times)
}
