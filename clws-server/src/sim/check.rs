//! The checks of the invariants during a run.

use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::outcome::SendError;
use crate::config::excess::Excess;
use crate::sim::log::Check;
use crate::sim::plan::Plan;
use crate::sim::script::Kind;
use crate::sim::{MILLI, State, app};
use clws_proto::CloseCode;

/// The most time of one turn that one client may take: its share, and a second share if one of its
/// deadlines passes, which causes one more read. The clock is checked only every few events, so the
/// handlers of these events are added.
const SHARE: u64 = 2 * MILLI;
const EVENTS: u32 = 2 * 40;

/// Messages that were undelivered at the disconnect.
pub(super) const fn undelivered(end: &Disconnect) -> u64 {
    end.undelivered
}

// During the run: the network and the client.
impl State {
    /// Records the arrival of the request and of the close frame at the server.
    pub(super) fn note_arrival(&mut self, conn: u32) {
        let (at, arrived) = (self.at, self.conn(conn).arrived);
        let log = self.log(conn);
        if arrived >= log.request_end {
            log.request_arrived.get_or_insert(at);
        }
        if log.close_end.is_some_and(|end| arrived >= end) {
            log.close_arrived.get_or_insert(at);
        }
    }

    /// Checks that the server does not read while messages are unread.
    pub(super) fn check_read(&mut self, conn: u32) {
        let log = &self.logs[conn as usize];
        let read = log.complete(self.conns[conn as usize].read);
        if log.opened > 0 && log.ended == 0 && read > log.handed && !app::is_closing(conn) {
            let text = format!("the server reads, while {} messages are unread", read - log.handed);
            self.violation(Check::Unread, conn, text);
        }
    }

    /// Checks the status of a refused handshake.
    pub(super) fn check_status(&mut self, conn: u32, status: u16) {
        let handshake_timeout = Plan::nanos(self.plan.config.handshake_timeout);
        let answered = self.conn(conn).written_at(1);
        let stopped = self.stopped_at.is_some_and(|at| at <= answered);
        let log = self.log(conn);
        let in_time = log.request_arrived.is_some_and(|at| at < log.connected + handshake_timeout);
        match status {
            408 if answered < log.connected + handshake_timeout => {
                let text = format!("status 408 only {} ns after connecting", answered - log.connected);
                self.violation(Check::Deadlines, conn, text);
            }
            408 if in_time => {
                let text = format!("status 408, but the request arrived at {:?} ns", log.request_arrived);
                self.violation(Check::Deadlines, conn, text);
            }
            // A stop may come before the decision takes effect.
            _ if log.accepted_in_time && !stopped => {
                let text = format!("status {status}, but the application accepted the client in time");
                self.violation(Check::Deadlines, conn, text);
            }
            403 | 404 | 408 | 500 | 503 => {}
            429 if self.plan.config.max_clients_per_ip > 0 => {}
            _ => self.violation(Check::Peer, conn, format!("status {status}")),
        }
    }

    /// Checks that the server sends no reset before the client could read its close frame.
    pub(super) fn check_reset(&mut self, conn: u32) {
        // A server that stops does not wait for these clients to end their side.
        let reads = self.peer(conn).pace() == Some(0) && self.stopped_at.is_none();
        // A server never waits longer than `close_timeout`.
        let waited = self.now - self.conn(conn).wrote_at;
        let reads = reads && waited < Plan::nanos(self.plan.config.close_timeout);
        let log = self.log(conn);
        let end = log.end.as_ref().map(|(end, _)| &end.cause);
        let got_reason = matches!(end, Some(DisconnectCause::Protocol(_)));
        // The application may have dropped the stream's task.
        let reads = reads && !log.cancelled;
        if got_reason && reads && log.received_close.is_none() && !log.ended_by_client {
            self.violation(
                Check::Peer,
                conn,
                "reset before the client could read the close frame".to_owned(),
            );
        }
    }

    /// The application decides a pending handshake.
    pub(super) fn decided(&mut self, conn: u32, accepts: bool) {
        self.trace(conn, "decided", u64::from(accepts), 0);
        let (now, handshake_timeout) = (self.now, Plan::nanos(self.plan.config.handshake_timeout));
        let log = self.log(conn);
        log.accepted_in_time = accepts && now < log.connected + handshake_timeout;
    }

    /// Checks the order of the messages that a client receives.
    pub(super) fn check_received(&mut self, conn: u32, number: Option<u32>) {
        let log = self.log(conn);
        log.forget_dropped();
        let expected = log.sent.get(log.received).copied();
        log.received += 1;
        self.note_activity();
        if number != expected {
            let text = format!("the client received message {number:?} instead of {expected:?}");
            self.violation(Check::Order, conn, text);
        }
    }

