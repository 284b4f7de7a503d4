//! The task of a resource listener: it takes events from the mailbox and calls the handlers.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use clws_handshake::Reject;
use futures::{FutureExt, StreamExt};

use crate::client::id::ClientId;
use crate::drain::work::Works;
use crate::guard::{DebugOn, discard, guard};
use crate::handler::mailbox::event::Event;
use crate::handler::mailbox::sender::MailboxSender;
use crate::handler::mailbox::{Mailbox, mailbox};
use crate::handler::resource_listener::ResourceListener;
use crate::handler::resource_listener::handle::{InHandler, Mail, ResourceListenerHandle};
use crate::resource::Resource;
use crate::runtime::handle::Timer;
use crate::signal::GivesOnDrop;
use crate::time::{deadline_after, now};

/// A resource listener with its mailbox, to spawn on any executor or to await.
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
///     handle.send("the chat is open".to_owned())?;
///     Ok(task.run().await) // until `kill` is called
/// }
/// ```
#[must_use = "a listener handles nothing until it is run"]
pub struct ResourceListenerTask<L: ResourceListener> {
    listener: L,
    mailbox: Mailbox<Mail<L>>,
    sender: MailboxSender<Mail<L>>,
    ended: GivesOnDrop,
    debug: DebugOn,
    /// The path of the listener, if the server has registered it.
    path: Option<Box<str>>,
    muted: HashMap<ClientId, Muted>,
}

/// A client whose events reach no handler any more.
struct Muted {
    /// The end still reaches [`ResourceListener::disconnected`].
    delivers_end: bool,
    undelivered: u64,
}

impl<L: ResourceListener> ResourceListenerTask<L> {
    /// A listener that does not run yet. Its events wait in the mailbox.
    pub fn new(listener: L) -> Self {
        let (sender, mailbox) = mailbox();
        let sender = sender.openings();
        let ended = GivesOnDrop(Arc::default());
        let (debug, muted) = (DebugOn::default(), HashMap::new());
        Self { listener, mailbox, sender, ended, debug, path: None, muted }
    }

    /// The resource to register, at one path or at several.
    #[must_use]
    pub fn resource(&self) -> Arc<dyn Resource> {
        Arc::new(self.sender.clone())
    }

    /// A handle of this listener.
    #[must_use]
    pub fn handle(&self) -> ResourceListenerHandle<L> {
        let (sender, ended) = (self.sender.clone(), Arc::clone(&self.ended.0));
        ResourceListenerHandle { sender, ended, registered: None }
    }

    /// Handles events, and returns the listener at its end.
    ///
    /// The listener ends when it is [killed](ResourceListenerHandle::kill). It also ends when it is
    /// registered nowhere and has no clients and no handles. Dropping the future ends it at once,
    /// without another call of a handler.
    pub async fn run(self) -> L {
        let Self { mut listener, mut mailbox, sender, ended, mut debug, path, mut muted } = self;
        // A task that holds a sender would never end.
        drop(sender);
        let mut kill_timer = None;
        let id = Arc::as_ptr(&ended.0).addr();
        while let Some(event) = poll_fn(|cx| poll_next(&mut mailbox, &mut kill_timer, cx)).await {
            let in_handler = InHandler::of(id);
            handle(&mut listener, event, &mut debug, &path, &mut muted);
            drop(in_handler);
        }
        drop(ended); // wakes the tasks that wait for the end
        listener
    }

    pub(crate) fn debug_on(mut self, debug: DebugOn) -> Self {
        self.debug = debug;
        self
    }

    /// Lets a drain of the server wait for the listener.
    pub(super) fn known_to(self, works: &Works) -> Self {
        self.sender.make_known(works);
        self
    }

    /// Sets the path for the log.
    pub(super) fn at(mut self, path: &str) -> Self {
        self.path = Some(path.into());
        self
    }
}

/// The time at which the clients of a killed listener are aborted; `Some(None)` when they were.
type KillTimer = Option<Option<Timer>>;

