use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use bytestring::ByteString;
use clws_handshake::{Origins, Reject};
use clws_proto::CloseCode;
use futures::channel::oneshot;
use futures::{FutureExt, StreamExt};

use crate::client::Client;
use crate::client::close::Close;
use crate::client::disconnect::Disconnect;
use crate::client::id::ClientId;
use crate::guard::{DebugOn, discard, guard, guard_other, log};
use crate::handler::mailbox::mailbox;
use crate::handler::mailbox::sender::MailboxSender;
use crate::handler::mailbox::{Event, Mailbox, MailboxClosed};
use crate::resource::Resource;
use crate::resource::accept::Accept;
use crate::resource::opening::Opening;
use crate::resource::registry::error::RegisterError;
use crate::resource::registry::{Registered, Resources};
use crate::runtime;
use crate::signal::{GivesOnDrop, Signal};
use crate::sync::thread_local;
use crate::time::{deadline_after, now};

/// A resource with `&mut self`: its events come in order, through one mailbox, to one task.
///
/// It is CLWS's model: what all clients do to the state of a chat room, say, happens one after the other, and no lock is
/// needed. [`run_resource_listener`](crate::Resources::run_resource_listener) registers one and runs it;
/// [`ResourceListenerTask`] leaves it to you where it runs. What an inline [`Resource`](crate::Resource) can do is told there,
/// and is the same here, but that a message reaches another thread before it is handled, which costs some microseconds.
///
/// When more than [`max_handler_read_backlog`](crate::Config#structfield.max_handler_read_backlog) octets of messages wait
/// in its mailbox, the clients that send more are not read from until half of it is handled. No message is lost.
///
/// A panic in a handler closes the client at hand with 1011; the listener goes on, so leave its state in order before you
/// call what may panic. With [`debug_on_resource_errors`](crate::Config#structfield.debug_on_resource_errors) a panic ends
/// the process.
///
/// ```
/// use clws_server::{ByteString, Client, Config, ResourceListener, Origins, Server};
///
/// /// Numbers what is said.
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
///         let _ = client.send_text(&format!("{}: {text}", self.count));
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = Server::bind(Config::default().listen("127.0.0.1:0"))?;
/// let counter = server.resources().run_resource_listener("/count", Origins::any(), Counter::default())?;
/// let count = counter.call(|counter| counter.count); // runs on the listener's task
/// assert_eq!(futures::executor::block_on(count), Ok(0));
/// # Ok(()) }
/// ```
#[expect(unused_variables, reason = "the names are for the documentation")]
pub trait ResourceListener: Send + Sized + 'static {
    /// What the application itself sends to the listener by [`ResourceListenerHandle::send`]; `()` where there is nothing.
    type Message: Send + 'static;

    /// Decides on a client whose handshake is valid and whose origin is admitted: `resource-accept-connection`.
    ///
    /// The default takes everybody, with no subprotocol.
    ///
    /// # Errors
    ///
    /// The answer to send instead.
    fn accept(&mut self, opening: &Opening) -> Result<Accept, Reject> {
        Ok(Accept::new())
    }

    /// A client is there and can be sent to: `resource-client-connected`.
    ///
    /// # Errors
    ///
    /// [`Close`] closes the connection again; no other handler is called for this client, whatever it has sent already.
    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        Ok(())
    }

    /// A text message came: `resource-received-text`. The default closes with 1003.
    fn text(&mut self, client: &Client, text: ByteString) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no text"));
    }

    /// A binary message came: `resource-received-binary`. The default closes with 1003. Never in draft 0 and
    /// hixie-75.
    fn binary(&mut self, client: &Client, payload: Bytes) {
        client.close((CloseCode::UNSUPPORTED, "this resource takes no binary messages"));
    }

    /// A pong came: `resource-received-pong`.
    fn pong(&mut self, client: &Client, payload: Bytes) {}

    /// A client that was sent more than it had read has read: see [`Resource::drained`](crate::Resource::drained).
    fn drained(&mut self, client: &Client) {}

    /// The client is gone or going: `resource-client-disconnected`. Called once for each client that was
    /// [`connected`](Self::connected), and the last call for it; it is in no [`Group`](crate::Group) any more.
    fn disconnected(&mut self, client: &Client, end: &Disconnect) {}

    /// A message of the application's own came: `resource-received-custom-message`.
    fn custom_message(&mut self, message: Self::Message) {}
}