    pub(super) fn check_received_close(&mut self, conn: u32) {
        let log = self.log(conn);
        log.forget_dropped();
        if log.received != log.sent.len() {
            let text = format!("the close frame follows {} of {} messages", log.received, log.sent.len());
            self.violation(Check::Order, conn, text);
        }
    }
}

// During the run: the server.
impl State {
    pub(super) fn new_message(&mut self) -> u32 {
        self.messages += 1;
        self.messages
    }

    /// The application sent a message. `own` means from the client's inline handler.
    pub(super) fn sent(&mut self, conn: u32, number: u32, result: Result<(), SendError>, own: bool) {
        self.trace(conn, "send", number.into(), u64::from(result.is_ok()));
        let log = self.log(conn);
        log.sent_by_others |= !own;
        match result {
            Ok(()) => log.sent.push(number),
            Err(SendError::Full) if own && !log.sent_by_others => {
                let queued = self.conn(conn).in_flight();
                let text = format!("an answer did not fit in the outbox; {queued} bytes are in the socket");
                self.violation(Check::Answers, conn, text);
            }
            Err(_) => {}
        }
    }

    /// `Resource::connected` is called.
    pub(super) fn opened(&mut self, conn: u32) {
        self.trace(conn, "connected", 0, 0);
        self.log(conn).opened += 1;
        self.log(conn).opened_at = self.now;
        self.note_activity();
        if self.log(conn).opened > 1 {
            self.violation(Check::Lifecycle, conn, "connected twice".to_owned());
        }
    }

    /// A resource gets a message.
    pub(super) fn handed(&mut self, conn: u32, number: u32) {
        self.trace(conn, "message", number.into(), 0);
        self.note_activity();
        self.log(conn).handed_at = self.now;
        let log = self.log(conn);
        let (expected, ended) = (log.handed, log.ended);
        log.handed = number + 1;
        if expected != number {
            self.violation(Check::Delivery, conn, format!("message {number} instead of {expected}"));
        }
        if ended > 0 || self.log(conn).rejected {
            self.violation(Check::Lifecycle, conn, format!("message {number} after the disconnect"));
        }
    }

    /// `Resource::disconnected` is called.
    pub(super) fn ended(&mut self, conn: u32, end: &Disconnect) {
        self.trace(conn, "disconnected", end.code.value().into(), 0);
        let (read, stopped) = (self.conn(conn).read, self.stopped_at.is_some());
        let log = self.log(conn);
        log.ended += 1;
        log.ended_in_stop = stopped;
        log.end = Some((end.clone(), read));
        if log.ended > 1 || log.opened == 0 {
            self.violation(Check::Lifecycle, conn, "disconnected twice, or without connected".to_owned());
        }
        self.note_activity();
        self.check_silence(conn, &end.cause);
        self.check_cause(conn, end);
    }

    /// A handler that was called at `begun` has returned.
    pub(super) fn served(&mut self, conn: u32, begun: u64) {
        let time = (self.now - self.slow).saturating_sub(begun);
        match self.shares.iter_mut().find(|(known, _)| *known == conn) {
            Some((_, share)) => *share += time,
            None => self.shares.push((conn, time)),
        }
    }

    /// Checks, after a turn of a shard or a poll of a task, that no client took too much time.
    pub(super) fn check_shares(&mut self) {
        let max = SHARE + u64::from(EVENTS) * self.plan.handler_cost;
        for (conn, share) in std::mem::take(&mut self.shares) {
            if share > max {
                let text = format!("its handler took {share} ns of one turn; the bound is {max} ns");
                self.violation(Check::Fairness, conn, text);
            }
        }
    }

    /// The listener refused the client, so it gets no more messages.
    pub(super) fn refused_by_listener(&mut self, conn: u32) {
        self.log(conn).silenced = Some("refused by the listener");
    }

    /// The application task gets the connected event.
    pub(super) fn app_opened(&mut self, conn: u32) {
        self.log(conn).app_opened += 1;
    }

    /// The application gets a message from its handler or queue.
    pub(super) fn handled(&mut self, conn: u32, number: u32) {
        let log = self.log(conn);
        let (expected, ended) = (log.handled, log.app_ended);
        log.handled = number + 1;
        if log.closed_by_app && log.kind != Some(Kind::Async) {
            self.violation(Check::Silence, conn, format!("message {number} after the application closed it"));
        } else if expected != number {
            let text = format!("the application gets message {number} instead of {expected}");
            self.violation(Check::Delivery, conn, text);
        }
        if ended > 0 {
            self.violation(
                Check::Lifecycle,
                conn,
                format!("the application gets message {number} after the disconnect"),
            );
        }
    }

