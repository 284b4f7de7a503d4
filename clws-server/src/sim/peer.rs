//! Model clients of all versions: what they write, and what they make of what they read.

use clws_handshake::client::{AnswerError, ClientRequest, Pending};
use clws_handshake::{HandshakeLimits, Status};
use clws_proto::{Event as Got, Limits, Receiver, Role, Sender};

use crate::sim::log::Check;
use crate::sim::script::{Nature, Op, Reading};
use crate::sim::{Errand, Event, SECOND, State};

/// A client.
pub(super) struct Peer {
    pub(super) nature: Nature,
    stage: Stage,
    pending: Option<Pending>,
    /// What it has not sent yet of its request.
    rest: Vec<u8>,
    sender: Option<Sender>,
    receiver: Option<Receiver>,
    /// What came of the answer to its handshake.
    answer: Vec<u8>,
    /// It does not read for now.
    deaf: bool,
    /// Bytes that it has written so far.
    wrote: u64,
    /// The number of its messages.
    messages: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    /// It waits for the answer to its handshake.
    Asking,
    Open,
    /// It has seen the end, or ended it.
    Done,
}

impl Peer {
    pub(super) const fn new(nature: Nature) -> Self {
        Self {
            nature,
            stage: Stage::New,
            pending: None,
            rest: Vec::new(),
            sender: None,
            receiver: None,
            answer: Vec::new(),
            deaf: false,
            wrote: 0,
            messages: 0,
        }
    }

    /// How long it takes until it reads; `None` where it does not.
    pub(super) const fn pace(&self) -> Option<u64> {
        match self.nature.reading {
            _ if self.deaf => None,
            Reading::Always => Some(0),
            Reading::Slowly(pause) => Some(pause),
            Reading::Never => None,
        }
    }

    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }
}

/// What a client reads that it has to do something about.
enum Heard {
    Message(Option<u32>),
    Ping(Vec<u8>),
    Close(Option<u16>),
    Wrong(String),
}

