//! How much a task may take out of a stream before other tasks of its executor have their turn.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::time::now;

/// Items in a row after which the task is asked to come again.
const ITEMS: u8 = 64;

/// The time after which it is, however few they were. What the task does with an item counts: it happens between two polls.
const TIME: Duration = Duration::from_millis(1);

/// The budget of a stream or a sink that may be ready for ever, because a client sends (or reads) as fast as its task goes.
///
/// An executor takes its thread back only from a task that returns `Pending`. Without a budget, as many busy clients as the
/// executor has threads would keep everybody else waiting.
#[derive(Debug, Default)]
pub(crate) struct PollBudget {
    items: u8,
    since: Option<Instant>,
}

impl PollBudget {
    /// To be asked before an item is given out. `Pending` says that the task has had its share; it is woken already.
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

    /// The task waits for something else, so that others have their turn.
    pub(crate) fn renew(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::virtual_clock;

    #[test]
    fn ends_by_number_or_by_time() {
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
