//! Simulated clients of all protocol versions: they write what their script says and check their
//! input.

use clws_handshake::client::{AnswerError, ClientRequest, Pending};
use clws_handshake::{HandshakeLimits, Status};
use clws_proto::{Event as ServerEvent, Limits, Receiver, Role, Sender};

use crate::sim::log::Check;
use crate::sim::script::{Op, Profile, Reading};
use crate::sim::{Action, Event, SECOND, State};

pub(super) struct Peer {
    pub(super) profile: Profile,
    stage: Stage,
    pending: Option<Pending>,
    /// The unsent rest of the request.
    rest: Vec<u8>,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    /// The bytes of the handshake's answer so far.
    answer: Vec<u8>,
    /// The client does not read at present.
    reading_paused: bool,
    /// Total bytes written.
    wrote: u64,
    /// Number of messages sent.
    messages: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    /// The client waits for the answer to its handshake.
    Handshake,
    Open,
    /// The connection has ended on one side.
    Done,
}

impl Peer {
    pub(super) const fn new(profile: Profile) -> Self {
        Self {
            profile,
            stage: Stage::New,
            pending: None,
            rest: Vec::new(),
            sender: None,
            receiver: None,
            answer: Vec::new(),
            reading_paused: false,
            wrote: 0,
            messages: 0,
        }
    }

    /// The delay before each read, or `None` if the client does not read.
    pub(super) const fn pace(&self) -> Option<u64> {
        match self.profile.reading {
            _ if self.reading_paused => None,
            Reading::Always => Some(0),
            Reading::Slowly(pause) => Some(pause),
            Reading::Never => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }
}

/// A received item that the client reacts to.
enum Reaction {
    Message(Option<u32>),
    Ping(Vec<u8>),
    Close(Option<u16>),
    Wrong(String),
}

impl State {
    /// Connects a client and sends its request.
    pub(super) fn connect(&mut self, conn: u32) {
        let port = self.rng.below(self.ports.len());
        let Profile { version, kind, stream, deflate, request_delay, never_completes_request, .. } =
            self.peer(conn).profile;
        let at = self.at;
        self.log(conn).connected = at;
        self.trace(conn, "client: connect", u64::from(stream), version.number().into());
        if stream {
            self.schedule_action(0, Action::Serve(conn));
        } else if self.ports[port].closed {
            self.peer(conn).stage = Stage::Done;
            self.log(conn).refused = true;
            return;
        } else {
            self.arrive_at_port(u32::try_from(port).unwrap_or(0), conn);
        }

        let url = format!("ws://sim{}?{conn}", kind.path());
        let request = ClientRequest::new(version, &url).origin("http://here");
        #[cfg(feature = "deflate")]
        let request = if deflate { request.deflate(&deflate_offer()) } else { request };
        let _ = deflate;
        let mut random = self.rng.clone();
        let (mut request, pending) = request
            .build(&mut |bytes: &mut [u8]| bytes.fill_with(|| random.next().to_be_bytes()[0]))
            .expect("the request is valid");
        self.log(conn).request_end = request.len() as u64;
        self.peer(conn).wrote = request.len() as u64;
        if never_completes_request {
            let max = self.rng.pick(&[1, request.len()]);
            request.truncate(self.rng.below(max));
        } else if let Some(time) = request_delay {
            self.peer(conn).rest = request.split_off(self.rng.below(request.len()));
            self.schedule(time, Event::Script(conn));
        }
        let peer = self.peer(conn);
        (peer.stage, peer.pending) = (Stage::Handshake, Some(pending));
        self.client_writes(conn, &request);
        if request_delay.is_none() && !never_completes_request {
            self.request_sent(conn);
        }
    }

    /// Runs after the request is sent.
    fn request_sent(&mut self, conn: u32) {
        self.schedule(10 * SECOND, Event::GiveUp(conn));
        let peer = self.peer(conn);
        if peer.profile.sends_early {
            peer.sender = Some(Sender::client(peer.profile.version, || [0x12, 0x34, 0x56, 0x78]));
            self.schedule(0, Event::Script(conn));
        }
    }

