//! The connection with its socket and its clock, driven like in `driver/shard`.

use std::io;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use clws_handshake::{HttpResponse, Origins, Version};
use clws_proto::CloseCode;

use crate::config::Config;
use crate::connection::fuzzing::app::App;
use crate::connection::fuzzing::peer::Peer;
use crate::connection::share::Share;
use crate::connection::{Connection, Context, Next};
use crate::server::Shared;
use crate::task_waker::TaskWaker;
use crate::time::{now, virtual_clock};
use crate::wake::WakeTargetRef;

/// The most bytes of one read.
const READ: usize = 64 * 1024;

/// The most turns that one step may cause. Each turn has an event, a read or a write.
const TURNS: usize = 100_000;

pub(super) struct Harness {
    pub(super) shared: Arc<Shared>,
    pub(super) connection: Connection,
    pub(super) app: App,
    pub(super) peer: Peer,
    /// The connection's whole input.
    pub(super) given: Vec<u8>,
    /// Number of bytes that have arrived and are unread.
    unread: usize,
    readable: bool,
    end_seen: bool,
    reset: bool,
    broken: bool,
    /// Number of bytes that the peer can take.
    space: usize,
    deadline: Option<Instant>,
    shut: bool,
    stopped: bool,
    over: bool,
    /// The kind and size of read buffers.
    reads: u8,
}

fn context(shared: &Arc<Shared>) -> Context<'_> {
    static WAKER: LazyLock<Arc<TaskWaker>> = LazyLock::new(Arc::default);
    Context { shared, wake_target: WakeTargetRef::Stream(&WAKER) }
}

