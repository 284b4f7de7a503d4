//! Sending one message to many clients.

use crate::client::Client;
use crate::client::outcome::{SendError, Sent};
use crate::client::outgoing::{Broadcast, Outgoing, SendOptions};
use crate::client::treatment::{Many, Treatment};
use crate::wake::WakeBatch;

/// The result of sending a message to many clients.
///
/// A client without room for the message ([`SendError::Full`]) was closed with 1013, because it
/// missed a message: the sender of a message to many does not follow each receiver. A
/// [`SlowPolicy`](crate::SlowPolicy) of the client, the group or the message may say otherwise.
#[derive(Clone, Debug, Default)]
#[must_use = "it lists the clients that did not get the message"]
#[non_exhaustive]
pub struct Delivery {
    /// The number of clients that the message was queued for.
    pub sent: usize,
    /// The number of clients for which the message was dropped, as their
    /// [`SlowPolicy`](crate::SlowPolicy) says.
    pub dropped: usize,
    /// The number of older messages that were dropped or replaced to make room for this one.
    pub displaced: u64,
    /// The clients that did not get the message, with the reason: the client has disconnected, it
    /// does not read, or it speaks draft 0 or hixie-75 and the message is binary.
    pub failed: Vec<(Client, SendError)>,
}

impl Delivery {
    /// Whether every client got the message.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.dropped == 0
    }
}

/// The compiler warns if a report is ignored. `let _ =` silences the warning.
///
/// ```compile_fail
/// #![deny(unused_must_use)]
/// clws_server::Group::new().send("unseen");
/// ```
///
/// ```
/// #![deny(unused_must_use)]
/// let _ = clws_server::Group::new().send("unseen");
/// ```
#[cfg(doctest)]
struct ReportsMustBeUsed;

/// Sends a message to several clients: `write-to-clients-text`, `write-to-clients-binary`. It is
/// encoded once per framing.
///
/// Clients of draft 0 and hixie-75 cannot get binary messages and are reported as
/// [`SendError::Unsupported`]. The other clients get the message.
///
/// ```
/// use clws_server::{Client, send_to};
///
/// fn greet(clients: &[Client]) {
///     let _ = send_to(clients, "hello, all");
/// }
/// ```
pub fn send_to<'c, 'm>(
    clients: impl IntoIterator<Item = &'c Client>,
    message: impl Into<Outgoing<'m>>,
) -> Delivery {
    send_to_with(clients, message, SendOptions::new())
}

/// Sends a message to several clients, for instance in fragments.
pub fn send_to_with<'c, 'm>(
    clients: impl IntoIterator<Item = &'c Client>,
    message: impl Into<Outgoing<'m>>,
    options: SendOptions,
) -> Delivery {
    let broadcast = Broadcast::new(message.into(), options);
    let many = Many::default();
    let treatment = options.treatment(0).of(&many);
    let (delivery, batch) = queue(clients, &broadcast, treatment);
    drop(batch); // before the message, whose drop may be code of the application
    delivery
}

/// Queues a message. The clients' drivers are woken when the batch is dropped.
pub(super) fn queue<'c>(
    clients: impl IntoIterator<Item = &'c Client>,
    broadcast: &Broadcast,
    treatment: Treatment<'_>,
) -> (Delivery, WakeBatch) {
    let (mut delivery, mut batch) = (Delivery::default(), WakeBatch::default());
    for client in clients {
        match client.send_one_of_many(broadcast, treatment, &mut batch) {
            Ok(Sent::Dropped) => delivery.dropped += 1,
            Ok(_) => delivery.sent += 1,
            Err(error) => delivery.failed.push((client.clone(), error)),
        }
    }
    delivery.displaced = treatment.many.map_or(0, |many| many.displaced.get());
    (delivery, batch)
}
