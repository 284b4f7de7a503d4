//! What must be true of every run, looked at while it goes on and when it is over.

use crate::CloseCode;
use crate::client::disconnect::{Disconnect, DisconnectCause};
use crate::client::outcome::SendError;
use crate::sim::log::Check;
use crate::sim::plan::Plan;
use crate::sim::script::Kind;
use crate::sim::{MILLI, State, app};

/// What a client may take of a turn: its share, and another where a deadline of its own has come, before which it is read
/// once more. And so many events more, for the clock is not read at each.
const SHARE: u64 = 2 * MILLI;
const EVENTS: u32 = 2 * 40;

/// Messages that had not come to the application when it was told of the end.
const fn undelivered(end: &Disconnect) -> u64 {
    end.undelivered
}

// While it goes on: the network and the client.
impl State {
    /// Bytes have arrived at the server.
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

    /// The server is about to read.
    pub(super) fn check_read(&mut self, conn: u32) {
        let log = &self.logs[conn as usize];
        let read = log.complete(self.conns[conn as usize].read);
        if log.opened > 0 && log.ended == 0 && read > log.handed && !app::is_closing(conn) {
            let text = format!("it is read from, while {} messages are unread", read - log.handed);
            self.violation(Check::Unread, conn, text);
        }
    }

    /// A client's request was refused.
    pub(super) fn check_status(&mut self, conn: u32, status: u16) {
        let patience = Plan::nanos(self.plan.config.handshake_timeout);
        let answered = self.conn(conn).written_at(1);
        let stopped = self.stopped_at.is_some_and(|at| at <= answered);
        let log = self.log(conn);
        let in_time = log.request_arrived.is_some_and(|at| at < log.connected + patience);
        match status {
            408 if answered < log.connected + patience => {
                let text = format!("408 {} ns after it connected", answered - log.connected);
                self.violation(Check::Deadlines, conn, text);
            }
            408 if in_time => {
                let text = format!("408, but the request had come after {:?} ns", log.request_arrived);
                self.violation(Check::Deadlines, conn, text);
            }
            // A stop may overtake the decision.
            _ if log.is_wanted && !stopped => {
                let text = format!("status {status}, but the application wanted it, in time");
                self.violation(Check::Deadlines, conn, text);
            }
            403 | 404 | 408 | 500 | 503 => {}
            _ => self.violation(Check::Peer, conn, format!("status {status}")),
        }
    }

    /// A client was reset by the server.
    pub(super) fn check_reset(&mut self, conn: u32) {
        // A server that stops does not wait for the end of those who are told why they are closed.
        let reads = self.peer(conn).pace() == Some(0) && self.stopped_at.is_none();
        // Nor does any wait longer than this.
        let waited = self.now - self.conn(conn).wrote_at;
        let reads = reads && waited < Plan::nanos(self.plan.config.close_timeout);
        let log = self.log(conn);
        let end = log.end.as_ref().map(|(end, _)| &end.cause);
        let told_why = matches!(end, Some(DisconnectCause::Protocol(_)));
        // The application may have dropped the stream.
        let reads = reads && !log.cancelled;
        if told_why && reads && log.got_close.is_none() && !log.ends_itself {
            self.violation(Check::Peer, conn, "it was reset before it could read our close frame".to_owned());
        }
    }

    /// The application has decided on a client that waits.
    pub(super) fn decided(&mut self, conn: u32, accepts: bool) {
        self.trace(conn, "decided", u64::from(accepts), 0);
        let (now, patience) = (self.now, Plan::nanos(self.plan.config.handshake_timeout));
        let log = self.log(conn);
        log.is_wanted = accepts && now < log.connected + patience;
    }

    /// A client has got a message.
    pub(super) fn check_received(&mut self, conn: u32, number: Option<u32>) {
        let log = self.log(conn);
        let expected = log.sent.get(log.received).copied();
        log.received += 1;
        if number != expected {
            let text = format!("the client got message {number:?}, not {expected:?}");
            self.violation(Check::Order, conn, text);
        }
    }

