//! The scheduler: what happens next, of all that may happen.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use clws_handshake::Origins;

use crate::driver::shard::Shard;
use crate::driver::state::DriverState;
use crate::handler::async_handler::async_handler;
use crate::handler::mailbox::mailbox;
use crate::handler::resource_listener::task::ResourceListenerTask;
use crate::net::acceptor::Acceptor;
use crate::server::handle::ServerHandle;
use crate::sim::STATE;
use crate::sim::app::{self, App, app};
use crate::sim::edges::{Port, Ready};
use crate::sim::log::{Check, Log, Violation};
use crate::sim::net::Conn;
use crate::sim::peer::Peer;
use crate::sim::plan::Plan;
use crate::sim::poller::{Events, Poller};
use crate::sim::resources::{Inline, Loud, Shared as SharedResource, Watched, collect, converse};
use crate::sim::rng::Rng;
use crate::sim::script::{Kind, Nature};
use crate::sim::socket::SimListener;
use crate::sim::trace::NOBODY;
use crate::sim::{Errand, Event, MICRO, MILLI, SECOND, State, chaos, executor, with};
use crate::time::virtual_clock;
use crate::wake::{self, Aside, ShardHandle};

/// More steps than any run takes: the server goes round in circles.
const STEPS: u64 = 3_000_000;

/// What came of a run.
pub(super) struct Report {
    pub(super) hash: u64,
    pub(super) violations: Vec<Violation>,
    /// The last that happened to the first connection with a violation.
    pub(super) trace: Vec<String>,
    pub(super) steps: u64,
    pub(super) messages: u32,
}

/// Runs a seed; with `keeps_trace` the report tells how it came to that, for that connection or the first with a violation.
pub(super) fn run(seed: u64, keeps_trace: bool, about: Option<u32>) -> Report {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut harness = Harness::new(seed, keeps_trace);
        harness.run();
        harness.steps
    }));
    if ran.is_err() {
        // What is left is dropped without the application, which may be in any state.
        let _ = catch_unwind(|| app::install(None));
        with(|state| {
            state.violation(Check::Panics, NOBODY, "the server, or the simulation, panicked".to_owned());
        });
    }
    executor::install(false);
    virtual_clock::set(None);
    let mut state = STATE.take().expect("it has run");
    for panic in super::tests::panics() {
        state.violation(Check::Panics, NOBODY, panic);
    }
    let State { trace, violations, messages, .. } = *state;
    let about = about.or_else(|| Some(violations.first()?.conn)).unwrap_or(NOBODY);
    Report {
        hash: trace.hash(),
        trace: trace.last(about, 150),
        violations,
        steps: ran.unwrap_or(0),
        messages,
    }
}

/// The server.
struct Harness {
    lanes: Vec<Lane>,
    shared: Arc<DriverState>,
    shards: Vec<Arc<ShardHandle>>,
    steps: u64,
}

/// A shard with its thread.
struct Lane {
    /// `None` when it has ended.
    shard: Option<Shard>,
    aside: Aside,
    sleep: Sleep,
}

#[derive(Clone, Copy)]
enum Sleep {
    /// It has done its work, and is about to ask how long to sleep.
    Not,
    /// Until that time, or for ever.
    Until(Option<u64>),
}

/// What may happen next.
#[derive(Clone, Copy)]
enum Step {
    Lane(usize),
    Task(usize),
    Errand(Errand),
}

