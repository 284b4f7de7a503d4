//! The sums of all counters at one moment.

use clws_handshake::Version;
use clws_proto::CloseCode;

use crate::stats::counter::Counter;
use crate::stats::counters::Counters;
use crate::stats::histogram::Histogram;
use crate::stats::kinds::{CAUSES, CODES, DropReason, HandshakeOutcome, VERSIONS, code_index};

/// The name of the clients whose resource was unregistered while they stayed.
const UNREGISTERED: &str = "(unregistered)";

/// What a server does and has done since `bind`: the result of
/// [`ServerHandle::stats`](crate::ServerHandle::stats).
///
/// Counts only grow. The counters are read one after the other while the server runs, so a message
/// may be in one count and not yet in another. When nothing is in progress, all of them agree.
///
/// ```
/// use clws_server::{Config, HandshakeOutcome, Server};
///
/// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
/// let stats = server.handle().stats();
/// assert_eq!(stats.handshakes_with(HandshakeOutcome::Accepted), 0);
/// assert_eq!(stats.received.messages, 0);
/// println!("p99 of a handler: {:?}", stats.handler_time.quantile(0.99));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Connections in any state, also during the handshake, without those that get 503.
    pub connections: usize,
    /// Connected clients by resource and version, without resources that have none.
    pub clients: Vec<ClientCount>,
    /// Opening handshakes by their outcome, without outcomes that did not occur.
    pub handshakes: Vec<HandshakeCount>,
    /// Clients whose connection has ended, by close code and cause, without those that did not
    /// occur.
    pub closes: Vec<CloseCount>,
    /// Data messages that were delivered to resources, and bytes that were read.
    pub received: Traffic,
    /// Data messages that were queued for clients, and bytes that were written. A message counts
    /// when the server first tries to write it.
    pub sent: Traffic,
    /// Data messages that were read and not delivered: the sum of all
    /// [`Disconnect::undelivered`](crate::Disconnect#structfield.undelivered).
    pub undelivered: u64,
    /// Messages to clients that were refused or dropped, without reasons that did not occur.
    pub dropped: Vec<DropCount>,
    /// Queued bytes that were not written, because the connection had ended.
    pub discarded_bytes: u64,
    /// Bytes of memory that are queued for clients, in whole pages of 4 KiB for each client. A
    /// message to many clients, if it is not copied, is part of `buffered` only.
    pub queued_bytes: u64,
    /// Bytes of memory that are held for all clients: see
    /// [`ServerHandle::buffered`](crate::ServerHandle::buffered).
    pub buffered: usize,
    /// The limit for `buffered`: [`max_buffered`](crate::Config#structfield.max_buffered).
    pub max_buffered: usize,
    /// The time to handle a message: to decode it, and to call the resource's `text` or `binary`.
    /// It is a sample: the messages of every 64th read of each shard, and of every 64th read of all
    /// streams. If a read brings several messages, each counts with their average.
    ///
    /// For a mailbox, a resource listener or an async handler, it is the time to queue the message.
    pub handler_time: Histogram,
    /// The time of each event loop turn of the shards: all that a thread did between two waits for
    /// sockets. Every client of the shard waits for a turn to end. Empty with
    /// [`task_per_client`](crate::Config#structfield.task_per_client).
    pub turn_time: Histogram,
    /// The time between each ping of the keepalive and its answer. Empty while there is no
    /// keepalive.
    pub rtt: Histogram,
}

/// Messages and bytes in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Traffic {
    /// Data messages, without pings and pongs. A message in several frames is one message.
    pub messages: u64,
    /// Bytes as they pass the socket or stream: with frame headers, control frames and handshakes,
    /// and after compression.
    pub bytes: u64,
}

/// The connected clients of a resource that speak one version.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientCount {
    /// The registered path; a registered prefix and `*`, for instance `/rooms/*`; `*` for the
    /// fallback; `(unregistered)` for clients that stayed when their resource was unregistered.
    /// Never a requested path, which clients choose.
    pub resource: Box<str>,
    /// The version that the clients speak.
    pub version: Version,
    /// The number of clients.
    pub count: u64,
}

/// The opening handshakes with one outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeCount {
    /// The outcome.
    pub outcome: HandshakeOutcome,
    /// The status of the response: 101, 408, 429, 503, or any from 300 to 599 for a rejected
    /// handshake. `None` if the application answered a plain request, or if there was no response.
    pub status: Option<u16>,
    /// The number of handshakes.
    pub count: u64,
}

/// The ended connections with one close code and one cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseCount {
    /// The code: `1000` to `1015`, `3xxx`, `4xxx` or `other`. It is the code of the client's close
    /// frame; the code that the server sent, if the client broke the protocol or a handler
    /// panicked; and else 1006.
    pub code: &'static str,
    /// The [name](crate::DisconnectCause::name) of the cause.
    pub cause: &'static str,
    /// The number of connections.
    pub count: u64,
}

/// The messages that were dropped or refused for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DropCount {
    /// The reason.
    pub reason: DropReason,
    /// The number of messages. A message to many clients counts once for each client that did not
    /// get it.
    pub count: u64,
}

impl Stats {
    /// The number of handshakes with that outcome.
    #[must_use]
    pub fn handshakes_with(&self, outcome: HandshakeOutcome) -> u64 {
        self.handshakes.iter().filter(|entry| entry.outcome == outcome).map(|entry| entry.count).sum()
    }

    /// The number of handshakes that were rejected with that status.
    #[must_use]
    pub fn rejected_with(&self, status: u16) -> u64 {
        let rejected = |entry: &&HandshakeCount| {
            entry.outcome == HandshakeOutcome::Rejected && entry.status == Some(status)
        };
        self.handshakes.iter().filter(rejected).map(|entry| entry.count).sum()
    }

