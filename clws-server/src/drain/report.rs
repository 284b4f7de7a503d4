//! The report of a server that has ended.

use std::fmt;

use crate::sync::{atomic::AtomicBool, atomic::AtomicUsize, atomic::Ordering};

/// How the clients of a server ended after [`drain`](crate::ServerHandle::drain) or
/// [`stop`](crate::ServerHandle::stop) was called.
///
/// [`Server::run`](crate::Server::run) returns it. It counts from the first of these calls on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Clients that ended with a complete closing handshake.
    pub closed: u64,
    /// Clients that the server dropped because they did not answer or read in time. Clients that
    /// were left at the deadline of a drain are included.
    pub cut: u64,
    /// Clients that ended in another way: they vanished, broke the protocol, or were aborted.
    pub lost: u64,
    /// Messages that were read from clients and that no handler got.
    pub undelivered: u64,
    /// Bytes that were queued for clients and were not written, close frames included.
    pub unwritten: u64,
    /// Async handlers, listeners and mailboxes that had not finished at the deadline of a drain, or
    /// when a stop ended it.
    pub unfinished: u64,
}

impl Report {
    /// Whether all clients were closed, all messages delivered, and all handlers finished.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.cut == 0 && self.lost == 0 && self.undelivered == 0 && self.unfinished == 0
    }
}

/// The counts in one line: `98 clients closed, 2 cut, 0 lost, 3 messages not delivered`. What is
/// unwritten or unfinished follows if there is any.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { closed, cut, lost, undelivered, .. } = self;
        let clients = if *closed == 1 { "client" } else { "clients" };
        let messages = if *undelivered == 1 { "message" } else { "messages" };
        write!(
            f,
            "{closed} {clients} closed, {cut} cut, {lost} lost, {undelivered} {messages} not delivered"
        )?;
        if self.unwritten > 0 {
            write!(f, ", {} bytes not written", self.unwritten)?;
        }
        match self.unfinished {
            0 => Ok(()),
            1 => f.write_str(", 1 handler not finished"),
            many => write!(f, ", {many} handlers not finished"),
        }
    }
}

/// The way in which a client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndedBy {
    Handshake,
    Server,
    Other,
}

/// The counts of a [`Report`], which all threads change. They count only while the server ends.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    counts: AtomicBool,
    closed: AtomicUsize,
    cut: AtomicUsize,
    lost: AtomicUsize,
    undelivered: AtomicUsize,
    unwritten: AtomicUsize,
}

impl Counts {
    pub(super) fn start(&self) {
        self.counts.store(true, Ordering::Relaxed);
    }

    #[inline]
    fn add(&self, count: &AtomicUsize, more: usize) {
        if more > 0 && self.counts.load(Ordering::Relaxed) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_end(&self, by: EndedBy, undelivered: u64) {
        let count = match by {
            EndedBy::Handshake => &self.closed,
            EndedBy::Server => &self.cut,
            EndedBy::Other => &self.lost,
        };
        self.add(count, 1);
        self.note_undelivered(undelivered);
    }

    pub(crate) fn note_undelivered(&self, messages: u64) {
        self.add(&self.undelivered, usize::try_from(messages).unwrap_or(usize::MAX));
    }

    pub(crate) fn note_unwritten(&self, bytes: usize) {
        self.add(&self.unwritten, bytes);
    }

    pub(crate) fn report(&self) -> Report {
        let get = |count: &AtomicUsize| count.load(Ordering::Relaxed) as u64;
        Report {
            closed: get(&self.closed),
            cut: get(&self.cut),
            lost: get(&self.lost),
            undelivered: get(&self.undelivered),
            unwritten: get(&self.unwritten),
            unfinished: 0,
        }
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn counts_only_the_end() {
        let counts = Counts::default();
        counts.note_end(EndedBy::Other, 7);
        assert_eq!(counts.report(), Report::default());
        assert!(counts.report().is_clean());
        counts.start();
        counts.note_end(EndedBy::Handshake, 1);
        counts.note_end(EndedBy::Server, 0);
        counts.note_unwritten(9);
        let report = Report { unfinished: 2, ..counts.report() };
        assert!(!report.is_clean());
        let text = "1 client closed, 1 cut, 0 lost, 1 message not delivered, 9 bytes not written, 2 handlers not finished";
        assert_eq!(report.to_string(), text);
    }
}
