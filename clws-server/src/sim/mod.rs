//! A simulation of the whole server: real shards, real stream drivers, real handlers; a simulated network, clock,
//! poller, executor and a set of clients. One seed decides on everything, so a failure can be repeated.
//!
//! One thread runs all of it. The [`Harness`](harness::Harness) picks at random what happens next among what may happen: a
//! turn of a shard that has a reason to be awake, a task that was woken, something that another thread of the application
//! does. A shard is run only if its poller has events, its waker was used or the time it asked for is over; a wake-up that
//! is lost is seen, therefore. The network and the clients go on while handlers take their time, as they would.
//!
//! Time is virtual and is counted in nanoseconds from the start of the run. It passes with each system call, with what
//! handlers are told to take, and when nothing else can happen.
//!
//! Checks put what they find into [`State::violations`]: a panic could be taken for one of a handler.
//!
//! Variables of the environment:
//!
//! | | |
//! |---|---|
//! | `CLWS_SEEDS=n` | the test `seeds` runs so many, from 0 on |
//! | `CLWS_SEED=n` | it repeats that one, and prints what happened last to the first connection with a violation |
//! | `CLWS_CONN=n` | to that connection in its place |
//! | `CLWS_SKIP=A,B` | checks that it does not look at; `CLWS_SKIP=` looks at all |
//! | `CLWS_CENSUS=n` | the test `census` runs so many and tells how many fail each check, and which first |
//! | `CLWS_LIST=1` | it tells each violation, too |

mod act;
mod app;
mod chaos;
mod check;
mod edges;
pub(crate) mod executor;
mod harness;
mod log;
mod net;
mod peer;
mod plan;
pub(crate) mod poller;
mod resources;
mod rng;
mod script;
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

/// Everything of a run but the server itself. It calls nothing of the server's, so it can be borrowed from wherever the
/// server calls the simulation.
struct State {
    rng: Rng,
    /// The time now, and that of the network's event that is worked on, which may be before it.
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
    errands: BinaryHeap<Reverse<(u64, u64, Errand)>>,
    scheduled: u64,
    trace: Trace,
    violations: Vec<Violation>,
    stopped_at: Option<u64>,
    listener_killed: bool,
    /// How long handlers took that were told to be slow.
    slow: u64,
    /// What clients took of this turn, or of this poll of a task.
    shares: Vec<(u32, u64)>,
    /// The clients' compressors.
    #[cfg(feature = "deflate")]
    codecs: clws_proto::CodecPool,
    /// The number of messages that the server was told to send.
    messages: u32,
}

/// What the network and the clients do, at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// A client connects.
    Connect(u32),
    /// A client does what its script says next.
    Script(u32),
    /// Bytes or the end of the client's side arrive at the server.
    CarryIn(u32),
    /// Bytes or the end of the server's side arrive at the client.
    CarryOut(u32),
    /// A reset by the client arrives at the server.
    Reset(u32),
    /// A client answers the server's close frame.
    Answer(u32),
    /// A client has waited long enough for the server to end the connection.
    Impatient(u32),
}

/// What other threads of the process do: it calls the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Errand {
    /// A stream is handed to the server.
    Serve(u32),
    /// A decision on a client's handshake is made.
    Decide(u32),
    /// Anything.
    Chaos,
    /// The process stands still for a while.
    Stall,
    /// The server is stopped.
    Stop,
}

thread_local! {
    static STATE: RefCell<Option<Box<State>>> = const { RefCell::new(None) };
}

/// Works on the state of this thread's run.
fn with<R>(work: impl FnOnce(&mut State) -> R) -> R {
    STATE.with_borrow_mut(|state| work(state.as_mut().expect("a simulation runs on this thread")))
}

/// The same, where the run may be over: what is left of it is dropped then.
fn try_with(work: impl FnOnce(&mut State)) {
    let _ = STATE.try_with(|state| state.borrow_mut().as_mut().map(|state| work(state)));
}

impl State {
    fn new(seed: u64, plan: Plan, rng: Rng, keeps_trace: bool) -> Self {
        let base = Instant::now();
        virtual_clock::set(Some(base));
        let mut trace = Trace::new(keeps_trace);
        trace.note(0, trace::NOBODY, "seed", [seed, 0]);
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
            errands: BinaryHeap::new(),
            scheduled: 0,
            trace,
            violations: Vec::new(),
            stopped_at: None,
            listener_killed: false,
            slow: 0,
            #[cfg(feature = "deflate")]
            codecs: clws_proto::CodecPool::new(&peer::deflate_offer()),
            shares: Vec::new(),
            messages: 0,
        }
    }

    /// Lets time pass: the network and the clients go on meanwhile.
    fn pass(&mut self, nanos: u64) {
        self.now += nanos;
        virtual_clock::set(Some(self.base + Duration::from_nanos(self.now)));
        while let Some(&Reverse((at, _, event))) = self.events.peek()
            && at <= self.now
        {
            self.events.pop();
            self.at = at;
            self.happen(event);
        }
        self.at = self.now;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Connect(conn) => self.connect(conn),
            Event::Script(conn) => self.go_on(conn),
            Event::CarryIn(conn) => self.carry_in(conn),
            Event::CarryOut(conn) => self.carry_out(conn),
            Event::Reset(conn) => self.reset_arrives(conn),
            Event::Answer(conn) => self.answer_close(conn),
            Event::Impatient(conn) => self.give_up(conn),
        }
    }

    /// That event happens so much later.
    fn deadline_after(&mut self, nanos: u64, event: Event) {
        self.scheduled += 1;
        self.events.push(Reverse((self.at + nanos, self.scheduled, event)));
    }

    /// That errand is run so much later.
    fn errand(&mut self, nanos: u64, errand: Errand) {
        self.scheduled += 1;
        self.errands.push(Reverse((self.at + nanos, self.scheduled, errand)));
    }

    fn trace(&mut self, conn: u32, what: &'static str, a: u64, b: u64) {
        self.trace.note(self.at, conn, what, [a, b]);
    }

    /// Something is wrong.
    fn violation(&mut self, check: Check, conn: u32, text: String) {
        self.trace(conn, "VIOLATION", check as u64, 0);
        let nature = self.peers.get(conn as usize).map(|peer| &peer.nature);
        let nature = nature.map_or(String::new(), |nature| {
            let (kind, version) = (nature.kind, nature.version.number());
            format!(" ({kind:?}, {}, version {version})", if nature.stream { "stream" } else { "shard" })
        });
        let text = text + &nature;
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
