//! The number of items that a task may take from a stream before it yields to other tasks.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::time::now;

/// The items after which a task yields.
const ITEMS: u8 = 64;

/// The time after which a task yields, however few items it took. It includes the task's own work
/// on the items, which happens between two polls.
const TIME: Duration = Duration::from_millis(1);

/// The budget of a stream or a sink that is always ready, because its client is as fast as its
/// task.
///
/// An executor gets its thread back only from a task that returns `Pending`. Without a budget, one
/// busy client for each thread of the executor would stop all other tasks.
#[derive(Debug, Default)]
pub(crate) struct PollBudget {
    items: u8,
    since: Option<Instant>,
}

impl PollBudget {
    /// Takes one item from the budget. Returns `Pending` if the budget is used up; the task is
    /// woken already and gets a new budget.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<()> {
        let now = now();
        let since = *self.since.get_or_insert(now);
        if self.items < ITEMS && now.saturating_duration_since(since) < TIME {
            self.items += 1;
            return Poll::Ready(());
        }
        self.renew();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Restores the budget, because the task waits for something else and other tasks can run.
    pub(crate) fn renew(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::virtual_clock;

    #[test]
    fn ends_after_64_items_or_one_millisecond() {
        virtual_clock::set(Some(Instant::now()));
        let cx = Context::from_waker(std::task::Waker::noop());
        let mut budget = PollBudget::default();
        for _ in 0..3 {
            assert!((0..ITEMS).all(|_| budget.poll(&cx).is_ready()));
            assert!(budget.poll(&cx).is_pending());
        }
        assert!(budget.poll(&cx).is_ready());
        virtual_clock::set(Some(now() + TIME));
        assert!(budget.poll(&cx).is_pending());
        assert!(budget.poll(&cx).is_ready());
    }
}
