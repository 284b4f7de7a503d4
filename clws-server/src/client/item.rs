//! The forms of a message between a send and the outbox.

use std::num::NonZeroUsize;

use bytes::Bytes;
use bytestring::ByteString;
use clws_proto::backlog::Pending;
use clws_proto::{Payload, SendError, Sender, SharedMessage, Text};

/// A message to be queued. Each form is a type of its own, so that a send compiles to the code for
/// its form.
pub(super) trait Item {
    /// Encodes the message into an outbox.
    fn encode(self, outbox: &mut Sender) -> Result<(), SendError>;

    /// The message in a form that can wait. No lock may be held.
    fn into_pending(self) -> Pending;
}

/// A borrowed text, and the length of its fragments.
pub(super) struct TextItem<'a>(pub(super) &'a str, pub(super) Option<NonZeroUsize>);

/// Borrowed bytes, and the length of their fragments.
pub(super) struct BinaryItem<'a>(pub(super) &'a [u8], pub(super) Option<NonZeroUsize>);

pub(super) struct PingItem<'a>(pub(super) &'a [u8]);

pub(super) struct PongItem<'a>(pub(super) &'a [u8]);

/// A message to many clients that is not compressed.
pub(super) struct Uncompressed<'a>(pub(super) &'a SharedMessage);

macro_rules! items {
    ($($item:ty: |$this:ident, $outbox:ident| $encode:expr, $pending:expr;)*) => {
        $(impl Item for $item {
            #[inline]
            fn encode(self, $outbox: &mut Sender) -> Result<(), SendError> {
                let $this = self;
                $encode
            }

            fn into_pending(self) -> Pending {
                let $this = self;
                $pending
            }
        })*
    };
}

items! {
    TextItem<'_>: |item, outbox| outbox.text(item.0, item.1), Pending::text(item.0).frame_size(item.1);
    BinaryItem<'_>: |item, outbox| outbox.binary(item.0, item.1), Pending::binary(item.0).frame_size(item.1);
    &ByteString: |text, outbox| outbox.text_bytes(text), Pending::text_bytes(text.clone());
    &Bytes: |payload, outbox| outbox.binary_bytes(payload), Pending::binary_bytes(payload.clone());
    Text<'_>: |text, outbox| outbox.forward_text(text), Pending::text_bytes(text.into());
    Payload<'_>: |payload, outbox| outbox.forward_binary(payload), Pending::binary_bytes(payload.into_bytes());
    &SharedMessage: |message, outbox| outbox.shared(message), Pending::shared(message);
    Uncompressed<'_>: |item, outbox| outbox.shared_uncompressed(item.0), Pending::shared(item.0).uncompressed();
    PingItem<'_>: |item, outbox| outbox.ping(item.0), Pending::ping(item.0);
    PongItem<'_>: |item, outbox| outbox.pong(item.0), Pending::pong(item.0);
}
