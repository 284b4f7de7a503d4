//! The part of a `WebSocket` that its two halves share.

use std::sync::Arc;
use std::task::{Context, Poll};

use clws_proto::CloseCode;

use crate::client::Client;
use crate::client::disconnect::Disconnect;
use crate::client::outcome::SendError;
use crate::client::outgoing::Outgoing;
use crate::client::watchers::Watcher;
use crate::handler::backlog::shrink;
use crate::handler::websocket::inbox::Inbox;
use crate::handler::websocket::message::Message;

/// The client and its messages. Closes the connection when both halves are dropped.
pub(super) struct CloseOnDrop {
    pub(super) client: Client,
    pub(super) inbox: Arc<Inbox>,
}

impl CloseOnDrop {
    pub(super) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        self.inbox.reader.register(cx.waker());
        let mut state = self.inbox.state();
        if self.client.is_silenced() {
            let dropped = state.discard(&self.client);
            self.inbox.charge(&mut state, &self.client);
            let ended = state.end.is_some() || state.closed;
            drop(state);
            drop(dropped);
            return if ended { Poll::Ready(None) } else { Poll::Pending };
        }
        let Some(message) = state.queue.pop_front() else {
            if state.is_draining && self.client.is_open() {
                // The handler has answered all messages. The waker is registered.
                drop(state);
                self.client.close_for_drain();
                return Poll::Pending;
            }
            return if state.end.is_some() || state.closed { Poll::Ready(None) } else { Poll::Pending };
        };
        state.backlog -= message.cost();
        self.inbox.charge(&mut state, &self.client);
        shrink(&mut state.queue);
        let resume = state.paused && state.backlog <= self.client.config().max_handler_read_backlog / 2;
        if resume {
            state.paused = false;
        }
        drop(state);
        if resume {
            self.client.resume_by_queue();
        }
        Poll::Ready(Some(message))
    }

    /// Ready when the client is no longer slow, or when nothing can be sent to it any more.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inbox.writer.register(cx.waker());
        if !self.client.is_slow() {
            return Poll::Ready(());
        }
        // `drained` reports that the client has read. Only a watcher learns that it was closed.
        let watcher = self.watcher();
        self.client.watch(&watcher);
        if self.client.is_slow() {
            return Poll::Pending;
        }
        self.client.unwatch(&watcher);
        Poll::Ready(())
    }

    /// Ready when all queued data is written, or lost.
    pub(super) fn poll_written(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        self.inbox.writer.register(cx.waker());
        self.client.written(|| self.watcher()).map_or(Poll::Pending, Poll::Ready)
    }

    /// Closes the connection if nothing has closed it. Ready when the connection has ended and all
    /// queued data is written, or lost.
    pub(super) fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        if !self.client.is_silenced() {
            self.client.close(CloseCode::NORMAL);
        }
        self.inbox.writer.register(cx.waker());
        let is_clean = self.inbox.state().end.as_ref().map(Disconnect::is_clean);
        match is_clean {
            None => Poll::Pending,
            Some(false) => Poll::Ready(Err(SendError::Closed)),
            // The answer to the client's close frame, and the data before it, may still be queued.
            Some(true) => self.poll_written(cx),
        }
    }

    fn watcher(&self) -> Arc<dyn Watcher> {
        Arc::clone(&self.inbox) as _
    }

    pub(super) fn queue<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), SendError> {
        self.client.send(message).map(drop)
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        let code = if std::thread::panicking() { CloseCode::INTERNAL } else { CloseCode::NORMAL };
        let is_draining = self.inbox.state().is_draining && code == CloseCode::NORMAL;
        self.inbox.close(&self.client);
        if is_draining {
            self.client.close_for_drain();
        }
        self.client.close(code); // no effect on a close frame that is queued
        self.client.unwatch(&self.watcher());
    }
}