    pub(super) fn check_got_close(&mut self, conn: u32) {
        let log = self.log(conn);
        if log.received != log.sent.len() {
            let text = format!("it is closed behind {} of {} messages", log.received, log.sent.len());
            self.violation(Check::Order, conn, text);
        }
    }
}

// While it goes on: the server.
impl State {
    pub(super) fn new_message(&mut self) -> u32 {
        self.messages += 1;
        self.messages
    }

    /// A message was sent to a client, by its own handler on its shard or by somebody else.
    pub(super) fn sent(&mut self, conn: u32, number: u32, result: Result<(), SendError>, own: bool) {
        self.trace(conn, "send", number.into(), u64::from(result.is_ok()));
        let log = self.log(conn);
        log.foreign |= !own;
        match result {
            Ok(()) => log.sent.push(number),
            Err(SendError::Full) if own && !log.foreign => {
                let queued = self.conn(conn).in_flight();
                let text = format!("an answer was refused as too much; {queued} bytes are in the socket");
                self.violation(Check::Answers, conn, text);
            }
            Err(_) => {}
        }
    }

    /// A resource is told of a client.
    pub(super) fn opened(&mut self, conn: u32) {
        self.trace(conn, "connected", 0, 0);
        self.log(conn).opened += 1;
        if self.log(conn).opened > 1 {
            self.violation(Check::CloseOnDrop, conn, "connected twice".to_owned());
        }
    }

    /// A resource is given a message.
    pub(super) fn handed(&mut self, conn: u32, number: u32) {
        self.trace(conn, "message", number.into(), 0);
        let log = self.log(conn);
        let (expected, ended) = (log.handed, log.ended);
        log.handed = number + 1;
        if expected != number {
            self.violation(Check::Delivery, conn, format!("message {number} in place of {expected}"));
        }
        if ended > 0 || self.log(conn).unwanted {
            self.violation(Check::CloseOnDrop, conn, format!("message {number} behind the end"));
        }
    }

    /// A resource is told of a client's end.
    pub(super) fn ended(&mut self, conn: u32, end: &Disconnect) {
        self.trace(conn, "disconnected", end.code.value().into(), 0);
        let (read, stopped) = (self.conn(conn).read, self.stopped_at.is_some());
        let log = self.log(conn);
        log.ended += 1;
        log.ended_in_stop = stopped;
        log.end = Some((end.clone(), read));
        if log.ended > 1 || log.opened == 0 {
            self.violation(Check::CloseOnDrop, conn, "an end without a beginning".to_owned());
        }
        self.check_cause(conn, end);
    }

    /// A handler that was called at that time has returned.
    pub(super) fn served(&mut self, conn: u32, begun: u64) {
        let time = (self.now - self.slow).saturating_sub(begun);
        match self.shares.iter_mut().find(|(known, _)| *known == conn) {
            Some((_, share)) => *share += time,
            None => self.shares.push((conn, time)),
        }
    }

    /// A turn of a shard, or a poll of a task, is over.
    pub(super) fn check_shares(&mut self) {
        let most = SHARE + u64::from(EVENTS) * self.plan.handler_cost;
        for (conn, share) in std::mem::take(&mut self.shares) {
            if share > most {
                let text = format!("its handler took {share} ns of one turn, {most} are fair");
                self.violation(Check::Fairness, conn, text);
            }
        }
    }

    /// The application behind a queue wants to hear no more of a client.
    pub(super) fn muted(&mut self, conn: u32) {
        self.log(conn).silenced = Some("refused by the listener");
    }

    /// The application behind a queue is told of a client.
    pub(super) fn app_opened(&mut self, conn: u32) {
        self.log(conn).app_opened += 1;
    }

