//! A resource that serves each client with an async function.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use clws_handshake::Reject;
use clws_proto::{CloseCode, Payload, Piece, Text};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::id::ClientId;
use crate::client::watchers::{Host, gone_already};
use crate::drain::work::Work;
use crate::guard::{ApplicationValue, guard, log};
use crate::handler::websocket::WebSocket;
use crate::handler::websocket::inbox::Inbox;
use crate::handler::websocket::message::Message;
use crate::lock::{Lock, rank};
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::resource::{CloseTime, Resource};
use crate::runtime::handle::NoRuntime;

/// Creates a resource that serves each client with an async function, in a separate task of
/// the server's [runtime](crate::runtime).
///
/// The function reads and writes the client's [`WebSocket`]. The connection is closed with 1000
/// when the function returns, and with 1011 when it panics. Each client costs a task, and each
/// message moves to another thread, which costs some microseconds more than an inline
/// [`Resource`](crate::Resource). If the runtime ends, the connection is closed with 1001.
///
/// ```
/// use clws_server::{Config, Origins, SendError, Server, WebSocket, async_handler};
///
/// async fn echo(mut socket: WebSocket) -> Result<(), SendError> {
///     while let Some(message) = socket.next().await {
///         socket.send(message).await?; // fails if the client has disconnected
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
    /// The inboxes of clients that did not pass our `accept`, because a wrapping resource decided
    /// on them.
    pending_inboxes: Arc<PendingInboxes>,
}

type PendingInboxes = Lock<HashMap<ClientId, Arc<Inbox>>, { rank::PENDING_INBOXES }>;

/// The host of a client in `pending_inboxes`: it removes the inbox at the end.
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
        drop(pending); // after the lock is released
    }
}

/// The data that a handler stores in its clients.
struct Slot {
    /// The [`AsyncHandler::id`] of the handler.
    handler: usize,
    inbox: Arc<Inbox>,
}

type Decide = Box<dyn Fn(&Opening) -> Result<Accept, Reject> + Send + Sync>;

impl<F> AsyncHandler<F> {
    /// Decides on each client, as [`Resource::accept`] does. Otherwise every client is accepted.
    ///
    /// ```
    /// use clws_server::{Accept, Reject, WebSocket, async_handler};
    ///
    /// let resource = async_handler(|mut socket: WebSocket| async move {
    ///     let _ = socket.send("welcome").await;
    /// })
    /// .accepting(|opening| match opening.cookie("session") {
    ///     Some(session) => Ok(Accept::new().data(session.to_owned())),
    ///     None => Err(Reject::custom(401, "log in first")),
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
        client.context().shared.runtime.check().map_err(|error| no_task(&error))?;
        if client.is_disconnected() {
            return Err(gone_already());
        }
        let inbox = Arc::new(Inbox::new(client));
        let for_drain = Arc::clone(&inbox);
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
                drop(before); // after the lock is released: it holds wakers
                Arc::new(pending)
            };
        client.hand_to(&host);
        let task = ApplicationValue::new(task, client.config().debug_on());
        let work: Arc<dyn Work> = Arc::clone(&for_drain) as _;
        let work = client.context().shared.drain.works.add(Arc::downgrade(&work));
        let task = Guarded { client: client.clone(), task, work, _inbox: for_drain };
        client.context().shared.runtime.spawn(task).map_err(|error| no_task(&error))
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.put(client, || Message::Text(text.into_bytestring()));
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.put(client, || Message::Binary(payload.into_bytes()));
    }

    fn piece(&self, client: &Client, piece: Piece<'_>) {
        self.put(client, || Message::Piece(piece.into()));
    }

    fn pong(&self, client: &Client, payload: Payload<'_>) {
        self.put(client, || Message::Pong(payload.into_bytes()));
    }

    fn drained(&self, client: &Client) {
        if let Some(inbox) = self.inbox(client) {
            inbox.drained();
        }
    }

    fn needs_runtime(&self) -> bool {
        true
    }

    fn draining(&self, client: &Client) -> CloseTime {
        match self.inbox(client) {
            Some(inbox) if inbox.drain() => CloseTime::Later,
            _ => CloseTime::Now,
        }
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        if let Some(inbox) = self.inbox(client) {
            inbox.end(client, end.clone());
        }
        if self.adapter_data(client).is_none() {
            let pending = self.pending_inboxes.lock().remove(&client.id());
            drop(pending); // after the lock is released
        }
    }
}

/// The error of a client in a server without a runtime. A resource that wraps the handler hid that
/// it needs one.
fn no_task(error: &NoRuntime) -> Close {
    log(|| tracing::error!("an async handler cannot run: {error}"));
    Close::new(CloseCode::INTERNAL, "")
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

    /// The inbox that this handler has stored in the client. Another handler may serve the client
    /// too.
    fn adapter_data(&self, client: &Client) -> Option<Arc<Inbox>> {
        let slot = client.adapter_data::<Slot>().filter(|slot| slot.handler == self.id())?;
        Some(Arc::clone(&slot.inbox))
    }

    /// The identity of this handler.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.pending_inboxes).addr()
    }
}

/// The task of a handler. A panic in it, or in the drop of its data, closes only its client.
struct Guarded<R> {
    client: Client,
    task: ApplicationValue<Pin<Box<R>>>,
    /// The key of the inbox among the handlers that a drain waits for.
    work: usize,
    _inbox: Arc<Inbox>,
}

/// A runtime that ends drops its tasks.
impl<R> Drop for Guarded<R> {
    fn drop(&mut self) {
        if self.task.get().is_some() {
            self.client.close(CloseCode::GOING_AWAY);
        }
        self.task.discard(&self.client);
        self.client.context().shared.drain.works.remove(self.work);
    }
}

impl<R: Future> Future for Guarded<R> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let debug = this.client.config().debug_on();
        let Some(task) = this.task.get_mut() else { return Poll::Ready(()) };
        let polled = guard(debug, &this.client, || task.as_mut().poll(cx).map(drop));
        if let Some(Poll::Pending) = polled {
            return Poll::Pending;
        }
        if polled.is_none() {
            this.client.fail();
        }
        this.task.discard(&this.client); // its drop is guarded here, and not in the executor
        Poll::Ready(())
    }
}

impl<F> fmt::Debug for AsyncHandler<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncHandler").finish_non_exhaustive()
    }
}
