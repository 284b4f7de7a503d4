//! `abuse`: attacks on a server, one after the other, each beside a client that behaves well.
//!
//! Everything stays on loopback and ends by itself. The verdict of an attack is about loss, memory
//! and descriptors, never about time: the machine may be busy.

mod attacks;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Error, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use clap::Parser;
use hdrhistogram::Histogram;

/// Settings of the server. Deadlines are short, so that each of them passes during an attack.
const CONFIG: &str = "listen = [\"127.0.0.1:0\"]\nmax_buffered = 134217728\nhandshake_timeout = 1\n\
    close_timeout = 1\nwrite_timeout = 2\nping_interval = 1\nping_timeout = 1\nmessage_timeout = 2\n";
/// The limit of `CONFIG` on all buffers.
const MAX_BUFFERED: u64 = 128 << 20;
/// Memory that the server may keep: buffers for the next messages, and the heap.
const KEPT: u64 = 64 << 20;
/// The longest wait, for the good client and for the server to recover.
const PATIENCE: Duration = Duration::from_secs(30);

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
    /// Connections of each attack
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u16).range(1..=900))]
    connections: u16,
    /// Seconds of each attack
    #[arg(long, default_value_t = 5.0)]
    seconds: f32,
    /// A short run for tests: 30 connections, 0.2 seconds
    #[arg(long)]
    quick: bool,
}

/// What an attack attacks, and for how long.
#[derive(Debug)]
struct Target {
    address: SocketAddr,
    connections: usize,
    until: Instant,
}

impl Target {
    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// A new connection. `None` if the server accepts none now.
    fn tcp(&self) -> Option<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok()?;
        stream.set_nodelay(true).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        Some(stream)
    }
}

/// Memory and descriptors of the server.
#[derive(Clone, Copy, Debug, Default)]
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

    fn most(self, other: Self) -> Self {
        Self { rss: self.rss.max(other.rss), descriptors: self.descriptors.max(other.descriptors) }
    }
}

/// A server process, which ends with this value.
struct Server {
    process: Child,
    address: SocketAddr,
}

impl Server {
    fn start(args: &Args) -> Result<Self> {
        let beside = || Ok::<_, Error>(env::current_exe()?.with_file_name("echo"));
        let program = args.server.clone().map_or_else(beside, Ok)?;
        let config = env::temp_dir().join(format!("clws-abuse-{}.toml", std::process::id()));
        fs::write(&config, CONFIG)?;
        let mut command = Command::new(&program);
        command.arg("--config").arg(&config).args(["--deflate", "--log-level", "off"]).stdout(Stdio::piped());
        let failed = |error: Error| Error::new(error.kind(), format!("{}: {error}", program.display()));
        let mut process = command.spawn().map_err(failed)?;
        let mut lines = process.stdout.take().map(BufReader::new).into_iter().flat_map(BufRead::lines);
        let address = lines
            .find_map(|line| line.ok()?.strip_prefix("listening on ws://")?.strip_suffix('/')?.parse().ok());
        let _ = fs::remove_file(config);
        let server = Self { process, address: address.unwrap_or(([0, 0, 0, 0], 0).into()) };
        let error = || {
            failed(Error::other("it did not start: build it with `cargo build -p clws-examples --bin echo`"))
        };
        address.ok_or_else(error).map(|_| server)
    }
}

