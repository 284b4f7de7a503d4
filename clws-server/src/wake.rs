//! The driver that serves a client, and how to wake it.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::admission::Admitted;
use crate::buffer_pool;
use crate::config::address::Peer;
use crate::lock::{Lock, LockGuard, rank};
use crate::net::poll::Waker;
use crate::net::socket::Socket;
use crate::signal::{GivesOnDrop, Signal, SignalWait};
use crate::stats::counters::Counters;
use crate::sync::{self, broken};
use crate::sync::{atomic::AtomicBool, atomic::AtomicU32, atomic::AtomicUsize, atomic::Ordering};
use crate::task_waker::TaskWaker;

/// The driver of a connection.
#[derive(Clone, Debug)]
pub(crate) enum WakeTarget {
    /// A shard, and the connection's slot.
    Shard(Arc<ShardHandle>, u32),
    /// A task that drives one stream.
    Stream(Arc<TaskWaker>),
}

/// A borrowed [`WakeTarget`]. A driver makes one for each call, and only a new client clones it.
#[derive(Clone, Copy)]
pub(crate) enum WakeTargetRef<'a> {
    Shard(&'a Arc<ShardHandle>, u32),
    Stream(&'a Arc<TaskWaker>),
}

impl WakeTargetRef<'_> {
    pub(crate) fn to_wake_target(self) -> WakeTarget {
        match self {
            Self::Shard(shard_handle, slot) => WakeTarget::Shard(Arc::clone(shard_handle), slot),
            Self::Stream(waker) => WakeTarget::Stream(Arc::clone(waker)),
        }
    }
}

/// The drivers of a server, which drop clients when too much memory is held for all clients.
pub(crate) trait Relief: Send + Sync {
    /// Asks the driver of `wake_target`, or another one, to drop the clients that hold most. No
    /// lock may be held.
    fn relieve(&self, wake_target: &WakeTarget);

    /// The bytes that a client must hold to be dropped.
    fn fair_share(&self) -> usize;
}

/// The part of a shard that other threads use.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    /// Unique in this process, and never 0.
    id: usize,
    /// Commands that the shard has not seen. `None` once it has ended.
    commands: Lock<Option<Vec<ShardCommand>>, { rank::COMMANDS }>,
    sleeping: AtomicBool,
    waker: Waker,
    /// Connections that the shard has or will get.
    pub(crate) load: AtomicUsize,
    /// The start of the turn, in [milliseconds](millis) after the server's start; `ASLEEP` between
    /// turns.
    turn: AtomicU32,
    /// A [`ShardCommand::Relieve`] is queued.
    relief: AtomicBool,
    /// Only the shard's own thread counts here.
    pub(crate) counters: Box<Counters>,
}

/// A command from another thread to a shard.
#[derive(Debug)]
pub(crate) enum ShardCommand {
    /// The client in that slot has output, was closed, or was resumed by the application.
    Wake(u32),
    /// Many slots have output, or were closed or resumed.
    WakeAll(Vec<u32>),
    /// A new connection.
    AddConnection(Socket, Peer, Admitted),
    /// Accept connections: another shard has accepted as many as it may in one turn.
    Accept,
    /// Tell a waiting task that the shard handles its commands.
    Respond(GivesOnDrop),
    /// Drop the clients that hold most memory, or ask the next shard. The number of shards that may
    /// still be asked.
    Relieve(usize),
    /// The server drains, or its drain was shortened.
    Drain,
    /// Close all connections and end.
    Stop,
}

/// The value of `ShardHandle::turn` while the shard sleeps, or is about to.
const ASLEEP: u32 = u32::MAX;

/// Milliseconds. No new connection goes to a shard whose turn takes longer.
const LONG_TURN: u32 = 50;

/// Milliseconds modulo 2^32, which is 49 days. Not every processor has longer atomic numbers.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis() & u128::from(u32::MAX)).unwrap_or(0)
}

/// Whether a turn that began at `turn` is too long at `at`.
fn is_long(turn: u32, at: Duration) -> bool {
    let elapsed = millis(at).wrapping_sub(turn);
    // Another thread may have taken `at` before the turn began.
    turn != ASLEEP && elapsed > LONG_TURN && elapsed <= u32::MAX / 2
}

/// The thread-local state of a shard, which handlers on the thread use.
struct Local {
    shard: Cell<usize>,
    woken: RefCell<Vec<u32>>,
}

sync::thread_local! {
    static LOCAL: Local = const {
        Local { shard: Cell::new(0), woken: RefCell::new(Vec::new()) }
    };
}

