//! The four ways to receive messages, each held back by a gate.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use clws_server::{
    ByteString, Client, Close, Disconnect, Event, Mailbox, Message, Origins, Resource, ResourceListener,
    ResourceListenerTask, Server, Text, WebSocket, async_handler, mailbox,
};
use futures::StreamExt;
use futures::executor::block_on;

use super::gate::Gate;
use super::wire::SHORT_TIMEOUT;

/// The way to receive the messages of a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A handler on the thread that reads.
    Inline,
    Mailbox,
    Listener,
    /// An async handler for each client.
    Async,
}

/// An event of a receiver.
#[derive(Debug)]
pub enum ReceiverEvent {
    Connected(Client),
    Text(String),
    Disconnected(Disconnect),
}

/// The events of a receiver.
pub struct Log(Receiver<ReceiverEvent>);

impl Kind {
    /// Registers a receiver of this kind. It handles only its first client's arrival until the gate
    /// is open.
    pub fn register(self, server: &Server, path: &str, gate: &Gate) -> Log {
        let (tx, rx) = mpsc::channel();
        let gate = gate.clone();
        match self {
            Self::Inline => server.resources().register(path, Origins::any(), Inline { gate, tx }).unwrap(),
            Self::Mailbox => {
                let (resource, events) = mailbox::<()>();
                server.resources().register(path, Origins::any(), resource).unwrap();
                thread::spawn(move || read_mailbox(events, &gate, &tx));
            }
            Self::Listener => {
                let task = ResourceListenerTask::new(Listening { gate, tx });
                server.resources().register_shared(path, Origins::any(), task.resource()).unwrap();
                thread::spawn(move || block_on(task.run()));
            }
            Self::Async => {
                let tx = Mutex::new(tx);
                let handler = move |socket| read_socket(socket, gate.clone(), tx.lock().unwrap().clone());
                server.resources().register(path, Origins::any(), async_handler(handler)).unwrap();
            }
        }
        Log(rx)
    }
}

struct Inline {
    gate: Gate,
    tx: Sender<ReceiverEvent>,
}

impl Resource for Inline {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        let _ = self.tx.send(ReceiverEvent::Connected(client.clone()));
        Ok(())
    }

    fn text(&self, _: &Client, text: Text<'_>) {
        self.gate.pass();
        // The client's share of an event loop turn must end before its messages.
        thread::sleep(Duration::from_micros(200));
        let _ = self.tx.send(ReceiverEvent::Text(text.as_str().to_owned()));
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        let _ = self.tx.send(ReceiverEvent::Disconnected(end.clone()));
    }
}

fn read_mailbox(mut events: Mailbox<()>, gate: &Gate, tx: &Sender<ReceiverEvent>) {
    while let Some(event) = block_on(events.next()) {
        let event = match event {
            Event::Connected(client) => ReceiverEvent::Connected(client),
            Event::Text(_, text) => ReceiverEvent::Text(text.to_string()),
            Event::Disconnected(_, end) => ReceiverEvent::Disconnected(end),
            _ => continue,
        };
        let connected = matches!(event, ReceiverEvent::Connected(_));
        if tx.send(event).is_err() {
            return;
        }
        if connected {
            gate.pass();
        }
    }
}

struct Listening {
    gate: Gate,
    tx: Sender<ReceiverEvent>,
}

impl ResourceListener for Listening {
    type Message = ();

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        let _ = self.tx.send(ReceiverEvent::Connected(client.clone()));
        self.gate.pass();
        Ok(())
    }

    fn text(&mut self, _: &Client, text: ByteString) {
        let _ = self.tx.send(ReceiverEvent::Text(text.to_string()));
    }

    fn disconnected(&mut self, _: &Client, end: &Disconnect) {
        let _ = self.tx.send(ReceiverEvent::Disconnected(end.clone()));
    }
}

async fn read_socket(mut socket: WebSocket, gate: Gate, tx: Sender<ReceiverEvent>) {
    let _ = tx.send(ReceiverEvent::Connected(socket.client().clone()));
    gate.passed().await;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message {
            let _ = tx.send(ReceiverEvent::Text(text.to_string()));
        }
    }
    // After a close by the application, the stream ends before `disconnect` is set.
    while socket.disconnect().is_none() {
        async_std::task::sleep(Duration::from_millis(2)).await;
    }
    let _ = socket.disconnect().map(|end| tx.send(ReceiverEvent::Disconnected(end)));
}

impl Log {
    #[track_caller]
    pub fn next(&self) -> ReceiverEvent {
        self.0.recv_timeout(SHORT_TIMEOUT).expect("the receiver gets no event")
    }

    /// The next new client.
    #[track_caller]
    pub fn connected(&self) -> Client {
        loop {
            if let ReceiverEvent::Connected(client) = self.next() {
                return client;
            }
        }
    }

    /// The messages up to the end of the client, and that end.
    #[track_caller]
    pub fn messages_and_end(&self) -> (Vec<String>, Disconnect) {
        let mut texts = Vec::new();
        loop {
            match self.next() {
                ReceiverEvent::Connected(_) => {}
                ReceiverEvent::Text(text) => texts.push(text),
                ReceiverEvent::Disconnected(end) => return (texts, end),
            }
        }
    }
}

/// Checks that these are the first messages of [`numbered_texts`](super::wire::numbered_texts),
/// each once and in order.
#[track_caller]
pub fn assert_in_order(texts: &[String]) {
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(text.parse(), Ok(number), "a message is lost, duplicated or out of order");
    }
}

/// Clones a value for each call of an async handler, which several threads may call.
pub fn cloner<T: Clone>(value: T) -> impl Fn() -> T {
    let value = Arc::new(Mutex::new(value));
    move || value.lock().unwrap().clone()
}
