//! The connection with its socket and its clock, driven like in `driver/shard`.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use clws_handshake::{HttpResponse, Origins, Version};
use clws_proto::CloseCode;

use crate::config::Config;
use crate::connection::Connection;
use crate::connection::context::Context;
use crate::connection::fuzzing::app::App;
use crate::connection::fuzzing::peer::Peer;
use crate::connection::fuzzing::wire::Wire;
use crate::connection::share::Share;
use crate::driver::drive::{self, Settled};
use crate::driver::state::DriverState;
use crate::resource::settings::ResourceConfig;
use crate::task_waker::TaskWaker;
use crate::time::{now, virtual_clock};
use crate::wake::WakeTargetRef;

/// The most turns that one step may cause. Each turn has an event, a read or a write.
const TURNS: usize = 100_000;

pub(super) struct Harness {
    pub(super) shared: Arc<DriverState>,
    pub(super) connection: Connection,
    pub(super) app: App,
    pub(super) wire: Wire,
    deadline: Option<Instant>,
    stopped: bool,
    over: bool,
}

fn context(shared: &Arc<DriverState>) -> Context<'_> {
    static WAKER: LazyLock<Arc<TaskWaker>> = LazyLock::new(Arc::default);
    shared.connection_context(WakeTargetRef::Stream(&WAKER))
}

/// The permessage-deflate configuration of both sides.
#[cfg(feature = "deflate")]
pub(super) fn deflate() -> clws_proto::DeflateConfig {
    clws_proto::DeflateConfig::default().threshold(10).context_takeover(true).max_window_bits(10)
}

impl Harness {
    pub(super) fn new([first, second, third, fourth]: [u8; 4]) -> Self {
        virtual_clock::set(Some(Instant::now()));
        let limit = [16 << 20, 100_000, 1000, 10][usize::from(second & 3)];
        let config = Config::default()
            .protocol_76_00_support(true)
            .protocol_75_support(true)
            .handshake_timeout(Duration::from_secs(10))
            .write_timeout(Duration::from_secs(60))
            .close_timeout(Duration::from_secs(3))
            .max_read_message_size(limit)
            .write_high_water([64 * 1024, 1000, 100, 10_000][usize::from(second >> 2 & 3)])
            .max_write_backlog([16 << 20, 50_000][usize::from(second >> 4 & 1)])
            .keep_headers(second & 0x20 != 0)
            .policy_file((second & 0x40 != 0).then(|| "<cross-domain-policy/>".to_owned()));
        #[cfg(feature = "deflate")]
        let config = config.deflate(Some(deflate()));
        let shared = DriverState::new(config);
        let app = App::default();
        let settings = ResourceConfig::new(Origins::any());
        let settings = if third & 0x40 != 0 { settings.stream_messages(20) } else { settings };
        shared.resources.register("/", settings, app.clone()).unwrap();
        if second & 0x80 != 0 {
            shared.resources.http(|_| HttpResponse::html("a page"));
        }
        let connection = Connection::new(crate::config::address::Peer::Stream, &context(&shared));
        let query = ["", "?later", "?no", "?refuse", "?pause", "?greet", "", ""][usize::from(third & 7)];
        let version = Version::ALL[Version::ALL.len() - 1 - usize::from(first & 0x1F) % Version::ALL.len()];
        let peer = Peer::new(
            version,
            query,
            #[cfg(feature = "deflate")]
            (first & 0x80 != 0),
        );
        let mut harness = Self {
            shared,
            connection,
            wire: Wire::new(peer, app.clone(), fourth),
            app,
            deadline: None,
            stopped: false,
            over: false,
        };
        if third & 8 == 0 {
            harness.wire.peer.send_request(0);
            harness.arrive(usize::MAX);
        }
        harness.drive();
        harness
    }

    pub(super) fn app(&self) -> &App {
        &self.app
    }

    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Up to `count` bytes from the peer arrive.
    pub(super) fn arrive(&mut self, count: usize) {
        let count = count.min(self.wire.peer.wire.len() - self.wire.peer.arrived);
        self.wire.peer.arrived += count;
        self.wire.unread += count;
        self.wire.readable = true;
    }

    pub(super) fn peer_reads(&mut self, space: usize) {
        self.wire.space = self.wire.space.saturating_add(space);
    }

    pub(super) const fn peer_stops_reading(&mut self) {
        self.wire.space = 0;
    }

    /// Resets the connection: reads fail after the bytes that have arrived.
    pub(super) fn reset(&mut self) {
        (self.wire.reset, self.wire.readable) = (true, true);
        self.wire.peer.end();
    }

    pub(super) const fn break_writing(&mut self) {
        self.wire.broken = true;
    }