impl WakeTarget {
    /// Tells the driver that an empty outbox was filled, or that the client's state changed.
    #[inline]
    pub(crate) fn wake(&self) {
        match self {
            Self::Shard(shard_handle, slot) if shard_handle.wake_here(*slot) => {}
            // A shard that has ended has no clients.
            Self::Shard(shard_handle, slot) => drop(shard_handle.send(ShardCommand::Wake(*slot))),
            Self::Stream(waker) => waker.wake(),
        }
    }
}

/// Drivers that are woken together when the batch is dropped. A message to many costs one wake-up
/// for each shard, and each shard writes to its own clients.
#[derive(Default)]
pub(crate) struct WakeBatch {
    shards: Vec<(Arc<ShardHandle>, Vec<u32>)>,
    streams: Vec<Arc<TaskWaker>>,
    /// Set when a message was queued while too much memory was held.
    relief: Option<(Weak<dyn Relief>, WakeTarget)>,
}

impl WakeBatch {
    #[inline]
    pub(crate) fn add(&mut self, wake_target: &WakeTarget) {
        match wake_target {
            WakeTarget::Shard(shard_handle, slot) if shard_handle.wake_here(*slot) => {}
            WakeTarget::Shard(shard_handle, slot) => {
                match self.shards.iter_mut().find(|(known, _)| Arc::ptr_eq(known, shard_handle)) {
                    Some((_, slots)) => slots.push(*slot),
                    None => self.shards.push((Arc::clone(shard_handle), vec![*slot])),
                }
            }
            WakeTarget::Stream(waker) => self.streams.push(Arc::clone(waker)),
        }
    }

    /// Asks for relief when the batch is dropped.
    #[cold]
    pub(crate) fn relieve(&mut self, relief: &Weak<dyn Relief>, wake_target: &WakeTarget) {
        if self.relief.is_none() {
            self.relief = Some((Weak::clone(relief), wake_target.clone()));
        }
    }
}

impl Drop for WakeBatch {
    fn drop(&mut self) {
        for (shard_handle, slots) in self.shards.drain(..) {
            drop(shard_handle.send(ShardCommand::WakeAll(slots)));
        }
        for waker in self.streams.drain(..) {
            waker.wake();
        }
        if let Some((relief, wake_target)) = self.relief.take()
            && let Some(relief) = relief.upgrade()
        {
            relief.relieve(&wake_target);
        }
    }
}

impl ShardHandle {
    pub(crate) fn new(waker: Waker) -> Self {
        static IDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
        Self {
            id: IDS.fetch_add(1, Ordering::Relaxed),
            commands: Lock::new(Some(Vec::new())),
            sleeping: AtomicBool::new(false),
            waker,
            load: AtomicUsize::new(0),
            turn: AtomicU32::new(ASLEEP),
            relief: AtomicBool::new(false),
            counters: Counters::for_shard(),
        }
    }

    /// Records that the shard begins a turn, at that time after the server's start.
    pub(crate) fn begin_turn(&self, at: Duration) {
        self.turn.store(millis(at).min(ASLEEP - 1), Ordering::Relaxed);
    }

    pub(crate) fn end_turn(&self) {
        self.turn.store(ASLEEP, Ordering::Relaxed);
    }

    /// Whether a handler seems to block the shard, because its turn is too long.
    pub(crate) fn is_held_up(&self, at: Duration) -> bool {
        is_long(self.turn.load(Ordering::Relaxed), at)
    }

    /// Whether this is the shard's thread.
    pub(crate) fn is_here(&self) -> bool {
        LOCAL.try_with(|local| local.shard.get() == self.id).unwrap_or(false)
    }

    /// Asks the shard to drop clients that hold much, unless such a command is queued.
    pub(crate) fn relieve(&self, others: usize) {
        if !self.relief.swap(true, Ordering::AcqRel) {
            // A shard that has ended holds no memory.
            drop(self.send(ShardCommand::Relieve(others)));
        }
    }

    /// The shard handles [`ShardCommand::Relieve`].
    pub(crate) fn sees_relief(&self) {
        broken!(StaysAskedForRelief, return);
        self.relief.store(false, Ordering::Release);
    }

    /// Adds the slot to the thread's list of woken slots, if this is the shard's own thread.
    /// Returns whether it is.
    #[inline]
    fn wake_here(&self, slot: u32) -> bool {
        // While a thread ends, its destructors wake clients as other threads do.
        let is_noted = LOCAL.try_with(|local| {
            let here = local.shard.get() == self.id;
            if here {
                local.woken.borrow_mut().push(slot);
            }
            here
        });
        is_noted.unwrap_or(false)
    }

