//! The reaction to a client that sends too fast.

/// The reaction to a client that sends more than its limits per second allow:
/// [`excess`](crate::Config#structfield.excess).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Excess {
    /// The server stops reading from the client until the limits allow more. TCP then slows the
    /// client down, and no message is lost.
    #[default]
    Wait,
    /// The server closes the client with 1008.
    Close,
}
