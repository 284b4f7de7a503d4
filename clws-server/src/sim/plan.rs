//! The parameters of a run: the configuration of the server and the behaviour of the harness.

use std::time::Duration;

use crate::config::Config;
use crate::sim::limits::limited;
use crate::sim::log::Log;
use crate::sim::net::Conn;
use crate::sim::peer::Peer;
use crate::sim::rng::Rng;
use crate::sim::script::Profile;
use crate::sim::{Action, Event, MICRO, MILLI, SECOND, State};

/// The memory limit in runs with little memory: the smallest that the server accepts.
const LIMIT: usize = 1 << 20;

/// The parameters of a run.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) config: Config,
    pub(super) shards: usize,
    pub(super) ports: usize,
    /// The most sources that a poller reports at once. The real poller reports 256. With a smaller
    /// number, few connections suffice to leave some for the next turn.
    pub(super) batch: usize,
    pub(super) peers: usize,
    /// For this long, clients connect and other threads act.
    pub(super) active: u64,
    /// The longest ordinary handler.
    pub(super) handler_cost: u64,
    /// The longest step of the scheduler.
    pub(super) step_cost: u64,
    /// Percentage of clients that use streams.
    pub(super) streams: usize,
    /// The longest interval between two random actions of other threads, or 0 for no actions.
    pub(super) chaos: u64,
    /// How often the process is suspended for longer than most deadlines.
    pub(super) stalls: usize,
    /// When the server is stopped, if during the run.
    pub(super) stop: Option<u64>,
    /// The longest answer that a client requests.
    pub(super) answer: usize,
    /// Bytes charged to the server's budget from the start, so that memory is short, or 0.
    pub(super) used: usize,
    /// Percentage of clients and actions that cause panics, closes or slow handlers.
    pub(super) wild: usize,
}

impl Plan {
    pub(super) fn new(rng: &mut Rng) -> Self {
        let peers = match rng.below(20) {
            0 => 100 + rng.below(200),
            1..5 => 25 + rng.below(50),
            _ => 3 + rng.below(22),
        };
        let active = rng.magnitude(50, 3000) as u64 * MILLI;
        let high_water = rng.magnitude(512, 128 * 1024);
        let stalls = rng.below(12).saturating_sub(8);
        // Clones, so that existing seeds keep their meaning.
        let (used, mut of_silence, mut of_limits) = (used(&mut rng.clone()), rng.clone(), rng.clone());
        let config = super::silence::config(config(rng, high_water), &mut of_silence);
        let config = limited(config, &mut of_limits);
        Self {
            config: config.max_buffered(if used > 0 { LIMIT } else { usize::MAX }),
            shards: 1 + rng.below(3),
            ports: 1 + rng.below(2),
            batch: rng.pick(&[1, 2, 4, 16, 256]),
            peers,
            active,
            handler_cost: rng.pick(&[0, 2, 10, 50]) * MICRO,
            step_cost: rng.pick(&[1, 5, 50]) * MICRO,
            streams: rng.pick(&[0, 15, 30, 100]),
            chaos: rng.pick(&[0, 2, 20, 200]) * MILLI,
            stalls,
            stop: rng.percent(30).then(|| rng.time(active + active / 4)),
            answer: rng.magnitude(16, high_water.min(16 * 1024)),
            used,
            wild: rng.pick(&[0, 5, 30, 100]),
        }
    }

    pub(super) fn nanos(time: Duration) -> u64 {
        u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// In some runs, between just below three quarters of the limit and just below the limit.
fn used(rng: &mut Rng) -> usize {
    if rng.percent(20) { LIMIT / 4 * 3 - 100_000 + rng.below(LIMIT / 4) } else { 0 }
}

fn config(rng: &mut Rng, high_water: usize) -> Config {
    let mut time = |low, high| Duration::from_millis(rng.magnitude(low, high) as u64);
    let (handshake, close, write) = (time(50, 2000), time(30, 800), time(100, 2000));
    let config = Config::default()
        .protocol_76_00_support(true)
        .protocol_75_support(true)
        .handshake_timeout(handshake)
        .close_timeout(close)
        .write_timeout(write)
        .write_high_water(high_water)
        .max_write_backlog(high_water * (1 + rng.below(6)))
        .max_handler_read_backlog(rng.magnitude(200, 50_000))
        .max_clients(if rng.percent(10) { 1 + rng.below(10) } else { 100_000 })
        .keep_headers(rng.percent(50));
    #[cfg(feature = "deflate")]
    let config = config.deflate(rng.percent(25).then(|| {
        clws_proto::DeflateConfig::default()
            .level(1)
            .memory_level(1)
            .threshold(rng.pick(&[0, 100]))
            .max_window_bits(9)
            .context_takeover(rng.percent(50))
    }));
    config
}

/// A random delay between two steps of a client.
pub(super) fn pause(rng: &mut Rng) -> u64 {
    match rng.below(10) {
        0..5 => rng.time(200 * MICRO),
        5..9 => rng.time(20 * MILLI),
        _ => rng.time(SECOND / 2),
    }
}

impl State {
    /// Creates the clients and schedules the actions.
    pub(super) fn populate(&mut self) {
        let plan = self.plan.clone();
        let crowd = self.rng.percent(30);
        let together = self.rng.time(plan.active);
        for conn in 0..u32::try_from(plan.peers).unwrap_or(0) {
            let profile = Profile::new(&mut self.rng, &plan);
            self.logs.push(Log::new(profile.kind));
            self.conns.push(Conn::new(&mut self.rng));
            self.peers.push(Peer::new(profile));
            let at = if crowd { together + self.rng.time(100 * MICRO) } else { self.rng.time(plan.active) };
            self.schedule(at, Event::Connect(conn));
        }
        if plan.chaos > 0 {
            self.schedule_action(0, Action::Chaos);
        }
        for _ in 0..plan.stalls {
            let at = self.rng.time(plan.active);
            self.schedule_action(at, Action::Stall);
        }
        if let Some(at) = plan.stop {
            self.schedule_action(at.min(10 * SECOND), Action::Stop);
        }
    }
}