impl Server {
    /// Waits until the server has opened what it needs without clients.
    fn settle(&self) -> Result<()> {
        let target = Target { address: self.address, connections: 1, until: Instant::now() };
        drop(attacks::open(&target).ok_or_else(|| Error::other("no client can connect"))?);
        let mut before = 0;
        while before != Usage::of(self.process.id()).descriptors {
            before = Usage::of(self.process.id()).descriptors;
            thread::sleep(Duration::from_millis(300));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill(); // it may have ended
        let _ = self.process.wait();
    }
}

/// Runs the attacks. Returns whether all verdicts are good.
///
/// # Errors
/// The server does not start, or no client can connect before the first attack.
pub fn run(args: &Args) -> Result<bool> {
    let mut server = Server::start(args)?;
    let mut all_good = true;
    server.settle()?;
    println!(
        "| attack | p50 ms | p99 ms | max ms | echoes | RSS before, peak, after MiB | descriptors | verdict |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (name, attack) in attacks::ALL.iter().filter(|(name, _)| name.contains(&*args.only)) {
        let (row, is_good) = measure(&mut server, args, *attack)?;
        println!("| {name} | {row} |");
        all_good &= is_good;
    }
    Ok(all_good)
}

/// Runs one attack. Returns its row, and whether the verdict is good.
fn measure(server: &mut Server, args: &Args, attack: attacks::Attack) -> Result<(String, bool)> {
    let process = server.process.id();
    let before = Usage::of(process);
    let (seconds, connections) = if args.quick { (0.2, 30) } else { (args.seconds, args.connections) };
    let until = Instant::now() + Duration::from_secs_f32(seconds.clamp(0.1, 600.0));
    let target = Target { address: server.address, connections: connections.into(), until };
    let over = AtomicBool::new(false);
    let client = GoodClient::connect(&target)?;
    let mut peak = before;
    let echoed = thread::scope(|scope| {
        let good = scope.spawn(|| client.echo_until(&over));
        let attacking = scope.spawn(|| attack(&target));
        while !attacking.is_finished() && !good.is_finished() {
            peak = peak.most(Usage::of(process));
            thread::sleep(Duration::from_millis(10));
        }
        let _ = attacking.join();
        over.store(true, Ordering::Relaxed);
        good.join().unwrap_or_else(|_| Err(Error::other("it panicked")))
    });
    let mut faults = Vec::new();
    let times = echoed.unwrap_or_else(|error| {
        faults.push(format!("the good client lost: {error}"));
        Histogram::new_with_max(2, 1).unwrap_or_else(|_| unreachable!("these bounds are valid"))
    });
    let end = Instant::now() + PATIENCE;
    let has_returned = |now: Usage| (now.rss <= before.rss + KEPT, now.descriptors <= before.descriptors);
    let mut after = Usage::of(process);
    while has_returned(after) != (true, true) && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
        after = Usage::of(process);
    }
    let (memory, descriptors) = has_returned(after);
    if server.process.try_wait()?.is_some() {
        faults.push("the server has ended".to_owned());
    }
    if !memory || peak.rss > before.rss + MAX_BUFFERED + MAX_BUFFERED / 4 + KEPT {
        faults.push("too much memory".to_owned());
    }
    if !descriptors {
        faults.push("descriptors stay".to_owned());
    }
    let verdict = if faults.is_empty() { "good".to_owned() } else { faults.join("; ") };
    let ms = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1000.0;
    let mib = |usage: Usage| usage.rss >> 20;
    let mut row = format!("{:.2} | {:.2} | {:.2} | {}", ms(0.5), ms(0.99), ms(1.0), times.len());
    let _ = write!(row, " | {}, {}, {}", mib(before), mib(peak), mib(after));
    let _ = write!(row, " | {}, {}, {}", before.descriptors, peak.descriptors, after.descriptors);
    Ok((format!("{row} | {verdict}"), faults.is_empty()))
}

/// A client that sends a message, waits for its echo, and sends the next one.
struct GoodClient {
    stream: TcpStream,
    /// Microseconds for each echo.
    times: Histogram<u64>,
}

impl GoodClient {
    fn connect(target: &Target) -> Result<Self> {
        let stream = attacks::open(target).ok_or_else(|| Error::other("no client can connect"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, times: Histogram::new(3).map_err(Error::other)? })
    }

    /// Echoes until the attack is over, at least once. Any other answer is an error.
    fn echo_until(mut self, over: &AtomicBool) -> Result<Histogram<u64>> {
        for number in 0_u64.. {
            let message = format!("message {number}");
            let started = Instant::now();
            self.stream.write_all(&attacks::message(message.as_bytes()))?;
            let mut echo = vec![0; 2 + message.len()];
            self.stream.read_exact(&mut echo)?;
            if echo[0] != 0x82 || usize::from(echo[1]) != message.len() || &echo[2..] != message.as_bytes() {
                return Err(Error::other(format!("it got {echo:?} for {message:?}")));
            }
            self.times.saturating_record(u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX));
            if over.load(Ordering::Relaxed) {
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok(self.times)
    }
}
