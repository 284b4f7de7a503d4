//! Clients that send faster than their limits allow. They wait, or they are closed with 1008.

use std::time::Instant;

use clws_proto::{CloseCode, Event, Input};

use crate::client::Client;
use crate::client::disconnect::DisconnectCause;
use crate::client::rates::Rates;
use crate::time::now;

/// The most bytes of one read from a client with limits. They are charged at once, and the client
/// waits until they are paid for.
pub(super) const MAX_THROTTLED_READ: usize = 64 * 1024;

/// The limits of a client while its input is handled.
#[derive(Clone, Copy)]
pub(super) struct Throttle<'a> {
    client: &'a Client,
    rates: &'a Rates,
    now: Instant,
}

impl<'a> Throttle<'a> {
    /// Records that input of the client is handled now. Returns its limits, if it has any.
    #[inline]
    pub(super) fn begin(client: &'a Client, input: &Input<'_>) -> Option<Self> {
        let rates = client.rates()?;
        let now = now();
        rates.begin(input, now);
        Some(Self { client, rates, now })
    }

    /// Whether the next event waits.
    pub(super) fn must_wait(self) -> bool {
        !self.client.is_closing() && self.rates.waits_until(self.now).is_some()
    }

    /// Charges an event.
    ///
    /// # Errors
    ///
    /// The client exceeds a limit, and its close frame is queued.
    pub(super) fn charge(self, event: &Event<'_>) -> Result<(), DisconnectCause> {
        self.close_if(self.rates.charge(event, self.now))
    }

    /// Charges the input that belongs to no event yet.
    ///
    /// # Errors
    ///
    /// The client exceeds a limit, and its close frame is queued.
    pub(super) fn charge_rest(self) -> Result<(), DisconnectCause> {
        self.close_if(self.rates.charge_rest(self.now))
    }

    fn close_if(self, charged: Result<(), &'static str>) -> Result<(), DisconnectCause> {
        match charged {
            // The application may have closed the client since the beginning.
            Err(reason) if !self.client.is_closing() => {
                self.client.queue_close(CloseCode::POLICY, reason);
                Err(DisconnectCause::Excess)
            }
            _ => Ok(()),
        }
    }
}
