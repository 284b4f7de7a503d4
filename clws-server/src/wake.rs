//! Where a client's socket is, and how to tell that place that there is something to write.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::admission::ConnectionPermit;
use crate::buffer_pool;
use crate::config::address::Peer;
use crate::lock::{Lock, LockGuard, rank};
use crate::net::poll::Waker;
use crate::net::socket::Socket;
use crate::sync::{self, broken};
use crate::sync::{atomic::AtomicBool, atomic::AtomicU32, atomic::AtomicUsize, atomic::Ordering};
use crate::task_waker::TaskWaker;

/// The owner of a connection's socket.
#[derive(Clone, Debug)]
pub(crate) enum WakeTarget {
    /// A shard, and the connection's slot in it.
    Shard(Arc<ShardHandle>, u32),
    /// A task that drives one stream.
    Stream(Arc<TaskWaker>),
}

/// A [`WakeTarget`], borrowed: what a driver has at hand each time, of which only a new client takes a share.
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

/// What frees memory when too much is held for all clients: the drivers of a server, which drop clients.
pub(crate) trait Relief: Send + Sync {
    /// Asks the driver of `wake_target`, or another one, to drop the clients that hold most. No lock may be held.
    fn relieve(&self, wake_target: &WakeTarget);

    /// The bytes that a client must hold to be dropped.
    fn fair_share(&self) -> usize;
}

/// What other threads see of a shard.
#[derive(Debug)]
pub(crate) struct ShardHandle {
    /// Unlike every other shard's in this process; never 0.
    id: usize,
    /// What it has not seen yet; `None` once it has ended.
    commands: Lock<Option<Vec<ShardCommand>>, { rank::COMMANDS }>,
    sleeping: AtomicBool,
    waker: Waker,
    /// Connections that it has, or is about to get.
    pub(crate) load: AtomicUsize,
    /// When its turn began, in [milliseconds](millis) from the server's start; `ASLEEP` between turns.
    turn: AtomicU32,
    /// A [`ShardCommand::Relieve`] is under way.
    relief: AtomicBool,
}

/// What other threads ask of a shard.
#[derive(Debug)]
pub(crate) enum ShardCommand {
    /// The client in that slot has something to write, is to be closed, or waits no more for the application.
    Wake(u32),
    /// The same for many.
    WakeAll(Vec<u32>),
    /// A new connection.
    AddConnection(Socket, Peer, ConnectionPermit),
    /// More connections wait to be accepted than the shard takes that was told of them.
    Accept,
    /// Too much memory is held: drop the clients that hold most, or ask one of so many others to do so.
    Relieve(usize),
    /// Close everything and end.
    Stop,
}

/// `ShardHandle::turn`: the shard sleeps, or is about to.
const ASLEEP: u32 = u32::MAX;

/// No new connection goes to a shard whose turn takes longer, in milliseconds.
const HELD_UP: u32 = 50;

/// Milliseconds modulo 2^32, which are 49 days. Not every processor has an atomic number that could be longer.
fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis() & u128::from(u32::MAX)).unwrap_or(0)
}

/// Whether a turn that began then takes longer than any should.
fn is_long(turn: u32, at: Duration) -> bool {
    let elapsed = millis(at).wrapping_sub(turn);
    // A turn may have begun behind `at`, and has then taken no time.
    turn != ASLEEP && elapsed > HELD_UP && elapsed <= u32::MAX / 2
}

/// What the thread of a shard shares with the code that its handlers call.
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
    /// Tells it that the client has something to write where before it had nothing, or that its state changed.
    #[inline]
    pub(crate) fn wake(&self) {
        match self {
            Self::Shard(shard_handle, slot) if shard_handle.wake_here(*slot) => {}
            // A shard that has ended has no client to touch.
            Self::Shard(shard_handle, slot) => drop(shard_handle.send(ShardCommand::Wake(*slot))),
            Self::Stream(waker) => waker.wake(),
        }
    }
}

