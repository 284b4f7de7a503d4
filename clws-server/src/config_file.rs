//! How a [`Config`](crate::Config) is written in a file.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

use crate::Listen;

/// A time in seconds, whole or not.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// The same, where 0 is never.
pub(crate) fn seconds_or_never<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(|time| Some(time).filter(|time| !time.is_zero()))
}

/// A number, where 0 leaves it to the server.
pub(crate) fn number_or_default<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NonZeroUsize>, D::Error> {
    usize::deserialize(deserializer).map(NonZeroUsize::new)
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{Config, Listen};

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        assert_eq!(read("").unwrap(), Config::default());
        let config =
            read("listen = ['127.0.0.1:0', 'unix:/run/a.sock', 'localhost:80']\nmax_clients = 3").unwrap();
        assert_eq!(config.listen[1], Listen::Unix("/run/a.sock".into()));
        assert_eq!((config.listen.len(), config.max_clients, config.backlog), (3, 3, 1024));
    }

    #[test]
    fn times_are_in_seconds_and_zero_is_none() {
        let config = read("close_timeout = 0.25\nwrite_timeout = 3\nkeepalive = 0\nshards = 0").unwrap();
        assert_eq!(
            (config.close_timeout, config.write_timeout),
            (Duration::from_millis(250), Duration::from_secs(3))
        );
        assert_eq!((config.keepalive, config.shards), (None, None));
        let config = read("keepalive = 9\nshards = 2\npolicy_file = '<x/>'").unwrap();
        assert_eq!((config.keepalive, config.shards.unwrap().get()), (Some(Duration::from_secs(9)), 2));
        assert_eq!(config.policy_file.unwrap(), "<x/>");
    }

    #[test]
    fn faults_are_told() {
        assert!(read("max_client = 3").unwrap_err().contains("unknown field `max_client`"));
        assert!(read("close_timeout = -1").is_err());
        assert!(read("close_timeout = 'soon'").is_err());
        assert!(read("max_clients = -1").is_err());
    }
}
