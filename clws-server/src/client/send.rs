//! Sending to one client: messages, pings and pongs are encoded into its outbox.

use std::borrow::Cow;

use clws_proto::{Payload, Reaction, SharedMessage, Text};

use crate::budget::is_another_page;
use crate::buffer_pool;
use crate::client::Client;
use crate::client::item::{BinaryItem, Item, PingItem, PongItem, TextItem, Uncompressed};
use crate::client::outcome::{SendError, Sent};
use crate::client::outgoing::{Broadcast, Content, Outgoing, SendOptions};
use crate::client::receipt::{Written, receipt};
use crate::client::treatment::Treatment;
use crate::guard::discard;
use crate::sync::broken;
use crate::wake::WakeBatch;

/// A message that is encoded directly from its own memory. The `repr` separates the variant from
/// the payload's tag, so that the compiler knows the variant after a conversion.
#[repr(u8)]
enum Direct<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    ReceivedText(Text<'a>),
    ReceivedBinary(Payload<'a>),
}

impl Client {
    /// Sends a message: a string as text, bytes as a binary message. [`Outgoing`] lists the types.
    ///
    /// The message is in the client's outbox when this returns. It is written as fast as the client
    /// reads.
    ///
    /// ```
    /// use clws_server::{Client, Payload, SendError, Text};
    ///
    /// fn answer(client: &Client, text: Text<'_>, payload: Payload<'_>) -> Result<(), SendError> {
    ///     client.send("hello")?;
    ///     client.send(format!("{} bytes", payload.len()))?;
    ///     client.send(text)?; // a received message is forwarded
    ///     client.send(payload)?;
    ///     client.send(&[1, 2, 3])?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`], or [`SendError::Unsupported`] for a binary
    /// message in draft 0 and hixie-75.
    #[inline]
    pub fn send<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<Sent, SendError> {
        // The conversion is code of the application: it runs before the outbox is locked.
        self.send_content(message.into().0)
    }

    /// Sends a message, for instance in fragments.
    ///
    /// ```
    /// # use clws_server::{Client, SendError, Sent};
    /// use clws_server::SendOptions;
    ///
    /// # fn send(client: &Client, page: &str) -> Result<Sent, SendError> {
    /// client.send_with(page, SendOptions::new().frame_size(4096))
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_with<'a>(
        &self,
        message: impl Into<Outgoing<'a>>,
        options: SendOptions,
    ) -> Result<Sent, SendError> {
        let message = message.into();
        let treatment = options.treatment(0);
        if options.is_uncompressed {
            return self.send_broadcast(Broadcast::new(message, options), treatment);
        }
        if options.frame_size.is_none() && !treatment.is_special() {
            return self.send_content(message.0);
        }
        match message.0 {
            Content::Text(text) if !self.compresses(text.len()) => {
                self.queue_and_wake(TextItem(text, options.frame_size), treatment, None)
            }
            Content::Binary(payload) if !self.compresses(payload.len()) => {
                self.queue_and_wake(BinaryItem(payload, options.frame_size), treatment, None)
            }
            content => self.send_broadcast(Broadcast::new(Outgoing(content), options), treatment),
        }
    }

    /// Sends a message, and tells what becomes of it.
    ///
    /// The future ends when the system has taken the message, when it was dropped as its
    /// [`SlowPolicy`](crate::SlowPolicy) says, or when the connection has ended before. The message
    /// is sent whether the future is polled or not.
    ///
    /// ```
    /// use clws_server::{Client, Fate, SendError, SendOptions};
    ///
    /// async fn send_page(client: &Client, page: Vec<u8>) -> Result<bool, SendError> {
    ///     let (_, written) = client.send_tracked(page, SendOptions::new())?;
    ///     Ok(written.await == Fate::Written)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_tracked<'a>(
        &self,
        message: impl Into<Outgoing<'a>>,
        options: SendOptions,
    ) -> Result<(Sent, Written), SendError> {
        let broadcast = Broadcast::new(message.into(), options);
        let (receipt, written) = receipt();
        let pending = match &broadcast {
            Broadcast::Message(message) => {
                self.prepare(message);
                message.into_pending()
            }
            Broadcast::Uncompressed(message) => {
                message.set_meter(&self.0.context.meter);
                Uncompressed(message).into_pending()
            }
            Broadcast::Ping(payload) => PingItem(payload).into_pending(),
            Broadcast::Pong(payload) => PongItem(payload).into_pending(),
        };
        let sent = self.queue_pending(pending.receipt(receipt), options.treatment(0), None);
        discard(self.config().debug_on(), self, broadcast);
        Ok((sent?, written))
    }

    /// Sends a text message: `write-to-client-text`. The same as [`send`](Self::send) with a
    /// string.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::Closed`].
    #[inline]
    pub fn send_text(&self, message: &str) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::text(message), Treatment::default());
        }
        self.queue(TextItem(message, None))
    }

    /// Sends a binary message: `write-to-client-binary`. The same as [`send`](Self::send) with
    /// bytes.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`], [`SendError::Closed`], or [`SendError::Unsupported`] in draft 0 and
    /// hixie-75.
    #[inline]
    pub fn send_binary(&self, message: &[u8]) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::binary(message.to_vec()), Treatment::default());
        }
        self.queue(BinaryItem(message, None))
    }

    /// Sends a ping with a payload of at most 125 bytes: `write-to-client-ping`. The pong comes to
    /// [`Resource::pong`](crate::Resource::pong). The ping keeps its place: when the client
    /// answers, it has read everything that was sent before.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`], [`SendError::Full`], [`SendError::Closed`], or
    /// [`SendError::Unsupported`] in draft 0 and hixie-75.
    pub fn ping(&self, payload: &[u8]) -> Result<Sent, SendError> {
        self.queue(PingItem(payload))
    }

    /// Sends a pong that answers no ping, a heartbeat in one direction (RFC 6455 §5.5.3), with at
    /// most 125 bytes. The server answers the client's pings itself.
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping).
    pub fn pong(&self, payload: &[u8]) -> Result<Sent, SendError> {
        self.queue(PongItem(payload))
    }

    /// The number of bytes that are queued for this client and not yet passed to the system. A
    /// message that waits for room in the outbox, because it may still be dropped, counts with its
    /// uncompressed length and 128 bytes.
    #[must_use]
    pub fn buffered_amount(&self) -> usize {
        self.outbox().queued()
    }

    /// Whether messages can be sent: the connection is open, and no close frame was sent or
    /// received.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.outbox().close_sent()
    }

    // Always inlined: the caller knows the variant, so that a send of a string compiles to
    // `send_text`.
    #[inline(always)]
    fn send_content(&self, content: Content<'_>) -> Result<Sent, SendError> {
        let direct = {
            // Dropped at the end of this block. If it lived longer, each send would check at its
            // end whether it is to be dropped.
            let content = content;
            match content {
                Content::Text(text) => Direct::Text(text),
                Content::Binary(payload) => Direct::Binary(payload),
                Content::ReceivedText(text) => Direct::ReceivedText(text),
                Content::ReceivedBinary(payload) => Direct::ReceivedBinary(payload),
                content => return self.send_owned(content),
            }
        };
        match direct {
            Direct::Text(text) => self.send_text(text),
            Direct::Binary(payload) => self.send_binary(payload),
            Direct::ReceivedText(text) => self.forward_text(text),
            Direct::ReceivedBinary(payload) => self.forward_binary(payload),
        }
    }

    fn send_owned(&self, content: Content<'_>) -> Result<Sent, SendError> {
        match content {
            // Lent to the outbox, and dropped after its lock is released: the drop of `Bytes` may
            // be code of the application.
            Content::OwnedText(text) if !self.compresses(text.len()) => {
                let sent = self.queue(&*text);
                self.discard_owned(text);
                sent
            }
            Content::OwnedBinary(payload) if !self.compresses(payload.len()) => {
                let sent = self.queue(&*payload);
                self.discard_owned(payload);
                sent
            }
            Content::Shared(message) => {
                let sent = self.send_shared(&message, Treatment::default());
                self.discard_owned(message);
                sent
            }
            content => {
                let broadcast = Broadcast::new(Outgoing(content), SendOptions::new());
                self.send_broadcast(broadcast, Treatment::default())
            }
        }
    }

    fn discard_owned<T: Clone>(&self, value: Cow<'_, T>) {
        if let Cow::Owned(value) = value {
            discard(self.config().debug_on(), self, value);
        }
    }

    #[inline]
    fn forward_text(&self, message: Text<'_>) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::text(message), Treatment::default());
        }
        self.queue(message)
    }

    #[inline]
    fn forward_binary(&self, message: Payload<'_>) -> Result<Sent, SendError> {
        if self.compresses(message.len()) {
            return self.send_shared(&SharedMessage::binary(message.into_bytes()), Treatment::default());
        }
        self.queue(message)
    }

    fn send_broadcast(&self, broadcast: Broadcast, treatment: Treatment<'_>) -> Result<Sent, SendError> {
        match broadcast {
            Broadcast::Message(message) => {
                let sent = self.send_shared(&message, treatment);
                discard(self.config().debug_on(), self, message);
                sent
            }
            Broadcast::Uncompressed(message) => {
                message.set_meter(&self.0.context.meter);
                let sent = self.queue_and_wake(Uncompressed(&message), treatment, None);
                self.0.context.relieve(&self.0.wake_target);
                discard(self.config().debug_on(), self, message);
                sent
            }
            Broadcast::Ping(payload) => {
                let sent = self.ping(&payload);
                discard(self.config().debug_on(), self, payload);
                sent
            }
            Broadcast::Pong(payload) => {
                let sent = self.pong(&payload);
                discard(self.config().debug_on(), self, payload);
                sent
            }
        }
    }

    /// Compresses a message before the outbox is locked, if no other message matters for it.
    fn prepare(&self, message: &SharedMessage) {
        message.set_meter(&self.0.context.meter);
        #[cfg(feature = "deflate")]
        if let Some(negotiated) = self.negotiated() {
            message.prepare(negotiated.params, &negotiated.codecs);
        }
    }

    fn send_shared(&self, message: &SharedMessage, treatment: Treatment<'_>) -> Result<Sent, SendError> {
        self.prepare(message);
        let sent = self.queue_and_wake(message, treatment, None);
        // The message may hold memory outside of the outbox.
        self.0.context.relieve(&self.0.wake_target);
        sent
    }

    /// Sends to one of many clients. Their drivers are woken when the batch is dropped. A client that
    /// misses the message without a policy [is ended](Self::miss_one_of_many).
    pub(super) fn send_one_of_many(
        &self,
        broadcast: &Broadcast,
        treatment: Treatment<'_>,
        batch: &mut WakeBatch,
    ) -> Result<Sent, SendError> {
        let sent = match broadcast {
            Broadcast::Message(message) => {
                message.set_meter(&self.0.context.meter);
                self.queue_and_wake(message, treatment, Some(batch))
            }
            Broadcast::Uncompressed(message) => {
                message.set_meter(&self.0.context.meter);
                self.queue_and_wake(Uncompressed(message), treatment, Some(batch))
            }
            Broadcast::Ping(payload) => self.queue_and_wake(PingItem(payload), treatment, Some(batch)),
            Broadcast::Pong(payload) => self.queue_and_wake(PongItem(payload), treatment, Some(batch)),
        };
        if sent == Err(SendError::Full) {
            self.miss_one_of_many(treatment.policy, batch);
        }
        sent
    }

    /// Whether a message of that length is compressed on its own. This must happen before the
    /// outbox is locked, because the writer to the client's socket waits for that lock.
    #[inline]
    fn compresses(&self, len: usize) -> bool {
        #[cfg(feature = "deflate")]
        let compresses = len >= crate::codecs::COMPRESS_UNLOCKED_FROM
            && self.negotiated().is_some_and(|negotiated| negotiated.params.server_no_context_takeover);
        #[cfg(not(feature = "deflate"))]
        let compresses = len == usize::MAX; // never
        compresses
    }

    #[inline]
    fn queue(&self, item: impl Item) -> Result<Sent, SendError> {
        self.queue_and_wake(item, Treatment::default(), None)
    }

    /// Encodes into the outbox, and wakes the client's driver if the outbox was empty.
    #[inline]
    fn queue_and_wake(
        &self,
        item: impl Item,
        treatment: Treatment<'_>,
        batch: Option<&mut WakeBatch>,
    ) -> Result<Sent, SendError> {
        let context = &*self.0.context;
        let (was, is_above, has_grown) = {
            let mut outbox = self.outbox();
            let was = outbox.queued();
            broken!(StaleOutbox, {
                drop(outbox);
                outbox = self.outbox();
            });
            if was == 0 {
                buffer_pool::lend(&mut outbox);
            } else if was > context.write_backlog {
                // With less in the outbox, no message waits.
                if treatment.is_special() || outbox.must_wait() {
                    drop(outbox);
                    return self.queue_pending(item.into_pending(), treatment, batch);
                }
                if self.is_backlog_full(was) {
                    let error = if outbox.close_sent() { SendError::Closed } else { SendError::Full };
                    self.note_refused(error);
                    return Err(error);
                }
            }
            if let Err(error) = item.encode(&mut outbox) {
                buffer_pool::take_back(&mut outbox);
                self.note_refused(error.into());
                return Err(error.into());
            }
            let now = outbox.queued();
            let (is_above, has_grown) = (now > context.high_water, is_another_page(was, now));
            if is_above {
                broken!(CrowdedTooLate, {
                    drop(outbox);
                    outbox = self.outbox();
                });
                // Under the lock: a flush that sees the message sees this too.
                self.0.state.set_crowded();
            }
            if has_grown {
                self.charge(&mut outbox);
            }
            (was, is_above, has_grown)
        };
        // If the outbox was not empty, the driver flushes it already, or waits for the socket.
        match batch {
            Some(batch) => {
                if was == 0 {
                    batch.add(&self.0.wake_target);
                }
                context.relieve_with(batch, &self.0.wake_target);
            }
            None => {
                if was == 0 {
                    self.0.wake_target.wake();
                }
                if has_grown {
                    context.relieve(&self.0.wake_target);
                }
            }
        }
        Ok(if is_above { Sent::AboveHighWater } else { Sent::Queued })
    }

    /// Queues a keepalive ping, which passes whole messages. Returns the number of queued bytes up
    /// to its end, or `None` if the client is closed. The caller flushes.
    pub(crate) fn ping_early(&self, payload: &[u8]) -> Option<usize> {
        let mut outbox = self.outbox();
        if outbox.queued() == 0 {
            buffer_pool::lend(&mut outbox);
        }
        let position = outbox.ping_early(payload).ok();
        if position.is_none() {
            buffer_pool::take_back(&mut outbox);
        }
        position
    }

    /// Queues the answer that the protocol requires. Only a pong wakes the driver, because a driver
    /// flushes after every end.
    pub(crate) fn react(&self, reaction: &Reaction<'_>) {
        if let Reaction::Deliver = reaction {
            return; // without the lock
        }
        if let Reaction::Fail(_) = reaction {
            self.0.state.begin_closing();
        }
        let is_pong = matches!(reaction, Reaction::Pong(_));
        let mut outbox = self.outbox();
        let was_empty = is_pong && outbox.queued() == 0;
        if was_empty {
            buffer_pool::lend(&mut outbox);
        }
        outbox.react(reaction);
        drop(outbox);
        if was_empty {
            self.0.wake_target.wake();
        }
    }
}