    /// Runs the next step of the script.
    pub(super) fn run_script(&mut self, conn: u32) {
        let peer = self.peer(conn);
        if !peer.rest.is_empty() && peer.stage == Stage::Handshake {
            let rest = std::mem::take(&mut peer.rest);
            self.client_writes(conn, &rest);
            return self.request_sent(conn);
        }
        if self.logs[conn as usize].vanished {
            return;
        }
        let peer = self.peer(conn);
        // A client that has sent a close frame sends nothing more.
        if peer.stage == Stage::Done || peer.sender.as_ref().is_none_or(Sender::close_sent) {
            return;
        }
        let Some((_, op)) = peer.profile.script.pop_front() else { return };
        self.act(conn, op);
        if let Some((pause, _)) = self.peer(conn).profile.script.front() {
            let pause = *pause;
            self.schedule(pause, Event::Script(conn));
        }
    }

    fn act(&mut self, conn: u32, op: Op) {
        match op {
            Op::Messages { count, len, commands } => {
                for _ in 0..count {
                    let (command, argument) = commands.command(&mut self.rng, self.plan.answer);
                    self.queue_message(conn, command, argument, len);
                }
                self.flush_client(conn);
            }
            Op::Ping if !self.peer(conn).profile.version.is_hixie() => {
                self.send_frame(conn, |sender| sender.ping(b"are you there?").expect("the client is open"));
            }
            Op::Ping => {}
            Op::Close(_) if !self.peer(conn).profile.version.has_close_frame() => self.close_by_end(conn),
            Op::Close(code) => {
                self.trace(conn, "client: close", code.into(), 0);
                self.send_frame(conn, |sender| sender.close(code.into(), "").expect("the client is open"));
                let wrote = self.peer(conn).wrote;
                let hixie = self.peer(conn).profile.version.is_hixie();
                let log = self.log(conn);
                log.close_end = Some(wrote);
                log.close_code = Some(if hixie { 1005 } else { code });
                self.schedule(5 * SECOND, Event::GiveUp(conn));
            }
            Op::End => {
                self.log(conn).ended_by_client = true;
                self.client_ends(conn);
            }
            Op::Reset => {
                self.log(conn).ended_by_client = true;
                self.peer(conn).stage = Stage::Done;
                self.client_resets(conn);
            }
            Op::Vanish => {
                self.peer(conn).reading_paused = true;
                self.vanish(conn);
            }
            Op::PauseReading(reading_paused) => {
                self.peer(conn).reading_paused = reading_paused;
                self.move_out(conn);
            }
            Op::InvalidFrame if !self.peer(conn).profile.version.is_hixie() => {
                self.trace(conn, "client: invalid frame", 0, 0);
                self.log(conn).broke_protocol = true;
                // The client may send more before it notices that the server has stopped reading.
                let more = self.rng.pick(&[0, 100, 10_000]);
                self.client_writes(conn, b"\xF3\x80\0\0\0\0");
                self.client_writes(conn, &vec![b'x'; more]);
            }
            Op::InvalidFrame => {}
        }
    }

    /// Queues a message with a command for the handler.
    fn queue_message(&mut self, conn: u32, command: char, argument: usize, len: usize) {
        let (binary, frame) = (self.rng.percent(40), 1 + self.rng.below(len + 20));
        let fragments = self.rng.percent(10).then(|| std::num::NonZeroUsize::new(frame)).flatten();
        let peer = self.peer(conn);
        let text = format!("{}:{command}{argument}:{}", peer.messages, "x".repeat(len));
        peer.messages += 1;
        let binary = binary && !peer.profile.version.is_hixie();
        let Some(sender) = &mut peer.sender else { return };
        let sent =
            if binary { sender.binary(text.as_bytes(), fragments) } else { sender.text(&text, fragments) };
        assert_eq!(sent, Ok(()));
        let end = peer.wrote + sender.queued() as u64;
        self.log(conn).ends.push(end);
    }

