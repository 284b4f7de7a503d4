use std::fmt;
use std::sync::Arc;

use crate::Reject;
use crate::guard::{DebugOn, log};
use crate::lock::{Lock, LockGuard, rank};
use crate::resource::Accept;
use crate::sync::broken;
use crate::wake::WakeTarget;

/// The answer to a client that is still to be given: see [`Accept::later`].
///
/// It can go to any task or thread. The client waits, at most until its
/// [`handshake_timeout`](crate::Config#structfield.handshake_timeout) is over: then it is told 503, and a decision that
/// comes later is of no effect. Nothing is read from it meanwhile. A decision that is dropped without an answer is a
/// fault of the application: the client is told 500 and the fault is logged.
#[must_use = "the client waits for it"]
pub struct Decision(Arc<Pending>);

/// What a handshake and a [`Decision`] share.
pub(crate) struct Pending {
    state: Lock<State, { rank::DECISION }>,
    /// Dropped when neither of them has it any more: the client is connected by then or about to be, or it is gone.
    _ticket: Option<Box<dyn Ticket>>,
}

/// Something that is dropped when a handshake has taken its decision, or is gone.
pub(crate) trait Ticket: Send + Sync {}

#[derive(Default)]
struct State {
    /// There is an answer, or was.
    decided: bool,
    answer: Option<Result<Accept, Reject>>,
    /// Where the handshake waits, once it does.
    wake_target: Option<WakeTarget>,
    /// That of the server that waits.
    debug: DebugOn,
}

impl Accept {
    /// To be decided later: return the first from [`accept`](crate::Resource::accept), and give the second to whoever
    /// finds out, a database look-up for instance.
    ///
    /// The settings of the answer are those that come with the decision; settings made here are of no effect.
    ///
    /// ```
    /// use clws_server::{Accept, Opening, Reject, Resource};
    ///
    /// struct Club;
    ///
    /// impl Resource for Club {
    ///     fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
    ///         let ticket = opening.cookie("ticket").ok_or_else(|| Reject::custom(401, "no ticket"))?.to_owned();
    ///         let (accept, decision) = Accept::later();
    ///         std::thread::spawn(move || match look_up(&ticket) {
    ///             Some(user) => decision.accept(Accept::new().data(user)),
    ///             None => decision.reject(Reject::forbidden("this ticket is not valid")),
    ///         });
    ///         Ok(accept)
    ///     }
    /// }
    ///
    /// struct User(String);
    /// fn look_up(ticket: &str) -> Option<User> {
    ///     // something that takes its time
    /// #   Some(User(ticket.to_owned()))
    /// }
    /// ```
    pub fn later() -> (Self, Decision) {
        Self::later_with(None)
    }

    pub(crate) fn later_with(ticket: Option<Box<dyn Ticket>>) -> (Self, Decision) {
        let pending = Arc::new(Pending { state: Lock::default(), _ticket: ticket });
        (Self { pending: Some(Arc::clone(&pending)), ..Self::default() }, Decision(pending))
    }
}

impl Decision {
    /// Takes the client.
    pub fn accept(self, accept: Accept) {
        self.decide(Ok(accept));
    }

    /// Refuses it.
    pub fn reject(self, reject: Reject) {
        self.decide(Err(reject));
    }

    /// Whether somebody still waits for it: false when the client is gone, or its time is over.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        // The handshake holds the other share.
        Arc::strong_count(&self.0) > 1
    }

    /// What [`Resource::accept`](crate::Resource::accept) would have returned.
    pub fn decide(self, answer: Result<Accept, Reject>) {
        self.0.put(answer);
    }
}

impl Drop for Decision {
    fn drop(&mut self) {
        let waiting = self.is_waiting();
        if self.0.put(Err(Reject::custom(500, "the resource failed"))) && waiting {
            log(|| tracing::error!("a decision on a client was dropped without an answer"));
        }
    }
}

impl Pending {
    /// Puts the answer there, unless there was one; whether it did.
    fn put(&self, mut answer: Result<Accept, Reject>) -> bool {
        let mut state = self.state();
        if let Ok(accept) = &mut answer {
            accept.set_debug(state.debug); // it may come too late, and be dropped here or there
        }
        if state.decided {
            drop(state); // before the answer, in which there is data of the application's
            return false;
        }
        state.decided = true;
        state.answer = Some(answer);
        let home = state.wake_target.take();
        drop(state);
        if let Some(wake_target) = home {
            broken!(DecidesWithoutWake, return true);
            wake_target.wake();
        }
        true
    }

    /// That home is touched when there is an answer, at once if there is one already.
    pub(crate) fn wake(&self, wake_target: WakeTarget, debug: DebugOn) {
        let mut state = self.state();
        state.debug = debug;
        match &mut state.answer {
            Some(Ok(accept)) => accept.set_debug(debug),
            Some(Err(_)) => {}
            None => {
                broken!(WaitsTooLate, {
                    drop(state);
                    state = self.state();
                });
                state.wake_target = Some(wake_target);
                return;
            }
        }
        drop(state);
        wake_target.wake();
    }

    pub(crate) fn take(&self) -> Option<Result<Accept, Reject>> {
        self.state().answer.take()
    }

    fn state(&self) -> LockGuard<'_, State> {
        self.state.lock()
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decision")
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
