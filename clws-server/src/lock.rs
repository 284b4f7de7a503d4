//! Locks with a fixed order, which are never held while code of the application runs.
//!
//! Each lock has a rank. A thread that holds a lock may take only locks of higher ranks, so no two
//! threads can wait for each other. Debug builds assert this at each lock. They also assert that a
//! call of the application's code ([`guard`](crate::guard::guard)) holds no lock: that code may
//! call the server, and would wait for its own lock.
//!
//! A lock whose holder panicked can still be taken. No code of the application runs under it, so
//! the data is consistent.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::PoisonError;

use crate::sync;

/// The ranks, in the order of locking.
pub(crate) mod rank {
    /// The resources of a server.
    pub(crate) const REGISTRY: u8 = 0;
    /// The names of groups.
    pub(crate) const TOPICS: u8 = 1;
    /// The groups of each client.
    pub(crate) const MEMBERSHIPS: u8 = 2;
    /// The clients in a group.
    pub(crate) const GROUP: u8 = 3;
    /// The queue of a mailbox.
    pub(crate) const MAILBOX: u8 = 4;
    /// The inboxes of an async handler that are not stored in their clients.
    pub(crate) const PENDING_INBOXES: u8 = 5;
    /// The messages of a `WebSocket`.
    pub(crate) const INBOX: u8 = 6;
    /// The decision on a handshake.
    pub(crate) const DECISION: u8 = 7;
    /// The outbox of a client.
    pub(crate) const OUTBOX: u8 = 8;
    /// The commands of a shard.
    pub(crate) const COMMANDS: u8 = 9;
    /// The tasks that wait for a signal.
    pub(crate) const SIGNAL: u8 = 10;
    /// The streams of a server, and their turns to read.
    pub(crate) const STREAMS: u8 = 11;
    /// The tasks that wait until a client's data is written.
    pub(crate) const WATCHERS: u8 = 12;
    /// The adapters of clients that may still be refused.
    pub(crate) const HOSTS: u8 = 13;
    /// The limit of the process on descriptors.
    pub(crate) const DESCRIPTORS: u8 = 14;
    /// The descriptor in reserve for a shortage.
    pub(crate) const SHORTAGE: u8 = 15;
    /// The plan of a drain.
    pub(crate) const DRAIN: u8 = 16;
    /// The handlers that a drain waits for.
    pub(crate) const WORKS: u8 = 17;
    /// The client lists of all shards.
    pub(crate) const CLIENT_LISTS: u8 = 18;
    /// The clients of one shard.
    pub(crate) const CLIENT_LIST: u8 = 19;
    /// The connections of each IP address.
    pub(crate) const ADDRESSES: u8 = 20;
    /// The connections whose request has not arrived.
    pub(crate) const HANDSHAKES: u8 = 21;
    /// The rates at which a client sends.
    pub(crate) const RATES: u8 = 22;
    /// The certificates and settings of TLS.
    #[cfg(feature = "__tls")]
    pub(crate) const TLS: u8 = 24;
    /// The recordings that the application wants.
    #[cfg(feature = "capture")]
    pub(crate) const RECORDER: u8 = 23;
    /// The tasks that wait for a time.
    pub(crate) const CLOCK: u8 = 24;
    /// An upgrade that waits for its stream.
    #[cfg(feature = "http")]
    pub(crate) const UPGRADE: u8 = 25;
}

/// A mutex with a rank.
pub(crate) struct Lock<T, const RANK: u8>(sync::Mutex<T>);

/// A reader-writer lock with a rank.
pub(crate) struct RwLock<T, const RANK: u8>(sync::RwLock<T>);

/// Access to the data of a lock, which is released when this is dropped.
pub(crate) struct Guard<G> {
    inner: G,
    /// Dropped after `inner`.
    #[cfg(debug_assertions)]
    _held: held::Held,
}

pub(crate) type LockGuard<'a, T> = Guard<sync::MutexGuard<'a, T>>;

