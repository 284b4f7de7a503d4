//! The four ways to receive messages, held back until the test lets them go on.

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
use super::wire::SHORT;

/// Where the messages of a resource go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A handler on the thread that reads.
    Inline,
    Mailbox,
    Listener,
    /// An async function for each client.
    Async,
}

/// What a receiver has got.
#[derive(Debug)]
pub enum Heard {
    Connected(Client),
    Text(String),
    Gone(Disconnect),
}

/// What a receiver has got so far.
pub struct Log(Receiver<Heard>);

impl Kind {
    /// Registers a receiver of this kind. It handles nothing but its first client's arrival until the gate is open.
    pub fn register(self, server: &Server, path: &str, gate: &Gate) -> Log {
        let (tell, told) = mpsc::channel();
        let gate = gate.clone();
        match self {
            Self::Inline => server.resources().register(path, Origins::any(), Inline { gate, tell }).unwrap(),
            Self::Mailbox => {
                let (resource, events) = mailbox::<()>();
                server.resources().register(path, Origins::any(), resource).unwrap();
                thread::spawn(move || read_mailbox(events, &gate, &tell));
            }
            Self::Listener => {
                let task = ResourceListenerTask::new(Listening { gate, tell });
                server.resources().register_shared(path, Origins::any(), task.resource()).unwrap();
                thread::spawn(move || block_on(task.run()));
            }
            Self::Async => {
                let tell = Mutex::new(tell);
                let handler = move |socket| read_socket(socket, gate.clone(), tell.lock().unwrap().clone());
                server.resources().register(path, Origins::any(), async_handler(handler)).unwrap();
            }
        }
        Log(told)
    }
}

struct Inline {
    gate: Gate,
    tell: Sender<Heard>,
}

impl Resource for Inline {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        let _ = self.tell.send(Heard::Connected(client.clone()));
        Ok(())
    }

    fn text(&self, _: &Client, text: Text<'_>) {
        self.gate.pass();
        thread::sleep(Duration::from_micros(200)); // so that a client's share of a turn ends before its messages
        let _ = self.tell.send(Heard::Text(text.as_str().to_owned()));
    }

    fn disconnected(&self, _: &Client, end: &Disconnect) {
        let _ = self.tell.send(Heard::Gone(end.clone()));
    }
}

fn read_mailbox(mut events: Mailbox<()>, gate: &Gate, tell: &Sender<Heard>) {
    while let Some(event) = block_on(events.next()) {
        let heard = match event {
            Event::Connected(client) => Heard::Connected(client),
            Event::Text(_, text) => Heard::Text(text.to_string()),
            Event::Disconnected(_, end) => Heard::Gone(end),
            _ => continue,
        };
        let connected = matches!(heard, Heard::Connected(_));
        if tell.send(heard).is_err() {
            return;
        }
        if connected {
            gate.pass();
        }
    }
}

struct Listening {
    gate: Gate,
    tell: Sender<Heard>,
}

impl ResourceListener for Listening {
    type Message = ();

    fn connected(&mut self, client: &Client) -> Result<(), Close> {
        let _ = self.tell.send(Heard::Connected(client.clone()));
        self.gate.pass();
        Ok(())
    }

    fn text(&mut self, _: &Client, text: ByteString) {
        let _ = self.tell.send(Heard::Text(text.to_string()));
    }

    fn disconnected(&mut self, _: &Client, end: &Disconnect) {
        let _ = self.tell.send(Heard::Gone(end.clone()));
    }
}

async fn read_socket(mut socket: WebSocket, gate: Gate, tell: Sender<Heard>) {
    let _ = tell.send(Heard::Connected(socket.client().clone()));
    gate.passed().await;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message {
            let _ = tell.send(Heard::Text(text.to_string()));
        }
    }
    // After a close of the application's own, the end may come later than the last message.
    while socket.disconnect().is_none() {
        async_std::task::sleep(Duration::from_millis(2)).await;
    }
    let _ = socket.disconnect().map(|end| tell.send(Heard::Gone(end)));
}

impl Log {
    #[track_caller]
    pub fn next(&self) -> Heard {
        self.0.recv_timeout(SHORT).expect("the receiver gets something")
    }

    /// The next client.
    #[track_caller]
    pub fn connected(&self) -> Client {
        loop {
            if let Heard::Connected(client) = self.next() {
                return client;
            }
        }
    }

    /// The messages up to the end of the client, and that end.
    #[track_caller]
    pub fn to_the_end(&self) -> (Vec<String>, Disconnect) {
        let mut texts = Vec::new();
        loop {
            match self.next() {
                Heard::Connected(_) => {}
                Heard::Text(text) => texts.push(text),
                Heard::Gone(end) => return (texts, end),
            }
        }
    }
}

/// Checks that these are the first messages of [`numbered`](super::wire::numbered), each once and in order.
#[track_caller]
pub fn assert_in_order(texts: &[String]) {
    for (number, text) in texts.iter().enumerate() {
        assert_eq!(text.parse(), Ok(number), "a message is lost, doubled or out of order");
    }
}

/// A clone for each call of an async handler, which may be called by several threads.
pub fn shared<T: Clone>(value: T) -> impl Fn() -> T {
    let value = Arc::new(Mutex::new(value));
    move || value.lock().unwrap().clone()
}
