//! Silence: keepalive and the deadlines of messages in a run, clients that vanish, and the time at
//! which a run counts as idle although keepalive goes on.

use std::time::Duration;

use crate::client::disconnect::DisconnectCause;
use crate::config::Config;
use crate::sim::log::Check;
use crate::sim::plan::Plan;
use crate::sim::rng::Rng;
use crate::sim::{SECOND, State};

/// More bytes than the frame of a keepalive ping or of its pong.
const PING: usize = 32;

/// Adds the deadlines of silent clients to a configuration. In half of the runs, the server pings.
pub(super) fn config(config: Config, rng: &mut Rng) -> Config {
    let mut time = |low, high| Duration::from_millis(rng.magnitude(low, high) as u64);
    let (interval, timeout, idle, message) =
        (time(50, 1500), time(50, 1500), time(200, 3000), time(100, 3000));
    config
        .ping_interval(rng.percent(50).then_some(interval))
        .ping_timeout(timeout)
        .idle_timeout(rng.percent(10).then_some(idle))
        .message_timeout(message)
        .min_rate(0)
}

impl State {
    /// Records that a client or the application did something, other than to answer pings.
    pub(super) fn note_activity(&mut self) {
        self.active_at = self.now.max(self.at);
    }

    /// Records that more was carried than a ping or a pong.
    pub(super) fn note_transfer(&mut self, bytes: usize) {
        if bytes > PING {
            self.note_activity();
        }
    }

    /// The time after which nothing more happens but keepalive: every deadline has passed.
    pub(super) fn idle_at(&self) -> u64 {
        let config = &self.plan.config;
        let deadlines = [
            config.ping_interval.unwrap_or_default(),
            config.ping_timeout,
            config.idle_timeout.unwrap_or_default(),
            config.message_timeout,
            config.write_timeout,
            config.close_timeout,
            config.handshake_timeout,
        ];
        self.active_at + Plan::nanos(deadlines.into_iter().sum()) + SECOND
    }

    /// A client vanishes: it sends nothing more, and what is sent to it stays on the way.
    pub(super) fn vanish(&mut self, conn: u32) {
        self.trace(conn, "client: vanishes", 0, 0);
        self.log(conn).vanished = true;
    }

    /// Checks that a client was silent for long enough.
    pub(super) fn check_silence(&mut self, conn: u32, cause: &DisconnectCause) {
        let config = self.plan.config.clone();
        let now = self.now;
        let nanos = |time: Option<Duration>| time.map_or(u64::MAX, Plan::nanos);
        let log = self.log(conn);
        let opened = log.opened_at;
        let heard = self.conn(conn).read_at.max(opened);
        let message = self.log(conn).handed_at.max(opened);
        let (since, least) = match cause {
            DisconnectCause::KeepaliveTimeout => {
                (heard, nanos(config.ping_interval.map(|interval| interval + config.ping_timeout)))
            }
            DisconnectCause::MessageTimeout => (heard, Plan::nanos(config.message_timeout)),
            DisconnectCause::IdleTimeout => (message, nanos(config.idle_timeout)),
            _ => return,
        };
        if now - since < least {
            let text = format!("{cause}, after {} ns of silence instead of {least}", now - since);
            self.violation(Check::Silence, conn, text);
        }
    }

    /// Checks, when the run is idle, that a client that vanished is noticed.
    pub(super) fn check_vanished(&mut self, conn: u32, waits: bool) {
        let has_ping = self.peer(conn).profile.version.has_control_frames();
        let pings = self.plan.config.ping_interval.is_some() && has_ping && self.plan.used == 0;
        let log = self.log(conn);
        if pings && log.vanished && !waits && log.opened > 0 && log.ended == 0 && !log.rejected {
            self.violation(Check::Stuck, conn, "the client has vanished, and is not noticed".to_owned());
        }
    }
}
