//! The connections of a server whose request has not arrived. When there are too many, the oldest
//! must give up its place.
//!
//! A flood of connections that send nothing must not keep out clients that send their request at
//! once. It would if new connections were refused, or not accepted. So the server takes each new
//! connection, and refuses the connection that has waited longest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::lock::{Lock, rank};
use crate::sync::{atomic::AtomicBool, atomic::Ordering};
use crate::wake::WakeTarget;

/// At most half of the clients may be without a request, but this many always.
const FEW: usize = 64;

/// The connections without a request, oldest first.
pub(crate) struct Handshakes {
    most: usize,
    queue: Lock<Queue, { rank::HANDSHAKES }>,
}

#[derive(Default)]
struct Queue {
    next: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
}

struct Entry {
    number: u64,
    handshakes: Arc<Handshakes>,
    wake_target: WakeTarget,
    /// The connection must give up its place.
    is_displaced: AtomicBool,
}

/// The place of a connection among those without a request, until this is dropped.
pub(super) struct HandshakePermit(Arc<Entry>);

impl Handshakes {
    /// Allows `most` connections without a request, and at most half of `clients`.
    pub(crate) fn new(most: usize, clients: usize) -> Arc<Self> {
        Arc::new(Self { most: most.min((clients / 2).max(FEW)).max(1), queue: Lock::default() })
    }

    /// Adds a connection. If there are too many, displaces and wakes the oldest.
    pub(super) fn enter(self: &Arc<Self>, wake_target: WakeTarget) -> HandshakePermit {
        let mut queue = self.queue.lock();
        let number = queue.next;
        queue.next += 1;
        let entry = Arc::new(Entry {
            number,
            handshakes: Arc::clone(self),
            wake_target,
            is_displaced: AtomicBool::new(false),
        });
        queue.entries.insert(number, Arc::clone(&entry));
        let oldest = if queue.entries.len() > self.most { queue.entries.pop_first() } else { None };
        drop(queue);
        if let Some((_, oldest)) = oldest {
            oldest.is_displaced.store(true, Ordering::Relaxed);
            oldest.wake_target.wake();
        }
        HandshakePermit(entry)
    }

    /// The number of connections without a request.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.queue.lock().entries.len()
    }
}

impl HandshakePermit {
    /// Whether the connection must give up its place.
    pub(super) fn is_displaced(&self) -> bool {
        self.0.is_displaced.load(Ordering::Relaxed)
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        // The entry is dropped after the lock.
        let entry = self.0.handshakes.queue.lock().entries.remove(&self.0.number);
        drop(entry);
    }
}

impl fmt::Debug for Handshakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshakes").field("most", &self.most).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    fn enter(handshakes: &Arc<Handshakes>) -> HandshakePermit {
        handshakes.enter(WakeTarget::Stream(Arc::default()))
    }

    #[test]
    fn the_oldest_is_displaced() {
        let handshakes = Handshakes::new(2, 1000);
        let permits: Vec<_> = (0..4).map(|_| enter(&handshakes)).collect();
        let displaced: Vec<_> = permits.iter().map(HandshakePermit::is_displaced).collect();
        assert_eq!(displaced, [true, true, false, false]);
        assert_eq!(handshakes.len(), 2);
        drop(permits);
        assert_eq!(handshakes.len(), 0);
    }

    #[test]
    fn a_request_that_has_arrived_makes_room() {
        let handshakes = Handshakes::new(2, 1000);
        let (first, second) = (enter(&handshakes), enter(&handshakes));
        drop(second);
        let third = enter(&handshakes);
        assert!(!first.is_displaced() && !third.is_displaced());
        let fourth = enter(&handshakes);
        assert!(first.is_displaced() && !third.is_displaced() && !fourth.is_displaced());
    }

    #[test]
    fn half_of_the_clients_have_a_place_of_their_own() {
        assert_eq!(Handshakes::new(10_000, 1000).most, 500);
        assert_eq!(Handshakes::new(10_000, 3).most, FEW);
        assert_eq!(Handshakes::new(10, 1000).most, 10);
        assert_eq!(Handshakes::new(usize::MAX, usize::MAX).most, usize::MAX / 2);
    }
}
