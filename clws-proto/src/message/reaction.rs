//! The reaction that every endpoint owes its peer for an event or an error.

use crate::close::CloseFrame;
use crate::error::ProtocolError;
use crate::message::event::Event;

/// The reaction of an endpoint to an event or an error of its [`Receiver`](crate::Receiver).
///
/// [`Event::reaction`] returns it and [`Sender::react`](crate::Sender::react) sends it. A
/// [`Connection`](crate::Connection) does both.
///
/// ```
/// use clws_proto::{Event, Limits, Receiver, Role, Sender, Version};
///
/// let mut receiver = Receiver::new(Version::Rfc6455, Role::Client, Limits::default());
/// let mut sender = Sender::client(Version::Rfc6455, || [0; 4]); // use random keys
///
/// let mut read = *b"\x81\x05Hello\x89\x01?";
/// let mut events = receiver.receive(&mut read);
/// loop {
///     match events.next() {
///         Ok(Some(event)) => {
///             sender.react(&event.reaction());
///             if let Event::Text(text) = event {
///                 assert_eq!(text, "Hello");
///             }
///         }
///         Ok(None) => break,
///         Err(error) => sender.react(&error.into()),
///     }
/// }
/// assert_eq!(sender.queued(), 7); // the masked pong
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reaction<'a> {
    /// Deliver the event to the application. Nothing is sent.
    Deliver,
    /// Send a pong with this payload.
    Pong(&'a [u8]),
    /// Answer the peer's close frame, unless a close frame was sent before.
    AnswerClose(Option<CloseFrame<'a>>),
    /// Close with the [code of the error](ProtocolError::close_code), unless a close frame was sent
    /// before.
    Fail(ProtocolError),
}

impl Event<'_> {
    /// The reaction to this event. Only pings and close frames need an answer.
    #[must_use]
    #[inline]
    pub fn reaction(&self) -> Reaction<'_> {
        match self {
            Self::Text(_) | Self::Binary(_) | Self::Piece(_) | Self::Pong(_) => Reaction::Deliver,
            Self::Ping(payload) => Reaction::Pong(payload),
            Self::Close(frame) => Reaction::AnswerClose(*frame),
        }
    }
}

impl From<ProtocolError> for Reaction<'_> {
    fn from(error: ProtocolError) -> Self {
        Self::Fail(error)
    }
}