/// Homes that are told together when this is dropped, each shard once: a message to many costs one wake-up a shard,
/// and each shard writes to its own clients.
#[derive(Default)]
pub(crate) struct WakeBatch {
    shards: Vec<(Arc<ShardHandle>, Vec<u32>)>,
    streams: Vec<Arc<TaskWaker>>,
    /// A client that was sent something while too much memory was held.
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
        }
    }

    /// Called by the shard when a turn begins, so long after the server's start.
    pub(crate) fn begin_turn(&self, at: Duration) {
        self.turn.store(millis(at).min(ASLEEP - 1), Ordering::Relaxed);
    }

    pub(crate) fn end_turn(&self) {
        self.turn.store(ASLEEP, Ordering::Relaxed);
    }

    /// Whether a handler seems to block it: its turn takes longer than any should.
    pub(crate) fn is_held_up(&self, at: Duration) -> bool {
        is_long(self.turn.load(Ordering::Relaxed), at)
    }

    /// Whether this thread is the shard's own.
    pub(crate) fn is_here(&self) -> bool {
        LOCAL.try_with(|local| local.shard.get() == self.id).unwrap_or(false)
    }

    /// Asks the shard to drop clients that hold much, unless it is asked already.
    pub(crate) fn relieve(&self, others: usize) {
        if !self.relief.swap(true, Ordering::AcqRel) {
            drop(self.send(ShardCommand::Relieve(others))); // a shard that has ended holds nothing
        }
    }

    /// Called by the shard when it comes to that.
    pub(crate) fn sees_relief(&self) {
        broken!(StaysAskedForRelief, return);
        self.relief.store(false, Ordering::Release);
    }

    /// WakeBatch the slot where this thread is the shard's own; whether it is.
    #[inline]
    fn wake_here(&self, slot: u32) -> bool {
        // A thread that ends has it no more: what its destructors touch goes the way from other threads.
        let touched = LOCAL.try_with(|local| {
            let here = local.shard.get() == self.id;
            if here {
                local.woken.borrow_mut().push(slot);
            }
            here
        });
        touched.unwrap_or(false)
    }

    /// Gives it a command, and wakes it only if it sleeps. A shard that has ended gives the command back.
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

    /// The shard sets the flag before it looks at the queue for the last time, so either it sees the command or we see
    /// the flag: both are sequentially consistent.
    #[inline]
    fn wake_sleeper(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// Called by the shard before it sleeps; false where there are commands to see first.
    pub(crate) fn may_sleep(&self) -> bool {
        broken!(LooksBeforeFlag, {
            let empty = self.commands().as_ref().is_none_or(Vec::is_empty);
            self.sleeping.store(true, Ordering::SeqCst);
            return empty;
        });
        self.sleeping.store(true, Ordering::SeqCst);
        self.commands().as_ref().is_none_or(Vec::is_empty)
    }

    /// Called by the shard when it is awake: puts the commands that came into `into`, which is empty.
    pub(crate) fn take(&self, into: &mut Vec<ShardCommand>) {
        self.sleeping.store(false, Ordering::SeqCst);
        if let Some(commands) = &mut *self.commands() {
            std::mem::swap(commands, into);
        }
    }

    /// Called by the shard when it ends: takes the last commands, and no more come.
    pub(crate) fn close(&self) -> Vec<ShardCommand> {
        broken!(EndsWithoutClosing, return self.commands().as_mut().map(std::mem::take).unwrap_or_default());
        self.commands().take().unwrap_or_default()
    }

    fn commands(&self) -> LockGuard<'_, Option<Vec<ShardCommand>>> {
        self.commands.lock()
    }

    /// Makes the current thread this shard's: from now on touches from it cost no lock.
    pub(crate) fn register_current_thread(&self) {
        let _ = LOCAL.try_with(|local| local.shard.set(self.id)); // it fails only in a thread that ends
        buffer_pool::keep_on_this_thread(true);
    }
}

/// Gives back the memory of touches, of which there are none now.
pub(crate) fn release_memory() {
    let _ = LOCAL.try_with(|local| local.woken.borrow_mut().shrink_to_fit());
}

/// A thread's part of this file, while another shard of the simulation runs on the same thread.
#[cfg(test)]
#[derive(Debug, Default)]
pub(crate) struct Aside(usize, Vec<u32>);

/// Exchanges what the current thread is: the shard that it belongs to, if any, and what was touched on it.
#[cfg(test)]
pub(crate) fn swap_here(aside: &mut Aside) {
    LOCAL.with(|local| {
        aside.0 = local.shard.replace(aside.0);
        buffer_pool::keep_on_this_thread(local.shard.get() != 0);
        std::mem::swap(&mut *local.woken.borrow_mut(), &mut aside.1);
    });
}

/// Takes back the newest touch if it is of this slot, which is about to be settled anyway.
#[inline]
pub(crate) fn cancel_wake(slot: u32) {
    let _ = LOCAL.try_with(|local| local.woken.borrow_mut().pop_if(|newest| *newest == slot));
}

/// Whether handlers of this thread touched slots that were not taken.
pub(crate) fn is_any_woken() -> bool {
    LOCAL.try_with(|local| !local.woken.borrow().is_empty()).unwrap_or(false)
}

/// Takes the slots that handlers of this thread touched; `into` is empty.
#[inline]
pub(crate) fn take_woken(into: &mut Vec<u32>) {
    let _ = LOCAL.try_with(|local| std::mem::swap(&mut *local.woken.borrow_mut(), into));
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn turns_are_told_apart_after_any_time() {
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
