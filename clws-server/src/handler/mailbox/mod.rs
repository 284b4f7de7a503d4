//! A mailbox: events of many clients, delivered in order through one stream.

pub(crate) mod event;
pub(crate) mod sender;
mod state;
mod undelivered;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use futures::stream::FusedStream;

use crate::client::Client;
use crate::handler::backlog::shrink;
use crate::handler::mailbox::event::{Event, discard_all, resource_ended};
use crate::handler::mailbox::sender::MailboxSender;
use crate::handler::mailbox::state::{Shared, close_going_away};
use crate::handler::mailbox::undelivered::Undelivered;
use crate::handler::poll_budget::PollBudget;
use crate::resource::accept::Accept;
use crate::sync::atomic::Ordering;

/// The most bytes that are handled before the backlog is updated. The budget stays charged until
/// then.
const MAX_REPORT_INTERVAL: usize = 1 << 20;

/// Creates a mailbox for an event loop of your own: a resource that collects events, and a stream
/// that delivers them. (A [`ResourceListener`](crate::ResourceListener) is such a loop.)
///
/// `M` is the type of the messages that the application itself sends to the mailbox. Use `()` for
/// none.
///
/// ```
/// use clws_server::{Event, Origins, Server, mailbox};
/// use futures::StreamExt;
///
/// async fn echo(server: &Server) -> Result<(), Box<dyn std::error::Error>> {
///     let (resource, mut events) = mailbox::<()>();
///     server.resources().register("/echo", Origins::any(), resource)?;
///     while let Some(event) = events.next().await {
///         if let Event::Text(client, text) = event {
///             let _ = client.send(text);
///         }
///     }
///     Ok(())
/// }
/// ```
pub fn mailbox<M: Send + 'static>() -> (MailboxSender<M>, Mailbox<M>) {
    let shared = Arc::new(Shared::default());
    let sender = MailboxSender::new(Arc::clone(&shared));
    let (undelivered, budget) = (Undelivered::default(), PollBudget::default());
    (
        sender,
        Mailbox {
            shared,
            batch: VecDeque::new(),
            handled: 0,
            report_at: 0,
            ended: false,
            undelivered,
            messages: 0,
            draining: None,
            budget,
        },
    )
}

/// The side of a mailbox that delivers events, in order: a [`Stream`].
///
/// A client that the application has closed delivers only its `Disconnected` event.
/// [`Disconnect::undelivered`](crate::Disconnect::undelivered) counts its queued messages. The
/// stream yields to other tasks of the executor now and then, even if its clients keep it filled.
///
/// The queued messages have a limit:
/// [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog). A client that
/// sends a message beyond it is not read from until at most half of the limit is queued. Other
/// clients are not affected.
///
/// The mailbox closes by [`MailboxSender::close`], or when the last [`MailboxSender`] is dropped.
/// Queued events are still delivered, then the clients are closed with 1001. The stream ends after
/// the last [`Disconnected`](Event::Disconnected) event, once the clients have read their queues.
/// Dropping the mailbox closes its clients with 1001 too.
#[must_use = "events wait in the mailbox until it is polled"]
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
    /// Events that were taken from the queue together, so that the lock is rarely contended.
    batch: VecDeque<Event<M>>,
    /// The cost of the delivered events that the backlog still includes.
    handled: usize,
    /// The value of `handled` at which the backlog is updated.
    report_at: usize,
    ended: bool,
    undelivered: Undelivered,
    /// The data messages in `batch`.
    messages: usize,
    /// A client to close, because the application has handled its `Draining` event.
    draining: Option<Client>,
    budget: PollBudget,
}

impl<M> Stream for Mailbox<M> {
    type Item = Event<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        let this = &mut *self;
        if let Some(client) = this.draining.take() {
            client.close_for_drain();
        }
        if this.budget.poll(cx).is_pending() {
            return Poll::Pending;
        }
        loop {
            let mut next = Next::Wait;
            if this.batch.is_empty() || this.handled > this.report_at {
                this.shared.waker.register(cx.waker());
                next = this.report();
            }
            if let Some(event) = this.batch.pop_front() {
                let event = match event {
                    Event::Opening(_, decision) if !decision.is_waiting() => continue,
                    Event::Opening(_, decision) if this.shared.state().closed => {
                        decision.reject(resource_ended());
                        continue;
                    }
                    event => event,
                };
                this.handled += event.cost();
                if event.ends_data() {
                    this.messages = this.messages.saturating_sub(1);
                    this.shared.taken.0.store(this.messages, Ordering::Relaxed);
                }
                if let Event::Draining(client) = &event {
                    this.draining = Some(client.clone());
                }
                if let Some(event) = this.undelivered.pass(event) {
                    return Poll::Ready(Some(event));
                }
                continue;
            }
            match next {
                Next::Wait => {
                    this.budget.renew();
                    return Poll::Pending;
                }
                Next::Close(clients) => clients.iter().for_each(close_going_away),
                Next::End => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<M> FusedStream for Mailbox<M> {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl<M> Unpin for Mailbox<M> {}

/// The next step of an empty mailbox.
enum Next {
    /// Wait for events.
    Wait,
    /// The mailbox is closed: close the clients, and wait until they have disconnected.
    Close(Vec<Client>),
    End,
}

impl<M> Mailbox<M> {
    /// Updates the backlog, resumes clients if it has shrunk enough, and takes the queued events.
    fn report(&mut self) -> Next {
        let mut state = self.shared.state();
        state.backlog = state.backlog.saturating_sub(std::mem::take(&mut self.handled));
        state.charge();
        let (mut admitted, mut stale) = (Vec::new(), Vec::new());
        if self.batch.is_empty() {
            shrink(&mut self.batch);
            std::mem::swap(&mut self.batch, &mut state.queue);
            (state.openings, state.unhandled_connects) = (0, 0);
            self.messages = std::mem::take(&mut state.messages);
            self.shared.taken.0.store(self.messages, Ordering::Relaxed);
            state.is_idle = self.batch.is_empty();
            (admitted, stale) = state.take_pending_admissions();
        }
        self.report_at = (state.limit / 4).min(MAX_REPORT_INTERVAL);
        let resumes = state.backlog <= state.limit / 2;
        let paused = if resumes { std::mem::take(&mut state.paused) } else { Vec::new() };
        let next = if !state.closed || !self.batch.is_empty() {
            Next::Wait
        } else if state.clients.is_empty() {
            Next::End
        } else if std::mem::replace(&mut state.clients_closed, true) {
            Next::Wait
        } else {
            Next::Close(state.clients())
        };
        let closed = state.closed;
        drop(state);
        drop(stale);
        for client in paused {
            client.resume_by_queue();
        }
        for decision in admitted {
            decision.decide(if closed { Err(resource_ended()) } else { Ok(Accept::new()) });
        }
        next
    }
}

impl<M> Mailbox<M> {
    /// A closed client that has not answered; `None` if the mailbox waits for no such client.
    pub(crate) fn leaving(&self) -> Option<Client> {
        let state = self.shared.state();
        let member = state.clients.values().next().filter(|_| state.clients_closed)?;
        Some(member.client.clone())
    }

    /// Aborts the clients that are left.
    pub(crate) fn abort_clients(&self) {
        let clients = self.shared.state().clients();
        clients.iter().for_each(Client::abort);
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let debug = self.shared.state().debug;
        discard_all(std::mem::take(&mut self.batch), debug);
        self.shared.end();
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
