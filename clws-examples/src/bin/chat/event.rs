//! The messages from the server to its clients, in JSON.

use std::collections::BTreeMap;

use clws_server::{Client, CloseCode, SendError, SharedMessage};
use serde::Serialize;

/// An event for a client. The format is described at the top of `main.rs`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Event<'a> {
    Room {
        room: &'a str,
        you: &'a str,
        here: Vec<&'a str>,
        #[serde(skip_serializing_if = "is_zero")]
        more: usize,
    },
    Rooms {
        rooms: BTreeMap<&'a str, usize>,
        #[serde(skip_serializing_if = "is_zero")]
        more: usize,
    },
    Joined {
        name: &'a str,
    },
    Left {
        name: &'a str,
    },
    Renamed {
        name: &'a str,
        to: &'a str,
    },
    Said {
        name: &'a str,
        text: &'a str,
    },
    Pong {
        text: &'a str,
    },
    Error {
        text: &'a str,
    },
}

impl Event<'_> {
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // strings and numbers always serialize
    }

    pub(crate) fn send(&self, client: &Client) {
        send(client, &SharedMessage::text(self.json()));
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Sends a message, and closes a client whose queue is full. A disconnected client is ignored.
pub(crate) fn send(client: &Client, message: &SharedMessage) {
    if client.send(message) == Err(SendError::Full) {
        client.close((CloseCode::TRY_AGAIN_LATER, "you do not read your messages"));
    }
}