/// A listener with its mailbox, to be run by whoever wants to: spawned on any executor, or awaited.
///
/// ```
/// use clws_server::{Client, ResourceListener, ResourceListenerTask, Origins, Server};
///
/// # struct Chat;
/// # impl ResourceListener for Chat { type Message = String; }
/// async fn chat(server: &Server) -> Result<Chat, Box<dyn std::error::Error>> {
///     let task = ResourceListenerTask::new(Chat);
///     server.resources().register_shared("/chat", Origins::any(), task.resource())?;
///     let handle = task.handle();
///     handle.send("the pending_admissions are open".to_owned())?;
///     Ok(task.run().await) // until somebody calls `kill`
/// }
/// ```
#[must_use = "it handles nothing until it is run"]
pub struct ResourceListenerTask<L: ResourceListener> {
    listener: L,
    mailbox: Mailbox<Mail<L>>,
    sender: MailboxSender<Mail<L>>,
    ended: GivesOnDrop,
    debug: DebugOn,
    muted: HashMap<ClientId, Muted>,
}

/// A client of which the handlers are to hear no more.
struct Muted {
    hears_of_end: bool,
    undelivered: u64,
}

/// A handle of a listener that runs: to send it messages, to call closures on its task, to end it. Cheap to clone.
pub struct ResourceListenerHandle<L: ResourceListener> {
    sender: MailboxSender<Mail<L>>,
    ended: Arc<Signal>,
    registered: Option<Arc<Registered>>,
}

/// A closure gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The listener had ended, or ended before it came to the closure.
    #[error("the listener has ended")]
    Gone,
    /// It panicked.
    #[error("the closure panicked")]
    Panicked,
    /// A handler of the listener waits for the result, or a closure that was called on its task: the closure could be called
    /// only when that has returned. It is called then, and its result is dropped.
    #[error("the listener would wait for itself")]
    WaitsForItself,
}

