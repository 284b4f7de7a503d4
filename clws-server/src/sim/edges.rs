//! Listening sockets of the simulated network, and the edges by which pollers and tasks learn of
//! readiness.

use std::collections::VecDeque;
use std::io;

use crate::net::poll::readiness::Readiness;
use crate::sim::net::CALL;
use crate::sim::{State, trace};

/// A listening socket.
#[derive(Debug, Default)]
pub(super) struct Port {
    backlog: VecDeque<u32>,
    pub(super) closed: bool,
    watchers: Vec<Watcher>,
    /// Until this time, `accept` fails for lack of descriptors.
    pub(super) fails_until: u64,
}

/// A poller that watches a listening socket under `key`. `queued` marks an unreported edge.
#[derive(Debug)]
struct Watcher {
    poller: u32,
    key: usize,
    queued: bool,
}

/// A source of edges.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    Conn(u32),
    Port(u32),
}

/// The unreported edges of a poller, in order.
#[derive(Debug, Default)]
pub(super) struct Ready {
    pub(super) woken: bool,
    /// The thread of the poller waits in it.
    pub(super) sleeps: bool,
    sources: VecDeque<Source>,
}

impl State {
    /// Accepts the next connection.
    pub(super) fn accept(&mut self, port: u32) -> io::Result<u32> {
        self.pass(CALL);
        let now = self.now;
        let port = &mut self.ports[port as usize];
        if port.closed {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if port.backlog.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if port.fails_until > now {
            return Err(io::Error::from_raw_os_error(24)); // EMFILE
        }
        let conn = port.backlog.pop_front().unwrap_or_default();
        self.trace(conn, "accept", 0, 0);
        Ok(conn)
    }

    pub(super) fn close_port(&mut self, port: u32) {
        self.ports[port as usize].closed = true;
        for conn in std::mem::take(&mut self.ports[port as usize].backlog) {
            self.log(conn).refused = true;
            self.reset_by_server(conn);
        }
    }

    pub(super) fn arrive_at_port(&mut self, port: u32, conn: u32) {
        self.ports[port as usize].backlog.push_back(conn);
        self.edge_at_port(port);
    }

    /// Queues an edge for the pollers that watch a port, up to the first that sleeps and is not
    /// due. Only that poller wakes. Busy pollers see the edge when they poll.
    fn edge_at_port(&mut self, port: u32) {
        let watchers = self.ports[port as usize].watchers.len();
        let first = if watchers > 0 { self.rng.below(watchers) } else { 0 };
        for index in (0..watchers).map(|index| (first + index) % watchers) {
            let watcher = &mut self.ports[port as usize].watchers[index];
            let poller = watcher.poller;
            let queued = std::mem::replace(&mut watcher.queued, true);
            let wakes = self.pollers[poller as usize].sleeps && !self.is_due(poller);
            if !queued {
                self.pollers[poller as usize].sources.push_back(Source::Port(port));
            }
            if wakes {
                return;
            }
        }
    }

    pub(super) fn edge(&mut self, conn: u32) {
        let conn_ = self.conn(conn);
        if let Some((poller, _)) = conn_.poller
            && !std::mem::replace(&mut conn_.queued, true)
        {
            self.pollers[poller as usize].sources.push_back(Source::Conn(conn));
        }
        let conn_ = self.conn(conn);
        if conn_.is_readable()
            && let Some(waker) = conn_.read_waker.take()
        {
            waker.wake();
        }
        let conn_ = self.conn(conn);
        if conn_.is_writable()
            && let Some(waker) = conn_.write_waker.take()
        {
            waker.wake();
        }
    }

    /// Adds a source to a poller.
    pub(super) fn watch(&mut self, poller: u32, source: Source, key: usize) {
        match source {
            Source::Conn(conn) => {
                self.conn(conn).poller = Some((poller, key));
                self.edge(conn); // the socket is writable
            }
            Source::Port(port) => {
                let port_ = &mut self.ports[port as usize];
                let queued = !port_.backlog.is_empty();
                port_.watchers.push(Watcher { poller, key, queued });
                if queued {
                    self.pollers[poller as usize].sources.push_back(source);
                }
            }
        }
    }

    /// Whether a poll would report anything.
    pub(super) fn is_due(&self, poller: u32) -> bool {
        let poller = &self.pollers[poller as usize];
        poller.woken || !poller.sources.is_empty()
    }

    /// Reports the wake-up first, and then a batch of sources.
    pub(super) fn poll(&mut self, poller: u32, events: &mut Vec<Option<Readiness>>) {
        events.clear();
        let ready = &mut self.pollers[poller as usize];
        if std::mem::take(&mut ready.woken) {
            events.push(None);
        }
        while events.len() < self.plan.batch
            && let Some(source) = self.pollers[poller as usize].sources.pop_front()
        {
            let readiness = match source {
                Source::Conn(conn) => self.readiness(conn),
                Source::Port(port) => {
                    let watchers = &mut self.ports[port as usize].watchers;
                    watchers.iter_mut().find(|watcher| watcher.poller == poller).map(|watcher| {
                        watcher.queued = false;
                        Readiness {
                            key: watcher.key,
                            readable: true,
                            writable: false,
                            hangup: false,
                            broken: false,
                        }
                    })
                }
            };
            events.extend(readiness.map(Some));
        }
        let count = events.len() as u64;
        self.trace(trace::NO_CONN, "poll", u64::from(poller), count);
    }

    fn readiness(&mut self, conn: u32) -> Option<Readiness> {
        let conn = self.conn(conn);
        conn.queued = false;
        let (_, key) = conn.poller?;
        let hangup = conn.fin_in || conn.reset;
        let (readable, writable) = (conn.is_readable(), hangup || conn.is_writable());
        conn.full |= !writable; // as Linux does on a poll
        let broken = conn.reset || (conn.fin_in && conn.shut);
        (readable || writable).then_some(Readiness { key, readable, writable, hangup, broken })
    }
}