    /// The application task gets the disconnected event.
    pub(super) fn app_ended(&mut self, conn: u32) {
        self.log(conn).app_ended += 1;
        if self.log(conn).app_ended > 1 {
            self.violation(Check::Lifecycle, conn, "the application gets two disconnected events".to_owned());
        }
    }

    fn check_cause(&mut self, conn: u32, end: &Disconnect) {
        let (at, stopped) = (self.now, self.stopped_at.is_some());
        let killed = self.listener_killed;
        let close_timeout = Plan::nanos(self.plan.config.close_timeout);
        let (has_end, has_reset) = (self.conn(conn).has_end(), self.conn(conn).has_reset());
        let write_timeout = Plan::nanos(self.plan.config.write_timeout);
        let wrote_at = self.conn(conn).wrote_at;
        let had_space = self.conn(conn).had_space_after();
        let hixie = self.peer(conn).profile.version.is_hixie();
        let log = &self.logs[conn as usize];
        let plausible = match &end.cause {
            DisconnectCause::Closed => log.close_arrived.is_some() || (hixie && has_end),
            DisconnectCause::Vanished => has_end || has_reset,
            DisconnectCause::Io(_) => has_reset,
            DisconnectCause::Protocol(_) => log.broke_protocol,
            DisconnectCause::CloseTimeout | DisconnectCause::WriteTimeout => true,
            // `check_silence` has the conditions.
            DisconnectCause::KeepaliveTimeout
            | DisconnectCause::MessageTimeout
            | DisconnectCause::IdleTimeout => true,
            DisconnectCause::Budget => self.plan.used > 0,
            // A killed listener aborts clients whose messages it has not taken.
            DisconnectCause::Aborted => log.aborted || (killed && log.kind == Some(Kind::Listener)),
            DisconnectCause::Panic => log.panicked,
            DisconnectCause::Excess => self.plan.config.excess == Excess::Close,
            DisconnectCause::Stopped => stopped || log.cancelled,
        };
        let code = match (&end.cause, log.close_code) {
            (DisconnectCause::Closed, Some(_)) if hixie => end.code == CloseCode::NO_STATUS,
            (DisconnectCause::Closed, Some(code)) => end.code.value() == code,
            (DisconnectCause::Closed, None) => {
                end.code == CloseCode::NO_STATUS || log.received_close.is_some()
            }
            _ => end.code == CloseCode::ABNORMAL,
        };
        if !plausible || !code {
            return self.violation(Check::Causes, conn, format!("implausible disconnect: {end}"));
        }
        let waited = at - wrote_at;
        let too_early = match &end.cause {
            DisconnectCause::CloseTimeout => waited < close_timeout,
            DisconnectCause::WriteTimeout => waited < write_timeout,
            _ => false,
        };
        if too_early {
            let text = format!("disconnect: {end}, only {waited} ns after the last write");
            return self.violation(Check::Deadlines, conn, text);
        }
        let unread = log.close_end.is_some_and(|end| log.complete(end) > log.handed);
        // A close frame also waits after the first fragments of a message that a full mailbox holds
        // back.
        let queued = log.kind.is_some_and(Kind::is_queued);
        let unread = unread || stopped;
        // Or more messages precede the close frame than one share can handle before the deadline.
        let has_undelivered = undelivered(end) > 0;
        match (&end.cause, log.received_close, log.close_arrived) {
            // If messages wait for a handler, the close frame waits after them.
            (DisconnectCause::CloseTimeout, Some(begun), Some(answered))
                if answered + MILLI / 10 < begun + close_timeout
                    && !(queued && unread)
                    && !has_undelivered =>
            {
                let text =
                    format!("the close frame arrived {} ns after ours", answered.saturating_sub(begun));
                self.violation(
                    Check::Deadlines,
                    conn,
                    format!("{text}, but the disconnect is: {end}, at {at}"),
                );
            }
            (DisconnectCause::WriteTimeout, ..)
                if had_space.is_some_and(|after| after + MILLI / 10 < write_timeout) =>
            {
                let text =
                    format!("the socket had space after {had_space:?} ns, but the disconnect is: {end}");
                self.violation(Check::WriteDeadlines, conn, text);
            }
            _ => {}
        }
    }
}