    /// Queues a frame and writes all queued frames.
    fn send_frame(&mut self, conn: u32, queue: impl FnOnce(&mut Sender)) {
        if let Some(sender) = &mut self.peer(conn).sender {
            queue(sender);
        }
        self.flush_client(conn);
    }

    /// Writes all queued frames.
    fn flush_client(&mut self, conn: u32) {
        let peer = self.peer(conn);
        let Some(sender) = &mut peer.sender else { return };
        let mut bytes = Vec::with_capacity(sender.queued());
        sender.write_to(&mut bytes).expect("a Vec takes all bytes");
        peer.wrote += bytes.len() as u64;
        self.client_writes(conn, &bytes);
    }

    /// Processes bytes from the server.
    pub(super) fn client_receives(&mut self, conn: u32, bytes: &mut [u8]) {
        match self.peer(conn).stage {
            Stage::Handshake => self.client_receives_answer(conn, bytes),
            Stage::Open => self.client_receives_frames(conn, bytes),
            Stage::New | Stage::Done => {}
        }
    }

    fn client_receives_answer(&mut self, conn: u32, bytes: &[u8]) {
        #[cfg(feature = "deflate")]
        let codecs = self.codecs.clone();
        let peer = self.peer(conn);
        let Some(pending) = &mut peer.pending else { return };
        peer.answer.extend_from_slice(bytes);
        let answer = std::mem::take(&mut peer.answer);
        match pending.check(&answer, &HandshakeLimits::default()) {
            Ok(Status::Partial) => peer.answer = answer,
            Ok(Status::Complete(open)) => {
                let version = peer.profile.version;
                #[cfg_attr(
                    not(feature = "deflate"),
                    expect(unused_mut, reason = "mutated only with the feature deflate")
                )]
                let mut receiver = Receiver::new(version, Role::Client, Limits::default());
                #[cfg_attr(not(feature = "deflate"), expect(unused_mut, reason = "as above"))]
                let mut sender = peer
                    .sender
                    .take()
                    .unwrap_or_else(|| Sender::client(version, || [0x12, 0x34, 0x56, 0x78]));
                #[cfg(feature = "deflate")]
                if let Some(params) = open.deflate {
                    sender = sender.deflate(params, &codecs);
                    receiver = receiver.deflate(params, &codecs);
                }
                (peer.sender, peer.receiver) = (Some(sender), Some(receiver));
                peer.stage = Stage::Open;
                let mut rest = answer[open.consumed..].to_vec();
                self.trace(conn, "client: open", 0, 0);
                self.log(conn).status = Some(101);
                if !self.peer(conn).profile.sends_early {
                    self.schedule(0, Event::Script(conn));
                }
                if !rest.is_empty() {
                    self.client_receives_frames(conn, &mut rest);
                }
            }
            Err(AnswerError::Refused { status, .. }) => {
                peer.stage = Stage::Done;
                self.trace(conn, "client: refused", status.into(), 0);
                self.log(conn).status = Some(status);
                self.check_status(conn, status);
            }
            Err(error) => self.violation(Check::Peer, conn, format!("the handshake's answer: {error}")),
        }
    }

    fn client_receives_frames(&mut self, conn: u32, bytes: &mut [u8]) {
        let Some(receiver) = &mut self.peer(conn).receiver else { return };
        let mut reactions = Vec::new();
        if receiver.is_finished() {
            reactions.push(Reaction::Wrong("bytes follow the close frame".to_owned()));
        }
        let mut events = receiver.receive(bytes);
        loop {
            reactions.push(match events.next() {
                Ok(None) => break,
                Ok(Some(ServerEvent::Text(text))) => Reaction::Message(number(text.as_bytes())),
                Ok(Some(ServerEvent::Binary(payload))) => Reaction::Message(number(&payload)),
                Ok(Some(ServerEvent::Ping(payload))) => Reaction::Ping(payload.into_vec()),
                Ok(Some(ServerEvent::Close(frame))) => Reaction::Close(frame.map(|frame| frame.code.value())),
                Ok(Some(_)) => continue,
                Err(error) => Reaction::Wrong(format!("the server breaks the protocol: {error}")),
            });
        }
        drop(events);
        for reaction in reactions {
            match reaction {
                Reaction::Message(number) => self.check_received(conn, number),
                Reaction::Ping(payload) => self.send_frame(conn, |sender| sender.answer_ping(&payload)),
                Reaction::Close(code) => self.client_receives_close(conn, code),
                Reaction::Wrong(text) => self.violation(Check::Peer, conn, text),
            }
        }
    }

    fn client_receives_close(&mut self, conn: u32, code: Option<u16>) {
        let conn_ = self.conn(conn);
        let written_at = conn_.written_at(conn_.carried());
        self.trace(conn, "client: gets close", code.unwrap_or(0).into(), written_at);
        self.log(conn).received_close = Some(written_at);
        self.check_received_close(conn);
        if let Some(time) = self.peer(conn).profile.close_answer_delay {
            self.schedule(time, Event::AnswerClose(conn));
        }
    }

    /// Answers the server's close frame, unless the client has sent one.
    pub(super) fn answer_close(&mut self, conn: u32) {
        let peer = self.peer(conn);
        if !peer.is_open() || self.logs[conn as usize].vanished {
            return;
        }
        let peer = self.peer(conn);
        if peer.sender.as_ref().is_none_or(Sender::close_sent) {
            return;
        }
        let has_close_frame = peer.profile.version.has_close_frame();
        self.trace(conn, "client: answers close", 0, 0);
        if !has_close_frame {
            return self.close_by_end(conn);
        }
        self.send_frame(conn, |sender| sender.answer_close(None));
        let wrote = self.peer(conn).wrote;
        self.log(conn).close_end = Some(wrote);
        self.schedule(2 * SECOND, Event::GiveUp(conn));
    }

    /// Closes or answers a close in a version without close frames.
    fn close_by_end(&mut self, conn: u32) {
        self.send_frame(conn, Sender::close_without_code);
        let wrote = self.peer(conn).wrote;
        self.log(conn).close_end = Some(wrote);
        self.client_ends(conn);
    }

    /// Processes the end of the server's side.
    pub(super) fn client_receives_end(&mut self, conn: u32) {
        // In hixie-75 a server closes by ending its side after all data is written. It continues to
        // read. (The stream driver also ends its side before it drops the stream.)
        self.log(conn).forget_dropped();
        let has_all = self.log(conn).received == self.log(conn).sent.len();
        let Profile { version, stream, .. } = self.peer(conn).profile;
        let closes = !version.has_close_frame() && self.conn(conn).shut && (has_all || !stream);
        if closes && self.peer(conn).is_open() {
            return self.client_receives_close(conn, None);
        }
        self.peer(conn).stage = Stage::Done;
        self.client_ends(conn);
    }

    pub(super) fn client_receives_reset(&mut self, conn: u32) {
        self.check_reset(conn);
        self.peer(conn).stage = Stage::Done;
    }

    /// Ends the client's side after a long wait for the handshake's answer or for the end.
    pub(super) fn give_up(&mut self, conn: u32) {
        let peer = self.peer(conn);
        let waits = peer.stage == Stage::Handshake;
        let closing = peer.is_open() && peer.sender.as_ref().is_some_and(Sender::close_sent);
        if (waits || closing) && !self.log(conn).vanished {
            self.trace(conn, "client: gives up", 0, 0);
            self.log(conn).ended_by_client = true;
            self.client_ends(conn);
        }
    }
}

/// The number at the beginning of a message from the server.
fn number(payload: &[u8]) -> Option<u32> {
    let digits = payload.split(|byte| *byte == b':').next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(feature = "deflate")]
pub(super) fn deflate_offer() -> clws_proto::DeflateConfig {
    clws_proto::DeflateConfig::default().level(1).memory_level(1).max_window_bits(9)
}
