//! An answer that one thread waits for and another one gives.

use std::fmt;
use std::future::Future;

use crate::guard::DebugOn;
use crate::lock::{Lock, LockGuard, rank};
use crate::sync::broken;
use crate::wake::WakeTarget;

/// The part that a handshake and a [`Decision`](crate::Decision) share.
pub(crate) struct Pending<A> {
    state: Lock<State<A>, { rank::DECISION }>,
    /// Dropped when neither side holds it. By then the client is connected, about to be, or
    /// disconnected.
    _ticket: Option<Box<dyn Ticket>>,
}

/// A value that is dropped when a handshake has taken its decision, or has ended.
pub(crate) trait Ticket: Send + Sync {}

/// An answer, with data of the application that may panic when it is dropped.
pub(crate) trait Answer {
    /// Sets the panics that end the process.
    fn set_debug(&mut self, debug: DebugOn);
}

/// A future that gives an answer, before it is spawned.
pub(crate) trait DecisionFuture: Future<Output = ()> + Send + Unpin + fmt::Debug {
    /// Sets the panics that end the process.
    fn set_debug(&mut self, debug: DebugOn);

    /// Sets the path of the request, for the log.
    fn set_path(&mut self, path: &str);
}

struct State<A> {
    /// Whether there was an answer.
    is_decided: bool,
    /// The application gave none.
    is_abandoned: bool,
    answer: Option<A>,
    /// The driver of a handshake that waits.
    wake_target: Option<WakeTarget>,
    debug: DebugOn,
}

impl<A: Answer> Pending<A> {
    pub(super) fn new(ticket: Option<Box<dyn Ticket>>) -> Self {
        let (answer, wake_target, debug) = (None, None, DebugOn::default());
        let state = State { is_decided: false, is_abandoned: false, answer, wake_target, debug };
        Self { state: Lock::new(state), _ticket: ticket }
    }

    /// Gives the answer, unless there was one.
    pub(super) fn put(&self, answer: A) {
        self.put_as(answer, false);
    }

    /// Gives an answer in the place of the application, unless there was one.
    pub(super) fn abandon(&self, answer: A) {
        self.put_as(answer, true);
    }

    fn put_as(&self, mut answer: A, is_abandoned: bool) {
        let mut state = self.state();
        answer.set_debug(state.debug); // it may come too late, and is dropped here or there
        if state.is_decided {
            drop(state); // before the answer, which has data of the application
            return;
        }
        (state.is_decided, state.is_abandoned) = (true, is_abandoned);
        state.answer = Some(answer);
        let wake_target = state.wake_target.take();
        drop(state);
        if let Some(wake_target) = wake_target {
            broken!(DecidesWithoutWake, return);
            wake_target.wake();
        }
    }

    /// Wakes the driver when there is an answer, at once if there is one already.
    pub(crate) fn wake(&self, wake_target: WakeTarget, debug: DebugOn) {
        let mut state = self.state();
        state.debug = debug;
        if let Some(answer) = &mut state.answer {
            answer.set_debug(debug);
        } else {
            broken!(WaitsTooLate, {
                drop(state);
                state = self.state();
            });
            state.wake_target = Some(wake_target);
            return;
        }
        drop(state);
        wake_target.wake();
    }

    /// Whether the application dropped its end without an answer.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state().is_abandoned
    }

    pub(crate) fn take(&self) -> Option<A> {
        self.state().answer.take()
    }

    fn state(&self) -> LockGuard<'_, State<A>> {
        self.state.lock()
    }
}

impl<A> fmt::Debug for Pending<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
