//! The events of clients that the application has closed: they are counted, and not delivered.

use std::collections::HashMap;

use crate::client::id::ClientId;
use crate::handler::mailbox::event::Event;

/// The numbers of withheld messages, by client. A client that was not closed has no entry.
#[derive(Default)]
pub(super) struct Undelivered(HashMap<ClientId, u64>);

impl Undelivered {
    /// Passes an event on, unless the application has closed its client. The `Disconnected` event
    /// of a closed client gets the number of withheld messages.
    pub(super) fn pass<M>(&mut self, event: Event<M>) -> Option<Event<M>> {
        let (client, ends_data) = match &event {
            Event::Text(client, _) | Event::Binary(client, _) => (client, true),
            Event::Piece(client, piece) => (client, piece.last),
            Event::Pong(client, _) | Event::Drained(client) | Event::Draining(client) => (client, false),
            Event::Disconnected(..) if self.0.is_empty() => return Some(event),
            Event::Disconnected(..) => return Some(self.add_count(event)),
            Event::Connected(_) | Event::Opening(..) | Event::Message(_) => return Some(event),
        };
        if !client.is_silenced() {
            return Some(event);
        }
        if ends_data {
            client.note_undelivered(1);
            *self.0.entry(client.id()).or_default() += 1;
        }
        None
    }

    fn add_count<M>(&mut self, event: Event<M>) -> Event<M> {
        match event {
            Event::Disconnected(client, mut end) => {
                end.undelivered += self.0.remove(&client.id()).unwrap_or_default();
                Event::Disconnected(client, end)
            }
            event => event,
        }
    }
}