impl Harness {
    fn new(seed: u64, keeps_trace: bool) -> Self {
        crate::buffer_pool::clear();
        #[cfg(feature = "deflate")]
        crate::codecs::clear();
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng);
        STATE.set(Some(Box::new(State::new(seed, plan.clone(), rng, keeps_trace))));
        executor::install(true);
        let shared = DriverState::new(plan.config.clone());
        shared.budget().charge_bytes(plan.used);
        let mut listeners = Vec::new();
        with(|state| {
            for port in 0..u32::try_from(plan.ports).unwrap_or(1) {
                state.ports.push(Port::default());
                listeners.push(Arc::new(Acceptor::Sim(SimListener(port))));
            }
            state.pollers.extend((0..plan.shards).map(|_| Ready::default()));
        });
        let pollers = (0..).take(plan.shards).map(Poller::Sim).collect::<Vec<_>>();
        let shards: Vec<_> =
            pollers.iter().map(|poller| Arc::new(ShardHandle::new(poller.waker()))).collect();
        shared.set_shards(shards.clone());
        let lanes = pollers.into_iter().zip(&shards).map(|(poller, shard_handle)| {
            let shard = Shard::new(Arc::clone(&shared), Arc::clone(shard_handle), poller, &listeners);
            let mut aside = Aside::default();
            shard_handle.register_current_thread();
            wake::swap_here(&mut aside);
            Lane { shard: Some(shard.expect("nothing fails")), aside, sleep: Sleep::Not }
        });
        let lanes = lanes.collect();
        let harness = Self { lanes, shared, shards, steps: 0 };
        harness.register();
        with(State::populate);
        harness
    }

    /// The application.
    fn register(&self) {
        let resources = &self.shared.resources;
        let register = |kind: Kind, resource: SharedResource| {
            resources.register_shared(kind.path(), Origins::any(), resource).expect("paths are free");
        };
        for kind in [Kind::Inline, Kind::Later] {
            register(kind, Arc::new(Watched(Inline(kind))));
        }
        register(Kind::Async, Arc::new(Watched(async_handler(converse))));
        let (percent, most, asks) = with(|state| {
            let rests = [(0, 0), (3, 5 * MILLI), (30, MILLI), (2, 40 * MILLI)];
            let (percent, most) = state.rng.pick(&rests);
            (percent, most, state.rng.percent(30))
        });
        let (sender, events) = mailbox();
        let sender = if asks { sender.openings() } else { sender };
        register(Kind::Mailbox, Arc::new(Watched(sender.clone())));
        executor::spawn(collect(events, percent, most));
        let task = ResourceListenerTask::new(Loud);
        register(Kind::Listener, Arc::new(Watched(task.resource())));
        let listener = task.handle();
        executor::spawn(async move {
            task.run().await;
        });
        app::install(Some(App::new(ServerHandle::new(Arc::clone(&self.shared)), sender, listener)));
    }

    fn run(&mut self) {
        self.run_until_idle();
        self.check_idle();
        if with(|state| state.stopped_at.is_none()) {
            chaos::stop();
            self.run_until_idle();
        }
        self.check_over();
    }

    /// Runs until nothing more can happen, however much time passes.
    fn run_until_idle(&mut self) {
        loop {
            let steps = self.possible();
            if !steps.is_empty() {
                let step = steps[with(|state| state.rng.below(steps.len()))];
                self.take(step);
                with(|state| {
                    let time = state.rng.time(state.plan.step_cost);
                    state.pass(time);
                });
            } else if let Some(at) = self.next() {
                if with(|state| at > state.now + MILLI / 2) {
                    check_rest();
                }
                with(|state| state.pass(at.saturating_sub(state.now)));
            } else {
                return;
            }
            executor::fire();
            self.steps += 1;
            if self.steps > STEPS {
                let text = format!("no end after {STEPS} steps");
                return with(|state| state.violation(Check::Stuck, NOBODY, text));
            }
        }
    }

    /// All that may happen now.
    fn possible(&self) -> Vec<Step> {
        let mut steps: Vec<_> = (0..executor::count().0).map(Step::Task).collect();
        with(|state| {
            for (index, lane) in self.lanes.iter().enumerate() {
                let poller = u32::try_from(index).unwrap_or(0);
                let awake = match lane.sleep {
                    Sleep::Not => true,
                    Sleep::Until(at) => state.is_due(poller) || at.is_some_and(|at| at <= state.now),
                };
                if lane.shard.is_some() && awake {
                    steps.push(Step::Lane(index));
                }
            }
            if let Some(errand) = state.errands.peek().filter(|errand| errand.0.0 <= state.now) {
                steps.push(Step::Errand(errand.0.2));
            }
        });
        steps
    }

    /// When something may happen next.
    fn next(&self) -> Option<u64> {
        let lanes =
            self.lanes.iter().filter(|lane| lane.shard.is_some()).filter_map(|lane| match lane.sleep {
                Sleep::Not => None,
                Sleep::Until(at) => at,
            });
        let lanes = lanes.min();
        let timer = executor::next_timer();
        with(|state| {
            let timer = timer.map(|at| Plan::nanos(at.saturating_duration_since(state.base)));
            let event = state.events.peek().map(|event| event.0.0);
            let errand = state.errands.peek().map(|errand| errand.0.0);
            [lanes, timer, event, errand].into_iter().flatten().min()
        })
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Lane(index) => self.turn(index),
            Step::Task(index) => {
                with(|state| state.trace(NOBODY, "task", index as u64, 0));
                executor::poll(index);
            }
            Step::Errand(errand) => {
                with(|state| state.errands.pop());
                chaos::run(errand);
            }
        }
        with(State::check_shares);
    }

    /// One of the two halves of a shard's turn, between which anything may happen.
    fn turn(&mut self, index: usize) {
        let lane = &mut self.lanes[index];
        let Some(shard) = &mut lane.shard else { return };
        wake::swap_here(&mut lane.aside);
        match lane.sleep {
            Sleep::Not => {
                let timeout = shard.timeout();
                if wake::is_any_woken() && timeout != Some(Duration::ZERO) {
                    let text = "a shard sleeps before it has written what its handlers sent".to_owned();
                    with(|state| state.violation(Check::Stuck, NOBODY, text));
                }
                let now = with(|state| {
                    state.trace(NOBODY, "shard sleeps", index as u64, timeout.map_or(0, Plan::nanos));
                    state.pollers[index].sleeps = true;
                    state.now
                });
                lane.sleep = Sleep::Until(timeout.map(|timeout| now + Plan::nanos(timeout)));
            }
            Sleep::Until(_) => {
                let mut events = Vec::new();
                with(|state| {
                    state.pollers[index].sleeps = false;
                    state.poll(u32::try_from(index).unwrap_or(0), &mut events);
                });
                shard.work(&mut Events::Sim(events));
                lane.sleep = Sleep::Not;
                if shard.has_ended() {
                    with(|state| state.trace(NOBODY, "shard ends", index as u64, 0));
                    lane.shard = None;
                }
            }
        }
        wake::swap_here(&mut lane.aside);
    }

    /// Nothing more happens, but the server has not been told to stop, or it has: in either case nobody waits for anything.
    fn check_idle(&self) {
        for conn in 0..u32::try_from(with(|state| state.logs.len())).unwrap_or(0) {
            let buffered = app::client(conn).map_or(0, |client| client.buffered_amount());
            with(|state| state.check_idle(conn, buffered));
        }
    }

    /// All is over.
    fn check_over(&mut self) {
        let alive = self.lanes.iter().filter(|lane| lane.shard.is_some()).count();
        let members: usize =
            app(|app| app.groups.iter().map(crate::client::group::Group::len).sum()).unwrap_or(0);
        let topics = app(|app| app.topics.names().len()).unwrap_or(0);
        let (clients, refused) =
            (ServerHandle::new(Arc::clone(&self.shared)).clients(), self.shared.refused());
        let load: usize = self
            .shards
            .iter()
            .map(|shard_handle| shard_handle.load.load(std::sync::atomic::Ordering::Relaxed))
            .sum();
        let memberships = self.shared.context.memberships.len();
        let present = app::present().len();
        app::install(None);
        self.run_until_idle_without_resources();
        let (_, tasks) = executor::count();
        let holders = Arc::strong_count(&self.shared) + Arc::strong_count(&self.shared.context) - 2;
        with(|state| {
            for (count, what) in [
                (alive, "shards have not ended"),
                (members, "members of groups"),
                (topics, "topics"),
                (clients, "admissions"),
                (refused, "admissions of the refused"),
                (load, "connections in the shards' loads"),
                (memberships, "memberships"),
                (present, "clients whose end was not told"),
                (tasks, "tasks"),
                (holders, "holders of the server and its clients' context"),
            ] {
                if count > 0 {
                    state.violation(Check::Leaks, NOBODY, format!("{count} {what} are left"));
                }
            }
            for conn in 0..u32::try_from(state.logs.len()).unwrap_or(0) {
                state.check_over(conn);
            }
        });
    }

    /// Takes all resources from the server: then no task is left that waits for clients.
    fn run_until_idle_without_resources(&mut self) {
        for kind in Kind::ALL {
            self.shared.resources.unregister(kind.path());
        }
        self.run_until_idle();
        self.lanes.clear();
        self.run_until_idle();
    }
}

