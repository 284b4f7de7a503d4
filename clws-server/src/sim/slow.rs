//! Messages that may be dropped for a client that reads slowly.

use clws_proto::SlowPolicy;
use clws_proto::buffer::Fate;

use crate::client::Client;
use crate::client::outcome::{SendError, Sent};
use crate::client::outgoing::SendOptions;
use crate::client::receipt::Written;
use crate::sim::log::Log;
use crate::sim::with;

/// Sends a message with a random policy or key. Returns what the client must receive: the message,
/// unless it is dropped later, or nothing.
pub(super) fn send_droppable(client: &Client, text: String) -> Result<Option<Written>, SendError> {
    let (way, key) = with(|state| (state.rng.below(4), state.rng.below(3)));
    let options = SendOptions::new();
    let options = match way {
        0 => options.slow_policy(SlowPolicy::drop_newest().max_queued(0)),
        1 => options.slow_policy(SlowPolicy::drop_oldest().max_queued(0)),
        2 => options.coalesce(key as u64).uncompressed(),
        _ => options.coalesce(key as u64).slow_policy(SlowPolicy::drop_oldest()),
    };
    let (sent, written) = client.send_tracked(text, options)?;
    if sent == Sent::Dropped {
        assert_eq!(written.fate(), Some(Fate::Dropped));
        return Ok(None);
    }
    Ok(Some(written))
}

impl Log {
    /// Forgets the messages that were dropped: the client must not receive them.
    pub(super) fn forget_dropped(&mut self) {
        let received = self.received;
        self.droppable.retain(|(number, written)| {
            let fate = written.fate();
            if fate == Some(Fate::Dropped) {
                let waiting = self.sent.iter().skip(received).position(|sent| sent == number);
                let index = waiting.expect("a message that was received is reported as dropped");
                self.sent.remove(received + index);
            }
            fate.is_none()
        });
    }
}
