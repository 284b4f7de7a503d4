//! What happens to a message for a peer that reads slowly.

/// The default of [`SlowPolicy::max_queued`] for policies that drop messages.
const DROP_ABOVE: usize = 256 * 1024;

/// What happens to a message for a peer that reads so slowly that much is queued for it.
///
/// A policy takes effect when more than [`max_queued`](Self::max_queued) bytes are queued. Other
/// messages count too, whatever their policy. A peer that reads fast is affected too if more is
/// queued before the next write. Only whole messages are dropped, before they are
/// compressed and before any of their bytes is written.
///
/// | policy | beyond its limit | default limit |
/// |---|---|---|
/// | [`refuse`](Self::refuse) | the message is refused, and nothing else happens | none |
/// | [`close`](Self::close) | the message is refused, and the client is closed with 1013 | none |
/// | [`drop_newest`](Self::drop_newest) | the message is dropped | 256 KiB |
/// | [`drop_oldest`](Self::drop_oldest) | waiting messages with this policy are dropped, the oldest first | 256 KiB |
///
/// Whatever the policy, a message with a key replaces the waiting message with that key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowPolicy {
    pub(in crate::send) action: Action,
    pub(in crate::send) max_queued: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::send) enum Action {
    Refuse,
    Close,
    DropNewest,
    DropOldest,
}

impl SlowPolicy {
    /// Refuses a message beyond the limit. The caller learns of it, and nothing else happens. It
    /// has no limit by itself, so that only the limit of the server applies.
    #[must_use]
    pub const fn refuse() -> Self {
        Self { action: Action::Refuse, max_queued: usize::MAX }
    }

    /// Refuses a message beyond the limit, and closes the client with 1013, "try again later". It
    /// has no limit by itself, so that only the limit of the server applies.
    #[must_use]
    pub const fn close() -> Self {
        Self { action: Action::Close, max_queued: usize::MAX }
    }

    /// Drops a message beyond the limit. A message that was accepted is never dropped.
    #[must_use]
    pub const fn drop_newest() -> Self {
        Self { action: Action::DropNewest, max_queued: DROP_ABOVE }
    }

    /// Drops the oldest messages that wait and have this policy, until the limit holds. If that
    /// does not help, because other messages fill the queue, the new message is dropped.
    #[must_use]
    pub const fn drop_oldest() -> Self {
        Self { action: Action::DropOldest, max_queued: DROP_ABOVE }
    }

    /// Sets the number of queued bytes above which the policy takes effect. A message is accepted
    /// if at most that many bytes are queued before it, so one message may exceed the limit. A
    /// message that waits counts 128 bytes more than its uncompressed length.
    ///
    /// The outbox of a client takes 64 KiB before any message waits, so a lower number counts as
    /// 64 KiB.
    #[must_use]
    pub const fn max_queued(mut self, bytes: usize) -> Self {
        self.max_queued = bytes;
        self
    }

    /// Whether a client whose message is refused must be closed.
    #[must_use]
    pub const fn closes(&self) -> bool {
        matches!(self.action, Action::Close)
    }
}
