//! The scheduler: picks the next step among the possible ones.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use clws_handshake::Origins;

use crate::client::Client;
use crate::client::state::Disposition;
use crate::driver::shard::Shard;
use crate::driver::state::DriverState;
use crate::handler::async_handler::async_handler;
use crate::handler::mailbox::mailbox;
use crate::handler::resource_listener::task::ResourceListenerTask;
use crate::net::acceptor::Acceptor;
use crate::resource::settings::ResourceConfig;
use crate::server::handle::ServerHandle;
use crate::sim::STATE;
use crate::sim::app::{self, App, app};
use crate::sim::edges::{Port, Ready};
use crate::sim::log::{Check, Violation};
use crate::sim::plan::Plan;
use crate::sim::poller::{Events, Poller};
use crate::sim::resources::{
    AppListener, Inline, Recorded, Shared as SharedResource, read_mailbox, serve_websocket,
};
use crate::sim::rng::Rng;
use crate::sim::script::Kind;
use crate::sim::socket::SimListener;
use crate::sim::trace::NO_CONN;
use crate::sim::{Action, MILLI, State, chaos, executor, with};
use crate::time::{now, virtual_clock};
use crate::wake::{self, Aside, ShardHandle};

/// Shards round a deadline up by less than this.
const ROUNDING: Duration = Duration::from_millis(200);

/// More steps than any run takes: beyond this number, the server loops without end.
const STEPS: u64 = 3_000_000;

/// The result of a run.
pub(super) struct Report {
    pub(super) hash: u64,
    pub(super) violations: Vec<Violation>,
    /// The last trace entries of the first connection with a violation.
    pub(super) trace: Vec<String>,
    pub(super) steps: u64,
    pub(super) messages: u32,
}

/// Runs a seed. With `keeps_trace`, the report has the trace of connection `about`, or else of the
/// first connection with a violation.
pub(super) fn run(seed: u64, keeps_trace: bool, about: Option<u32>) -> Report {
    let ran = catch_unwind(AssertUnwindSafe(|| {
        let mut harness = Harness::new(seed, keeps_trace);
        harness.run();
        harness.steps
    }));
    if ran.is_err() {
        // The application may be in any state, so its remains are dropped under `catch_unwind`.
        let _ = catch_unwind(|| app::install(None));
        with(|state| {
            state.violation(Check::Panics, NO_CONN, "the server or the simulation panicked".to_owned());
        });
    }
    executor::install(false);
    virtual_clock::set(None);
    let mut state = STATE.take().expect("the run has a state");
    for panic in super::tests::panics() {
        state.violation(Check::Panics, NO_CONN, panic);
    }
    let State { trace, violations, messages, .. } = *state;
    let about = about.or_else(|| Some(violations.first()?.conn)).unwrap_or(NO_CONN);
    Report {
        hash: trace.hash(),
        trace: trace.last(about, 150),
        violations,
        steps: ran.unwrap_or(0),
        messages,
    }
}

/// The server and its shards.
struct Harness {
    threads: Vec<ShardThread>,
    shared: Arc<DriverState>,
    shards: Vec<Arc<ShardHandle>>,
    steps: u64,
}

/// A shard and the thread-local state of its thread.
struct ShardThread {
    /// `None` after the shard has ended.
    shard: Option<Shard>,
    thread_state: Aside,
    sleep: Sleep,
}

#[derive(Clone, Copy)]
enum Sleep {
    /// The shard has finished a turn and will compute its timeout next.
    Awake,
    /// Asleep until this time, or without a timeout.
    Until(Option<u64>),
}

