//! The checks of the invariants once nothing more can happen.

use crate::client::disconnect::DisconnectCause;
use crate::sim::State;
use crate::sim::check::undelivered;
use crate::sim::log::Check;
use crate::sim::script::Kind;
use crate::sim::trace::NO_CONN;
use crate::stats::kinds::HandshakeOutcome;
use crate::stats::snapshot::Stats;

impl State {
    /// Checks a connected client with `buffered` queued bytes, before time advances.
    pub(super) fn check_rest(&mut self, conn: u32, buffered: usize, paused: bool) {
        // While memory is short, a client that holds much waits for the next tick.
        let is_short = self.plan.used > 0;
        let conn_ = self.conn(conn);
        let may_wait = is_short || paused || (buffered > 0 && !conn_.has_space());
        let problem = match (conn_.has_input(), conn_.has_space()) {
            _ if conn_.closed => return,
            (true, _) if !may_wait => "its input is not about to be read".to_owned(),
            (_, true) if buffered > 0 => format!("{buffered} bytes are not about to be written"),
            _ => return,
        };
        self.violation(Check::Stuck, conn, problem);
    }

    /// Checks, before the stop, that a client waits for nothing.
    pub(super) fn check_idle(&mut self, conn: u32, buffered: usize) {
        let (conn_, log) = (&self.conns[conn as usize], &self.logs[conn as usize]);
        if conn_.closed || log.request_end == 0 || log.refused {
            return;
        }
        let problem = if conn_.has_input() {
            "its input is not read".to_owned()
        } else if conn_.has_space() && buffered > 0 {
            format!("{buffered} bytes are not written")
        } else if log.opened == 0 {
            "its handshake does not end".to_owned()
        } else if log.kind.is_some_and(Kind::is_queued) && log.handled < log.handed && log.silenced.is_none()
        {
            format!("{} messages wait for a task", log.handed - log.handled)
        } else {
            return;
        };
        self.violation(Check::Stuck, conn, problem);
    }

    /// Checks the statistics after the stop: they agree with each other and with all records.
    pub(super) fn check_stats(&mut self, stats: &Stats) {
        let accepted = stats.handshakes_with(HandshakeOutcome::Accepted);
        let ended: u64 = stats.closes.iter().map(|entry| entry.count).sum();
        let handed: u64 = self.logs.iter().map(|log| u64::from(log.handed)).sum();
        let undelivered: u64 =
            self.logs.iter().filter_map(|log| log.end.as_ref()).map(|end| end.0.undelivered).sum();
        for (what, counted, right, may_be_more) in [
            ("ended connections", ended, accepted, false),
            ("connected clients", stats.client_count(), 0, false),
            ("queued bytes", stats.queued_bytes, 0, false),
            ("delivered messages", stats.received.messages, handed, false),
            // The resource is not told of the end of a client that it has refused.
            ("undelivered messages", stats.undelivered, undelivered, true),
        ] {
            if counted != right && !(may_be_more && counted > right) {
                let text = format!("the statistics have {counted} {what} and not {right}");
                self.violation(Check::Lifecycle, NO_CONN, text);
            }
        }
    }

    /// Checks the record of a connection after the stop.
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
            if !log.rejected {
                self.violation(Check::Lifecycle, conn, "no disconnected call".to_owned());
            }
            return;
        };
        let (read, counted) = (u64::from(log.complete(*read)), undelivered(end));
        // The peer vanished and the application took nothing, so the driver gave up before it read
        // the end of input.
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
        let (handled, handed, queued) = (log.handled, log.handed, log.kind.is_some_and(Kind::is_queued));
        let app_knows = log.app_ended == 1 || log.app_opened == 0 || log.kind == Some(Kind::Async);
        if lost > 0 && !excused {
            let check = if log.ended_in_stop { Check::DeliveryInStop } else { Check::Delivery };
            let text = format!("{read} messages were read, {delivered} delivered; disconnect: {end}");
            self.violation(check, conn, text);
        } else if delivered + counted > read {
            let text =
                format!("{delivered} messages delivered, {counted} counted as undelivered, {read} read");
            self.violation(Check::Delivery, conn, text);
        } else if queued && !excused && handled < handed && !matches!(end.cause, DisconnectCause::Budget) {
            let text = format!("{handed} messages were queued, {handled} were handled");
            self.violation(Check::Delivery, conn, text);
        } else if queued && !excused && !app_knows {
            self.violation(Check::Lifecycle, conn, "the application got no disconnected event".to_owned());
        }
    }
}
