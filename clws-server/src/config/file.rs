//! Reading a [`Config`](crate::Config) from a file.

use std::num::NonZeroUsize;
use std::time::Duration;

#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use serde::de::{Deserialize, Deserializer, Error};

use crate::config::Config;
use crate::config::address::Listen;

/// Reads the fields and checks their values, so that reading an invalid file fails.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = Self::deserialize(deserializer)?;
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

/// Reads a time in seconds, which may have a fraction.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// Reads a time in seconds; 0 means never.
pub(crate) fn seconds_or_never<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    seconds(deserializer).map(|time| Some(time).filter(|time| !time.is_zero()))
}

/// Reads a number; 0 leaves the choice to the server.
pub(crate) fn number_or_default<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<NonZeroUsize>, D::Error> {
    usize::deserialize(deserializer).map(NonZeroUsize::new)
}

/// Reads `true` for the defaults, `false`, or a table of fields that differ from the defaults.
#[cfg(feature = "deflate")]
pub(crate) fn deflate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DeflateConfig>, D::Error> {
    #[derive(serde::Deserialize)]
    #[serde(untagged, expecting = "true, false or a table of deflate's settings")]
    enum Setting {
        Whether(bool),
        Table(Table),
    }

    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Table {
        level: Option<u8>,
        memory_level: Option<u8>,
        threshold: Option<usize>,
        server_max_window_bits: Option<u8>,
        client_max_window_bits: Option<u8>,
        server_no_context_takeover: Option<bool>,
        client_no_context_takeover: Option<bool>,
    }

    let table = match Setting::deserialize(deserializer)? {
        Setting::Whether(yes) => return Ok(yes.then(DeflateConfig::default)),
        Setting::Table(table) => table,
    };
    let mut config = DeflateConfig::default();
    config.level = table.level.unwrap_or(config.level);
    config.memory_level = table.memory_level.unwrap_or(config.memory_level);
    config.threshold = table.threshold.unwrap_or(config.threshold);
    config.server_max_window_bits = table.server_max_window_bits.unwrap_or(config.server_max_window_bits);
    config.client_max_window_bits = table.client_max_window_bits.unwrap_or(config.client_max_window_bits);
    config.server_no_context_takeover =
        table.server_no_context_takeover.unwrap_or(config.server_no_context_takeover);
    config.client_no_context_takeover =
        table.client_no_context_takeover.unwrap_or(config.client_no_context_takeover);
    Ok(Some(config))
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::config::Config;
    use crate::config::address::Listen;

    fn read(text: &str) -> Result<Config, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn absent_fields_have_their_defaults() {
        assert_eq!(read("").unwrap(), Config::default());
        let config =
            read("listen = ['127.0.0.1:0', 'unix:/run/a.sock', 'localhost:80']\nmax_clients = 3\nmax_buffered = 70_000_000").unwrap();
        assert_eq!(config.listen[1], Listen::Unix("/run/a.sock".into()));
        assert_eq!((config.listen.len(), config.max_clients, config.backlog), (3, 3, 1024));
        assert_eq!(config.max_buffered, 70_000_000);
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
    #[cfg(feature = "deflate")]
    fn deflate_is_a_boolean_or_a_table() {
        use clws_proto::DeflateConfig;

        assert_eq!(read("deflate = false").unwrap().deflate, None);
        assert_eq!(read("deflate = true").unwrap().deflate, Some(DeflateConfig::default()));
        let config = read("[deflate]\nlevel = 9\nthreshold = 7\nserver_no_context_takeover = false").unwrap();
        let expected = DeflateConfig::default().level(9).threshold(7).server_no_context_takeover(false);
        assert_eq!(config.deflate, Some(expected));
        for wrong in ["deflate = 'yes'", "[deflate]\nlevel = 10", "[deflate]\nwindow = 9"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_invalid_value_is_an_error_with_its_key() {
        for (text, expected) in [
            ("max_clients = 0", "`max_clients` is 0: allowed is at least 1"),
            ("max_fragments = 0", "`max_fragments` is 0"),
            ("backlog = -1", "`backlog` is -1"),
            ("close_timeout = 0", "`close_timeout` is 0 seconds: allowed is at least 0.001 seconds"),
            ("keepalive = 0.5", "`keepalive` is 0.5 seconds: allowed is none, or from 1 to 32767 seconds"),
            ("listen = ['127.0.0.1:0', ':443']", "`listen` is \":443\""),
            ("listen = ['unix:']", "`listen` is \"unix:\""),
            ("policy_file = ''", "`policy_file` is empty"),
            ("shards = 100_000", "`shards` is 100000"),
            #[cfg(feature = "deflate")]
            ("[deflate]\nlevel = 10", "`deflate.level` is 10: allowed is from 1 to 9"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn unknown_keys_and_wrong_types_are_errors() {
        assert!(read("max_client = 3").unwrap_err().contains("unknown field `max_client`"));
        assert!(read("close_timeout = -1").is_err());
        assert!(read("close_timeout = 'soon'").is_err());
        assert!(read("max_clients = -1").is_err());
    }
}
