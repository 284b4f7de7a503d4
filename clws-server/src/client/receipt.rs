//! Waiting until one message is written.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use clws_proto::buffer::{Fate, Receipt};

use crate::signal::{Signal, SignalWait};
use crate::sync::atomic::{AtomicU8, Ordering};

/// Waits until a message is written: see [`Client::send_tracked`](crate::Client::send_tracked).
///
/// It returns [`Fate::Written`] when the system has taken all bytes of the message. That is no
/// proof that the client has received them; a [ping](crate::Client::ping) proves it.
///
/// It may be polled on any executor and dropped at any time, which does not affect the message.
/// After it has returned, it returns the same again.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is polled"]
pub struct Written {
    ticket: Arc<Ticket>,
    wait: SignalWait,
}

#[derive(Debug)]
struct Ticket {
    signal: Arc<Signal>,
    fate: AtomicU8,
}

/// The sender's end.
#[derive(Debug)]
struct Notifier(Arc<Ticket>);

const LOST: u8 = 0;
const DROPPED: u8 = 1;
const WRITTEN: u8 = 2;

/// A receipt for a message, and the future that it completes.
pub(super) fn receipt() -> (Box<dyn Receipt>, Written) {
    let signal = Arc::<Signal>::default();
    let wait = signal.wait();
    let ticket = Arc::new(Ticket { signal, fate: AtomicU8::new(LOST) });
    (Box::new(Notifier(Arc::clone(&ticket))), Written { ticket, wait })
}

impl Written {
    /// What became of the message, if that is known.
    #[must_use]
    pub fn fate(&self) -> Option<Fate> {
        if !self.ticket.signal.is_given() {
            return None;
        }
        // The signal's lock orders it.
        Some(match self.ticket.fate.load(Ordering::Relaxed) {
            WRITTEN => Fate::Written,
            DROPPED => Fate::Dropped,
            _ => Fate::Lost,
        })
    }
}

impl Future for Written {
    type Output = Fate;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Fate> {
        if Pin::new(&mut self.wait).poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.fate().unwrap_or(Fate::Lost))
    }
}

impl Receipt for Notifier {
    fn settle(self: Box<Self>, fate: Fate) {
        let fate = match fate {
            Fate::Written => WRITTEN,
            Fate::Dropped => DROPPED,
            Fate::Lost => LOST,
        };
        self.0.fate.store(fate, Ordering::Relaxed);
    }
}

/// Also a sender that is dropped reports its messages.
impl Drop for Notifier {
    fn drop(&mut self) {
        self.0.signal.give();
    }
}
