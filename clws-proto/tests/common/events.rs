//! Events that own their payload. The fuzz targets include this file too.
#![allow(dead_code, unreachable_pub, clippy::panic, reason = "test code; each user needs a part of it")]

use clws_proto::{Event, Events, ProtocolError};

/// An event that owns its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
    Failed(ProtocolError),
}

impl Got {
    pub fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    /// Whether no event may follow.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Failed(_))
    }
}

/// The next event of a read, or `None` at its end.
pub fn pull(events: &mut Events<'_>) -> Option<Got> {
    match events.next() {
        Ok(event) => event.map(owned),
        Err(error) => Some(Got::Failed(error)),
    }
}

/// An event with its own memory.
pub fn owned(event: Event<'_>) -> Got {
    match event {
        Event::Text(text) => {
            // The type promises UTF-8, but the receiver may have built it without a check.
            assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "text that is not UTF-8");
            Got::Text(text.into_string())
        }
        Event::Binary(payload) => Got::Binary(payload.into_vec()),
        Event::Ping(payload) => Got::Ping(payload.to_vec()),
        Event::Pong(payload) => Got::Pong(payload.into_bytes().to_vec()),
        Event::Close(frame) => Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned()))),
        other => panic!("unexpected event: {other:?}"),
    }
}
