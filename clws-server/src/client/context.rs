//! The state that the clients of a resource share, and the state that all clients share.

#[cfg(feature = "capture")]
use std::sync::OnceLock;
use std::sync::{Arc, Weak};
use std::time::Instant;

use clws_proto::Limits;
use clws_proto::buffer::Meter;

use crate::admission::addresses::Addresses;
use crate::budget::{Budget, HOLD_BACK_ABOVE};
#[cfg(feature = "capture")]
use crate::capture::recorder::Recorder;
use crate::client::members::Memberships;
use crate::client::watchers::{Host, Watcher, Watchers};
use crate::config::Config;
use crate::drain::DrainState;
use crate::lock::rank;
use crate::runtime::handle::RuntimeHandle;
use crate::stats::counters::Counters;
use crate::sync::{atomic::AtomicU32, atomic::Ordering};
use crate::time::{TICK, now};
use crate::wake::{Relief, WakeBatch, WakeTarget};

/// Everything that a [`Client`](crate::client::Client) needs of its server and its resource.
///
/// The clients of a resource share one context. Resources without settings of their own share the
/// context of the server.
pub(crate) struct ClientContext {
    /// The settings of the server, with the changes of the resource.
    pub(crate) config: Config,
    /// The limits of the configuration, in the form that receivers share.
    pub(crate) limits: Arc<Limits>,
    pub(crate) budget: Arc<Budget>,
    /// The budget again, in the form to which shared messages are charged.
    pub(crate) meter: Arc<dyn Meter>,
    /// A client with more queued bytes is slow:
    /// [`write_high_water`](crate::Config#structfield.write_high_water).
    pub(crate) high_water: usize,
    /// A send to a client with more queued bytes looks at the limits before it queues anything.
    /// Messages that may be dropped wait while the outbox has more bytes. This is enough for a
    /// write of full size, and the next messages enter the outbox right after the write.
    pub(crate) write_backlog: usize,
    pub(crate) shared: Arc<SharedContext>,
}

/// The state that all clients of a server share.
pub(crate) struct SharedContext {
    pub(crate) memberships: Memberships,
    /// Waits until all queued data of a client is written.
    pub(crate) watchers: Watchers<dyn Watcher, { rank::WATCHERS }>,
    /// The adapters of clients that their resource may still refuse.
    pub(crate) hosts: Watchers<dyn Host, { rank::HOSTS }>,
    pub(crate) started: Instant,
    /// Runs the tasks of the server.
    pub(crate) runtime: RuntimeHandle,
    /// The shortest silence of a client that has an effect, of all resources, in ticks.
    least_silence: AtomicU32,
    pub(crate) drain: DrainState,
    /// The connections of each address, if they are limited.
    pub(crate) addresses: Option<Arc<Addresses>>,
    /// Records connections. It is set before the server runs, if ever.
    #[cfg(feature = "capture")]
    pub(crate) recorder: OnceLock<Arc<Recorder>>,
    /// The counters for all threads except those of the shards.
    pub(crate) counters: Box<Counters>,
    relief: Weak<dyn Relief>,
}

fn addresses(config: &Config) -> Option<Arc<Addresses>> {
    (config.max_clients_per_ip > 0).then(|| Addresses::new(config.max_clients_per_ip, config.ipv6_prefix))
}

impl SharedContext {
    /// The shortest silence of a client that has an effect, in [ticks](TICK). The clients of each
    /// resource are examined often enough for it.
    pub(crate) fn least_silence(&self) -> u32 {
        self.least_silence.load(Ordering::Relaxed)
    }

    fn note_silence(&self, config: &Config) {
        let time = config.ping_interval.unwrap_or(config.message_timeout).min(config.message_timeout);
        let ticks = u32::try_from(time.as_nanos().div_ceil(TICK.as_nanos())).unwrap_or(u32::MAX);
        self.least_silence.fetch_min(ticks.max(1), Ordering::Relaxed);
    }
}

impl ClientContext {
    pub(crate) fn new(config: Config, runtime: RuntimeHandle, relief: Weak<dyn Relief>) -> Self {
        let budget = Budget::new(config.max_buffered);
        let shared = SharedContext {
            memberships: Memberships::default(),
            watchers: Watchers::default(),
            hosts: Watchers::default(),
            started: now(),
            runtime,
            least_silence: AtomicU32::new(u32::MAX),
            drain: DrainState::default(),
            addresses: addresses(&config),
            #[cfg(feature = "capture")]
            recorder: OnceLock::new(),
            counters: Counters::shared(),
            relief,
        };
        Self::assemble(config, budget, Arc::new(shared))
    }

    /// A context of the same server with other settings.
    pub(crate) fn with_config(&self, config: Config) -> Self {
        Self::assemble(config, Arc::clone(&self.budget), Arc::clone(&self.shared))
    }

    fn assemble(config: Config, budget: Arc<Budget>, shared: Arc<SharedContext>) -> Self {
        shared.note_silence(&config);
        Self {
            limits: Arc::new(config.limits()),
            meter: Arc::clone(&budget) as _,
            budget,
            high_water: config.high_water(),
            write_backlog: (config.max_write_backlog / 2).min(HOLD_BACK_ABOVE),
            config,
            shared,
        }
    }

    /// Asks the drivers to free memory if too much is held. Call it after a charge for a client of
    /// that target, without a lock.
    #[inline]
    pub(crate) fn relieve(&self, wake_target: &WakeTarget) {
        if self.budget.is_over() {
            self.ask_for_relief(wake_target);
        }
    }

    #[cold]
    fn ask_for_relief(&self, wake_target: &WakeTarget) {
        if let Some(relief) = self.shared.relief.upgrade() {
            relief.relieve(wake_target);
        }
    }

    /// Asks the drivers to free memory when the batch is dropped, if too much is held now.
    #[inline]
    pub(crate) fn relieve_with(&self, batch: &mut WakeBatch, wake_target: &WakeTarget) {
        if self.budget.is_over() {
            batch.relieve(&self.shared.relief, wake_target);
        }
    }

    /// The bytes that a client must hold to be dropped for memory.
    ///
    /// It may be called under the lock of an outbox. The upgraded reference is never the last one
    /// there: drivers drop their connections, and so abandon the outboxes, before their state.
    #[cold]
    pub(crate) fn fair_share(&self) -> usize {
        self.shared.relief.upgrade().map_or(usize::MAX, |relief| relief.fair_share())
    }
}