    /// The number of ended connections with that code, or with a code of the same class.
    #[must_use]
    pub fn closed_with(&self, code: CloseCode) -> u64 {
        let class = CODES.get(code_index(code));
        self.closes.iter().filter(|entry| class == Some(&entry.code)).map(|entry| entry.count).sum()
    }

    /// The number of ended connections with that cause: a [name](crate::DisconnectCause::name).
    #[must_use]
    pub fn closed_by(&self, cause: &str) -> u64 {
        self.closes.iter().filter(|entry| entry.cause == cause).map(|entry| entry.count).sum()
    }

    /// The number of connected clients, of all resources and versions.
    #[must_use]
    pub fn client_count(&self) -> u64 {
        self.clients.iter().map(|entry| entry.count).sum()
    }

    /// The messages to clients that were dropped or refused for that reason.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped.iter().filter(|entry| entry.reason == reason).map(|entry| entry.count).sum()
    }
}

/// The connected clients of a registered resource, by version.
pub(crate) type Registered = (Box<str>, [(Version, u64); VERSIONS.len()]);

/// Sums the counters of all threads.
pub(crate) fn sum(sets: &[&Counters], registered: Vec<Registered>) -> Stats {
    let total = |pick: fn(&Counters) -> &Counter| sets.iter().map(|set| pick(set).get()).sum::<u64>();
    let mut stats = Stats {
        received: Traffic { messages: total(|set| &set.received), bytes: total(|set| &set.read_bytes) },
        sent: Traffic { messages: total(|set| &set.sent), bytes: total(|set| &set.written_bytes) },
        undelivered: total(|set| &set.undelivered),
        discarded_bytes: total(|set| &set.discarded_bytes),
        queued_bytes: queued_bytes(sets),
        handshakes: handshakes(sets),
        closes: closes(sets),
        dropped: dropped(sets),
        clients: clients(sets, registered),
        ..Stats::default()
    };
    for set in sets {
        set.handler_time.add_to(&mut stats.handler_time);
        set.turn_time.add_to(&mut stats.turn_time);
        set.rtt.add_to(&mut stats.rtt);
    }
    stats
}

/// The sum of the changes. A read between a charge and a release on different threads may miss one
/// of them, so the sum may be below 0 for a moment.
fn queued_bytes(sets: &[&Counters]) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "counters wrap around as usize does")]
    let sum = sets.iter().fold(0, |sum: usize, set| sum.wrapping_add(set.queued_bytes.get() as usize));
    if sum > usize::MAX / 2 { 0 } else { sum as u64 }
}

fn sum_at<const N: usize>(sets: &[&Counters], index: usize, pick: fn(&Counters) -> &[Counter; N]) -> u64 {
    sets.iter().filter_map(|set| pick(set).get(index)).map(Counter::get).sum()
}

fn handshakes(sets: &[&Counters]) -> Vec<HandshakeCount> {
    let mut counts = Vec::new();
    for (index, outcome) in HandshakeOutcome::ALL.into_iter().enumerate() {
        if outcome != HandshakeOutcome::Rejected {
            let count = sum_at(sets, index, |set| &set.outcomes);
            counts.push(HandshakeCount { outcome, status: outcome.status(), count });
            continue;
        }
        let mut statuses = Vec::new();
        for set in sets {
            statuses.resize(set.rejected().count(), (0, 0));
            for ((status, sum), (this, count)) in statuses.iter_mut().zip(set.rejected()) {
                (*status, *sum) = (this, *sum + count);
            }
        }
        let rejected = statuses.into_iter().map(|(status, count)| HandshakeCount {
            outcome,
            status: Some(status),
            count,
        });
        counts.extend(rejected);
    }
    counts.retain(|entry| entry.count > 0);
    counts
}

fn closes(sets: &[&Counters]) -> Vec<CloseCount> {
    let mut counts = Vec::new();
    for (row, cause) in CAUSES.into_iter().enumerate() {
        for (column, code) in CODES.into_iter().enumerate() {
            let cells = sets.iter().filter_map(|set| set.closes.get(row)?.get(column));
            let count = cells.map(Counter::get).sum();
            if count > 0 {
                counts.push(CloseCount { code, cause, count });
            }
        }
    }
    counts
}

fn dropped(sets: &[&Counters]) -> Vec<DropCount> {
    let reasons = DropReason::ALL.into_iter().enumerate();
    let counts =
        reasons.map(|(index, reason)| DropCount { reason, count: sum_at(sets, index, |set| &set.dropped) });
    counts.filter(|entry| entry.count > 0).collect()
}

/// The clients of registered resources, and the rest, whose resource is no longer registered.
fn clients(sets: &[&Counters], registered: Vec<Registered>) -> Vec<ClientCount> {
    let mut counts = Vec::new();
    let mut rest = [0_u64; VERSIONS.len()];
    for (index, rest) in rest.iter_mut().enumerate() {
        // In this order, so that no client seems to have ended before it connected.
        let ended = sum_at(sets, index, |set| &set.ended);
        *rest = sum_at(sets, index, |set| &set.opened).saturating_sub(ended);
    }
    for (resource, by_version) in registered {
        for ((version, count), rest) in by_version.into_iter().zip(&mut rest) {
            *rest = rest.saturating_sub(count);
            if count > 0 {
                counts.push(ClientCount { resource: resource.clone(), version, count });
            }
        }
    }
    for (version, count) in VERSIONS.into_iter().zip(rest).filter(|(_, count)| *count > 0) {
        counts.push(ClientCount { resource: UNREGISTERED.into(), version, count });
    }
    counts.sort_by(|a, b| (&a.resource, a.version.number()).cmp(&(&b.resource, b.version.number())));
    counts
}
