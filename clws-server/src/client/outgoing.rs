//! A message to be sent, in any of the forms that an application uses.

use std::borrow::Cow;
use std::num::NonZeroUsize;

use bytes::Bytes;
use bytestring::ByteString;
use clws_proto::{Payload, SharedMessage, SlowPolicy, Text};

use crate::client::treatment::Treatment;

/// A message to be sent: the argument of [`Client::send`](crate::Client::send) and similar methods.
///
/// Strings become text messages, bytes binary messages. Borrowed data is copied once, into the
/// client's outbox. A message of 16 KiB or more is not copied if ownership is passed: a `String`,
/// `ByteString`, `Vec<u8>` or `Bytes`, by value or, for the types with a reference count, by
/// reference. A received [`Text`] or [`Payload`] that is passed by value is not copied either if it
/// owns its buffer, as long messages do.
///
/// Bytes that are to be sent as text are checked by [`Text::try_from`]:
///
/// ```
/// use clws_server::{Client, SendError, Sent, Text};
///
/// fn send_line(client: &Client, line: &[u8]) -> Result<Sent, SendError> {
///     client.send(Text::try_from(line)?) // or `SendError::InvalidUtf8`
/// }
/// ```
#[derive(Debug)]
pub struct Outgoing<'a>(pub(super) Content<'a>);

#[derive(Debug)]
pub(super) enum Content<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
    OwnedText(Cow<'a, ByteString>),
    OwnedBinary(Cow<'a, Bytes>),
    ReceivedText(Text<'a>),
    ReceivedBinary(Payload<'a>),
    Shared(Cow<'a, SharedMessage>),
    Ping(Bytes),
    Pong(Bytes),
}

/// How a message is sent: see [`Client::send_with`](crate::Client::send_with).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    pub(super) frame_size: Option<NonZeroUsize>,
    pub(super) is_uncompressed: bool,
    key: Option<u64>,
    policy: Option<SlowPolicy>,
}

impl SendOptions {
    /// One frame for each message.
    #[must_use]
    pub const fn new() -> Self {
        Self { frame_size: None, is_uncompressed: false, key: None, policy: None }
    }

    /// Sends the message in fragments of at most `bytes`; with 0 in one frame. Draft 0 and hixie-75
    /// have no fragments and ignore it.
    #[must_use]
    pub const fn frame_size(mut self, bytes: usize) -> Self {
        self.frame_size = NonZeroUsize::new(bytes);
        self
    }

    /// Sends the message uncompressed, even to clients with permessage-deflate. Meant for data that
    /// does not get smaller, such as images, and for secrets next to data of others: the length of
    /// a compressed message can betray both.
    #[must_use]
    pub const fn uncompressed(mut self) -> Self {
        self.is_uncompressed = true;
        self
    }

    /// Keeps only the newest message with this key for a client that reads slowly.
    ///
    /// While more than 64 KiB are queued for the client, the message waits before it is encoded. A
    /// newer message with the key then replaces it, at the end of the queue, so that messages stay
    /// in the order of the sends. A key that changes faster than the client reads is therefore sent
    /// when the messages before it are sent. Without a [`SlowPolicy`] that drops messages, the
    /// newest message of each key always arrives.
    ///
    /// Each group and topic has keys of its own. All other sends share theirs.
    ///
    /// ```
    /// use clws_server::{Delivery, Group, SendOptions};
    ///
    /// fn publish(prices: &Group, instrument: u64, price: &str) -> Delivery {
    ///     prices.send_with(price, SendOptions::new().coalesce(instrument))
    /// }
    /// ```
    #[must_use]
    pub const fn coalesce(mut self, key: u64) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets what happens to this message if the client reads slowly. It is used in place of the
    /// policies of the group and of the client. [`SlowPolicy::refuse`] makes a message that must
    /// not be dropped.
    #[must_use]
    pub const fn slow_policy(mut self, policy: SlowPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// The part of the options that matters for slow clients. Keys belong to a scope.
    pub(super) fn treatment(self, scope: u64) -> Treatment<'static> {
        Treatment { policy: self.policy, key: self.key.map(|key| (scope, key)), many: None }
    }
}

impl Outgoing<'static> {
    pub(crate) const fn ping(payload: Bytes) -> Self {
        Self(Content::Ping(payload))
    }

    pub(crate) const fn pong(payload: Bytes) -> Self {
        Self(Content::Pong(payload))
    }
}

macro_rules! conversions {
    ($($(#[$attribute:meta])* $from:ty => |$message:ident| $content:expr;)*) => {
        $(
            $(#[$attribute])*
            impl<'a> From<$from> for Outgoing<'a> {
                #[inline]
                fn from($message: $from) -> Self {
                    Self($content)
                }
            }
        )*
    };
}

conversions! {
    &'a str => |text| Content::Text(text);
    &'a String => |text| Content::Text(text);
    String => |text| Content::OwnedText(Cow::Owned(text.into()));
    &'a ByteString => |text| Content::OwnedText(Cow::Borrowed(text));
    ByteString => |text| Content::OwnedText(Cow::Owned(text));
    &'a Text<'_> => |text| Content::Text(text);
    Text<'a> => |text| Content::ReceivedText(text);
    &'a [u8] => |payload| Content::Binary(payload);
    &'a Vec<u8> => |payload| Content::Binary(payload);
    Vec<u8> => |payload| Content::OwnedBinary(Cow::Owned(payload.into()));
    &'a Bytes => |payload| Content::OwnedBinary(Cow::Borrowed(payload));
    Bytes => |payload| Content::OwnedBinary(Cow::Owned(payload));
    &'a Payload<'_> => |payload| Content::Binary(payload);
    Payload<'a> => |payload| Content::ReceivedBinary(payload);
    &'a SharedMessage => |message| Content::Shared(Cow::Borrowed(message));
    SharedMessage => |message| Content::Shared(Cow::Owned(message));
}

impl<'a, const N: usize> From<&'a [u8; N]> for Outgoing<'a> {
    #[inline]
    fn from(payload: &'a [u8; N]) -> Self {
        Self(Content::Binary(payload))
    }
}

/// A message in the form in which it is sent to many clients.
#[derive(Debug)]
pub(super) enum Broadcast {
    Message(SharedMessage),
    Uncompressed(SharedMessage),
    Ping(Bytes),
    Pong(Bytes),
}

impl Broadcast {
    pub(super) fn new(message: Outgoing<'_>, options: SendOptions) -> Self {
        match Self::from_content(message.0) {
            Self::Message(mut message) => {
                // Without a frame size, a shared message keeps its own frame size and its
                // encodings.
                if options.frame_size.is_some() {
                    message = message.frame_size(options.frame_size);
                }
                if options.is_uncompressed { Self::Uncompressed(message) } else { Self::Message(message) }
            }
            broadcast => broadcast,
        }
    }

    fn from_content(content: Content<'_>) -> Self {
        Self::Message(match content {
            Content::Text(text) => SharedMessage::text(text),
            Content::Binary(payload) => SharedMessage::binary(payload.to_vec()),
            Content::OwnedText(text) => SharedMessage::text(text.into_owned()),
            Content::OwnedBinary(payload) => SharedMessage::binary(payload.into_owned()),
            Content::ReceivedText(text) => SharedMessage::text(text),
            Content::ReceivedBinary(payload) => SharedMessage::binary(payload.into_bytes()),
            Content::Shared(message) => message.into_owned(),
            Content::Ping(payload) => return Self::Ping(payload),
            Content::Pong(payload) => return Self::Pong(payload),
        })
    }
}