    /// The application gets a message.
    pub(super) fn told(&mut self, conn: u32, number: u32) {
        let log = self.log(conn);
        let (expected, ended) = (log.told, log.app_ended);
        log.told = number + 1;
        if log.hushed && log.kind != Some(Kind::Async) {
            self.violation(Check::Silence, conn, format!("message {number} behind its close"));
        } else if expected != number {
            let text = format!("the application gets message {number} in place of {expected}");
            self.violation(Check::Delivery, conn, text);
        }
        if ended > 0 {
            self.violation(
                Check::CloseOnDrop,
                conn,
                format!("the application gets message {number} behind the end"),
            );
        }
    }

    /// The application behind a queue is told of a client's end.
    pub(super) fn app_ended(&mut self, conn: u32) {
        self.log(conn).app_ended += 1;
        if self.log(conn).app_ended > 1 {
            self.violation(Check::CloseOnDrop, conn, "the application is told of the end twice".to_owned());
        }
    }

    fn check_cause(&mut self, conn: u32, end: &Disconnect) {
        let (at, stopped) = (self.now, self.stopped_at.is_some());
        let killed = self.listener_killed;
        let patience = Plan::nanos(self.plan.config.close_timeout);
        let (has_end, has_reset) = (self.conn(conn).has_end(), self.conn(conn).has_reset());
        let write_patience = Plan::nanos(self.plan.config.write_timeout);
        let wrote_at = self.conn(conn).wrote_at;
        let had_room = self.conn(conn).had_room_after();
        let hixie = self.peer(conn).nature.version.is_hixie();
        let log = &self.logs[conn as usize];
        let plausible = match &end.cause {
            DisconnectCause::Closed => log.close_arrived.is_some() || (hixie && has_end),
            DisconnectCause::Vanished => has_end || has_reset,
            DisconnectCause::Io(_) => has_reset,
            DisconnectCause::Protocol(_) => log.broke_protocol,
            DisconnectCause::CloseTimeout | DisconnectCause::WriteTimeout => true,
            DisconnectCause::Budget => self.plan.used > 0,
            // A listener that was killed drops those who take long.
            DisconnectCause::Aborted => log.aborted || (killed && log.kind == Some(Kind::Listener)),
            DisconnectCause::Panic => log.panicked,
            DisconnectCause::Stopped => stopped || log.cancelled,
        };
        let code = match (&end.cause, log.close_code) {
            (DisconnectCause::Closed, Some(_)) if hixie => end.code == CloseCode::NO_STATUS,
            (DisconnectCause::Closed, Some(code)) => end.code.value() == code,
            (DisconnectCause::Closed, None) => end.code == CloseCode::NO_STATUS || log.got_close.is_some(),
            _ => end.code == CloseCode::ABNORMAL,
        };
        if !plausible || !code {
            return self.violation(Check::Causes, conn, format!("it ended as {end}"));
        }
        let waited = at - wrote_at;
        let too_early = match &end.cause {
            DisconnectCause::CloseTimeout => waited < patience,
            DisconnectCause::WriteTimeout => waited < write_patience,
            _ => false,
        };
        if too_early {
            let text = format!("it ended as {end} only {waited} ns after the last write");
            return self.violation(Check::Deadlines, conn, text);
        }
        let unread = log.close_end.is_some_and(|end| log.complete(end) > log.handed);
        // A close frame also waits behind the first fragments of a message, where a full mailbox holds those back.
        let queued = log.kind.is_some_and(Kind::is_queued);
        let unread = unread || stopped;
        // Or it lies behind more messages than are handled in the one share that it has before the deadline.
        let behind = undelivered(end) > 0;
        match (&end.cause, log.got_close, log.close_arrived) {
            // Where its messages wait for a handler, its close frame waits behind them.
            (DisconnectCause::CloseTimeout, Some(begun), Some(answered))
                if answered + MILLI / 10 < begun + patience && !(queued && unread) && !behind =>
            {
                let text = format!("its close frame came {} ns after ours", answered.saturating_sub(begun));
                self.violation(Check::Deadlines, conn, format!("{text}, but it ended as {end} at {at}"));
            }
            (DisconnectCause::WriteTimeout, ..)
                if had_room.is_some_and(|after| after + MILLI / 10 < write_patience) =>
            {
                let text = format!("there was room after {had_room:?} ns, but it ended as {end}");
                self.violation(Check::WriteDeadlines, conn, text);
            }
            _ => {}
        }
    }
}

