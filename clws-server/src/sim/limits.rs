//! Limits on connections and rates, in some runs.

use crate::config::Config;
use crate::config::excess::Excess;
use crate::sim::rng::Rng;

/// The configuration with limits that many clients of the run reach. All clients have one address.
pub(super) fn limited(config: Config, rng: &mut Rng) -> Config {
    let mut config = config;
    rng.next(); // other settings of the plan used the first numbers
    rng.next();
    if rng.percent(15) {
        config = config.max_clients_per_ip(1 + rng.below(20));
    }
    if rng.percent(15) {
        config = config.max_handshakes(1 + rng.below(10));
    }
    if rng.percent(25) {
        let rate = |rng: &mut Rng, low, high| if rng.percent(50) { rng.magnitude(low, high) } else { 0 };
        config = config
            .max_messages_per_second(u32::try_from(rate(rng, 10, 2000)).unwrap_or(0))
            .max_bytes_per_second(rate(rng, 1000, 1 << 20))
            .max_control_frames_per_second(u32::try_from(rate(rng, 1, 100)).unwrap_or(0))
            .excess(if rng.percent(50) { Excess::Wait } else { Excess::Close });
    }
    config
}
