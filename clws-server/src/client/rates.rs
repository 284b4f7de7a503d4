//! The rates at which a client may send, and the treatment of a client that exceeds them.

use std::time::{Duration, Instant};

use clws_proto::{Event, Input};

use crate::client::bucket::Bucket;
use crate::config::Config;
use crate::config::excess::Excess;
use crate::lock::{Lock, LockGuard, rank};
use crate::time::now;

/// After a pause, the time in which the input that has piled up counts for the time of the pause.
const GRACE: Duration = Duration::from_secs(1);

/// The limited rates of a client. Clients without a limit have none.
///
/// Only the client's driver takes tokens.
pub(crate) struct Rates {
    excess: Excess,
    state: Lock<State, { rank::RATES }>,
}

struct State {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
    control_frames: Option<Bucket>,
    /// Bytes that were read and not charged yet.
    uncharged: usize,
    /// Bytes of the message in progress that are charged already.
    prepaid: usize,
    /// The latest time in which the client was not read from, until input comes after it.
    held: Option<Held>,
    /// Until then, the buckets may have more tokens than a burst.
    grace_until: Option<Instant>,
    /// The time that the driver was given for the next deadline, or for the end of the wait.
    armed: Option<Instant>,
}

/// A time in which the client is not read from, because the application or the outbox is full.
#[derive(Clone, Copy)]
struct Held {
    since: Instant,
    /// `None` if it is not known. Input that waits is then read when the time ends.
    until: Option<Instant>,
}

impl Held {
    /// Whether input that comes at `now` cannot have piled up in that time.
    fn is_past(self, now: Instant) -> bool {
        self.until.is_some_and(|until| until + GRACE < now)
    }
}

impl Rates {
    /// The rates of a new client, or `None` if the configuration limits none.
    pub(crate) fn new(config: &Config) -> Option<Box<Self>> {
        let (messages, frames) = (config.max_messages_per_second, config.max_control_frames_per_second);
        let bytes = config.max_bytes_per_second;
        if messages == 0 && frames == 0 && bytes == 0 {
            return None;
        }
        let now = now();
        let state = State {
            messages: Bucket::new(messages.into(), now),
            bytes: Bucket::new(u64::try_from(bytes).unwrap_or(u64::MAX), now),
            control_frames: Bucket::new(frames.into(), now),
            uncharged: 0,
            prepaid: 0,
            held: None,
            grace_until: None,
            armed: None,
        };
        Some(Box::new(Self { excess: config.excess, state: Lock::new(state) }))
    }

    /// Records a read, or that the events of an earlier read continue.
    pub(crate) fn begin(&self, input: &Input<'_>, now: Instant) {
        let mut state = self.state();
        state.uncharged += match input {
            Input::Lent(bytes) => bytes.len(),
            Input::Owned(_, range) => range.len(),
            Input::Direct(count) => *count,
        };
        // What has piled up during a pause must not look like a burst.
        let full = state.held.take().filter(|held| !held.is_past(now)).map(|held| held.since);
        if full.is_some() {
            state.grace_until = Some(now + GRACE);
        }
        if state.grace_until.is_some_and(|until| until < now) {
            state.grace_until = None;
        }
        let full = if state.grace_until.is_some() { full } else { Some(now) };
        if let Some(full) = full {
            state.buckets().for_each(|bucket| bucket.fill(full));
        }
    }

