//! `idle`: open connections without traffic, and the memory of each in the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use super::args::{IdleArgs, MessageArgs};
use super::client::{Buffers, Client};
use super::drive::{Poll, Ready, TICK};
use super::error::Error;
use super::handshake::Opener;
use super::report::Report;
use super::ring::Ring;
use super::sys::{self, Memory};

/// The number of connections that are opened and closed before the first reading. One-time
/// allocations of the server are therefore not counted.
const WARM: usize = 32;
/// The number of connections per source address. Linux has 28,232 ephemeral ports by default.
const PORTS: usize = 20_000;
/// The number of connections that must still echo at the end.
const PROBES: usize = 100;

/// Runs the load. The sockets are blocking.
pub(super) fn run(args: &IdleArgs) -> Result<Report, Error> {
    let common = &args.common;
    let Some(pid) = common.pid else {
        return Err(Error::Usage("idle reports the server's memory: add --pid PID".into()));
    };
    sys::need_sockets(args.connections + WARM)?;
    let offer = args.deflate.offer(common.draft)?;
    let size = args.size.unwrap_or(if offer.is_some() { 1024 } else { 16 });
    let message = MessageArgs { size, text: false, binary: false, fragments: 1, verify: true };
    let ring = Ring::new(common.draft, &message, offer.as_ref())?;
    let opener = Opener::new(common, "/echo", offer)?;
    let enough = u8::try_from(args.connections.div_ceil(PORTS)).unwrap_or(u8::MAX);
    let sources = args.sources.unwrap_or(enough);
    let open = |number| opener.open(number, source(common.target, sources, number), &ring);
    let mut buffers = Buffers::new(size);

    let mut agreed = String::new();
    let mut warm = Vec::with_capacity(WARM);
    for number in 0..WARM {
        let client;
        (client, agreed) = open(number)?;
        warm.push(client);
    }
    for mut client in warm {
        echo_once(&mut client, &ring, &mut buffers, common.stall)?;
        let _ = client.close(&ring);
    }
    let before = settled(pid)?;

    let start = Instant::now();
    let mut clients =
        (0..args.connections).map(|number| Ok(open(number)?.0)).collect::<Result<Vec<_>, Error>>()?;
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
            echo_once(client, &ring, &mut buffers, common.stall)?;
        }
        report.memory_touched = Some(growth(before, settled(pid)?, args.connections));
    }
    hold(&mut clients, Duration::from_secs_f64(args.hold), &ring, &mut buffers)?;
    for client in clients.iter_mut().step_by(args.connections.div_ceil(PROBES)) {
        echo_once(client, &ring, &mut buffers, common.stall)?;
    }
    for client in &mut clients {
        let _ = client.close(&ring); // the measurement is complete, so a failure does not matter
    }
    Ok(report)
}

/// Keeps the connections open and answers the server's pings. A connection that ends is an error.
fn hold(clients: &mut [Client], time: Duration, ring: &Ring, buffers: &mut Buffers) -> Result<(), Error> {
    let (start, mut poll) = (Instant::now(), Poll::new()?);
    set_nonblocking(clients, true)?;
    for (number, client) in clients.iter().enumerate() {
        poll.add(client.socket(), number)?;
    }
    while let Some(left) = time.checked_sub(start.elapsed()) {
        for index in 0..poll.wait(left.min(TICK))? {
            let Ready { key, readable, hangup, .. } = poll.ready(index);
            let (client, mut more) = (&mut clients[key], readable);
            while more {
                more = client.read(hangup, ring, buffers)?.more;
            }
            client.flush(ring)?;
        }
    }
    set_nonblocking(clients, false)
}

fn set_nonblocking(clients: &[Client], on: bool) -> Result<(), Error> {
    let set = |client: &Client| client.socket().set_nonblocking(on);
    clients.iter().try_for_each(set).map_err(|error| Error::io("O_NONBLOCK", error))
}

/// Sends the next message and waits for its echo.
fn echo_once(client: &mut Client, ring: &Ring, buffers: &mut Buffers, stall: f64) -> Result<(), Error> {
    let (due, start) = (client.received() + 1, Instant::now());
    client.send(1, ring)?;
    while client.received() < due {
        let step = client.read(false, ring, buffers)?;
        // Other input, such as pings, does not extend the wait.
        let late = start.elapsed().as_secs_f64() >= stall && client.received() < due;
        if late || (step.bytes == 0 && !step.more) {
            return Err(Error::Stalled(stall, "a message did not come back".into()));
        }
    }
    Ok(())
}

/// The source address of connection `index`, spread over `sources` addresses. `None` lets the
/// system choose.
///
/// Only IPv4 has several addresses. Several are used only if one has too few ports, because a port
/// bound to an explicit address is unavailable to automatic binding for a minute.
fn source(target: SocketAddr, sources: u8, index: usize) -> Option<IpAddr> {
    if sources <= 1 || target.is_ipv6() {
        return None;
    }
    let last = u8::try_from(index % usize::from(sources.min(254))).unwrap_or(0) + 1;
    Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_addresses_are_loopback() {
        let target = SocketAddr::from(([127, 0, 0, 1], 80));
        assert_eq!(source(target, 1, 7), None);
        assert!((0..600).all(|index| source(target, 255, index).unwrap().is_loopback()));
        assert_eq!(source(target, 8, 9), Some(IpAddr::from([127, 0, 0, 2])));
        assert_eq!(source("[::1]:80".parse().unwrap(), 8, 9), None);
    }
}
