//! A resource with `&mut self`: one task handles the events of all its clients in order.

pub(crate) mod handle;
mod register;
pub(crate) mod task;

use bytes::Bytes;
use bytestring::ByteString;
use clws_handshake::Reject;
use clws_proto::CloseCode;

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::handler::piece::OwnedPiece;
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;

/// A resource with `&mut self`: one task handles its events in order, from one mailbox.
///
/// It is CLWS's model: the clients change a common state, such as a chat room, one after the other,
/// and no lock is needed. [`run_resource_listener`](crate::Resources::run_resource_listener)
/// registers and runs a listener. [`ResourceListenerTask`](crate::ResourceListenerTask) lets you
/// choose the executor.
///
/// The handlers do what those of an inline [`Resource`](crate::Resource) do. But each message moves
/// to another thread before it is handled, which costs some microseconds.
///
/// The queued messages have a limit:
/// [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog). A client that
/// sends a message beyond it is not read from until half of it is handled. No message is lost.
///
/// A panic in a handler closes the current client with 1011, and the listener continues. Keep its
/// state consistent before you call code that may panic. With
/// [`debug_on_resource_errors`](crate::Config#structfield.debug_on_resource_errors) a panic ends
/// the process.
///
/// ```
/// use clws_server::{ByteString, Client, Config, ResourceListener, Origins, Server};
///
/// /// Numbers all messages.
/// #[derive(Default)]
/// struct Counter {
///     count: u64,
/// }
///
/// impl ResourceListener for Counter {
///     type Message = ();
///
///     fn text(&mut self, client: &Client, text: ByteString) {
///         self.count += 1;
///         let _ = client.send(format!("{}: {text}", self.count));
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
/// let resources = server.resources();
/// let counter = resources.run_resource_listener("/count", Origins::any(), Counter::default())?;
/// let count = counter.call(|counter| counter.count); // runs on the listener's task
/// assert_eq!(futures::executor::block_on(count), Ok(0));
/// # Ok(()) }
/// ```
#[expect(unused_variables, reason = "the names are for the documentation")]
pub trait ResourceListener: Send + Sized + 'static {
    /// The type of the messages that the application itself sends, by
    /// [`ResourceListenerHandle::send`](crate::ResourceListenerHandle::send). Use `()` for none.
    type Message: Send + 'static;

    /// Decides on a client with a valid handshake and an admitted origin:
    /// `resource-accept-connection`.
    ///
    /// The default accepts every client, without a subprotocol.
    ///
    /// # Errors
    ///
    /// The HTTP response that refuses the client.
    fn accept(&mut self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new())
    }

    /// Handles a new client. It can be sent to from now on: `resource-client-connected`.
    ///
    /// # Errors
    ///
    /// A [`Close`] closes the connection. No other handler is called for this client, even if it
    /// has sent messages already.
    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        Ok(())
    }

    /// Handles a text message: `resource-received-text`. The default closes with 1003.
    fn text(&mut self, client: &Client, text: ByteString) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no text"));
    }

    /// Handles a binary message: `resource-received-binary`. The default closes with 1003. Draft 0
    /// and hixie-75 have no binary messages.
    fn binary(&mut self, client: &Client, payload: Bytes) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no binary messages"));
    }

    /// Handles a piece of a long message: see [`Resource::piece`](crate::Resource::piece). The
    /// default closes with 1003.
    fn piece(&mut self, client: &Client, piece: OwnedPiece) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no messages in pieces"));
    }

    /// Handles a pong: `resource-received-pong`.
    fn pong(&mut self, client: &Client, payload: Bytes) {}

    /// Handles a slow client that has read its queue: see
    /// [`Resource::drained`](crate::Resource::drained).
    fn drained(&mut self, client: &Client) {}

    /// Handles the turn of this client in a [drain](crate::ServerHandle::drain) of the server: the
    /// last chance to send to it. The server closes the client afterwards. All messages that were
    /// read from it before are handled. Further ones may follow until its close frame comes.
    fn draining(&mut self, client: &Client) {}

    /// Handles the end of a connection: `resource-client-disconnected`. It is the last call for
    /// each client that was [`connected`](Self::connected). The client has left all
    /// [`Group`](crate::Group)s.
    fn disconnected(&mut self, client: &Client, end: &Disconnect) {}

    /// Handles a message of the application: `resource-received-custom-message`.
    fn custom_message(&mut self, message: Self::Message) {}
}