/// Nothing is to be done for a while: nobody who is there waits for anything but the network, the clients and timers.
fn check_rest() {
    for conn in app::present() {
        if let Some(client) = app::client(conn) {
            let (buffered, paused) =
                (client.buffered_amount(), client.disposition() == crate::client::state::Disposition::Wait);
            with(|state| state.check_rest(conn, buffered, paused));
        }
    }
}

impl State {
    /// Makes the clients, and the errands.
    fn populate(&mut self) {
        let plan = self.plan.clone();
        let crowd = self.rng.percent(30);
        let together = self.rng.time(plan.active);
        for conn in 0..u32::try_from(plan.peers).unwrap_or(0) {
            let nature = Nature::new(&mut self.rng, &plan);
            self.logs.push(Log::new(nature.kind));
            self.conns.push(Conn::new(&mut self.rng));
            self.peers.push(Peer::new(nature));
            let at = if crowd { together + self.rng.time(100 * MICRO) } else { self.rng.time(plan.active) };
            self.deadline_after(at, Event::Connect(conn));
        }
        if plan.chaos > 0 {
            self.errand(0, Errand::Chaos);
        }
        for _ in 0..plan.stalls {
            let at = self.rng.time(plan.active);
            self.errand(at, Errand::Stall);
        }
        if let Some(at) = plan.stop {
            self.errand(at.min(10 * SECOND), Errand::Stop);
        }
    }
}
