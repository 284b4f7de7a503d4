//! State of the simulated application: clients, groups, decisions, mailboxes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::client::Client;
use crate::client::group::Group;
use crate::client::topics::Topics;
use crate::handler::mailbox::sender::MailboxSender;
use crate::handler::resource_listener::handle::ResourceListenerHandle;
use crate::resource::decision::Decision;
use crate::server::handle::ServerHandle;
use crate::sim::resources::AppListener;

pub(super) const GROUPS: usize = 4;
pub(super) const TOPICS: [&str; 3] = ["a", "b", "c"];

/// Dropping any of this may call the server, so nothing is dropped while `APP` is borrowed.
pub(super) struct App {
    pub(super) server: ServerHandle,
    /// Clients that are connected.
    clients: BTreeMap<u32, Client>,
    pub(super) groups: [Group; GROUPS],
    pub(super) topics: Topics,
    decisions: BTreeMap<u32, Decision>,
    pub(super) mailbox: MailboxSender<u32>,
    pub(super) listener: ResourceListenerHandle<AppListener>,
    /// Tasks that serve streams, by connection.
    pub(super) streams: BTreeMap<u32, u32>,
}

thread_local! {
    static APP: RefCell<Option<Box<App>>> = const { RefCell::new(None) };
}

impl App {
    pub(super) fn new(
        server: ServerHandle,
        mailbox: MailboxSender<u32>,
        listener: ResourceListenerHandle<AppListener>,
    ) -> Self {
        Self {
            server,
            clients: BTreeMap::new(),
            groups: Default::default(),
            topics: Topics::new(),
            decisions: BTreeMap::new(),
            mailbox,
            listener,
            streams: BTreeMap::new(),
        }
    }
}

/// Installs the application of this thread and drops the previous application.
pub(super) fn install(app: Option<App>) {
    let before = APP.replace(app.map(Box::new));
    drop(before);
}

/// Runs `work` on this thread's application. `work` must not call the server.
pub(super) fn app<R>(work: impl FnOnce(&mut App) -> R) -> Option<R> {
    APP.try_with(|app| app.borrow_mut().as_mut().map(|app| work(app))).ok().flatten()
}

pub(super) fn keep_client(conn: u32, client: &Client) {
    drop(app(|app| app.clients.insert(conn, client.clone())));
}

pub(super) fn forget_client(conn: u32) {
    drop(app(|app| app.clients.remove(&conn)));
}

pub(super) fn client(conn: u32) -> Option<Client> {
    app(|app| app.clients.get(&conn).cloned()).flatten()
}

/// The connected clients.
pub(super) fn present() -> Vec<u32> {
    app(|app| app.clients.keys().copied().collect()).unwrap_or_default()
}

/// Whether the server has begun to close a client.
pub(super) fn is_closing(conn: u32) -> bool {
    app(|app| app.clients.get(&conn).is_none_or(Client::is_closing)).unwrap_or(true)
}

pub(super) fn keep_decision(conn: u32, decision: Decision) {
    drop(app(|app| app.decisions.insert(conn, decision)));
}

pub(super) fn take_decision(conn: u32) -> Option<Decision> {
    app(|app| app.decisions.remove(&conn)).flatten()
}
