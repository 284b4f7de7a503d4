//! A decision on a client that a task makes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use clws_handshake::Reject;

use crate::guard::{ApplicationValue, DebugOn, guard};
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::pending::DecisionFuture;
use crate::runtime::traits::BoxFuture;

/// The future of [`Accept::decided_by`], with the decision that it makes.
struct DecisionTask {
    future: ApplicationValue<BoxFuture<'static, Result<Accept, Reject>>>,
    /// `None` after the decision.
    decision: Option<Decision>,
    debug: DebugOn,
    /// The path of the request, for the log.
    path: Option<Box<str>>,
}

impl Accept {
    /// Postpones the decision to a future, which runs in a task of the server's
    /// [runtime](crate::runtime). Return the `Accept` from [`accept`](crate::Resource::accept).
    ///
    /// The future's result has the settings of the answer, and may postpone the decision again.
    /// The client waits at most until its
    /// [`handshake_timeout`](crate::Config#structfield.handshake_timeout) is over. The future runs
    /// to its end even if the client has left. A panic is logged, and the client gets 500. Without a
    /// runtime, the client gets 500 too.
    ///
    /// ```
    /// use clws_server::{Accept, Opening, Reject, Resource};
    ///
    /// struct Club;
    ///
    /// impl Resource for Club {
    ///     fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
    ///         let ticket = opening.cookie("ticket").ok_or_else(|| Reject::custom(401, "no ticket"))?.to_owned();
    ///         Ok(Accept::decided_by(async move {
    ///             let user = look_up(&ticket).await;
    ///             user.map(|user| Accept::new().data(user)).ok_or_else(|| Reject::forbidden("this ticket is not valid"))
    ///         }))
    ///     }
    /// }
    ///
    /// struct User(String);
    /// async fn look_up(ticket: &str) -> Option<User> {
    ///     // a database
    /// #   Some(User(ticket.to_owned()))
    /// }
    /// ```
    #[must_use]
    pub fn decided_by(future: impl Future<Output = Result<Self, Reject>> + Send + 'static) -> Self {
        let (accept, decision) = Self::later();
        let debug = DebugOn::default();
        let future: BoxFuture<'static, _> = Box::pin(future);
        let task = DecisionTask {
            future: ApplicationValue::new(future, debug),
            decision: Some(decision),
            debug,
            path: None,
        };
        Self { task: Some(Box::new(task)), ..accept }
    }
}

impl DecisionFuture for DecisionTask {
    fn set_debug(&mut self, debug: DebugOn) {
        self.debug = debug;
        self.future.set_debug(debug);
    }

    fn set_path(&mut self, path: &str) {
        self.path = Some(path.into());
    }
}

impl Future for DecisionTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(future) = this.future.get_mut() else { return Poll::Ready(()) };
        let polled = guard(this.debug, &this.path, || future.as_mut().poll(cx));
        if let Some(Poll::Pending) = polled {
            return Poll::Pending;
        }
        if let Some(decision) = this.decision.take() {
            match polled {
                Some(Poll::Ready(answer)) => decision.decide(answer),
                _ => decision.reject(Reject::custom(500, "the resource failed")),
            }
        }
        this.future.discard(&this.path);
        Poll::Ready(())
    }
}

impl fmt::Debug for DecisionTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecisionTask")
    }
}