impl State {
    /// A client connects, and asks for its handshake.
    pub(super) fn connect(&mut self, conn: u32) {
        let port = self.rng.below(self.ports.len());
        let Nature { version, kind, stream, deflate, hesitates, is_mute, .. } = self.peer(conn).nature;
        let at = self.at;
        self.log(conn).connected = at;
        self.trace(conn, "client: connect", u64::from(stream), version.number().into());
        if stream {
            self.errand(0, Errand::Serve(conn));
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
            .expect("the request is right");
        self.log(conn).request_end = request.len() as u64;
        self.peer(conn).wrote = request.len() as u64;
        if is_mute {
            let most = self.rng.pick(&[1, request.len()]);
            request.truncate(self.rng.below(most));
        } else if let Some(time) = hesitates {
            self.peer(conn).rest = request.split_off(self.rng.below(request.len()));
            self.deadline_after(time, Event::Script(conn));
        }
        let peer = self.peer(conn);
        (peer.stage, peer.pending) = (Stage::Asking, Some(pending));
        self.client_writes(conn, &request);
        if hesitates.is_none() && !is_mute {
            self.asked(conn);
        }
    }

    /// The request is out.
    fn asked(&mut self, conn: u32) {
        self.deadline_after(10 * SECOND, Event::Impatient(conn));
        let peer = self.peer(conn);
        if peer.nature.early {
            peer.sender = Some(Sender::client(peer.nature.version, || [0x12, 0x34, 0x56, 0x78]));
            self.deadline_after(0, Event::Script(conn));
        }
    }

    /// The next step of the script.
    pub(super) fn go_on(&mut self, conn: u32) {
        let peer = self.peer(conn);
        if !peer.rest.is_empty() && peer.stage == Stage::Asking {
            let rest = std::mem::take(&mut peer.rest);
            self.client_writes(conn, &rest);
            return self.asked(conn);
        }
        // Once it has answered a close frame it has nothing more to say.
        if peer.stage == Stage::Done || peer.sender.as_ref().is_none_or(Sender::close_sent) {
            return;
        }
        let Some((_, op)) = peer.nature.script.pop_front() else { return };
        self.act(conn, op);
        if let Some((pause, _)) = self.peer(conn).nature.script.front() {
            let pause = *pause;
            self.deadline_after(pause, Event::Script(conn));
        }
    }

    fn act(&mut self, conn: u32, op: Op) {
        match op {
            Op::Messages { count, len, asks } => {
                for _ in 0..count {
                    let (command, argument) = asks.command(&mut self.rng, self.plan.answer);
                    self.say(conn, command, argument, len);
                }
                self.utter(conn);
            }
            Op::Ping if !self.peer(conn).nature.version.is_hixie() => {
                self.speak(conn, |sender| sender.ping(b"are you there?").expect("it is open"));
            }
            Op::Ping => {}
            Op::Close(_) if !self.peer(conn).nature.version.has_close_frame() => self.ends_for_a_close(conn),
            Op::Close(code) => {
                self.trace(conn, "client: close", code.into(), 0);
                self.speak(conn, |sender| sender.close(code.into(), "").expect("it is open"));
                let wrote = self.peer(conn).wrote;
                let hixie = self.peer(conn).nature.version.is_hixie();
                let log = self.log(conn);
                log.close_end = Some(wrote);
                log.close_code = Some(if hixie { 1005 } else { code });
                self.deadline_after(5 * SECOND, Event::Impatient(conn));
            }
            Op::End => {
                self.log(conn).ends_itself = true;
                self.client_ends(conn);
            }
            Op::Reset => {
                self.log(conn).ends_itself = true;
                self.peer(conn).stage = Stage::Done;
                self.client_resets(conn);
            }
            Op::Deaf(deaf) => {
                self.peer(conn).deaf = deaf;
                self.move_out(conn);
            }
            Op::Nonsense if !self.peer(conn).nature.version.is_hixie() => {
                self.trace(conn, "client: nonsense", 0, 0);
                self.log(conn).broke_protocol = true;
                // It does not notice at once that nobody listens.
                let more = self.rng.pick(&[0, 100, 10_000]);
                self.client_writes(conn, b"\xF3\x80\0\0\0\0");
                self.client_writes(conn, &vec![b'x'; more]);
            }
            Op::Nonsense => {}
        }
    }

    /// Queues a message, which tells a handler what to do.
    fn say(&mut self, conn: u32, command: char, argument: usize, len: usize) {
        let (binary, frame) = (self.rng.percent(40), 1 + self.rng.below(len + 20));
        let fragments = self.rng.percent(10).then(|| std::num::NonZeroUsize::new(frame)).flatten();
        let peer = self.peer(conn);
        let text = format!("{}:{command}{argument}:{}", peer.messages, "x".repeat(len));
        peer.messages += 1;
        let binary = binary && !peer.nature.version.is_hixie();
        let Some(sender) = &mut peer.sender else { return };
        let sent =
            if binary { sender.binary(text.as_bytes(), fragments) } else { sender.text(&text, fragments) };
        assert_eq!(sent, Ok(()));
        let end = peer.wrote + sender.queued() as u64;
        self.log(conn).ends.push(end);
    }

    /// Queues something and writes it.
    fn speak(&mut self, conn: u32, queue: impl FnOnce(&mut Sender)) {
        if let Some(sender) = &mut self.peer(conn).sender {
            queue(sender);
        }
        self.utter(conn);
    }

    /// Writes what is queued.
    fn utter(&mut self, conn: u32) {
        let peer = self.peer(conn);
        let Some(sender) = &mut peer.sender else { return };
        let mut bytes = Vec::with_capacity(sender.queued());
        sender.write_to(&mut bytes).expect("it is written to memory");
        peer.wrote += bytes.len() as u64;
        self.client_writes(conn, &bytes);
    }

    /// Bytes from the server.
    pub(super) fn hears(&mut self, conn: u32, bytes: &mut [u8]) {
        match self.peer(conn).stage {
            Stage::Asking => self.hears_answer(conn, bytes),
            Stage::Open => self.hears_frames(conn, bytes),
            Stage::New | Stage::Done => {}
        }
    }

    fn hears_answer(&mut self, conn: u32, bytes: &[u8]) {
        #[cfg(feature = "deflate")]
        let codecs = self.codecs.clone();
        let peer = self.peer(conn);
        let Some(pending) = &mut peer.pending else { return };
        peer.answer.extend_from_slice(bytes);
        let answer = std::mem::take(&mut peer.answer);
        match pending.check(&answer, &HandshakeLimits::default()) {
            Ok(Status::Partial) => peer.answer = answer,
            Ok(Status::Complete(open)) => {
                let version = peer.nature.version;
                #[cfg_attr(
                    not(feature = "deflate"),
                    expect(unused_mut, reason = "what was negotiated on goes in")
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
                if !self.peer(conn).nature.early {
                    self.deadline_after(0, Event::Script(conn));
                }
                if !rest.is_empty() {
                    self.hears_frames(conn, &mut rest);
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

    fn hears_frames(&mut self, conn: u32, bytes: &mut [u8]) {
        let Some(receiver) = &mut self.peer(conn).receiver else { return };
        let mut heard = Vec::new();
        if receiver.is_finished() {
            heard.push(Heard::Wrong("bytes follow the close frame".to_owned()));
        }
        let mut events = receiver.receive(bytes);
        loop {
            heard.push(match events.next() {
                Ok(None) => break,
                Ok(Some(Got::Text(text))) => Heard::Message(number(text.as_bytes())),
                Ok(Some(Got::Binary(payload))) => Heard::Message(number(&payload)),
                Ok(Some(Got::Ping(payload))) => Heard::Ping(payload.into_vec()),
                Ok(Some(Got::Close(frame))) => Heard::Close(frame.map(|frame| frame.code.value())),
                Ok(Some(_)) => continue,
                Err(error) => Heard::Wrong(format!("the server breaks the protocol: {error}")),
            });
        }
        drop(events);
        for heard in heard {
            match heard {
                Heard::Message(number) => self.check_received(conn, number),
                Heard::Ping(payload) => self.speak(conn, |sender| sender.answer_ping(&payload)),
                Heard::Close(code) => self.hears_close(conn, code),
                Heard::Wrong(text) => self.violation(Check::Peer, conn, text),
            }
        }
    }

    fn hears_close(&mut self, conn: u32, code: Option<u16>) {
        let conn_ = self.conn(conn);
        let written_at = conn_.written_at(conn_.carried());
        self.trace(conn, "client: gets close", code.unwrap_or(0).into(), written_at);
        self.log(conn).got_close = Some(written_at);
        self.check_got_close(conn);
        if let Some(time) = self.peer(conn).nature.answers {
            self.deadline_after(time, Event::Answer(conn));
        }
    }

    /// It answers the server's close frame, unless it has sent one.
    pub(super) fn answer_close(&mut self, conn: u32) {
        let peer = self.peer(conn);
        if !peer.is_open() || peer.sender.as_ref().is_none_or(Sender::close_sent) {
            return;
        }
        let has_close_frame = peer.nature.version.has_close_frame();
        self.trace(conn, "client: answers close", 0, 0);
        if !has_close_frame {
            return self.ends_for_a_close(conn);
        }
        self.speak(conn, |sender| sender.answer_close(None));
        let wrote = self.peer(conn).wrote;
        self.log(conn).close_end = Some(wrote);
        self.deadline_after(2 * SECOND, Event::Impatient(conn));
    }

    /// It closes, or answers a close, in a version that has no frame for that.
    fn ends_for_a_close(&mut self, conn: u32) {
        self.speak(conn, Sender::close_without_code);
        let wrote = self.peer(conn).wrote;
        self.log(conn).close_end = Some(wrote);
        self.client_ends(conn);
    }

    /// The server has ended its side.
    pub(super) fn hears_end(&mut self, conn: u32) {
        // In hixie-75 that is how it closes: when all is written, and while it still reads. (The driver of a stream ends its
        // side before it drops it, too.)
        let has_all = self.log(conn).received == self.log(conn).sent.len();
        let Nature { version, stream, .. } = self.peer(conn).nature;
        let closes = !version.has_close_frame() && self.conn(conn).shut && (has_all || !stream);
        if closes && self.peer(conn).is_open() {
            return self.hears_close(conn, None);
        }
        self.peer(conn).stage = Stage::Done;
        self.client_ends(conn);
    }

    pub(super) fn hears_reset(&mut self, conn: u32) {
        self.check_reset(conn);
        self.peer(conn).stage = Stage::Done;
    }

    /// It has waited long enough for an answer, or for the end.
    pub(super) fn give_up(&mut self, conn: u32) {
        let peer = self.peer(conn);
        let waits = peer.stage == Stage::Asking;
        let closing = peer.is_open() && peer.sender.as_ref().is_some_and(Sender::close_sent);
        if waits || closing {
            self.trace(conn, "client: gives up", 0, 0);
            self.log(conn).ends_itself = true;
            self.client_ends(conn);
        }
    }
}

/// The number that a message of the server begins with.
fn number(payload: &[u8]) -> Option<u32> {
    let digits = payload.split(|byte| *byte == b':').next()?;
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(feature = "deflate")]
pub(super) fn deflate_offer() -> clws_proto::DeflateConfig {
    clws_proto::DeflateConfig::default().level(1).memory_level(1).max_window_bits(9)
}