// When nothing more happens.
impl State {
    /// For a while: a client that is there, for which so much is queued.
    pub(super) fn check_rest(&mut self, conn: u32, buffered: usize, paused: bool) {
        // One that holds much while memory is short waits for the next tick.
        let is_short = self.plan.used > 0;
        let conn_ = self.conn(conn);
        let may_wait = is_short || paused || (buffered > 0 && !conn_.has_room());
        let what = match (conn_.has_input(), conn_.has_room()) {
            _ if conn_.closed => return,
            (true, _) if !may_wait => "it has input that nobody is about to read".to_owned(),
            (_, true) if buffered > 0 => format!("nobody is about to write {buffered} bytes"),
            _ => return,
        };
        self.violation(Check::Stuck, conn, what);
    }

    /// Before the server is stopped: who is still there waits for nothing.
    pub(super) fn check_idle(&mut self, conn: u32, buffered: usize) {
        let (conn_, log) = (&self.conns[conn as usize], &self.logs[conn as usize]);
        if conn_.closed || log.request_end == 0 || log.refused {
            return;
        }
        let what = if conn_.has_input() {
            "it has input that is not read".to_owned()
        } else if conn_.has_room() && buffered > 0 {
            format!("{buffered} bytes are not written")
        } else if log.opened == 0 {
            "its handshake has no end".to_owned()
        } else if log.kind.is_some_and(Kind::is_queued) && log.told < log.handed && log.silenced.is_none() {
            format!("{} messages wait for a task", log.handed - log.told)
        } else {
            return;
        };
        self.violation(Check::Stuck, conn, what);
    }

    /// After the server has been stopped.
    pub(super) fn check_over(&mut self, conn: u32) {
        let (closed, end_read) = (self.conn(conn).closed, self.conn(conn).end_read);
        let log = &self.logs[conn as usize];
        if !closed && log.request_end > 0 && !log.refused {
            self.violation(Check::Leaks, conn, "its socket is still open".to_owned());
        }
        let log = &self.logs[conn as usize];
        if log.opened == 0 {
            return;
        }
        let Some((end, read)) = &log.end else {
            if !log.unwanted {
                self.violation(Check::CloseOnDrop, conn, "its end was not told".to_owned());
            }
            return;
        };
        let (read, counted) = (u64::from(log.complete(*read)), undelivered(end));
        // Gone, and the application has taken nothing for so long that its end has not been waited for.
        let given_up = matches!(end.cause, DisconnectCause::Vanished) && !end_read;
        let excused = log.silenced.is_some()
            || given_up
            || matches!(
                end.cause,
                DisconnectCause::CloseTimeout
                    | DisconnectCause::WriteTimeout
                    | DisconnectCause::Stopped
                    | DisconnectCause::Aborted
            );
        let delivered = u64::from(log.handed);
        let lost = read.saturating_sub(delivered + counted);
        let (told, handed, queued) = (log.told, log.handed, log.kind.is_some_and(Kind::is_queued));
        let app_knows = log.app_ended == 1 || log.app_opened == 0 || log.kind == Some(Kind::Async);
        if lost > 0 && !excused {
            let check = if log.ended_in_stop { Check::DeliveryInStop } else { Check::Delivery };
            let text = format!("{read} messages were read, {delivered} delivered, and it ended as {end}");
            self.violation(check, conn, text);
        } else if delivered + counted > read {
            let text = format!("{delivered} messages delivered and {counted} not, but {read} read");
            self.violation(Check::Delivery, conn, text);
        } else if queued && !excused && told < handed && !matches!(end.cause, DisconnectCause::Budget) {
            let text = format!("{handed} messages were queued, and {told} handled");
            self.violation(Check::Delivery, conn, text);
        } else if queued && !excused && !app_knows {
            self.violation(Check::CloseOnDrop, conn, "the application was not told of its end".to_owned());
        }
    }
}