impl<T, const RANK: u8> Lock<T, RANK> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> LockGuard<'_, T> {
        Guard::new(RANK, || self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The data, without locking: `self` is borrowed exclusively.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, const RANK: u8> RwLock<T, RANK> {
    pub(crate) const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    pub(crate) fn read(&self) -> Guard<sync::RwLockReadGuard<'_, T>> {
        Guard::new(RANK, || self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn write(&self) -> Guard<sync::RwLockWriteGuard<'_, T>> {
        Guard::new(RANK, || self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<G> Guard<G> {
    #[inline]
    #[cfg_attr(
        not(debug_assertions),
        expect(unused_variables, reason = "only debug builds look at the rank")
    )]
    fn new(rank: u8, take: impl FnOnce() -> G) -> Self {
        // Before the wait for the lock, so that a deadlock becomes a panic.
        #[cfg(debug_assertions)]
        let held = held::Held::new(rank);
        Self {
            inner: take(),
            #[cfg(debug_assertions)]
            _held: held,
        }
    }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    #[inline]
    fn deref(&self) -> &G::Target {
        &self.inner
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    #[inline]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.inner
    }
}

/// Asserts in debug builds that this thread holds none of our locks, before code of the application
/// runs.
#[inline]
pub(crate) fn assert_none_held() {
    #[cfg(debug_assertions)]
    held::assert_none();
}

/// The ranks of the locks that a thread holds.
#[cfg(debug_assertions)]
mod held {
    use std::cell::Cell;

    use crate::sync;

    sync::thread_local! {
        /// A bit for each rank. It has no destructor, so the destructors of other thread-locals can
        /// use it.
        static HELD: Cell<u32> = const { Cell::new(0) };
    }

    fn get() -> u32 {
        HELD.try_with(Cell::get).unwrap_or(0)
    }

    fn set(held: u32) {
        let _ = HELD.try_with(|bits| bits.set(held));
    }

    /// Marks a rank as held, or as about to be held.
    pub(super) struct Held(u8);

    impl Held {
        pub(super) fn new(rank: u8) -> Self {
            let held = get();
            assert!(
                held.checked_shr(u32::from(rank)).unwrap_or(0) == 0,
                "a lock of rank {rank} is taken while locks of the ranks {held:#b} are held"
            );
            set(held | (1 << rank));
            Self(rank)
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            set(get() & !(1 << self.0));
        }
    }

    pub(super) fn assert_none() {
        let held = get();
        // During a panic, a second panic would end the process.
        assert!(
            held == 0 || std::thread::panicking(),
            "code of the application runs while locks of the ranks {held:#b} are held"
        );
    }
}

impl<T: Default, const RANK: u8> Default for Lock<T, RANK> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Default, const RANK: u8> Default for RwLock<T, RANK> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

/// Omits the data: a formatter of the application would run under the lock.
impl<T, const RANK: u8> fmt::Debug for Lock<T, RANK> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    fn panics(call: impl FnOnce()) -> bool {
        catch_unwind(AssertUnwindSafe(call)).is_err()
    }

    #[test]
    fn locks_are_taken_in_the_order_of_their_ranks() {
        let (low, high) = (Lock::<_, 1>::new(1), Lock::<_, 2>::new(2));
        let first = low.lock();
        let second = high.lock();
        assert_eq!((*first, *second), (1, 2));
        drop(first); // the order of release is free
        drop(second);
        assert!(!panics(|| drop(low.lock())), "no lock is held any more");
    }

    #[test]
    #[cfg(debug_assertions)]
    fn a_wrong_order_panics_in_debug_builds() {
        let (low, high) = (Lock::<_, 1>::new(()), Lock::<_, 2>::new(()));
        let table = RwLock::<_, 2>::new(());
        let held = high.lock();
        assert!(panics(|| drop(low.lock())), "a lower rank");
        assert!(panics(|| drop(table.read())), "the same rank");
        assert!(panics(|| drop(high.lock())), "the same lock: a deadlock");
        drop(held);
        let held = table.read();
        assert!(panics(|| drop(table.read())), "a second read can deadlock with a waiting writer");
        drop(held);
        drop((low.lock(), table.write()));
    }

    #[test]
    #[cfg(debug_assertions)]
    fn application_code_under_a_lock_panics_in_debug_builds() {
        let lock = Lock::<_, 0>::new(());
        let held = lock.lock();
        assert!(panics(assert_none_held));
        let debug = crate::guard::DebugOn::default();
        assert!(panics(|| assert_eq!(crate::guard::guard(debug, &crate::guard::Nowhere, || ()), None)));
        drop(held);
        assert_none_held();
    }

    #[test]
    fn a_lock_whose_holder_panicked_can_be_taken() {
        let (lock, table) = (Lock::<_, 1>::new(1), RwLock::<_, 2>::new(2));
        assert!(panics(|| {
            let _held = (lock.lock(), table.write());
            panic!("with both");
        }));
        assert_eq!((*lock.lock(), *table.read()), (1, 2));
    }

    /// Each connection has such a lock.
    #[test]
    fn a_rank_costs_no_memory() {
        assert_eq!(size_of::<Lock<u64, 1>>(), size_of::<sync::Mutex<u64>>());
        assert_eq!(size_of::<RwLock<u64, 1>>(), size_of::<sync::RwLock<u64>>());
    }
}
