//! A server without a runtime.

use std::io::ErrorKind;

use clws_server::{
    Accept, Client, Drain, Event, Opening, Origins, RegisterError, Reject, Resource, ResourceListener,
    Server, Text, WebSocket, async_handler, mailbox,
};
use futures::StreamExt;

use crate::common::wire::{TEXT, Wire};
use crate::common::{Running, config};

struct Inline;

impl Resource for Inline {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        match opening.query_string() {
            Some("task") => Ok(Accept::decided_by(async { Ok(Accept::new()) })),
            _ => Ok(Accept::new()),
        }
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        client.send(text).unwrap();
    }
}

struct Listener;

impl ResourceListener for Listener {
    type Message = ();
}

/// Hides that it needs a task.
struct Wrapper<R>(R);

impl<R: Resource> Resource for Wrapper<R> {
    fn connected(&self, client: &Client) -> Result<(), clws_server::Close> {
        self.0.connected(client)
    }
}

async fn leave(_: WebSocket) {}

#[test]
fn a_registration_that_needs_a_task_is_an_error() {
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    let resources = server.resources();
    let missing = |path: &str| Err(RegisterError::NoRuntime(path.into()));
    assert_eq!(resources.register("/a", Origins::any(), async_handler(leave)), missing("/a"));
    let shared = std::sync::Arc::new(async_handler(leave));
    assert_eq!(resources.register_prefix("/b/", Origins::any(), shared), missing("/b/"));
    let listener = resources.run_resource_listener("/c", Origins::any(), Listener);
    let error = listener.map(drop).unwrap_err();
    assert_eq!(Err(error.clone()), missing("/c"));
    assert!(error.to_string().starts_with("\"/c\" needs a runtime: enable the feature"), "{error}");
    assert!(["/a", "/b/x", "/c"].into_iter().all(|path| resources.find(path).is_none()));
}

#[test]
fn a_task_per_client_is_an_error_of_bind() {
    let error = Server::bind(config().listen("127.0.0.1:0").task_per_client(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().starts_with("`task_per_client` is true: the server has no runtime"), "{error}");
}

#[test]
fn inline_resources_and_mailboxes_work() {
    let server = Server::bind(config().listen("127.0.0.1:0")).unwrap();
    let (sender, mut events) = mailbox::<()>();
    server.resources().register("/inline", Origins::any(), Inline).unwrap();
    server.resources().register("/mailbox", Origins::any(), sender).unwrap();
    server.resources().register("/wrapped", Origins::any(), Wrapper(async_handler(leave))).unwrap();
    let server = Running::run(server);
    let reader = std::thread::spawn(move || {
        futures::executor::block_on(async {
            while let Some(event) = events.next().await {
                if let Event::Text(client, text) = event {
                    client.send(text).unwrap();
                }
            }
        });
    });
    for path in ["/inline", "/mailbox"] {
        let mut client = Wire::connect(&server, path);
        client.text("hello");
        assert_eq!(client.next().unwrap(), (TEXT, b"hello".to_vec()), "{path}");
        client.finish();
    }
    // What no registration could see is refused when it comes.
    assert_eq!(server.try_connect(clws_server::Version::Rfc6455, "/inline?task").err(), Some(500));
    assert_eq!(Wire::connect(&server, "/wrapped").close_code(), Some(1011));

    let mut last = Wire::connect(&server, "/mailbox");
    last.text("last");
    assert_eq!(last.next().unwrap(), (TEXT, b"last".to_vec()));
    server.handle.drain(Drain::new().within(10 * crate::common::TIMEOUT));
    last.finish();
    assert_eq!(server.wait().unwrap().unfinished, 0);
    drop(server);
    reader.join().unwrap();
}
