use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use clws_handshake::Reject;
use clws_proto::{Payload, Text};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::id::ClientId;
use crate::client::watchers::{Host, gone_already};
use crate::guard::{ApplicationValue, guard};
use crate::handler::websocket::Inbox;
use crate::handler::websocket::{Message, WebSocket};
use crate::lock::{Lock, rank};
use crate::resource::Resource;
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::runtime;

/// Makes a resource that serves each client with an async function, in a task of its own on async-std's executor.
///
/// The function reads and writes the client's [`WebSocket`] as it likes; when it returns, whatever it returns, the
/// connection is closed with 1000. A panic in it closes that connection with 1011. Each message reaches another thread before it is handled, which
/// costs some microseconds that a [`Resource`](crate::Resource) does not pay, and each client has a task.
///
/// ```
/// use clws_server::{Config, Origins, SendError, Server, WebSocket, async_handler};
///
/// async fn echo(mut socket: WebSocket) -> Result<(), SendError> {
///     while let Some(message) = socket.next().await {
///         socket.send(message).await?; // an error ends it: the client is gone
///     }
///     Ok(())
/// }
///
/// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
/// server.resources().register("/echo", Origins::any(), async_handler(echo))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn async_handler<F, R>(handler: F) -> AsyncHandler<F>
where
    F: Fn(WebSocket) -> R + Send + Sync + 'static,
    R: Future + Send + 'static,
    R::Output: Send,
{
    AsyncHandler { handler, accept: None, pending_inboxes: Arc::default() }
}

/// A resource that serves each client with an async function: see [`async_handler`].
pub struct AsyncHandler<F> {
    handler: F,
    accept: Option<Decide>,
    /// Clients that came past our `accept`, for a resource around this one has its own.
    pending_inboxes: Arc<PendingInboxes>,
}

type PendingInboxes = Lock<HashMap<ClientId, Arc<Inbox>>, { rank::PENDING_INBOXES }>;

/// What is kept for one of them.
struct PendingInbox {
    inbox: Arc<Inbox>,
    pending_inboxes: Weak<PendingInboxes>,
}

impl Host for PendingInbox {
    fn ended(&self, client: &Client, end: &Disconnect) {
        self.inbox.end(client, end.clone());
        let pending = self
            .pending_inboxes
            .upgrade()
            .and_then(|pending_inboxes| pending_inboxes.lock().remove(&client.id()));
        drop(pending); // outside of the lock
    }
}

/// What a handler puts into its clients.
struct Slot {
    handler: usize,
    inbox: Arc<Inbox>,
}

type Decide = Box<dyn Fn(&Opening) -> Result<Accept, Reject> + Send + Sync>;

impl<F> AsyncHandler<F> {
    /// Decides on each client, as [`Resource::accept`] does; otherwise everybody is taken.
    ///
    /// ```
    /// use clws_server::{Accept, Reject, WebSocket, async_handler};
    ///
    /// let resource = async_handler(|mut socket: WebSocket| async move {
    ///     let _ = socket.send("welcome").await;
    /// })
    /// .accepting(|opening| match opening.cookie("connection") {
    ///     Some(connection) => Ok(Accept::new().data(connection.to_owned())),
    ///     None => Err(Reject::custom(401, "who are you?")),
    /// });
    /// # let _ = resource;
    /// ```
    #[must_use]
    pub fn accepting(
        mut self,
        accept: impl Fn(&Opening) -> Result<Accept, Reject> + Send + Sync + 'static,
    ) -> Self {
        self.accept = Some(Box::new(accept));
        self
    }
}

impl<F, R> Resource for AsyncHandler<F>
where
    F: Fn(WebSocket) -> R + Send + Sync + 'static,
    R: Future + Send + 'static,
    R::Output: Send,
{
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let mut accept = self.accept.as_ref().map_or_else(|| Ok(Accept::new()), |accept| accept(opening))?;
        accept.has_adapter_data = true;
        Ok(accept)
    }

    fn connected(&self, client: &Client) -> Result<(), Close> {
        if client.is_disconnected() {
            return Err(gone_already());
        }
        let inbox = Arc::new(Inbox::new(client));
        let socket = WebSocket::new(client.clone(), Arc::clone(&inbox));
        let task = Box::pin((self.handler)(socket));
        let host: Arc<dyn Host> =
            if client.set_adapter_data(Slot { handler: self.id(), inbox: Arc::clone(&inbox) }) {
                inbox
            } else {
                let pending = PendingInbox {
                    inbox: Arc::clone(&inbox),
                    pending_inboxes: Arc::downgrade(&self.pending_inboxes),
                };
                let before = self.pending_inboxes.lock().insert(client.id(), inbox);
                drop(before); // outside of the lock: there are wakers in it
                Arc::new(pending)
            };
        client.hand_to(&host);
        let task = ApplicationValue::new(task, client.config().debug_on());
        runtime::spawn(Guarded { client: client.clone(), task });
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.put(client, || Message::Text(text.into_bytestring()));
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.put(client, || Message::Binary(payload.into_bytes()));
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        self.put(client, || Message::Pong(payload.into_bytes()));
    }

    fn drained(&self, client: &Client) {
        if let Some(inbox) = self.inbox(client) {
            inbox.drained();
        }
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        if let Some(inbox) = self.inbox(client) {
            inbox.end(client, end.clone());
        }
        if self.adapter_data(client).is_none() {
            let pending = self.pending_inboxes.lock().remove(&client.id());
            drop(pending); // as above
        }
    }
}

impl<F> AsyncHandler<F> {
    fn put(&self, client: &Client, message: impl FnOnce() -> Message) {
        if let Some(inbox) = self.inbox(client) {
            inbox.put(client, message());
        }
    }

    fn inbox(&self, client: &Client) -> Option<Arc<Inbox>> {
        self.adapter_data(client).or_else(|| self.pending_inboxes.lock().get(&client.id()).cloned())
    }

    /// What this handler, and not another that stands beside it, has put into the client.
    fn adapter_data(&self, client: &Client) -> Option<Arc<Inbox>> {
        let slot = client.adapter_data::<Slot>().filter(|slot| slot.handler == self.id())?;
        Some(Arc::clone(&slot.inbox))
    }

    /// What tells it from other handlers.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.pending_inboxes).addr()
    }
}

/// A handler's task: a panic in it, or in the drop of what it held, costs its client only.
struct Guarded<R> {
    client: Client,
    task: ApplicationValue<Pin<Box<R>>>,
}

impl<R: Future> Future for Guarded<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let debug = self.client.config().debug_on();
        let Some(task) = self.task.get_mut() else { return Poll::Ready(()) };
        let polled = guard(debug, || task.as_mut().poll(cx).map(drop));
        if let Some(Poll::Pending) = polled {
            return Poll::Pending;
        }
        if polled.is_none() {
            self.client.fail();
        }
        self.task.discard(); // not left to the executor
        Poll::Ready(())
    }
}

impl<F> fmt::Debug for AsyncHandler<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncHandler").finish_non_exhaustive()
    }
}