thread_local! {
    /// The listeners of which a handler runs on this thread, by [`ResourceListenerHandle::id`]. One may run another by waiting for it.
    static IN_HANDLER: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// A handler of that listener runs on this thread until this is dropped.
struct InHandler;

impl InHandler {
    fn of(id: usize) -> Self {
        // A thread that ends has none any more.
        let _ = IN_HANDLER.try_with(|running| running.borrow_mut().push(id));
        Self
    }

    fn is_here(id: usize) -> bool {
        IN_HANDLER.try_with(|running| running.borrow().contains(&id)).unwrap_or(false)
    }
}

impl Drop for InHandler {
    fn drop(&mut self) {
        let _ = IN_HANDLER.try_with(|running| running.borrow_mut().pop());
    }
}

/// What the application sends to a listener.
enum Mail<L: ResourceListener> {
    Message(L::Message),
    Call(Call<L>),
}

type Call<L> = Box<dyn FnOnce(&mut L, DebugOn) + Send>;

impl<L: ResourceListener> ResourceListenerTask<L> {
    /// A listener that does not run yet; what comes for it meanwhile waits in its mailbox.
    pub fn new(listener: L) -> Self {
        let (sender, mailbox) = mailbox();
        let sender = sender.with_openings();
        let ended = GivesOnDrop(Arc::default());
        let (debug, muted) = (DebugOn::default(), HashMap::new());
        Self { listener, mailbox, sender, ended, debug, muted }
    }

    /// What is to be registered, once or behind several paths.
    #[must_use]
    pub fn resource(&self) -> Arc<dyn Resource> {
        Arc::new(self.sender.clone())
    }

    /// A handle to it.
    #[must_use]
    pub fn handle(&self) -> ResourceListenerHandle<L> {
        let (sender, ended) = (self.sender.clone(), Arc::clone(&self.ended.0));
        ResourceListenerHandle { sender, ended, registered: None }
    }

    /// Handles what comes until the listener is [killed](ResourceListenerHandle::kill), or is registered nowhere, has no clients
    /// and no handles; then returns it. A future that is dropped ends it too, without a word more to the listener.
    pub async fn run(self) -> L {
        let Self { mut listener, mut mailbox, sender, ended, mut debug, mut muted } = self;
        // Or it would hold itself for ever.
        drop(sender);
        let mut patience = None;
        let id = Arc::as_ptr(&ended.0).addr();
        while let Some(event) = poll_fn(|cx| poll_next(&mut mailbox, &mut patience, cx)).await {
            let in_handler = InHandler::of(id);
            handle(&mut listener, event, &mut debug, &mut muted);
            drop(in_handler);
        }
        drop(ended); // whoever waits for it goes on
        listener
    }

    pub(crate) fn debug_on(mut self, debug: DebugOn) -> Self {
        self.debug = debug;
        self
    }
}

/// The next event. Clients of a listener that was killed, which take long to read what was queued for them, are waited for
/// twice the time that they have to answer a close frame, and then dropped.
fn poll_next<L: ResourceListener>(
    mailbox: &mut Mailbox<Mail<L>>,
    patience: &mut Option<runtime::Timer>,
    cx: &mut Context<'_>,
) -> Poll<Option<Event<Mail<L>>>> {
    loop {
        if let Poll::Ready(next) = mailbox.poll_next_unpin(cx) {
            return Poll::Ready(next);
        }
        let Some(time) = mailbox.leaving() else { return Poll::Pending };
        let over = deadline_after(now(), time.saturating_mul(2));
        if patience.get_or_insert_with(|| runtime::timer(over)).as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        mailbox.abort_clients(); // and their ends come
        *patience = Some(Box::pin(pending()));
    }
}

/// Handles one event.
fn handle<L: ResourceListener>(
    listener: &mut L,
    event: Event<Mail<L>>,
    debug: &mut DebugOn,
    muted: &mut HashMap<ClientId, Muted>,
) {
    let mut event = event;
    let client = match &event {
        Event::Connected(client) => {
            *debug = client.config().debug_on();
            client.clone()
        }
        Event::Text(client, _) | Event::Binary(client, _) | Event::Pong(client, _) => client.clone(),
        Event::Drained(client) | Event::Disconnected(client, _) => client.clone(),
        Event::Opening(opening, _) => {
            *debug = opening.debug;
            return handle_other(listener, event, *debug);
        }
        Event::Message(_) => return handle_other(listener, event, *debug),
    };
    if let Some(known) = muted.get_mut(&client.id()) {
        let Event::Disconnected(_, end) = &mut event else {
            known.undelivered += u64::from(matches!(event, Event::Text(..) | Event::Binary(..)));
            return discard(*debug, event);
        };
        end.undelivered += known.undelivered;
        if muted.remove(&client.id()).is_none_or(|muted| !muted.hears_of_end) {
            return discard(*debug, event);
        }
    }
    let is_end = matches!(event, Event::Disconnected(..));
    let is_begin = matches!(event, Event::Connected(_));
    let done = guard(*debug, || match event {
        Event::Connected(client) => listener.connected(&client),
        event => {
            match event {
                Event::Text(client, text) => listener.text(&client, text),
                Event::Binary(client, payload) => listener.binary(&client, payload),
                Event::Pong(client, payload) => listener.pong(&client, payload),
                Event::Drained(client) => listener.drained(&client),
                Event::Disconnected(client, end) => listener.disconnected(&client, &end),
                Event::Connected(_) | Event::Opening(..) | Event::Message(_) => {}
            }
            Ok(())
        }
    });
    match done {
        Some(Ok(())) => {}
        Some(Err(refuse)) => {
            muted.insert(client.id(), Muted { hears_of_end: false, undelivered: 0 });
            client.refuse(&refuse);
            client.wake();
        }
        None if is_end => {}
        None => {
            muted.insert(client.id(), Muted { hears_of_end: !is_begin, undelivered: 0 });
            client.fail();
        }
    }
}

/// Handles what has no client.
fn handle_other<L: ResourceListener>(listener: &mut L, event: Event<Mail<L>>, debug: DebugOn) {
    match event {
        Event::Opening(opening, decision) => {
            let failed = || Err(Reject::custom(500, "the resource failed"));
            decision.decide(guard(debug, || listener.accept(&opening)).unwrap_or_else(failed));
        }
        Event::Message(Mail::Message(message)) => drop(guard(debug, || listener.custom_message(message))),
        Event::Message(Mail::Call(call)) => call(listener, debug),
        _ => {}
    }
}

impl Resources {
    /// Registers a [`ResourceListener`] and runs it, in a task of async-std's executor: `run-resource-listener`. When it is
    /// [killed](ResourceListenerHandle::kill), its path is free again at once. (A [`ResourceListenerTask`] can be run elsewhere.)
    ///
    /// # Errors
    ///
    /// As [`register`](Self::register).
    pub fn run_resource_listener<L: ResourceListener>(
        &self,
        path: &str,
        origins: Origins,
        listener: L,
    ) -> Result<ResourceListenerHandle<L>, RegisterError> {
        let debug = self.debug_on();
        let task = ResourceListenerTask::new(listener).debug_on(debug);
        let resource = task.resource();
        let handle = task.handle().registered(self.registered(path, &resource));
        self.register_shared(path, origins, resource)?;
        runtime::spawn(task.run().map(move |listener| discard(debug, listener)));
        Ok(handle)
    }
}

impl<L: ResourceListener> ResourceListenerHandle<L> {
    /// Sends it a message of the application's own: `send-custom-message-to-resource`. It is handled behind what waits
    /// in the mailbox, by [`ResourceListener::custom_message`].
    ///
    /// # Errors
    ///
    /// The listener has ended.
    pub fn send(&self, message: L::Message) -> Result<(), MailboxClosed> {
        self.sender.send(Mail::Message(message))
    }

    /// Calls a closure on the listener's task, behind what waits in the mailbox: `call-on-resource-thread`. It is called
    /// whether the result is awaited or not.
    ///
    /// A handler of the listener itself can call it, but not wait for the result: until the handler has returned, no closure is
    /// called. Where it blocks its thread on the future, it gets [`CallError::WaitsForItself`]. Longer circles are not
    /// noticed, and wait for ever: two listeners of which each waits for the other, or a handler that waits for another
    /// task or thread that waits for the listener. An executor that runs inside of a handler must poll no such future for
    /// other tasks: they get the same error.
    ///
    /// # Errors
    ///
    /// The listener has ended, the closure panicked, or the listener would wait for itself.
    pub fn call<R, F>(&self, call: F) -> impl Future<Output = Result<R, CallError>> + Send + use<L, R, F>
    where
        R: Send + 'static,
        F: FnOnce(&mut L) -> R + Send + 'static,
    {
        let (done, mut result) = oneshot::channel();
        let id = self.id();
        let call = move |listener: &mut L, debug| {
            let result = guard(debug, || call(listener)).ok_or(CallError::Panicked);
            // Nobody may be interested in it, and then it is dropped; or a task is woken that waits for it.
            guard_other(debug, "the result of a closure, or the task that waits for it,", || {
                done.send(result).is_ok()
            });
        };
        // Where it has ended, the closure is dropped, and `done` with it.
        let _ = self.sender.send(Mail::Call(Box::new(call)));
        poll_fn(move |cx| match result.poll_unpin(cx) {
            Poll::Ready(result) => Poll::Ready(result.unwrap_or(Err(CallError::Gone))),
            Poll::Pending if InHandler::is_here(id) => Poll::Ready(Err(CallError::WaitsForItself)),
            Poll::Pending => Poll::Pending,
        })
    }

    /// Ends it: `kill-resource-listener`. What is in its mailbox is still handled; what comes later is dropped. Then its
    /// clients are closed with 1001, and when it has heard of the end of each [`ResourceListenerTask::run`] returns: twice the
    /// [`close_timeout`](crate::Config#structfield.close_timeout) later at most, for who takes longer is dropped.
    ///
    /// Where [`run_resource_listener`](crate::Resources::run_resource_listener) had registered it, its path is free when this
    /// returns. Elsewhere it stays registered, and new clients are told 503.
    pub fn kill(&self) {
        if let Some(registered) = &self.registered {
            registered.unregister();
        }
        self.sender.close();
    }

    /// Whether it was killed, or has ended otherwise: it takes nothing more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until it has ended, after a [`kill`](Self::kill) for instance.
    ///
    /// A handler of the listener itself must not wait for that: the listener ends when the handler has returned, so it never
    /// does. That is logged as an error.
    pub async fn ended(&self) {
        let (id, mut ended) = (self.id(), self.ended.wait());
        poll_fn(|cx| {
            let polled = ended.poll_unpin(cx); // or with a task that is dropped before its end
            if polled.is_pending() && InHandler::is_here(id) {
                log(|| tracing::error!("a handler waits for the end of its own listener, which never comes"));
            }
            polled
        })
        .await;
    }

    /// What tells its listener from every other one.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.ended).addr()
    }

    pub(crate) fn registered(mut self, registered: Registered) -> Self {
        self.registered = Some(Arc::new(registered));
        self
    }
}

impl<L: ResourceListener> Clone for ResourceListenerHandle<L> {
    fn clone(&self) -> Self {
        let (sender, ended) = (self.sender.clone(), Arc::clone(&self.ended));
        Self { sender, ended, registered: self.registered.clone() }
    }
}

impl<L: ResourceListener> fmt::Debug for ResourceListenerHandle<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceListenerHandle").finish_non_exhaustive()
    }
}

impl<L: ResourceListener> fmt::Debug for ResourceListenerTask<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceListenerTask").finish_non_exhaustive()
    }
}
