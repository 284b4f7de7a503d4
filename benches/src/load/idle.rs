//! `idle`: open connections without traffic, and the memory of each in the server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::args::{Draft, IdleArgs, MessageArgs, check_connections, in_range, source};
use super::error::Error;
use super::frames::Ring;
use super::opening;
use super::reader::{Expect, Reader};
use super::report::Report;
use super::sys::{self, Memory};

/// The number of connections that are opened and closed before the first reading. One-time
/// allocations of the server are therefore not counted.
const WARM: usize = 32;
/// The number of connections per source address. Linux has 28,232 ephemeral ports by default.
const PORTS: usize = 20_000;
/// The number of connections that must still echo at the end.
const PROBES: usize = 100;

/// A blocking connection.
struct Client {
    socket: TcpStream,
    reader: Reader,
    number: usize,
    agreed: String,
}

/// Runs the load.
///
/// # Errors
/// See [`super::run`].
pub fn run(args: &IdleArgs) -> Result<Report, Error> {
    let common = &args.common;
    check_connections(args.connections)?;
    in_range("--hold", args.hold, 0.0, 600.0)?;
    let Some(pid) = common.pid else {
        return Err(Error::Usage("idle reports the server's memory: add --pid PID".into()));
    };
    sys::need_sockets(args.connections + WARM)?;
    let offer = args.deflate.offer(common.draft)?;
    let size = args.size.unwrap_or(if offer.is_some() { 1024 } else { 16 });
    let message = MessageArgs { size, text: false, binary: false, fragments: 1, verify: offer.is_none() };
    let ring = Ring::new(common.draft, &message, offer.as_ref())?;
    // With compression, the reader still compares the first message of each connection.
    let expect = Expect { ring: &ring, verify: message.verify };
    let request = opening::request(common.draft, common.target, common.path_or("/echo"), offer.as_ref());
    let patience = Duration::from_secs_f64(common.stall);
    let enough = u8::try_from(args.connections.div_ceil(PORTS)).unwrap_or(u8::MAX);
    let sources = args.sources.unwrap_or(enough);
    let open = |number| {
        let source = source(common.target, sources, number);
        let opened = opening::open(common.draft, common.target, source, &request, offer.as_ref(), patience)?;
        Ok(Client {
            socket: opened.stream,
            reader: Reader::new(common.draft, offer.as_ref()),
            number,
            agreed: opened.agreed,
        })
    };

    let warm = (0..WARM).map(open).collect::<Result<Vec<_>, Error>>()?;
    let agreed = warm.first().map(|client| client.agreed.clone()).unwrap_or_default();
    for mut client in warm {
        client.echo_once(expect)?;
        goodbye(client.socket, common.draft);
    }
    let before = settled(pid)?;

    let start = Instant::now();
    let mut clients = (0..args.connections).map(open).collect::<Result<Vec<_>, Error>>()?;
    let took = start.elapsed();
    let mut report = Report::new("idle", common);
    report.connections = args.connections;
    report.size = size;
    report.note = agreed;
    report.messages = args.connections as u64;
    report.seconds = took.as_secs_f64();
    report.memory = Some(growth(before, settled(pid)?, args.connections));

    if args.touch {
        for client in &mut clients {
            client.echo_once(expect)?;
        }
        report.memory_touched = Some(growth(before, settled(pid)?, args.connections));
    }
    std::thread::sleep(Duration::from_secs_f64(args.hold));
    let step = args.connections.div_ceil(PROBES);
    for client in clients.iter_mut().step_by(step) {
        client.echo_once(expect)?;
    }
    for client in clients {
        goodbye(client.socket, common.draft);
    }
    Ok(report)
}

impl Client {
    /// Sends the next message and waits for its echo.
    fn echo_once(&mut self, expect: Expect<'_>) -> Result<(), Error> {
        let (reader, connection) = (&mut self.reader, self.number);
        let had = reader.messages();
        self.socket.write_all(expect.ring.message(had)).map_err(|e| Error::io("sending a message", e))?;
        let mut part = [0; 256];
        while reader.messages() == had {
            let n = self.socket.read(&mut part).map_err(|e| Error::io("waiting for a message", e))?;
            reader.feed(&part[..n], expect).map_err(|source| Error::Frame { connection, source })?;
            if n == 0 || reader.is_closed() {
                return Err(Error::Closed { connection, code: reader.close_code() });
            }
        }
        Ok(())
    }
}

/// Sends a close frame without waiting for the answer.
fn goodbye(mut socket: TcpStream, draft: Draft) {
    // The measurement is complete, so a failure does not matter.
    let _ = socket.write_all(super::frames::close(draft));
}

/// The memory of a process once it is stable, or after two seconds.
fn settled(pid: u32) -> Result<Memory, Error> {
    let mut last = sys::memory(pid)?;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_millis(200));
        let now = sys::memory(pid)?;
        if now == last {
            break;
        }
        last = now;
    }
    Ok(last)
}

#[expect(clippy::cast_precision_loss, reason = "display only")]
fn growth(before: Memory, after: Memory, connections: usize) -> [f64; 2] {
    let each = |before: u64, after: u64| (after as f64 - before as f64) / connections as f64;
    [each(before.rss, after.rss), each(before.pss, after.pss)]
}
