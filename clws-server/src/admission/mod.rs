//! The descriptors of the process: how many clients they suffice for, and what happens when none is left.
//!
//! A connection takes one descriptor. A server that is out of them could not even refuse a client: it would wait, accepted
//! by the system, for an answer that never comes.

mod limit;

use std::num::NonZeroUsize;

use crate::admission::limit::Needed;
use crate::config::Config;
use crate::guard::log;

/// Connections beyond the limit that are read from until they have their 503; more are refused without waiting.
const REFUSALS: usize = 1024;

/// Descriptors that stay free for the application, where the limit allows it.
const SPARE: usize = 256;

/// How a connection is counted; released by [`DriverState::release`](crate::driver::state::DriverState::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionPermit {
    /// A connection that the server has accepted.
    Client,
    /// A stream that the application has given.
    Stream,
    /// A connection that only gets 503.
    Refused,
}

/// The connections that a server may have at once.
#[derive(Debug)]
pub(crate) struct Admission {
    /// Clients, in any stage.
    pub(crate) clients: usize,
    /// Connections that are told 503.
    pub(crate) refusals: usize,
    _needed: Option<Needed>,
}

impl Admission {
    /// As many as the configuration says.
    pub(crate) const fn configured(config: &Config) -> Self {
        Self { clients: config.max_clients, refusals: REFUSALS, _needed: None }
    }

    /// As many as the configuration says, or as the process has descriptors for. Raises the process's limit if need be and
    /// if the configuration allows it.
    pub(crate) fn provide(config: &Config) -> Self {
        let own = own(config);
        let needed = Needed::new(config.max_clients.saturating_add(REFUSALS + SPARE).saturating_add(own));
        let Some(limit) = needed.provide(config.raise_descriptor_limit) else {
            return Self::configured(config);
        };
        let left = limit.saturating_sub(limit::open_now()).saturating_sub(own);
        let (clients, refusals) = fit(config.max_clients, left);
        if clients < config.max_clients {
            log(|| {
                tracing::warn!(
                    max_clients = config.max_clients,
                    capped_to = clients,
                    descriptors = limit,
                    "the process may not open enough descriptors for max_clients"
                );
            });
        }
        Self { clients, refusals, _needed: Some(needed) }
    }
}

/// Clients and refusals that so many descriptors suffice for. A part is left for the application.
fn fit(max_clients: usize, left: usize) -> (usize, usize) {
    if left >= max_clients.saturating_add(REFUSALS + SPARE) {
        return (max_clients, REFUSALS);
    }
    let refusals = (left / 16).clamp(1, REFUSALS);
    let spare = (left / 8).min(SPARE);
    (max_clients.min(left.saturating_sub(refusals + spare).max(1)), refusals)
}

/// Descriptors that the server opens for itself when it runs: each shard's poller and its waker; the reserve for a
/// [`Shortage`]; the reactor of the executor.
fn own(config: &Config) -> usize {
    let shards = config.shards.or_else(|| std::thread::available_parallelism().ok());
    9_usize.saturating_add(shards.map_or(1, NonZeroUsize::get).saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_refusals_fit_into_what_is_left() {
        assert_eq!(fit(100_000, 1_000_000), (100_000, 1024));
        assert_eq!(fit(100_000, 101_280), (100_000, 1024));
        assert_eq!(fit(100_000, 20_000), (20_000 - 1024 - 256, 1024));
        assert_eq!(fit(100, 1000), (100, 62));
        for left in 0..10_000 {
            for max_clients in [1, 10, 1000, 100_000, usize::MAX] {
                let (clients, refusals) = fit(max_clients, left);
                assert!((1..=max_clients).contains(&clients) && (1..=REFUSALS).contains(&refusals));
                assert!(clients + refusals <= left.max(2), "{max_clients} {left}");
            }
        }
    }
}
