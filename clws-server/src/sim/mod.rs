//! A simulation of the whole server. Shards, stream drivers and handlers are real. The network,
//! clock, poller, executor and clients are simulated. One seed decides everything, so a failure can
//! be repeated.
//!
//! All of it runs on one thread. The [`Harness`](harness::Harness) picks the next step at random
//! among the possible ones: a turn of a shard that has a reason to be awake, a woken task, or a
//! call by another thread of the application. A shard runs only if its poller has events, its waker
//! was used, or its timeout has elapsed. A lost wake-up is therefore found. The network and the
//! clients continue while a handler runs, as they would in reality.
//!
//! Time is virtual and counted in nanoseconds from the start of the run. It advances with each
//! system call, with the duration of handlers, and when nothing else can happen.
//!
//! Checks record their findings in [`State::violations`]: a panic could be mistaken for a panic of
//! a handler.
//!
//! Environment variables:
//!
//! | | |
//! |---|---|
//! | `CLWS_SEEDS=n` | the test `seeds` runs the seeds 0 to n - 1 |
//! | `CLWS_SEED=n` | repeats seed n and prints the trace of the first connection with a violation |
//! | `CLWS_CONN=n` | prints the entries of connection n instead |
//! | `CLWS_CENSUS=n` | the test `census` runs n seeds and prints the failures of each check |
//! | `CLWS_LIST=1` | `census` also prints every violation |

mod act;
mod app;
mod chaos;
mod check;
mod drain;
mod edges;
pub(crate) mod executor;
mod final_checks;
mod harness;
mod limits;
mod log;
mod net;
mod peer;
mod pieces;
mod plan;
pub(crate) mod poller;
#[cfg(feature = "capture")]
mod recording;
mod resources;
mod rng;
mod script;
mod silence;
mod slow;
pub(crate) mod socket;
mod tests;
mod trace;

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crate::sim::edges::{Port, Ready};
use crate::sim::log::{Check, Log, Violation};
use crate::sim::net::Conn;
use crate::sim::peer::Peer;
use crate::sim::plan::Plan;
use crate::sim::rng::Rng;
use crate::sim::trace::Trace;
use crate::time::virtual_clock;

/// Nanoseconds.
const MICRO: u64 = 1000;
const MILLI: u64 = 1000 * MICRO;
const SECOND: u64 = 1000 * MILLI;

/// The state of a run, except the server. It never calls the server, so it can be borrowed wherever
/// the server calls the simulation.
struct State {
    rng: Rng,
    /// The current time, and the time of the network event being processed, which may be earlier.
    now: u64,
    at: u64,
    base: Instant,
    plan: Plan,
    conns: Vec<Conn>,
    peers: Vec<Peer>,
    logs: Vec<Log>,
    ports: Vec<Port>,
    pollers: Vec<Ready>,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    actions: BinaryHeap<Reverse<(u64, u64, Action)>>,
    scheduled: u64,
    trace: Trace,
    violations: Vec<Violation>,
    /// The time of the stop, or of the drain before it.
    stopped_at: Option<u64>,
    /// The last time at which something other than keepalive happened.
    active_at: u64,
    drained_at: Option<u64>,
    listener_killed: bool,
    /// Total time taken by handlers that were asked to be slow.
    slow: u64,
    /// Handler time of each client in this turn or in this poll of a task.
    shares: Vec<(u32, u64)>,
    /// Compressors of the clients.
    #[cfg(feature = "deflate")]
    codecs: clws_proto::CodecPool,
    /// Number of messages that the application has sent.
    messages: u32,
}

/// An event of the network or of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client connects.
    Connect(u32),
    /// A client runs the next step of its script.
    Script(u32),
    /// Bytes or the end of input arrive at the server.
    CarryIn(u32),
    /// Bytes or the end of output arrive at the client.
    CarryOut(u32),
    /// A reset by the client arrives at the server.
    Reset(u32),
    /// A client answers the server's close frame.
    AnswerClose(u32),
    /// A client stops waiting for the server to end the connection.
    GiveUp(u32),
}

