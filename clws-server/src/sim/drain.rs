//! Drains of the server, which end some runs instead of a stop.

use std::time::Duration;

use crate::client::Client;
use crate::client::state::Disposition;
use crate::drain::options::Drain;
use crate::server::handle::ServerHandle;
use crate::sim::app::app;
use crate::sim::log::Check;
use crate::sim::socket::conn_of;
use crate::sim::trace::NO_CONN;
use crate::sim::{Action, MILLI, with};

/// In some runs, begins a drain. Returns whether it did.
pub(super) fn drain_instead_of_stop(server: &ServerHandle) -> bool {
    let (drains, drain, stop, again) = with(|state| {
        let mut rng = state.rng.clone(); // a clone, so that existing seeds keep their meaning
        let drain = Drain::new()
            .within(Duration::from_nanos(rng.magnitude(1, 5000) as u64 * MILLI))
            .spread(Duration::from_nanos(rng.magnitude(1, 1000) as u64 * MILLI))
            .keep_port(rng.percent(50));
        let later = rng.time(2000 * MILLI);
        (rng.percent(50), drain, rng.percent(20).then_some(later), rng.percent(20).then_some(later))
    });
    if !drains || with(|state| state.drained_at.is_some()) {
        return false;
    }
    with(|state| {
        state.trace(NO_CONN, "drain", 0, 0);
        state.drained_at = Some(state.now);
        for (at, action) in [(stop, Action::Stop), (again, Action::Drain)] {
            if let Some(at) = at {
                state.schedule_action(at, action);
            }
        }
    });
    server.drain(drain);
    true
}

/// A second drain, which can only shorten the first one.
pub(super) fn drain_again() {
    if let Some(server) = app(|app| app.server.clone()) {
        let within = with(|state| state.rng.time(3000 * MILLI));
        server.drain(Drain::new().within(Duration::from_nanos(within)).spread(Duration::ZERO));
    }
}

/// `Resource::draining` is called: all messages that were read have been handed over, unless the
/// client reads no answers.
pub(super) fn check_turn(client: &Client) {
    let conn = conn_of(client);
    // A client that does not read its answers is waited for only a while.
    let may_be_unread = client.disposition() == Disposition::Wait && !client.is_paused();
    with(|state| {
        state.trace(conn, "draining", 0, 0);
        let log = &state.logs[conn as usize];
        let (read, handed) = (log.complete(state.conns[conn as usize].read), log.handed);
        let (silenced, was_draining) = (log.silenced.is_some(), log.draining);
        if read > handed && !silenced && !may_be_unread {
            let text = format!("the drain closes a client, while {} messages are unread", read - handed);
            state.violation(Check::Unread, conn, text);
        }
        if was_draining || state.drained_at.is_none() {
            let text = "draining is called twice, or without a drain".to_owned();
            state.violation(Check::Lifecycle, conn, text);
        }
        state.logs[conn as usize].draining = true;
    });
}
