//! The handle of a resource listener: it sends messages and closures to the task, and ends it.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use futures::FutureExt;
use futures::channel::oneshot;

use crate::guard::{DebugOn, guard, guard_other, log};
use crate::handler::mailbox::event::MailboxClosed;
use crate::handler::mailbox::sender::MailboxSender;
use crate::handler::resource_listener::ResourceListener;
use crate::resource::registry::Registered;
use crate::signal::Signal;
use crate::sync::thread_local;

/// A handle of a running listener. It sends messages, calls closures on the listener's task, and
/// ends it. Cheap to clone.
pub struct ResourceListenerHandle<L: ResourceListener> {
    pub(super) sender: MailboxSender<Mail<L>>,
    pub(super) ended: Arc<Signal>,
    pub(super) registered: Option<Arc<Registered>>,
}

/// The reason why a closure has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The listener ended before it called the closure.
    #[error("the listener has ended and did not call the closure")]
    Gone,
    /// The closure panicked.
    #[error("the closure panicked on the listener's task")]
    Panicked,
    /// A handler of the listener, or a closure on its task, waits for the result. The closure is
    /// called after that handler has returned, and its result is dropped.
    #[error("a handler waits for a closure on its own listener, which can run only after the handler")]
    WaitsForItself,
}

thread_local! {
    /// The listeners whose handlers run on this thread, by [`ResourceListenerHandle::id`]. A
    /// handler may run another listener when it blocks on a future.
    static IN_HANDLER: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Marks that a handler of a listener runs on this thread, until it is dropped.
pub(super) struct InHandler;

impl InHandler {
    pub(super) fn of(id: usize) -> Self {
        // A thread that ends may have dropped its thread-locals.
        let _ = IN_HANDLER.try_with(|running| running.borrow_mut().push(id));
        Self
    }

    fn is_here(id: usize) -> bool {
        IN_HANDLER.try_with(|running| running.borrow().contains(&id)).unwrap_or(false)
    }
}

impl Drop for InHandler {
    fn drop(&mut self) {
        let _ = IN_HANDLER.try_with(|running| running.borrow_mut().pop());
    }
}

/// A message from a handle to the listener's task.
pub(super) enum Mail<L: ResourceListener> {
    Message(L::Message),
    Call(Call<L>),
}

/// A call gets the path of the listener, for the log.
type Call<L> = Box<dyn FnOnce(&mut L, DebugOn, &Option<Box<str>>) + Send>;

impl<L: ResourceListener> ResourceListenerHandle<L> {
    /// Sends a message of the application: `send-custom-message-to-resource`.
    /// [`ResourceListener::custom_message`] handles it after the events that are already queued.
    ///
    /// # Errors
    ///
    /// The listener has ended.
    pub fn send(&self, message: L::Message) -> Result<(), MailboxClosed> {
        self.sender.send(Mail::Message(message))
    }

    /// Calls a closure on the listener's task, after the events that are already queued:
    /// `call-on-resource-thread`. It is called even if the result is not awaited.
    ///
    /// A handler of the listener can call a closure, but cannot wait for the result: the closure
    /// runs after the handler. If the handler blocks its thread on the future, the result is
    /// [`CallError::WaitsForItself`].
    ///
    /// Longer circles are not detected, and wait for ever: two listeners that wait for each other,
    /// or a handler that waits for a task or thread that waits for the listener. An executor inside
    /// a handler must not poll such a future of another task, which would get the same error.
    ///
    /// # Errors
    ///
    /// The listener has ended, the closure panicked, or the listener would wait for itself.
    pub fn call<R, F>(&self, call: F) -> impl Future<Output = Result<R, CallError>> + Send + use<L, R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut L) -> R + Send + 'static,
    {
        let (done, mut result) = oneshot::channel();
        let id = self.id();
        let call = move |listener: &mut L, debug, path: &Option<Box<str>>| {
            let result = guard(debug, path, || call(listener)).ok_or(CallError::Panicked);
            // The call drops the result if it is not awaited, or wakes the task that waits. Both
            // run code of the application.
            guard_other(debug, "the result of a closure, or the task that waits for it,", path, || {
                done.send(result).is_ok()
            });
        };
        // A mailbox that is closed drops the closure, and `done` with it.
        let _ = self.sender.send(Mail::Call(Box::new(call)));
        poll_fn(move |cx| match result.poll_unpin(cx) {
            Poll::Ready(result) => Poll::Ready(result.unwrap_or(Err(CallError::Gone))),
            Poll::Pending if InHandler::is_here(id) => Poll::Ready(Err(CallError::WaitsForItself)),
            Poll::Pending => Poll::Pending,
        })
    }

    /// Ends the listener: `kill-resource-listener`.
    ///
    /// Queued events are still handled, and later events are dropped. Then the clients are closed
    /// with 1001. [`ResourceListenerTask::run`](crate::ResourceListenerTask::run) returns after the
    /// last of them has disconnected. A client that takes longer than twice
    /// [`close_timeout`](crate::Config#structfield.close_timeout) is dropped.
    ///
    /// If [`run_resource_listener`](crate::Resources::run_resource_listener) registered the
    /// listener, its path is free when `kill` returns. Otherwise it stays registered, and new
    /// clients get 503.
    pub fn kill(&self) {
        if let Some(registered) = &self.registered {
            registered.unregister();
        }
        self.sender.close();
    }

    /// Whether the listener was killed or has ended. It takes no more messages.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the listener has ended, after a [`kill`](Self::kill) for instance.
    ///
    /// A handler of the listener must not wait here: the listener cannot end before the handler
    /// returns. Such a wait is logged as an error.
    pub async fn ended(&self) {
        let (id, mut ended) = (self.id(), self.ended.wait());
        poll_fn(|cx| {
            let polled = ended.poll_unpin(cx);
            if polled.is_pending() && InHandler::is_here(id) {
                log(|| {
                    tracing::error!("a handler waits for the end of its own listener: it waits for ever");
                });
            }
            polled
        })
        .await;
    }

    /// The identity of the listener.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.ended).addr()
    }

    pub(crate) fn registered(mut self, registered: Registered) -> Self {
        self.registered = Some(Arc::new(registered));
        self
    }
}

impl<L: ResourceListener> Clone for ResourceListenerHandle<L> {
    fn clone(&self) -> Self {
        let (sender, ended) = (self.sender.clone(), Arc::clone(&self.ended));
        Self { sender, ended, registered: self.registered.clone() }
    }
}

impl<L: ResourceListener> fmt::Debug for ResourceListenerHandle<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceListenerHandle").finish_non_exhaustive()
    }
}
