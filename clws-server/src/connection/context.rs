//! What a connection needs from its driver: shared state, buffers, codecs and the time.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

use clws_proto::Sender;
use clws_proto::buffer::BufferPool;
#[cfg(feature = "deflate")]
use clws_proto::{CodecPool, DeflateConfig};

use crate::admission::addresses::AddressPermit;
#[cfg(feature = "capture")]
use crate::capture::recorder::Recorder;
use crate::client::Client;
use crate::client::context::ClientContext;
use crate::config::Config;
use crate::connection::handshakes::Handshakes;
use crate::resource::registry::Resources;
use crate::stats::counters::Counters;
use crate::sync::Mutex;
use crate::time::ticks;
use crate::wake::WakeTargetRef;

/// The context of one call.
pub(crate) struct Context<'a> {
    pub(crate) clients: &'a Arc<ClientContext>,
    pub(crate) resources: &'a Resources,
    pub(crate) handshakes: &'a Arc<Handshakes>,
    pub(crate) wake_target: WakeTargetRef<'a>,
    pub(crate) environment: &'a Environment,
    /// Where a new client is stored before the application gets it, so that other threads find it.
    pub(crate) new_client: Option<&'a OnceLock<Client>>,
    /// Where the permit for an address is stored that a proxy has reported, if the driver takes one.
    pub(crate) address: Option<&'a Mutex<Option<AddressPermit>>>,
}

/// Where a connection gets buffers, codecs and the time.
pub(crate) struct Environment {
    pub(crate) buffers: &'static (dyn BufferPool + Sync),
    /// Gives an empty outbox a buffer, if one is free.
    pub(crate) lend_outbox: fn(&mut Sender),
    #[cfg(feature = "deflate")]
    pub(crate) codecs: fn(&DeflateConfig) -> CodecPool,
    /// The monotonic clock.
    pub(crate) now: fn() -> Instant,
    /// The clock of `Date` headers.
    pub(crate) date: fn() -> SystemTime,
}

impl<'a> Context<'a> {
    #[inline]
    pub(super) fn config(&self) -> &Config {
        &self.clients.config
    }

    /// The recorder of connections, if the server has one.
    #[cfg(feature = "capture")]
    #[inline]
    pub(crate) fn recorder(&self) -> Option<&'a Arc<Recorder>> {
        self.clients.shared.recorder.get()
    }

    /// The counters of the thread that drives the connection.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        match self.wake_target {
            WakeTargetRef::Shard(shard_handle, _) => &shard_handle.counters,
            WakeTargetRef::Stream(_) => &self.clients.shared.counters,
        }
    }

    #[inline]
    pub(super) fn now(&self) -> Instant {
        (self.environment.now)()
    }

    /// The ticks since the server's start.
    pub(super) fn tick(&self) -> u32 {
        ticks(self.now().saturating_duration_since(self.clients.shared.started))
    }

    #[inline]
    pub(super) fn date(&self) -> SystemTime {
        (self.environment.date)()
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}
