//! The events of a mailbox.

use std::collections::VecDeque;

use bytes::Bytes;
use bytestring::ByteString;
use clws_handshake::Reject;

use crate::client::Client;
use crate::client::disconnect::Disconnect;
use crate::guard::{DebugOn, discard};
use crate::handler::backlog::MESSAGE_OVERHEAD;
use crate::handler::piece::OwnedPiece;
use crate::resource::decision::Decision;
use crate::resource::opening::Opening;

/// An event of a [`Mailbox`](crate::Mailbox).
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<M> {
    /// A handshake to decide on. Only a mailbox with [`openings`](crate::MailboxSender::openings)
    /// gets it.
    Opening(Opening, Decision),
    /// A client has connected.
    Connected(Client),
    /// A text message has arrived.
    Text(Client, ByteString),
    /// A binary message has arrived.
    Binary(Client, Bytes),
    /// A piece of a long message has arrived. Only a resource that [streams
    /// messages](crate::ResourceConfig::stream_messages) gets pieces.
    Piece(Client, OwnedPiece),
    /// A pong has arrived.
    Pong(Client, Bytes),
    /// A slow client has read its queue: see [`Resource::drained`](crate::Resource::drained).
    Drained(Client),
    /// The server [drains](crate::ServerHandle::drain), and this is the last chance to send to the
    /// client. It is closed when the next event is taken from the mailbox.
    Draining(Client),
    /// The connection of a client has ended. It is the last event of the client.
    Disconnected(Client, Disconnect),
    /// A message that the application sent to the mailbox.
    Message(M),
}

/// The mailbox is closed, or its resource listener has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox is closed and takes no more messages")]
pub struct MailboxClosed;

impl<M> Event<M> {
    /// Whether this is a handshake that has ended before the decision.
    pub(super) fn is_stale(&self) -> bool {
        matches!(self, Self::Opening(_, decision) if !decision.is_waiting())
    }

    /// Whether this is a data message, or ends one.
    pub(in crate::handler) const fn ends_data(&self) -> bool {
        match self {
            Self::Text(..) | Self::Binary(..) => true,
            Self::Piece(_, piece) => piece.last,
            _ => false,
        }
    }

    /// The bytes that the event counts in the backlog. Events count nothing if the application sent
    /// them, or if there is at most one for each client.
    pub(super) fn cost(&self) -> usize {
        let payload = match self {
            Self::Text(_, text) => text.len(),
            Self::Piece(_, piece) => piece.bytes().len(),
            Self::Binary(_, payload) | Self::Pong(_, payload) => payload.len(),
            Self::Drained(_) | Self::Draining(_) => 0,
            Self::Message(_) | Self::Opening(..) | Self::Connected(_) | Self::Disconnected(..) => return 0,
        };
        payload.saturating_add(MESSAGE_OVERHEAD.max(size_of::<Self>()))
    }

    /// The client of the event. An opening and a message of the application have none.
    pub(in crate::handler) const fn client(&self) -> Option<&Client> {
        match self {
            Self::Text(client, _) | Self::Binary(client, _) | Self::Pong(client, _) => Some(client),
            Self::Piece(client, _) => Some(client),
            Self::Connected(client)
            | Self::Drained(client)
            | Self::Draining(client)
            | Self::Disconnected(client, _) => Some(client),
            Self::Opening(..) | Self::Message(_) => None,
        }
    }
}

/// Drops events that will not be received. Each drop is guarded separately: messages of the
/// application may panic.
pub(super) fn discard_all<M>(events: VecDeque<Event<M>>, debug: DebugOn) {
    for event in events {
        match event {
            Event::Opening(_, decision) => decision.reject(resource_ended()),
            event => {
                let client = event.client().cloned();
                if let Some(client) = client.as_ref().filter(|_| event.ends_data()) {
                    client.note_undelivered(1);
                }
                discard(debug, &client, event);
            }
        }
    }
}

/// The answer to a handshake when the mailbox is closed.
pub(super) fn resource_ended() -> Reject {
    Reject::custom(503, "this resource has ended")
}
