//! The limit on a server's connections that follows from the file descriptors of the process.
//!
//! Each connection takes a descriptor. A server without a free descriptor cannot even refuse a
//! client: the system has completed the TCP handshake, and the client waits for an answer.

pub(crate) mod addresses;
mod limit;

use std::num::NonZeroUsize;

use crate::admission::addresses::AddressPermit;
use crate::admission::limit::Needed;
use crate::guard::log;

/// The most connections beyond the limit whose requests are read before they get 503. Further
/// connections are refused without waiting for their request.
const MAX_REFUSALS: usize = 1024;

/// The default of [`Config::max_clients`](crate::Config#structfield.max_clients).
pub(crate) const DEFAULT_MAX_CLIENTS: usize = 100_000;

/// Below this number of clients, the default configuration warns too.
const FEW_CLIENTS: usize = 1000;

/// The descriptors that stay free for the application if the limit allows it.
const SPARE_DESCRIPTORS: usize = 256;

/// The way in which a connection is counted. It is released by
/// [`DriverState::release`](crate::driver::state::DriverState::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionPermit {
    /// A connection that the server has accepted.
    Client,
    /// A stream that the application has given.
    Stream,
    /// A connection that only gets 503, because the server is full.
    Refused,
    /// A connection that only gets 429, because its address has too many.
    Crowded,
}

/// A connection that was counted. The permit is released by
/// [`DriverState::release`](crate::driver::state::DriverState::release), the address by a drop.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) permit: ConnectionPermit,
    /// `None` if the connection has no address, or addresses are not counted.
    pub(crate) address: Option<AddressPermit>,
}

/// The number of connections that a server may have at once.
#[derive(Debug)]
pub(crate) struct Admission {
    /// The most clients, in any state.
    pub(crate) clients: usize,
    /// The most connections that are being answered with 503.
    pub(crate) refusals: usize,
    _needed: Option<Needed>,
}

impl Admission {
    /// Allows `max_clients` clients, whatever the limit on descriptors.
    pub(crate) const fn unchecked(max_clients: usize) -> Self {
        Self { clients: max_clients, refusals: MAX_REFUSALS, _needed: None }
    }

    /// Allows `max_clients` clients, or fewer if the process may not open enough descriptors.
    /// Raises the limit of the process first if `raise_limit` is set.
    pub(crate) fn provide(max_clients: usize, shards: Option<NonZeroUsize>, raise_limit: bool) -> Self {
        let own = own(shards);
        let needed =
            Needed::new(max_clients.saturating_add(MAX_REFUSALS + SPARE_DESCRIPTORS).saturating_add(own));
        let Some(limit) = needed.provide(raise_limit) else {
            return Self::unchecked(max_clients);
        };
        let left = limit.saturating_sub(limit::open_now()).saturating_sub(own);
        let (clients, refusals) = fit(max_clients, left);
        if clients < max_clients {
            note_cap(max_clients, clients, limit);
        }
        Self { clients, refusals, _needed: Some(needed) }
    }
}

/// Logs that fewer clients are admitted than the configuration says. It is a warning if the
/// application has chosen the number, or if few clients are left.
fn note_cap(max_clients: usize, clients: usize, descriptors: usize) {
    const WHY: &str = "the limit on descriptors of the process allows fewer clients than max_clients";
    log(|| {
        if max_clients == DEFAULT_MAX_CLIENTS && clients >= FEW_CLIENTS {
            tracing::info!(max_clients, admitted = clients, descriptors, "{WHY}");
        } else {
            tracing::warn!(max_clients, admitted = clients, descriptors, "{WHY}");
        }
    });
}

/// The clients and refusals that fit into `left` descriptors, with a part left for the application.
///
/// Clients get nearly all of a scarce number. A refused connection holds its descriptor only for a
/// moment.
fn fit(max_clients: usize, left: usize) -> (usize, usize) {
    if left >= max_clients.saturating_add(MAX_REFUSALS + SPARE_DESCRIPTORS) {
        return (max_clients, MAX_REFUSALS);
    }
    let spare = (left / 8).min(SPARE_DESCRIPTORS / 2);
    let rest = left.saturating_sub(spare).saturating_sub(max_clients);
    let refusals = rest.max(left / 64).clamp(1, MAX_REFUSALS);
    (max_clients.min(left.saturating_sub(refusals + spare).max(1)), refusals)
}

/// The descriptors that a running server opens for itself: the poller and waker of each shard, the
/// reserve for a shortage of descriptors, and the reactor of the executor.
fn own(shards: Option<NonZeroUsize>) -> usize {
    let shards = shards.or_else(|| std::thread::available_parallelism().ok());
    9_usize.saturating_add(shards.map_or(1, NonZeroUsize::get).saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_and_refusals_fit_into_the_free_descriptors() {
        assert_eq!(fit(100_000, 1_000_000), (100_000, 1024));
        assert_eq!(fit(100_000, 101_280), (100_000, 1024));
        assert_eq!(fit(100_000, 20_000), (20_000 - 312 - 128, 312));
        assert_eq!(fit(100, 1000), (100, 775));
        for left in 0..10_000 {
            for max_clients in [1, 10, 1000, 100_000, usize::MAX] {
                let (clients, refusals) = fit(max_clients, left);
                assert!((1..=max_clients).contains(&clients) && (1..=MAX_REFUSALS).contains(&refusals));
                assert!(clients + refusals <= left.max(2), "{max_clients} {left}");
            }
        }
    }
}
