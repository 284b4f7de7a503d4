pub(crate) mod sender;
mod state;
mod undelivered;

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use clws_proto::CloseCode;
use futures::Stream;
use futures::stream::FusedStream;

use crate::client::Client;
use crate::client::disconnect::Disconnect;
use crate::handler::mailbox::sender::MailboxSender;
use crate::handler::mailbox::state::{Shared, cost, gone, refuse};
use crate::handler::mailbox::undelivered::Undelivered;
use crate::handler::poll_budget::PollBudget;
use crate::handler::websocket::shrink;
use crate::resource::accept::Accept;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;

/// What a message costs in a mailbox beside its own octets, at least.
pub(crate) const MESSAGE_OVERHEAD: usize = 64;

/// So many bytes may be handled at most before the senders are told, whatever the limit: they are charged until then.
const REPORT: usize = 1 << 20;

/// So many clients may come before the first of them is handled; more wait with their handshakes.
const MAX_UNHANDLED_CONNECTS: usize = 1024;

/// Makes a mailbox: a resource whose events are collected, and the stream that they come out of, for people who write
/// their own loop. ([`ResourceListener`](crate::ResourceListener) is such a loop.)
///
/// `M` is the type of the messages that the application itself sends to the mailbox; `()` where there are none.
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
            budget,
        },
    )
}

/// What comes to a mailbox.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<M> {
    /// A client is to be decided on; only with [`MailboxSender::with_openings`].
    Opening(Opening, Decision),
    /// A client is there.
    Connected(Client),
    /// A text message came.
    Text(Client, ByteString),
    /// A binary message came.
    Binary(Client, Bytes),
    /// A pong came.
    Pong(Client, Bytes),
    /// A client that read slowly has read: see [`Resource::drained`](crate::Resource::drained).
    Drained(Client),
    /// A client is gone; nothing comes from it any more.
    Disconnected(Client, Disconnect),
    /// A message of the application's own.
    Message(M),
}

/// The side of a mailbox that events come out of, in order: a [`Stream`].
///
/// Of a client that the application has closed, only its end comes out, however many of its messages wait:
/// [`Disconnect::undelivered`] counts those. The stream is not ready for ever, even if its clients send as fast as their messages
/// are taken: it lets other tasks of the executor have their turn now and then.
///
/// When more than [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog) octets of messages
/// wait in it, each client that sends another is not read from until no more than half of it waits; others go on.
///
/// When it is [closed](MailboxSender::close), or nobody holds a [`MailboxSender`] any more, what is in it still comes out; then
/// its clients are closed with 1001, and it ends when the last of them has been told of as
/// [`Disconnected`](Event::Disconnected), which takes as long as they read what was queued for them. When it is dropped, its clients are closed with 1001 too.
#[must_use = "what comes for it waits until it is taken out"]
pub struct Mailbox<M> {
    shared: Arc<Shared<M>>,
    /// Taken out together, so that senders and receiver seldom meet at the lock.
    batch: VecDeque<Event<M>>,
    /// Octets that were handed out and that the senders do not know of.
    handled: usize,
    /// From so many on they are told.
    report_at: usize,
    ended: bool,
    undelivered: Undelivered,
    budget: PollBudget,
}

/// The mailbox is closed, or the listener behind it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed")]
pub struct MailboxClosed;

impl<M> Stream for Mailbox<M> {
    type Item = Event<M>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<M>>> {
        let this = &mut *self;
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
                        decision.reject(gone());
                        continue;
                    }
                    event => event,
                };
                this.handled += cost(&event);
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
                Next::Close(clients) => clients.iter().for_each(leave),
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

/// What a mailbox that is empty does next.
enum Next {
    /// Wait for events.
    Wait,
    /// It is closed: close its clients, and wait until they are gone.
    Close(Vec<Client>),
    End,
}

/// CloseOnDrop a client's connection. One that is closing already goes on with that; either ends its pause.
fn leave(client: &Client) {
    client.begin_close(CloseCode::GOING_AWAY, "");
}

impl<M> Mailbox<M> {
    /// Tells the senders what was handled, resumes them where that is enough, and takes what they have put in.
    fn report(&mut self) -> Next {
        let mut state = self.shared.state();
        state.backlog = state.backlog.saturating_sub(std::mem::take(&mut self.handled));
        state.charge();
        let (mut pending_admissions, mut nobody) = (Vec::new(), Vec::new());
        if self.batch.is_empty() {
            shrink(&mut self.batch);
            std::mem::swap(&mut self.batch, &mut state.queue);
            (state.openings, state.unhandled_connects) = (0, 0);
            (pending_admissions, nobody) = state.take_pending_admissions();
        }
        self.report_at = (state.limit / 4).min(REPORT);
        let resumes = state.backlog <= state.limit / 2;
        let paused = if resumes { std::mem::take(&mut state.paused) } else { Vec::new() };
        let next = if !state.closed || !self.batch.is_empty() {
            Next::Wait
        } else if state.clients.is_empty() {
            Next::End
        } else if std::mem::replace(&mut state.told, true) {
            Next::Wait
        } else {
            Next::Close(state.clients())
        };
        let closed = state.closed;
        drop(state);
        drop(nobody);
        for client in paused {
            client.resume_by_queue();
        }
        for decision in pending_admissions {
            decision.decide(if closed { Err(gone()) } else { Ok(Accept::new()) });
        }
        next
    }
}

impl<M> Mailbox<M> {
    /// Where its clients were closed and it waits for their ends: how long they have to answer.
    pub(crate) fn leaving(&self) -> Option<Duration> {
        let state = self.shared.state();
        let member = state.clients.values().next().filter(|_| state.told)?;
        Some(member.client.config().close_timeout)
    }

    /// Drops those who are left.
    pub(crate) fn abort_clients(&self) {
        let clients = self.shared.state().clients();
        clients.iter().for_each(Client::abort);
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let debug = self.shared.state().debug;
        refuse(std::mem::take(&mut self.batch), debug);
        self.shared.end();
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}
