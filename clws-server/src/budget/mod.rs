//! The memory of all clients of a server, and its limit.
//!
//! Each thread takes credit from the budget in steps, and charges its credit for the memory of its
//! clients. So a queued or written message changes no shared counter. Memory that is charged on one
//! thread may be released on another.

pub(crate) mod machine;

use std::cell::{Cell, RefCell};
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};
use std::thread;

use clws_proto::buffer::Meter;

use crate::sync::{self, broken};
use crate::sync::{atomic::AtomicUsize, atomic::Ordering};

/// The size of a page, as a power of two. A client is charged for whole pages: most clients hold
/// less than a page, and a small outbox that fills and empties costs nothing here.
const PAGE_BITS: u32 = 12;

/// The credit that a thread takes at once, unless the limit is small.
const STEP: usize = 1 << 20;

/// The most bytes that a client may hold without being held back when memory is short.
pub(crate) const HOLD_BACK_ABOVE: usize = 64 * 1024;

/// The smallest step.
const MIN_STEP: usize = 64 * 1024;

/// The smallest limit.
pub(crate) const MIN_LIMIT: usize = 1 << 20;

/// The memory of the clients of one server.
#[derive(Debug)]
pub(crate) struct Budget {
    this: Weak<Self>,
    /// Unique in this process, and never 0.
    id: usize,
    limit: usize,
    /// The credit that a thread takes at once. A thread keeps at most two steps unused.
    step: usize,
    /// The number of clients that were dropped because they held too much.
    dropped: AtomicUsize,
    used: Used,
}

/// The credit that threads have taken, used or not, on a separate cache line.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Used(AtomicUsize);

/// The unused credit of a thread with one budget. The thread charges other budgets directly.
struct Credit {
    id: Cell<usize>,
    bytes: Cell<usize>,
    budget: RefCell<Weak<Budget>>,
}

sync::thread_local! {
    static CREDIT: Credit = const {
        Credit { id: Cell::new(0), bytes: Cell::new(0), budget: RefCell::new(Weak::new()) }
    };
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Self::for_threads(limit, thread::available_parallelism().map_or(1, NonZeroUsize::get))
    }

    /// A budget for a number of threads. The unused credit of all threads is a small part of the
    /// limit.
    pub(crate) fn for_threads(limit: usize, threads: usize) -> Arc<Self> {
        static IDS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(1);
        let limit = limit.max(MIN_LIMIT);
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            id: IDS.fetch_add(1, Ordering::Relaxed),
            limit,
            step: (limit / 64 / threads.max(4)).clamp(MIN_STEP, STEP),
            dropped: AtomicUsize::new(0),
            used: Used::default(),
        })
    }

    /// The bytes that are held, plus the unused credit of the threads.
    #[inline]
    pub(crate) fn used(&self) -> usize {
        self.used.0.load(Ordering::Relaxed)
    }

    pub(crate) const fn limit(&self) -> usize {
        self.limit
    }

    /// Whether more than three quarters of the limit are used. Then clients that hold much are not
    /// read from.
    #[inline]
    pub(crate) fn is_pressed(&self) -> bool {
        self.used() > self.limit - self.limit / 4
    }

    /// Whether at most seven eighths of the limit are used. While memory is short, that is enough
    /// for one client at a time to complete its message.
    pub(crate) fn has_some_left(&self) -> bool {
        self.used() <= self.limit - self.limit / 8
    }

    /// Whether the limit is exceeded, so that a client must be dropped.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    /// Whether a quarter more than the limit is used, because clients are not dropped fast enough.
    /// Then sends to clients with queued data fail.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.used() > self.limit.saturating_add(self.limit / 4)
    }

    /// The number of reads of [`HOLD_BACK_ABOVE`] bytes that each thread may do in a tick for
    /// clients that are held back. It falls with the memory that is left.
    pub(crate) fn reads_per_tick(&self, threads: usize) -> usize {
        let left = self.limit.saturating_sub(self.used());
        1 + left / (32 * HOLD_BACK_ABOVE * threads.max(1))
    }

    pub(crate) fn note_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        u64::try_from(self.dropped.load(Ordering::Relaxed)).unwrap_or(u64::MAX)
    }

    #[inline]
    pub(crate) fn charge_bytes(&self, bytes: usize) {
        let from_credit = CREDIT.try_with(|credit| {
            let fits = credit.id.get() == self.id && bytes <= credit.bytes.get();
            if fits {
                credit.bytes.set(credit.bytes.get() - bytes);
            }
            fits
        });
        if from_credit != Ok(true) {
            self.take(bytes);
        }
    }

    /// Releases bytes that were charged on this thread or on another.
    #[inline]
    pub(crate) fn release_bytes(&self, bytes: usize) {
        let to_credit = CREDIT.try_with(|credit| {
            let fits = credit.id.get() == self.id && credit.bytes.get() + bytes <= 2 * self.step;
            if fits {
                credit.bytes.set(credit.bytes.get() + bytes);
            }
            fits
        });
        if to_credit != Ok(true) {
            self.put(bytes);
        }
    }

    /// Charges or releases the difference between two numbers of [pages].
    #[inline]
    fn change(&self, before: u32, after: u32) {
        if after > before {
            self.charge_bytes(((after - before) as usize) << PAGE_BITS);
        } else {
            self.release_bytes(((before - after) as usize) << PAGE_BITS);
        }
    }

    /// Gives back the unused credit of this thread.
    pub(crate) fn give_back(&self) {
        broken!(CreditIsCopied, {
            self.used.0.fetch_sub(CREDIT.with(|credit| credit.bytes.get()), Ordering::Relaxed);
            return;
        });
        let unused =
            CREDIT.try_with(|credit| if credit.id.get() == self.id { credit.bytes.take() } else { 0 });
        self.used.0.fetch_sub(unused.unwrap_or(0), Ordering::Relaxed);
    }

    /// Charges bytes that exceed the credit of this thread.
    #[cold]
    fn take(&self, bytes: usize) {
        // A thread takes no credit if it has credit with another budget or has dropped its
        // thread-locals.
        let taken = CREDIT.try_with(|credit| {
            if !credit.is_with(self) {
                return bytes;
            }
            let missing = bytes.saturating_sub(credit.bytes.get());
            let taken = missing.div_ceil(self.step).saturating_mul(self.step);
            credit.bytes.set(credit.bytes.get() + taken - bytes);
            taken
        });
        let taken = taken.unwrap_or(bytes);
        broken!(CountsInTwoSteps, {
            let used = self.used.0.load(Ordering::Relaxed);
            self.used.0.store(used + taken, Ordering::Relaxed);
            return;
        });
        self.used.0.fetch_add(taken, Ordering::Relaxed);
    }

    /// Releases bytes that would exceed the credit of this thread, which keeps one step.
    #[cold]
    fn put(&self, bytes: usize) {
        let given = CREDIT.try_with(|credit| {
            if !credit.is_with(self) {
                return bytes;
            }
            let unused = credit.bytes.get() + bytes;
            credit.bytes.set(unused.min(self.step));
            unused - credit.bytes.get()
        });
        self.used.0.fetch_sub(given.unwrap_or(bytes), Ordering::Relaxed);
    }
}