    pub(super) fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.connection.stop(&context(&self.shared));
        }
    }

    pub(super) fn kill(&mut self) {
        self.connection.kill();
    }

    pub(super) fn drop_for_memory(&mut self) {
        self.connection.drop_for_memory(&context(&self.shared));
    }

    pub(super) fn until_deadline(&self) -> Duration {
        self.deadline.map_or(Duration::ZERO, |at| at.saturating_duration_since(now()))
    }

    /// Advances the time through each deadline.
    pub(super) fn advance(&mut self, time: Duration) {
        let end = now() + time;
        for _ in 0..TURNS {
            if self.check_silence(end) {
                continue;
            }
            match self.deadline {
                Some(at) if at <= end && !self.over => {
                    if at > now() {
                        virtual_clock::set(Some(at));
                    }
                    self.expire();
                }
                _ => {
                    if end > now() {
                        virtual_clock::set(Some(end));
                    }
                    return;
                }
            }
        }
        panic!("the deadline does not advance");
    }

    /// Advances the time to the next check for silence, unless a deadline is earlier. Returns false
    /// if there is none before `end`.
    fn check_silence(&mut self, end: Instant) -> bool {
        let shared = Arc::clone(&self.shared);
        let context = context(&shared);
        let limit = self.deadline.map_or(end, |at| at.min(end));
        let Some(at) = self.connection.next_check(&context).filter(|at| *at < limit && !self.over) else {
            return false;
        };
        virtual_clock::set(Some(at.max(now())));
        self.connection.check(&context);
        self.drive();
        true
    }

    fn expire(&mut self) {
        self.deadline = None;
        let shared = Arc::clone(&self.shared);
        let context = context(&shared);
        if self.connection.is_due(&context) {
            self.wire.readable = true;
            self.work();
        }
        if self.over {
            return;
        }
        let has_more = self.has_work();
        if drive::expire(&mut self.connection, has_more, &context) {
            self.drive();
        } else {
            self.deadline = Some(now() + Duration::from_millis(100));
        }
    }

    fn has_work(&self) -> bool {
        self.connection.can_continue() || (self.wire.readable && self.connection.wants_input())
    }

    /// Does all possible work and checks the invariants.
    pub(super) fn drive(&mut self) {
        self.work();
        self.wire.peer.check_read();
        if !self.over {
            self.check();
        }
    }

    fn work(&mut self) {
        for _ in 0..TURNS {
            if self.over {
                return;
            }
            self.turn();
            if self.over || (!self.has_work() && !self.may_write()) {
                return;
            }
        }
        panic!("the connection always has work");
    }

    fn may_write(&self) -> bool {
        self.wire.space > 0 && self.connection.queued() > 0 && !self.wire.broken
    }

    /// Runs one turn of the connection. A driver that was woken settles first.
    fn turn(&mut self) {
        let shared = Arc::clone(&self.shared);
        let context = context(&shared);
        self.settle(&context);
        if !self.over {
            drive::receive(&mut self.connection, &mut self.wire, &mut Share::new(now), &context);
            self.settle(&context);
        }
    }

    fn settle(&mut self, context: &Context<'_>) {
        match drive::settle(&mut self.connection, &mut self.wire, context) {
            Settled::Wait(Some(at)) => {
                self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
            }
            Settled::Wait(None) => {}
            Settled::Drop => self.over = true,
        }
    }

    /// Ends the connection: the peer ends its side or the server stops, and the application takes
    /// all messages. Panics if the connection stays.
    pub(super) fn finish(mut self, how: u8) {
        self.drive();
        let config = self.shared.config();
        // A handshake, the output and the close, each with the grace period for late input.
        let max = config.handshake_timeout + 2 * config.write_timeout + 6 * config.close_timeout;
        let grace = 2 * config.close_timeout;
        let begun = now();
        if how & 1 == 0 {
            self.app.decide(how >> 1 & 3);
            self.app.recorder(|recorder| recorder.never_pauses = true);
            self.app.resume();
            self.wire.peer.end();
            self.arrive(usize::MAX);
            if how & 0x10 != 0 {
                self.reset();
            }
        } else {
            self.stop();
        }
        if how & 8 == 0 {
            self.wire.space = usize::MAX;
        }
        self.drive();
        while !self.over && now() - begun < max {
            let left = self.until_deadline();
            let stops = begun + grace;
            if how & 1 != 0 && now() + left >= stops {
                virtual_clock::set(Some(stops.max(now())));
                self.connection.kill();
            } else {
                assert!(self.deadline.is_some(), "the connection waits without a deadline");
                self.advance(left);
            }
            self.drive();
        }
        assert!(self.over, "the connection is still open after {:?}", now() - begun);
        self.check_end();
    }

    /// The code and the undelivered count of the disconnect, if there was one.
    pub(super) fn disconnect(&self) -> Option<(CloseCode, u64)> {
        self.app.recorder(|recorder| recorder.ended)
    }

    /// The driver's next deadline.
    pub(super) const fn next_deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