    /// Waits until the shard handles its commands, or has ended.
    pub(crate) fn respond(&self) -> SignalWait {
        let signal = Arc::new(Signal::default());
        // A shard that has ended returns the command, whose drop gives the signal.
        drop(self.send(ShardCommand::Respond(GivesOnDrop(Arc::clone(&signal)))));
        signal.wait()
    }

    /// Queues a command, and wakes the shard if it sleeps. A shard that has ended returns the
    /// command.
    pub(crate) fn send(&self, command: ShardCommand) -> Result<(), ShardCommand> {
        broken!(WakesBeforeCommand, self.wake_sleeper());
        match &mut *self.commands() {
            Some(commands) => commands.push(command),
            None => return Err(command),
        }
        broken!(WakesBeforeCommand, return Ok(()));
        self.wake_sleeper();
        Ok(())
    }

    /// The shard sets the flag before it looks at the queue for the last time. Both accesses are
    /// sequentially consistent, so either the shard sees the command, or this thread sees the flag.
    #[inline]
    fn wake_sleeper(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// The shard is about to sleep. Returns false if there are commands.
    pub(crate) fn may_sleep(&self) -> bool {
        broken!(LooksBeforeFlag, {
            let empty = self.commands().as_ref().is_none_or(Vec::is_empty);
            self.sleeping.store(true, Ordering::SeqCst);
            return empty;
        });
        self.sleeping.store(true, Ordering::SeqCst);
        self.commands().as_ref().is_none_or(Vec::is_empty)
    }

    /// The shard is awake. Moves the queued commands to `into`, which must be empty.
    pub(crate) fn take(&self, into: &mut Vec<ShardCommand>) {
        self.sleeping.store(false, Ordering::SeqCst);
        if let Some(commands) = &mut *self.commands() {
            std::mem::swap(commands, into);
        }
    }

    /// The shard ends. Returns the last commands, and refuses later ones.
    pub(crate) fn close(&self) -> Vec<ShardCommand> {
        broken!(EndsWithoutClosing, return self.commands().as_mut().map(std::mem::take).unwrap_or_default());
        self.commands().take().unwrap_or_default()
    }

    fn commands(&self) -> LockGuard<'_, Option<Vec<ShardCommand>>> {
        self.commands.lock()
    }

    /// Registers the current thread as this shard's. Wake-ups from it take no lock from now on.
    pub(crate) fn register_current_thread(&self) {
        // It fails only while the thread ends.
        let _ = LOCAL.try_with(|local| local.shard.set(self.id));
        buffer_pool::keep_on_this_thread(true);
    }
}

/// Frees the memory of the list of woken slots, which is empty.
pub(crate) fn release_memory() {
    let _ = LOCAL.try_with(|local| local.woken.borrow_mut().shrink_to_fit());
}

/// The state of one simulated shard, while another shard of the simulation runs on the same thread.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Aside(usize, Vec<u32>);

/// Exchanges the state of the current thread: its shard, and the slots that were woken.
#[cfg(test)]
pub(crate) fn swap_here(aside: &mut Aside) {
    LOCAL.with(|local| {
        aside.0 = local.shard.replace(aside.0);
        buffer_pool::keep_on_this_thread(local.shard.get() != 0);
        std::mem::swap(&mut *local.woken.borrow_mut(), &mut aside.1);
    });
}

/// Removes the latest wake-up if it is for this slot, whose connection is about to be driven
/// anyway.
#[inline]
pub(crate) fn cancel_wake(slot: u32) {
    let _ = LOCAL.try_with(|local| local.woken.borrow_mut().pop_if(|newest| *newest == slot));
}

/// Whether handlers of this thread woke slots that were not taken.
pub(crate) fn is_any_woken() -> bool {
    LOCAL.try_with(|local| !local.woken.borrow().is_empty()).unwrap_or(false)
}

/// Moves the slots that handlers of this thread woke to `into`, which must be empty.
#[inline]
pub(crate) fn take_woken(into: &mut Vec<u32>) {
    let _ = LOCAL.try_with(|local| std::mem::swap(&mut *local.woken.borrow_mut(), into));
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn long_turns_are_found_at_any_time() {
        let around = Duration::from_millis(1 << 32);
        for start in
            [Duration::ZERO, Duration::from_secs(1), around - Duration::from_millis(30), around, 7 * around]
        {
            let turn = millis(start).min(ASLEEP - 1);
            for (passed, long) in [(0, false), (50, false), (60, true), (1000, true), (86_400_000, true)] {
                assert_eq!(is_long(turn, start + Duration::from_millis(passed)), long, "{start:?} {passed}");
            }
            assert!(!is_long(turn, start.saturating_sub(Duration::from_millis(200))));
        }
        assert!(!is_long(ASLEEP, Duration::from_secs(100)));
    }
}