/// A step that can be taken next.
#[derive(Clone, Copy)]
enum Step {
    Shard(usize),
    Task(usize),
    Action(Action),
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
        #[cfg(feature = "capture")]
        crate::sim::recording::install(&shared);
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
        let threads = pollers.into_iter().zip(&shards).map(|(poller, shard_handle)| {
            let shard = Shard::new(Arc::clone(&shared), Arc::clone(shard_handle), poller, &listeners);
            let mut thread_state = Aside::default();
            shard_handle.register_current_thread();
            wake::swap_here(&mut thread_state);
            ShardThread {
                shard: Some(shard.expect("a simulated poller cannot fail")),
                thread_state,
                sleep: Sleep::Awake,
            }
        });
        let threads = threads.collect();
        let harness = Self { threads, shared, shards, steps: 0 };
        harness.register();
        with(State::populate);
        harness
    }

    /// Registers the resources of the application.
    fn register(&self) {
        let resources = &self.shared.resources;
        // In some runs, inline resources get long messages in pieces.
        let stream_above = with(|state| (state.plan.peers % 3 == 0).then_some(state.plan.answer));
        let register = |kind: Kind, resource: SharedResource| {
            let mut settings = ResourceConfig::new(Origins::any());
            if let Some(above) = stream_above.filter(|_| !kind.is_queued()) {
                settings = settings.stream_messages(above);
            }
            resources.register_shared(kind.path(), settings, resource).expect("each kind has its own path");
        };
        for kind in [Kind::Inline, Kind::Later] {
            register(kind, Arc::new(Recorded(Inline(kind))));
        }
        register(Kind::Async, Arc::new(Recorded(async_handler(serve_websocket))));
        let (percent, max, decides) = with(|state| {
            let sleeps = [(0, 0), (3, 5 * MILLI), (30, MILLI), (2, 40 * MILLI)];
            let (percent, max) = state.rng.pick(&sleeps);
            (percent, max, state.rng.percent(30))
        });
        let (sender, events) = mailbox();
        let sender = if decides { sender.openings() } else { sender };
        register(Kind::Mailbox, Arc::new(Recorded(sender.clone())));
        executor::start(Box::pin(read_mailbox(events, percent, max)));
        let task = ResourceListenerTask::new(AppListener);
        register(Kind::Listener, Arc::new(Recorded(task.resource())));
        let listener = task.handle();
        executor::start(Box::pin(async move {
            task.run().await;
        }));
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

    /// Runs until nothing more can happen, regardless of the virtual time this takes.
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
            } else if let Some(at) = self.next()
                && with(|state| at <= state.idle_at())
            {
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
                return with(|state| state.violation(Check::Stuck, NO_CONN, text));
            }
        }
    }

    /// The steps that are possible now.
    fn possible(&self) -> Vec<Step> {
        let mut steps: Vec<_> = (0..executor::count().0).map(Step::Task).collect();
        with(|state| {
            for (index, thread) in self.threads.iter().enumerate() {
                let poller = u32::try_from(index).unwrap_or(0);
                let is_awake = match thread.sleep {
                    Sleep::Awake => true,
                    Sleep::Until(at) => state.is_due(poller) || at.is_some_and(|at| at <= state.now),
                };
                if thread.shard.is_some() && is_awake {
                    steps.push(Step::Shard(index));
                }
            }
            if let Some(action) = state.actions.peek().filter(|action| action.0.0 <= state.now) {
                steps.push(Step::Action(action.0.2));
            }
        });
        steps
    }

    /// The time of the next possible step.
    fn next(&self) -> Option<u64> {
        let threads = self.threads.iter().filter(|thread| thread.shard.is_some()).filter_map(|thread| {
            match thread.sleep {
                Sleep::Awake => None,
                Sleep::Until(at) => at,
            }
        });
        let threads = threads.min();
        let timer = executor::next_timer();
        with(|state| {
            let timer = timer.map(|at| Plan::nanos(at.saturating_duration_since(state.base)));
            let event = state.events.peek().map(|event| event.0.0);
            let action = state.actions.peek().map(|action| action.0.0);
            [threads, timer, event, action].into_iter().flatten().min()
        })
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Shard(index) => self.turn(index),
            Step::Task(index) => {
                with(|state| state.trace(NO_CONN, "task", index as u64, 0));
                executor::poll(index);
            }
            Step::Action(action) => {
                with(|state| {
                    state.actions.pop();
                    state.note_activity();
                });
                chaos::run(action);
            }
        }
        with(State::check_shares);
    }

    /// Runs one of the two halves of a shard's turn. Other steps may come between the halves.
    fn turn(&mut self, index: usize) {
        let thread = &mut self.threads[index];
        let Some(shard) = &mut thread.shard else { return };
        wake::swap_here(&mut thread.thread_state);
        match thread.sleep {
            Sleep::Awake => {
                let timeout = shard.timeout();
                if wake::is_any_woken() && timeout != Some(Duration::ZERO) {
                    let text = "a shard sleeps before it has written the messages of its handlers".to_owned();
                    with(|state| state.violation(Check::Stuck, NO_CONN, text));
                }
                let now = with(|state| {
                    state.trace(NO_CONN, "shard sleeps", index as u64, timeout.map_or(0, Plan::nanos));
                    state.pollers[index].sleeps = true;
                    state.now
                });
                thread.sleep = Sleep::Until(timeout.map(|timeout| now + Plan::nanos(timeout)));
            }
            Sleep::Until(_) => {
                let mut events = Vec::new();
                with(|state| {
                    state.pollers[index].sleeps = false;
                    state.poll(u32::try_from(index).unwrap_or(0), &mut events);
                });
                shard.work(&mut Events::Sim(events));
                thread.sleep = Sleep::Awake;
                if shard.has_ended() {
                    with(|state| state.trace(NO_CONN, "shard ends", index as u64, 0));
                    thread.shard = None;
                }
            }
        }
        wake::swap_here(&mut thread.thread_state);
    }

    /// Checks that no client waits for anything once nothing more can happen, before or after the
    /// stop.
    fn check_idle(&self) {
        for conn in 0..u32::try_from(with(|state| state.logs.len())).unwrap_or(0) {
            let client = app::client(conn);
            let buffered = client.as_ref().map_or(0, Client::buffered_amount);
            let waits = client.as_ref().is_some_and(|client| client.disposition() == Disposition::Wait);
            let is_throttled = client.is_some_and(|client| is_throttled(&client));
            with(|state| {
                if !is_throttled {
                    state.check_idle(conn, buffered);
                }
                state.check_vanished(conn, waits);
            });
        }
    }

    /// Checks that nothing is left at the end of the run.
    fn check_over(&mut self) {
        let alive = self.threads.iter().filter(|thread| thread.shard.is_some()).count();
        let members: usize =
            app(|app| app.groups.iter().map(crate::client::group::Group::len).sum()).unwrap_or(0);
        let topics = app(|app| app.topics.names().len()).unwrap_or(0);
        let (clients, refused) =
            (ServerHandle::new(Arc::clone(&self.shared)).clients(), self.shared.refused());
        let (addresses, handshakes) = (self.shared.addresses(), self.shared.handshakes());
        let load: usize = self
            .shards
            .iter()
            .map(|shard_handle| shard_handle.load.load(std::sync::atomic::Ordering::Relaxed))
            .sum();
        let memberships = self.shared.context.shared.memberships.len();
        let present = app::present().len();
        let stats = self.shared.stats();
        app::install(None);
        self.run_until_idle_without_resources();
        let (_, tasks) = executor::count();
        // The harness has the server, and the server and its registry have the context.
        let holders = Arc::strong_count(&self.shared) + Arc::strong_count(&self.shared.context) - 3;
        with(|state| {
            for (count, items) in [
                (alive, "shards have not ended"),
                (members, "members of groups"),
                (topics, "topics"),
                (clients, "admissions"),
                (refused, "admissions of refused clients"),
                (addresses, "addresses with connections"),
                (handshakes, "places of connections without a request"),
                (load, "connections counted in the load of shards"),
                (memberships, "memberships"),
                (present, "clients without a disconnect event"),
                (tasks, "tasks"),
                (holders, "references to the server and its clients' context"),
            ] {
                if count > 0 {
                    state.violation(Check::Leaks, NO_CONN, format!("{count} {items} are left"));
                }
            }
            for conn in 0..u32::try_from(state.logs.len()).unwrap_or(0) {
                state.check_over(conn);
            }
            state.check_stats(&stats);
        });
    }

    /// Unregisters all resources, so that no task waits for clients any more.
    fn run_until_idle_without_resources(&mut self) {
        for kind in Kind::ALL {
            self.shared.resources.unregister(kind.path());
        }
        self.run_until_idle();
        self.threads.clear();
        self.run_until_idle();
    }
}

/// Whether a client waits for a limit, or its driver is about to notice that it does not.
fn is_throttled(client: &Client) -> bool {
    client.rates().is_some_and(|rates| rates.waits_until(now() - ROUNDING).is_some())
}

/// Checks, before time advances, that clients wait only for the network, for peers or for timers.
fn check_rest() {
    for conn in app::present() {
        if let Some(client) = app::client(conn) {
            let paused = client.disposition() == Disposition::Wait || is_throttled(&client);
            let buffered = client.buffered_amount();
            with(|state| state.check_rest(conn, buffered, paused));
        }
    }
}