/// The permessage-deflate configuration of both sides.
#[cfg(feature = "deflate")]
pub(super) fn deflate() -> clws_proto::DeflateConfig {
    clws_proto::DeflateConfig::default()
        .with_threshold(10)
        .with_context_takeover(true)
        .with_max_window_bits(10)
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
        let shared = Arc::new(Shared::new(config));
        let app = App::default();
        shared.resources.register("/", Origins::any(), app.clone()).unwrap();
        if second & 0x80 != 0 {
            shared.resources.http(|_| HttpResponse::html("a page"));
        }
        let connection = Connection::new(crate::net::socket::Peer::Stream, &context(&shared));
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
            app,
            peer,
            given: Vec::new(),
            unread: 0,
            readable: true,
            end_seen: false,
            reset: false,
            broken: false,
            space: usize::MAX,
            deadline: None,
            shut: false,
            stopped: false,
            over: false,
            reads: fourth,
        };
        if third & 8 == 0 {
            harness.peer.send_request(0);
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
        let count = count.min(self.peer.wire.len() - self.peer.arrived);
        self.peer.arrived += count;
        self.unread += count;
        self.readable = true;
    }

    pub(super) fn peer_reads(&mut self, space: usize) {
        self.space = self.space.saturating_add(space);
    }

    pub(super) const fn peer_stops_reading(&mut self) {
        self.space = 0;
    }

    /// Resets the connection: reads fail after the bytes that have arrived.
    pub(super) fn reset(&mut self) {
        (self.reset, self.readable) = (true, true);
        self.peer.end();
    }

    pub(super) const fn break_writing(&mut self) {
        self.broken = true;
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

    fn expire(&mut self) {
        self.deadline = None;
        if self.connection.is_due() {
            self.readable = true;
            self.work();
        }
        if self.over {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let context = context(&shared);
        if self.connection.is_due() && self.has_work() && self.connection.has_grace(&context) {
            self.deadline = Some(now() + Duration::from_millis(100));
        } else {
            self.connection.timed_out(&context);
            self.drive();
        }
    }

    fn has_work(&self) -> bool {
        self.connection.may_go_on() || (self.readable && self.connection.wants_input())
    }

    /// Does all possible work and checks the invariants.
    pub(super) fn drive(&mut self) {
        self.work();
        self.peer.check_read();
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
        self.space > 0 && self.connection.queued() > 0 && !self.broken
    }

    /// Runs one turn of the connection.
    fn turn(&mut self) {
        let shared = Arc::clone(&self.shared);
        let context = context(&shared);
        let mut share = Share::new();
        self.connection.resume(&mut share, &context);
        self.connection.continue_events(&mut share, &context);
        while !share.is_over() && self.readable && self.connection.wants_input() {
            self.read(&mut share, &context);
        }
        self.connection.resume(&mut Share::new(), &context);
        let (read, space, broken) = (&mut self.peer.read, &mut self.space, self.broken);
        let flushed = self.connection.flush(&mut |slices| {
            if broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let bytes = slices.iter().flat_map(|slice| slice.iter()).copied();
            let before = read.len();
            read.extend(bytes.take(*space));
            let written = read.len() - before;
            *space = if *space == usize::MAX { *space } else { *space - written };
            if written == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
        });
        match flushed {
            Ok(all) => assert_eq!(all, self.connection.queued() == 0),
            Err(error) => {
                self.connection.write_failed(error, &context);
                self.readable = true;
            }
        }
        self.next(&context);
        if !self.over && self.broken && !self.has_work() && !self.connection.wants_input() {
            self.connection.broken(&context);
            self.next(&context);
        }
        if let Some(at) = self.connection.new_deadline() {
            self.deadline = Some(self.deadline.map_or(at, |earlier| earlier.min(at)));
        }
    }

    fn next(&mut self, context: &Context<'_>) {
        match self.connection.next(context) {
            Next::Wait => {}
            Next::ShutdownWrite => {
                assert!(!std::mem::replace(&mut self.shut, true), "shut down twice");
            }
            Next::Drop => self.over = true,
        }
    }

    /// Reads once, into one of the three kinds of buffers.
    fn read(&mut self, share: &mut Share, context: &Context<'_>) {
        assert!(!self.connection.has_unread(), "a read while events are unread");
        if self.unread == 0 {
            self.readable = false;
            if self.reset {
                return self.connection.read_failed(io::ErrorKind::ConnectionReset.into(), context);
            }
            let has_ended = self.peer.ended && self.peer.arrived == self.peer.wire.len();
            if has_ended && !std::mem::replace(&mut self.end_seen, true) {
                return self.connection.end_of_input(context);
            }
            if self.connection.has_failed_to_write() {
                self.connection.end_of_input(context);
            }
            return;
        }
        let start = self.peer.arrived - self.unread;
        let max = if self.reads & 0x80 != 0 { 1 + usize::from(self.reads & 0x3F) } else { READ };
        let count = self.unread.min(max);
        let bytes = self.peer.wire[start..start + count].to_vec();
        if self.reads & 0x40 == 0
            && let Some(space) = self.connection.room()
        {
            let count = count.min(space.len());
            space[..count].copy_from_slice(&bytes[..count]);
            self.take(&bytes[..count]);
            return self.connection.receive_direct(count, share, context);
        }
        self.take(&bytes);
        let mut bytes = bytes;
        if self.reads & 1 == 0 {
            self.connection.receive_owned(&mut bytes, 0..count, share, context);
        } else {
            self.connection.receive(&mut bytes, share, context);
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.unread -= bytes.len();
        // Input after `disconnected` is read and discarded.
        if self.disconnect().is_none() {
            self.given.extend_from_slice(bytes);
        }
    }

    /// Ends the connection: the peer ends its side or the server stops, and the application takes
    /// all messages. Panics if the connection stays.
    pub(super) fn finish(mut self, how: u8) {
        self.drive();
        let config = &self.shared.config;
        // A handshake, the output and the close, each with the grace period for late input.
        let max = config.handshake_timeout + 2 * config.write_timeout + 6 * config.close_timeout;
        let grace = 2 * config.close_timeout;
        let begun = now();
        if how & 1 == 0 {
            self.app.decide(how >> 1 & 3);
            self.app.recorder(|recorder| recorder.never_pauses = true);
            self.app.resume();
            self.peer.end();
            self.arrive(usize::MAX);
            if how & 0x10 != 0 {
                self.reset();
            }
        } else {
            self.stop();
        }
        if how & 8 == 0 {
            self.space = usize::MAX;
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
