//! A resource that records its callbacks.

use std::sync::{Arc, mpsc};

use clws_server::{Client, Close, Disconnect, Payload, Resource, Text};

use super::TIMEOUT;

/// A call of a handler.
#[derive(Debug)]
pub enum Callback {
    Connected(Client),
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Disconnected { code: u16, reason: String, cause: String, client: Client },
}

type OnText = dyn Fn(&Client, &str) + Send + Sync;

/// Reports its callbacks, and echoes messages. `with` replaces the handler of texts.
pub struct Probe {
    callbacks: mpsc::Sender<Callback>,
    on_text: Box<OnText>,
}

impl Probe {
    pub fn new() -> (Arc<Self>, Recorder) {
        Self::with(|client, text| {
            let _ = client.send_text(text);
        })
    }

    pub fn with(on_text: impl Fn(&Client, &str) + Send + Sync + 'static) -> (Arc<Self>, Recorder) {
        let (callbacks, recorder) = mpsc::channel();
        (Arc::new(Self { callbacks, on_text: Box::new(on_text) }), Recorder(recorder))
    }

    fn record(&self, callback: Callback) {
        let _ = self.callbacks.send(callback); // the test may not look at the callbacks
    }
}

impl Resource for Probe {
    fn connected(&self, client: &Client) -> Result<(), Close> {
        self.record(Callback::Connected(client.clone()));
        Ok(())
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        self.record(Callback::Text(text.as_str().to_owned()));
        (self.on_text)(client, &text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        self.record(Callback::Binary(payload.to_vec()));
        let _ = client.send_binary(&payload);
    }

    fn pong(&self, _: &Client, payload: Payload<'_>) {
        self.record(Callback::Pong(payload.to_vec()));
    }

    fn disconnected(&self, client: &Client, end: &Disconnect) {
        let (code, reason, cause) = (end.code.value(), end.reason.clone(), end.cause.to_string());
        self.record(Callback::Disconnected { code, reason, cause, client: client.clone() });
    }
}

/// The callbacks of a [`Probe`].
pub struct Recorder(mpsc::Receiver<Callback>);

impl Recorder {
    #[track_caller]
    pub fn next(&self) -> Callback {
        self.0.recv_timeout(TIMEOUT).expect("no handler was called")
    }

    /// The next new client. Skips other callbacks.
    #[track_caller]
    pub fn connected(&self) -> Client {
        loop {
            if let Callback::Connected(client) = self.next() {
                return client;
            }
        }
    }

    /// The code, reason and cause of the next disconnect. Skips other callbacks.
    #[track_caller]
    pub fn disconnected(&self) -> (u16, String, String) {
        loop {
            if let Callback::Disconnected { code, reason, cause, .. } = self.next() {
                return (code, reason, cause);
            }
        }
    }

    /// The number of matching callbacks since the last look.
    pub fn count(&self, is: impl Fn(&Callback) -> bool) -> usize {
        self.0.try_iter().filter(is).count()
    }
}
