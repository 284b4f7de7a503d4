//! The last measured round-trip time of a client, in two bytes.

use std::time::Duration;

use crate::client::Client;
use crate::sync::{atomic::AtomicU16, atomic::Ordering};

/// Bits of the mantissa. The other bits are the exponent.
const MANTISSA: u32 = 11;

/// A time in microseconds as a floating-point number, so that two bytes hold up to 71 minutes with
/// an error of at most a thousandth. 0 means that no time was measured.
#[derive(Debug, Default)]
pub(super) struct LastRtt(AtomicU16);

impl LastRtt {
    fn set(&self, rtt: Duration) {
        let micros = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).max(1);
        let exponent = (u32::BITS - micros.leading_zeros()).saturating_sub(MANTISSA);
        let bits = (micros >> exponent) | exponent << MANTISSA;
        self.0.store(u16::try_from(bits).unwrap_or(u16::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Option<Duration> {
        let bits = u64::from(self.0.load(Ordering::Relaxed));
        let micros = (bits & ((1 << MANTISSA) - 1)) << (bits >> MANTISSA);
        (bits > 0).then(|| Duration::from_micros(micros))
    }
}

impl Client {
    /// The round-trip time that the last keepalive ping has measured: from its writing to its pong,
    /// with an error of at most a thousandth. It includes the time in which the pong waited behind
    /// other data.
    ///
    /// `None` before the first pong: the server pings only clients that are silent for
    /// [`ping_interval`](crate::Config#structfield.ping_interval). `None` for ever in draft 0 and
    /// hixie-75, which have no ping.
    ///
    /// ```
    /// use clws_server::Client;
    ///
    /// fn is_slow(client: &Client) -> bool {
    ///     client.rtt().is_some_and(|rtt| rtt.as_millis() > 500)
    /// }
    /// ```
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        self.0.rtt.get()
    }

    pub(crate) fn set_rtt(&self, rtt: Duration) {
        self.0.rtt.set(rtt);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_time_with_an_error_of_a_thousandth() {
        let last = LastRtt::default();
        assert_eq!(last.get(), None);
        for micros in [0, 1, 2, 999, 2047, 2048, 2049, 12_345, 1_000_000, 20_000_000, 4_294_967_295] {
            let rtt = Duration::from_micros(micros);
            last.set(rtt);
            let error = rtt.max(Duration::from_micros(1)).abs_diff(last.get().unwrap());
            assert!(error <= rtt / 1000, "{rtt:?}: {error:?}");
        }
        last.set(Duration::MAX);
        assert!(last.get().unwrap() > Duration::from_secs(4000));
    }
}