impl Credit {
    /// Whether this credit belongs to a budget. If its previous budget was dropped, it is first
    /// assigned to that one.
    fn is_with(&self, budget: &Budget) -> bool {
        if self.id.get() != budget.id
            && let Ok(mut own) = self.budget.try_borrow_mut()
            && own.strong_count() == 0
        {
            *own = Weak::clone(&budget.this);
            self.id.set(budget.id);
            self.bytes.set(0);
        }
        self.id.get() == budget.id
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        broken!(CreditIsKept, return);
        if let Some(budget) = self.budget.get_mut().upgrade() {
            budget.used.0.fetch_sub(self.bytes.take(), Ordering::Relaxed);
        }
    }
}

/// Charges a message to many clients once, because all of them share it.
impl Meter for Budget {
    fn charge(&self, bytes: usize) {
        self.charge_bytes(bytes);
    }

    fn release(&self, bytes: usize) {
        self.release_bytes(bytes);
    }
}

/// The number of whole pages in a number of bytes.
#[inline]
fn pages(bytes: usize) -> u32 {
    u32::try_from(bytes >> PAGE_BITS).unwrap_or(u32::MAX)
}

/// Whether two numbers of bytes have different numbers of whole pages. Each send checks this.
#[inline]
pub(crate) const fn is_another_page(before: usize, after: usize) -> bool {
    (before ^ after) >> PAGE_BITS != 0
}

/// The pages that are charged for one holder of memory. The owner must [clear](Self::clear) the
/// charge at the end.
#[derive(Debug, Default)]
pub(crate) struct Charged(u32);

impl Charged {
    /// Replaces the charge with that for a number of bytes.
    #[inline]
    pub(crate) fn update(&mut self, held: usize, budget: &Budget) {
        let pages = pages(held);
        if pages != self.0 {
            budget.change(std::mem::replace(&mut self.0, pages), pages);
        }
    }

    /// Releases the whole charge.
    pub(crate) fn clear(&mut self, budget: &Budget) {
        self.update(0, budget);
    }

    /// The inverse of [`into_pages`](Self::into_pages).
    pub(crate) const fn from_pages(pages: u32) -> Self {
        Self(pages)
    }

    pub(crate) const fn into_pages(self) -> u32 {
        self.0
    }

    /// The charged bytes.
    pub(crate) const fn bytes(&self) -> u64 {
        (self.0 as u64) << PAGE_BITS
    }
}

#[cfg(test)]
mod tests;
