//! Events of clients that the application has closed: they are not delivered any more, but counted.

use std::collections::HashMap;

use crate::client::id::ClientId;
use crate::handler::mailbox::Event;

/// How many messages were withheld, by client. Clients that were not closed cost nothing here.
#[derive(Default)]
pub(super) struct Undelivered(HashMap<ClientId, u64>);

impl Undelivered {
    /// Withholds an event of a client that the application has closed, and tells in its end how many there were.
    pub(super) fn pass<M>(&mut self, event: Event<M>) -> Option<Event<M>> {
        let (client, is_data) = match &event {
            Event::Text(client, _) | Event::Binary(client, _) => (client, true),
            Event::Pong(client, _) | Event::Drained(client) => (client, false),
            Event::Disconnected(..) if self.0.is_empty() => return Some(event),
            Event::Disconnected(..) => return Some(self.end(event)),
            Event::Connected(_) | Event::Opening(..) | Event::Message(_) => return Some(event),
        };
        if !client.is_silenced() {
            return Some(event);
        }
        if is_data {
            *self.0.entry(client.id()).or_default() += 1;
        }
        None
    }

    fn end<M>(&mut self, event: Event<M>) -> Event<M> {
        match event {
            Event::Disconnected(client, mut end) => {
                end.undelivered += self.0.remove(&client.id()).unwrap_or_default();
                Event::Disconnected(client, end)
            }
            event => event,
        }
    }
}