    /// Charges an event.
    ///
    /// # Errors
    ///
    /// The client must be closed, for this reason.
    pub(crate) fn charge(&self, event: &Event<'_>, now: Instant) -> Result<(), &'static str> {
        let mut state = self.state();
        let within = match event {
            Event::Text(text) => state.take_message(text.len(), now),
            Event::Binary(payload) => state.take_message(payload.len(), now),
            Event::Piece(piece) => state.take_piece(piece.bytes().len(), piece.last, now),
            Event::Ping(payload) | Event::Pong(payload) => state.take_control_frame(payload.len(), now),
            _ => Ok(()),
        };
        if self.excess == Excess::Close { within } else { Ok(()) }
    }

    /// Charges the bytes that were read and belong to no event yet: headers, and the beginning of a
    /// message.
    ///
    /// # Errors
    ///
    /// The client must be closed, for this reason.
    pub(crate) fn charge_rest(&self, now: Instant) -> Result<(), &'static str> {
        let mut state = self.state();
        let rest = std::mem::take(&mut state.uncharged);
        state.prepaid = state.prepaid.saturating_add(rest);
        let within = state.take_bytes(rest, now);
        if self.excess == Excess::Close { within } else { Ok(()) }
    }

    /// The time at which the client's next event is handled, if it must wait until then.
    pub(crate) fn waits_until(&self, now: Instant) -> Option<Instant> {
        if self.excess == Excess::Close {
            return None;
        }
        let wait = self.state().buckets().map(|bucket| bucket.wait(now)).max()?;
        (!wait.is_zero()).then(|| now + wait)
    }

    /// Records that the client's events wait for the application or for its own reading.
    pub(crate) fn hold(&self) {
        if self.excess == Excess::Close {
            let (now, mut state) = (now(), self.state());
            let earlier = state.held.filter(|held| !held.is_past(now));
            state.held = Some(Held { since: earlier.map_or(now, |held| held.since), until: None });
        }
    }

    /// Records that the client is read from again.
    pub(crate) fn resume(&self) {
        if let Some(held) = &mut self.state().held {
            held.until.get_or_insert_with(now);
        }
    }

    /// Records the time that the driver was given for the client, if it has one.
    pub(crate) fn set_armed(&self, at: Option<Instant>) {
        self.state().armed = at;
    }

    pub(crate) fn armed(&self) -> Option<Instant> {
        self.state().armed
    }

    fn state(&self) -> LockGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    fn buckets(&mut self) -> impl Iterator<Item = &mut Bucket> {
        [&mut self.messages, &mut self.bytes, &mut self.control_frames].into_iter().flatten()
    }

    fn take_message(&mut self, bytes: usize, now: Instant) -> Result<(), &'static str> {
        let prepaid = std::mem::take(&mut self.prepaid);
        self.take_payload(bytes.saturating_sub(prepaid), now)?;
        if take(&mut self.messages, 1, now) { Ok(()) } else { Err("too many messages per second") }
    }

    /// The message counts when its last piece has come.
    fn take_piece(&mut self, bytes: usize, is_last: bool, now: Instant) -> Result<(), &'static str> {
        if is_last {
            return self.take_message(bytes, now);
        }
        let prepaid = self.prepaid.min(bytes);
        self.prepaid -= prepaid;
        self.take_payload(bytes - prepaid, now)
    }

    fn take_control_frame(&mut self, bytes: usize, now: Instant) -> Result<(), &'static str> {
        self.take_payload(bytes, now)?;
        if take(&mut self.control_frames, 1, now) {
            Ok(())
        } else {
            Err("too many control frames per second")
        }
    }

    /// Charges bytes of a payload, which is longer than its part of the input if it was inflated.
    fn take_payload(&mut self, bytes: usize, now: Instant) -> Result<(), &'static str> {
        self.uncharged = self.uncharged.saturating_sub(bytes);
        self.take_bytes(bytes, now)
    }

    fn take_bytes(&mut self, bytes: usize, now: Instant) -> Result<(), &'static str> {
        if take(&mut self.bytes, bytes, now) { Ok(()) } else { Err("too many bytes per second") }
    }
}

/// Takes tokens. Returns whether the bucket, if there is one, is not in debt afterwards.
fn take(bucket: &mut Option<Bucket>, tokens: usize, now: Instant) -> bool {
    let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
    bucket.as_mut().is_none_or(|bucket| bucket.take(tokens, now))
}
