//! Events that outlive the buffer they lay in.

use clws_proto::{Event, Events, ProtocolError, Receiver};

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

    /// Whether nothing may come behind it.
    pub fn is_last(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Failed(_))
    }
}

/// The next event.
pub fn pull(events: &mut Events<'_>) -> Option<Got> {
    Some(match events.next() {
        Ok(None) => return None,
        Ok(Some(Event::Text(text))) => {
            // `&str` is what the type says; the receiver may have built it without a check.
            assert!(std::str::from_utf8(text.as_bytes()).is_ok(), "text that is not UTF-8");
            Got::Text(text.into_string())
        }
        Ok(Some(Event::Binary(payload))) => Got::Binary(payload.into_vec()),
        Ok(Some(Event::Ping(payload))) => Got::Ping(payload.to_vec()),
        Ok(Some(Event::Pong(payload))) => Got::Pong(payload.into_bytes().to_vec()),
        Ok(Some(Event::Close(frame))) => {
            Got::Close(frame.map(|frame| (frame.code.value(), frame.reason.to_owned())))
        }
        Ok(Some(other)) => panic!("an event of a new kind: {other:?}"),
        Err(error) => Got::Failed(error),
    })
}

/// Gives the receiver one read, and adds all events of it.
pub fn feed(receiver: &mut Receiver, read: &[u8], got: &mut Vec<Got>) {
    let mut read = read.to_vec();
    let mut events = receiver.receive(&mut read);
    while let Some(event) = pull(&mut events) {
        got.push(event);
    }
}