/// A call of the server by another thread of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Action {
    /// A stream is handed to the server.
    Serve(u32),
    /// A client's pending handshake is decided.
    Decide(u32),
    /// A random call.
    Chaos,
    /// The process is suspended for a while.
    Stall,
    /// The server is stopped.
    Stop,
    /// A drain is shortened.
    Drain,
}

thread_local! {
    static STATE: RefCell<Option<Box<State>>> = const { RefCell::new(None) };
}

/// Runs `work` on the state of this thread's run.
fn with<R>(work: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(|state| work(state.as_mut().expect("no simulation runs on this thread")))
}

/// Like [`with`], but does nothing if the run is over and its remains are being dropped.
fn try_with(work: impl FnOnce(&mut State)) {
    let _ = STATE.try_with(|state| state.borrow_mut().as_mut().map(|state| work(state)));
}

impl State {
    fn new(seed: u64, plan: Plan, rng: Rng, keeps_trace: bool) -> Self {
        let base = Instant::now();
        virtual_clock::set(Some(base));
        let mut trace = Trace::new(keeps_trace);
        trace.note(0, trace::NO_CONN, "seed", [seed, 0]);
        Self {
            rng,
            now: 0,
            at: 0,
            base,
            plan,
            conns: Vec::new(),
            peers: Vec::new(),
            logs: Vec::new(),
            ports: Vec::new(),
            pollers: Vec::new(),
            events: BinaryHeap::new(),
            actions: BinaryHeap::new(),
            scheduled: 0,
            trace,
            violations: Vec::new(),
            stopped_at: None,
            active_at: 0,
            drained_at: None,
            listener_killed: false,
            slow: 0,
            #[cfg(feature = "deflate")]
            codecs: clws_proto::CodecPool::new(&peer::deflate_offer()),
            shares: Vec::new(),
            messages: 0,
        }
    }

    /// Advances the time and processes the events of the network and the clients that are due.
    fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        virtual_clock::set(Some(self.base + Duration::from_nanos(self.now)));
        while let Some(&Reverse((at, _, event))) = self.events.peek()
            && at <= self.now
        {
            self.events.pop();
            self.at = at;
            self.process(event);
        }
        self.at = self.now;
    }

    fn process(&mut self, event: Event) {
        if !matches!(event, Event::CarryIn(_) | Event::CarryOut(_)) {
            self.note_activity();
        }
        match event {
            Event::Connect(conn) => self.connect(conn),
            Event::Script(conn) => self.run_script(conn),
            Event::CarryIn(conn) => self.carry_in(conn),
            Event::CarryOut(conn) => self.carry_out(conn),
            Event::Reset(conn) => self.reset_arrives(conn),
            Event::AnswerClose(conn) => self.answer_close(conn),
            Event::GiveUp(conn) => self.give_up(conn),
        }
    }

    /// Schedules an event `nanos` from now.
    fn schedule(&mut self, nanos: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.at + nanos, self.scheduled, event)));
    }

    /// Schedules an action `nanos` from now.
    fn schedule_action(&mut self, nanos: u64, action: Action) {
        self.scheduled += 1;
        self.actions.push(Reverse((self.at + nanos, self.scheduled, action)));
    }

    fn trace(&mut self, conn: u32, label: &'static str, a: u64, b: u64) {
        self.trace.note(self.at, conn, label, [a, b]);
    }

    /// Records a violation, unless the connection already has one of this check.
    fn violation(&mut self, check: Check, conn: u32, text: String) {
        self.trace(conn, "VIOLATION", check as u64, 0);
        let profile = self.peers.get(conn as usize).map(|peer| &peer.profile);
        let profile = profile.map_or(String::new(), |profile| {
            let (kind, version) = (profile.kind, profile.version.number());
            format!(" ({kind:?}, {}, version {version})", if profile.stream { "stream" } else { "shard" })
        });
        let text = text + &profile;
        if !self.violations.iter().any(|known| known.check == check && known.conn == conn) {
            self.violations.push(Violation { check, conn, text });
        }
    }

    fn conn(&mut self, conn: u32) -> &mut Conn {
        &mut self.conns[conn as usize]
    }

    fn peer(&mut self, conn: u32) -> &mut Peer {
        &mut self.peers[conn as usize]
    }

    fn log(&mut self, conn: u32) -> &mut Log {
        &mut self.logs[conn as usize]
    }
}