/// Polls for the next event. The clients of a killed listener have twice `close_timeout` to read
/// their queues. Then they are aborted.
fn poll_next<L: ResourceListener>(
    mailbox: &mut Mailbox<Mail<L>>,
    kill_timer: &mut KillTimer,
    cx: &mut Context<'_>,
) -> Poll<Option<Event<Mail<L>>>> {
    loop {
        if let Poll::Ready(next) = mailbox.poll_next_unpin(cx) {
            return Poll::Ready(next);
        }
        let Some(client) = mailbox.leaving() else { return Poll::Pending };
        let timer = kill_timer.get_or_insert_with(|| {
            let time = client.config().close_timeout.saturating_mul(2);
            Some(client.context().shared.runtime.timer(deadline_after(now(), time)))
        });
        if timer.as_mut().is_none_or(|timer| timer.poll_unpin(cx).is_pending()) {
            return Poll::Pending;
        }
        mailbox.abort_clients(); // which puts their ends into the mailbox
        *kill_timer = Some(None);
    }
}

/// Calls the handler for one event.
fn handle<L: ResourceListener>(
    listener: &mut L,
    event: Event<Mail<L>>,
    debug: &mut DebugOn,
    path: &Option<Box<str>>,
    muted: &mut HashMap<ClientId, Muted>,
) {
    let mut event = event;
    let client = match &event {
        Event::Connected(client) => {
            *debug = client.config().debug_on();
            client.clone()
        }
        Event::Text(client, _) | Event::Binary(client, _) | Event::Pong(client, _) => client.clone(),
        Event::Drained(client) | Event::Draining(client) | Event::Disconnected(client, _) => client.clone(),
        Event::Piece(client, _) => client.clone(),
        Event::Opening(opening, _) => {
            *debug = opening.debug;
            return handle_other(listener, event, *debug, path);
        }
        Event::Message(_) => return handle_other(listener, event, *debug, path),
    };
    if let Some(known) = muted.get_mut(&client.id()) {
        let Event::Disconnected(_, end) = &mut event else {
            let messages = u64::from(event.ends_data());
            known.undelivered += messages;
            client.note_undelivered(messages);
            return discard(*debug, &client, event);
        };
        end.undelivered += known.undelivered;
        if muted.remove(&client.id()).is_none_or(|muted| !muted.delivers_end) {
            return discard(*debug, &client, event);
        }
    }
    let is_end = matches!(event, Event::Disconnected(..));
    let is_start = matches!(event, Event::Connected(_));
    let done = guard(*debug, &client, || match event {
        Event::Connected(client) => listener.connected(&client),
        event => {
            match event {
                Event::Text(client, text) => listener.text(&client, text),
                Event::Binary(client, payload) => listener.binary(&client, payload),
                Event::Piece(client, piece) => listener.piece(&client, piece),
                Event::Pong(client, payload) => listener.pong(&client, payload),
                Event::Drained(client) => listener.drained(&client),
                Event::Draining(client) => listener.draining(&client),
                Event::Disconnected(client, end) => listener.disconnected(&client, &end),
                Event::Connected(_) | Event::Opening(..) | Event::Message(_) => {}
            }
            Ok(())
        }
    });
    match done {
        Some(Ok(())) => {}
        Some(Err(close)) => {
            muted.insert(client.id(), Muted { delivers_end: false, undelivered: 0 });
            client.refuse(&close);
            client.wake();
        }
        None if is_end => {}
        None => {
            muted.insert(client.id(), Muted { delivers_end: !is_start, undelivered: 0 });
            client.fail();
        }
    }
}

/// Calls the handler for an event without a client.
fn handle_other<L: ResourceListener>(
    listener: &mut L,
    event: Event<Mail<L>>,
    debug: DebugOn,
    path: &Option<Box<str>>,
) {
    match event {
        Event::Opening(opening, decision) => {
            let failed = || Err(Reject::custom(500, "the resource failed"));
            decision.decide(guard(debug, &opening, || listener.accept(&opening)).unwrap_or_else(failed));
        }
        Event::Message(Mail::Message(message)) => {
            let _ = guard(debug, path, || listener.custom_message(message));
        }
        Event::Message(Mail::Call(call)) => call(listener, debug, path),
        _ => {}
    }
}

impl<L: ResourceListener> fmt::Debug for ResourceListenerTask<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceListenerTask").finish_non_exhaustive()
    }
}
