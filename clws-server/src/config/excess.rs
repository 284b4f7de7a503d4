//! The reaction to a client that sends too fast.

/// The reaction to a client that sends more than its limits per second allow:
/// [`excess`](crate::Config#structfield.excess).
///
/// ```
/// use clws_server::{Config, Excess, Origins, ResourceConfig};
///
/// // Clients may send 100 messages per second, and 10 per second to one resource.
/// let config = Config::default().max_messages_per_second(100);
/// let strict = ResourceConfig::new(Origins::any()).max_messages_per_second(10).excess(Excess::Close);
/// # assert_eq!(config.excess, Excess::Wait);
/// # drop(strict);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// The server stops reading from the client until the limits allow more. TCP then slows the
    /// client down, and no message is lost.
    #[default]
    Wait,
    /// The server closes the client with 1008 and a reason such as `too many messages per second`.
    /// The cause is [`DisconnectCause::Excess`](crate::DisconnectCause::Excess).
    ///
    /// The message that exceeds a limit is not delivered. It counts as
    /// [undelivered](crate::Disconnect#structfield.undelivered). While the application takes no
    /// messages, the client's limits grow with the time, so a pause never closes a client. Leave
    /// room for a server that is busy: input that has waited for a second may come at once.
    Close,
}
