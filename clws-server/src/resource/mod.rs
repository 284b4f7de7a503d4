//! The trait that an application implements for a path.

pub(crate) mod accept;
pub(crate) mod decision;
pub(crate) mod decision_task;
pub(crate) mod opening;
pub(crate) mod pending;
pub(crate) mod registry;
pub(crate) mod settings;

use std::sync::Arc;

use clws_handshake::Reject;
use clws_proto::{CloseCode, Payload, Piece, Text};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;

/// The handlers of a path, called inline on the shard: CLWS's `ws-resource`.
///
/// The chapter [handlers](crate::guide::handlers) compares it with other forms of a handler.
///
/// Each method is called on the thread that read the client's bytes, in the order in which they
/// arrived. Clients of different shards call it at the same time, hence `&self`. A handler that
/// blocks holds up every client of its shard. A handler that blocks until something is written to a
/// client of that shard, or read from one, waits forever. Messages that it sends go out after it
/// has returned, several in one write.
///
/// A panic in a handler closes that client with 1011 and is logged. Other clients do not notice.
///
/// ```
/// use clws_server::{Client, Payload, Resource, Text};
///
/// /// Sends each message back.
/// struct Echo;
///
/// impl Resource for Echo {
///     fn text(&self, client: &Client, text: Text<'_>) {
///         // Fails only if the client has disconnected. If it reads no answers, its messages wait.
///         let _ = client.send(text);
///     }
///
///     fn binary(&self, client: &Client, payload: Payload<'_>) {
///         let _ = client.send(payload);
///     }
/// }
/// ```
#[expect(unused_variables, reason = "the names are for the documentation")]
pub trait Resource: Send + Sync + 'static {
    /// Decides on a client whose handshake is valid and whose origin is admitted:
    /// `resource-accept-connection`.
    ///
    /// The default accepts every client, without a subprotocol.
    ///
    /// # Errors
    ///
    /// The answer to send instead: any HTTP status, for instance `Reject::forbidden(..)`.
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new())
    }

    /// Handles a new client. It can be sent to from now on: `resource-client-connected`.
    ///
    /// # Errors
    ///
    /// [`Close`] closes the connection again, and no other handler is called for this client.
    ///
    /// A resource that wraps another one should refuse before it calls the other's `connected`. A
    /// [`ResourceListener`](crate::ResourceListener), a mailbox or an async handler that was given
    /// the client learns of its end in any case.
    fn connected(&self, client: &Client) -> Result<(), Close> {
        Ok(())
    }

    /// Handles a text message: `resource-received-text`. The default closes with 1003.
    fn text(&self, client: &Client, text: Text<'_>) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no text"));
    }

    /// Handles a binary message: `resource-received-binary`. The default closes with 1003. Never
    /// called in draft 0 and hixie-75.
    fn binary(&self, client: &Client, payload: Payload<'_>) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no binary messages"));
    }

    /// Handles a piece of a long message, as it arrives. The default closes with 1003.
    ///
    /// It is called only for a resource that is registered with
    /// [`ResourceConfig::stream_messages`](crate::ResourceConfig::stream_messages). Shorter
    /// messages go to [`text`](Self::text) and [`binary`](Self::binary). The pieces of a message
    /// come in order, with no other message between them; pongs may come between them. After
    /// [`Client::pause`](crate::Client::pause) the next piece waits.
    ///
    /// The message is complete with its [`last`](Piece::last) piece. If
    /// [`disconnected`](Self::disconnected) comes first, the message is incomplete: drop what was
    /// made of it.
    fn piece(&self, client: &Client, piece: Piece<'_>) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no messages in pieces"));
    }

    /// Handles a pong: `resource-received-pong`. The server answers pings itself.
    fn pong(&self, client: &Client, payload: Payload<'_>) {}

    /// Handles a slow client that has read its queue: after a send that returned
    /// [`Sent::AboveHighWater`](crate::Sent::AboveHighWater), no more than half of
    /// [`write_high_water`](crate::Config#structfield.write_high_water) is queued again. A good
    /// moment to send more.
    fn drained(&self, client: &Client) {}

    /// Handles the turn of this client in a [drain](crate::ServerHandle::drain) of the server: the
    /// last chance to send to it. Then the server closes it, unless this returns
    /// [`CloseTime::Later`].
    ///
    /// All messages that were read from the client are handled before. Further ones may follow until
    /// its close frame comes. A resource that wraps another one should return the result of the
    /// other's `draining`, because mailboxes and async handlers close their clients later.
    fn draining(&self, client: &Client) -> CloseTime {
        CloseTime::Now
    }

    /// Handles the end of a connection: `resource-client-disconnected`. It is the last call for
    /// each client that [`connected`](Self::connected) has taken, and is made once. Nothing can be
    /// sent to the client any more. The client has left all [`Group`](crate::Group)s, so this
    /// handler can notify the other members.
    fn disconnected(&self, client: &Client, end: &Disconnect) {}

    /// Whether the resource spawns tasks, so that a server without a runtime cannot serve it.
    #[doc(hidden)]
    fn needs_runtime(&self) -> bool {
        false
    }
}

/// The answer of a resource to a [drain](crate::ServerHandle::drain): when its client may be
/// closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseTime {
    /// Now: the close frame follows what is queued for the client.
    Now,
    /// Later: the resource has work to do for the client, and closes it then. The server closes it
    /// when the drain's time is nearly over.
    Later,
}

/// Lets the caller keep a reference to a registered resource.
impl<R: Resource + ?Sized> Resource for Arc<R> {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        (**self).accept(opening)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        (**self).connected(client)
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        (**self).text(client, text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        (**self).binary(client, payload);
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        (**self).piece(client, piece);
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        (**self).pong(client, payload);
    }

    fn drained(&self, client: &Client) {
        (**self).drained(client);
    }

    fn draining(&self, client: &Client) -> CloseTime {
        (**self).draining(client)
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        (**self).disconnected(client, end);
    }

    fn needs_runtime(&self) -> bool {
        (**self).needs_runtime()
    }
}
