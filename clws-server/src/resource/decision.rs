//! A decision on a client that is made later.

use std::fmt;
use std::sync::Arc;

use clws_handshake::Reject;

use crate::resource::accept::Accept;
use crate::resource::pending::{Pending, Ticket};

/// A pending answer to a client: see [`Accept::later`].
///
/// It can be moved to any task or thread. The client waits at most until its
/// [`handshake_timeout`](crate::Config#structfield.handshake_timeout) is over. Then it gets 503,
/// and a later decision has no effect. Nothing is read from the client meanwhile. A decision that
/// is dropped without an answer is an error of the application: the client gets 500 and the error
/// is logged.
#[must_use = "the client waits for it"]
pub struct Decision(Arc<Pending<Result<Accept, Reject>>>);

impl Accept {
    /// Postpones the decision. Return the `Accept` from [`accept`](crate::Resource::accept), and
    /// pass the [`Decision`] to the code that decides, for instance a database look-up.
    ///
    /// [`decided_by`](Self::decided_by) takes a future instead.
    ///
    /// The settings of the answer are those that come with the decision. Settings of the returned
    /// `Accept` have no effect.
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
        let pending = Arc::new(Pending::new(ticket));
        (Self { pending: Some(Arc::clone(&pending)), ..Self::default() }, Decision(pending))
    }
}

impl Decision {
    /// Accepts the client.
    pub fn accept(self, accept: Accept) {
        self.decide(Ok(accept));
    }

    /// Refuses the client.
    pub fn reject(self, reject: Reject) {
        self.decide(Err(reject));
    }

    /// Whether the client still waits. False if it has disconnected, or its time is over.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        // The handshake holds the other reference.
        Arc::strong_count(&self.0) > 1
    }

    /// Answers as [`Resource::accept`](crate::Resource::accept) would have.
    pub fn decide(self, answer: Result<Accept, Reject>) {
        self.0.put(answer);
    }
}

impl Drop for Decision {
    fn drop(&mut self) {
        // The handshake logs it.
        self.0.abandon(Err(Reject::custom(500, "the resource failed")));
    }
}

impl fmt::Debug for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Decision")
    }
}
