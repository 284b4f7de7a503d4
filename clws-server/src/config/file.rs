//! Reading a [`Config`](crate::Config) from a file.

use std::fmt;

#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
#[cfg(feature = "deflate")]
use serde::de::DeserializeSeed;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use crate::config::Config;
use crate::config::address::Listen;
use crate::config::file_value::{Key, Value, Values};

/// Reads the fields and checks their values, so that reading an invalid file fails.
impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let config = deserializer.deserialize_struct("Config", KEYS, Settings)?;
        config.check().map_err(D::Error::custom)?;
        Ok(config)
    }
}

/// Reads the keys of a table into a config. Each key has the reader of its value.
macro_rules! read_table {
    ($map:ident, $keys:ident, $config:ident, { $($(#[$meta:meta])* $key:ident: $value:expr,)* }) => {{
        let mut seen = Vec::new();
        while let Some(key) = $map.next_key_seed(Key($keys))? {
            if seen.contains(&key) {
                return Err(A::Error::duplicate_field(key));
            }
            seen.push(key);
            match key {
                $($(#[$meta])* stringify!($key) => $config.$key = $map.next_value_seed($value)?,)*
                _ => drop($map.next_value::<IgnoredAny>()?), // `Key` yields no other name
            }
        }
    }};
}

const KEYS: &[&str] = &[
    "listen",
    "protocol_76_00_support",
    "protocol_75_support",
    "max_clients",
    "raise_descriptor_limit",
    "max_header_size",
    "max_read_frame_size",
    "max_read_message_size",
    "max_fragments",
    "write_high_water",
    "max_write_backlog",
    "max_handler_read_backlog",
    "max_buffered",
    "backlog",
    "reuse_port",
    "handshake_timeout",
    "close_timeout",
    "write_timeout",
    "ping_interval",
    "ping_timeout",
    "idle_timeout",
    "message_timeout",
    "min_rate",
    "tcp_keepalive",
    "max_clients_per_ip",
    "ipv6_prefix",
    "trusted_proxies",
    "forwarded",
    "proxy_protocol",
    "unix_mode",
    "max_handshakes",
    "max_messages_per_second",
    "max_bytes_per_second",
    "excess",
    "max_control_frames_per_second",
    "send_buffer",
    "max_unsent",
    "nodelay",
    "keep_headers",
    "max_kept_headers",
    #[cfg(feature = "deflate")]
    "deflate",
    "policy_file",
    "debug_on_resource_errors",
    "debug_on_server_errors",
    "shards",
    "task_per_client",
];

struct Settings;

impl<'de> Visitor<'de> for Settings {
    type Value = Config;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of the server's settings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Config, A::Error> {
        let mut config = Config::default();
        read_table!(map, KEYS, config, {
            listen: Values::of("listen"),
            protocol_76_00_support: Value::of("protocol_76_00_support"),
            protocol_75_support: Value::of("protocol_75_support"),
            max_clients: Value::of("max_clients"),
            raise_descriptor_limit: Value::of("raise_descriptor_limit"),
            max_header_size: Value::of("max_header_size"),
            max_read_frame_size: Value::of("max_read_frame_size"),
            max_read_message_size: Value::of("max_read_message_size"),
            max_fragments: Value::of("max_fragments"),
            write_high_water: Value::of("write_high_water"),
            max_write_backlog: Value::of("max_write_backlog"),
            max_handler_read_backlog: Value::of("max_handler_read_backlog"),
            max_buffered: Value::of("max_buffered"),
            backlog: Value::of("backlog"),
            reuse_port: Value::of("reuse_port"),
            handshake_timeout: Value::of("handshake_timeout"),
            close_timeout: Value::of("close_timeout"),
            write_timeout: Value::of("write_timeout"),
            ping_interval: Value::of("ping_interval"),
            ping_timeout: Value::of("ping_timeout"),
            idle_timeout: Value::of("idle_timeout"),
            message_timeout: Value::of("message_timeout"),
            min_rate: Value::of("min_rate"),
            tcp_keepalive: Value::of("tcp_keepalive"),
            max_clients_per_ip: Value::of("max_clients_per_ip"),
            ipv6_prefix: Value::of("ipv6_prefix"),
            trusted_proxies: Values::of("trusted_proxies"),
            forwarded: Value::of("forwarded"),
            proxy_protocol: Value::of("proxy_protocol"),
            unix_mode: Value::of("unix_mode"),
            max_handshakes: Value::of("max_handshakes"),
            max_messages_per_second: Value::of("max_messages_per_second"),
            max_bytes_per_second: Value::of("max_bytes_per_second"),
            excess: Value::of("excess"),
            max_control_frames_per_second: Value::of("max_control_frames_per_second"),
            send_buffer: Value::of("send_buffer"),
            max_unsent: Value::of("max_unsent"),
            nodelay: Value::of("nodelay"),
            keep_headers: Value::of("keep_headers"),
            max_kept_headers: Value::of("max_kept_headers"),
            #[cfg(feature = "deflate")]
            deflate: Deflate,
            policy_file: Value::of("policy_file"),
            debug_on_resource_errors: Value::of("debug_on_resource_errors"),
            debug_on_server_errors: Value::of("debug_on_server_errors"),
            shards: Value::of("shards"),
            task_per_client: Value::of("task_per_client"),
        });
        Ok(config)
    }
}

/// Reads `true` for the defaults, `false`, or a table of fields that differ from the defaults.
#[cfg(feature = "deflate")]
struct Deflate;

#[cfg(feature = "deflate")]
const DEFLATE_KEYS: &[&str] = &[
    "level",
    "memory_level",
    "threshold",
    "server_max_window_bits",
    "client_max_window_bits",
    "server_no_context_takeover",
    "client_no_context_takeover",
];

#[cfg(feature = "deflate")]
impl<'de> DeserializeSeed<'de> for Deflate {
    type Value = Option<DeflateConfig>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

#[cfg(feature = "deflate")]
impl<'de> Visitor<'de> for Deflate {
    type Value = Option<DeflateConfig>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`deflate` to be true, false, or a table of its settings")
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<Self::Value, E> {
        Ok(yes.then(DeflateConfig::default))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        const LEVEL: &str = "a whole number from 1 to 9";
        const BITS: &str = "a whole number from 9 to 15";
        let mut config = DeflateConfig::default();
        read_table!(map, DEFLATE_KEYS, config, {
            level: Value::within("deflate.level", LEVEL),
            memory_level: Value::within("deflate.memory_level", LEVEL),
            threshold: Value::of("deflate.threshold"),
            server_max_window_bits: Value::within("deflate.server_max_window_bits", BITS),
            client_max_window_bits: Value::within("deflate.client_max_window_bits", BITS),
            server_no_context_takeover: Value::of("deflate.server_no_context_takeover"),
            client_no_context_takeover: Value::of("deflate.client_no_context_takeover"),
        });
        Ok(Some(config))
    }
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
        let config = read("close_timeout = 0.25\nwrite_timeout = 3\ntcp_keepalive = 0\nshards = 0").unwrap();
        assert_eq!(
            (config.close_timeout, config.write_timeout),
            (Duration::from_millis(250), Duration::from_secs(3))
        );
        assert_eq!((config.tcp_keepalive, config.shards), (None, None));
        let config = read("tcp_keepalive = 9\nshards = 2\npolicy_file = '<x/>'").unwrap();
        assert_eq!((config.tcp_keepalive, config.shards.unwrap().get()), (Some(Duration::from_secs(9)), 2));
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
            (
                "tcp_keepalive = 0.5",
                "`tcp_keepalive` is 0.5 seconds: allowed is none, or from 1 to 32767 seconds",
            ),
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
    fn unknown_keys_are_errors_that_list_the_known_keys() {
        let error = read("max_client = 3").unwrap_err();
        assert!(error.starts_with("unknown field `max_client`, expected one of `listen`, "), "{error}");
        assert!(error.contains("`max_clients`"), "{error}");
        for table in ["[server]\nmax_clients = 3", "[deflat]\nlevel = 3"] {
            assert!(read(table).unwrap_err().starts_with("unknown field `"), "{table}");
        }
    }

    /// `KEYS` is written by hand.
    #[test]
    fn every_field_is_a_key() {
        let config = format!("{:#?}", Config::default());
        let fields = config.lines().filter_map(|line| Some(line.strip_prefix("    ")?.split_once(": ")?.0));
        let fields: Vec<_> = fields.filter(|field| !field.starts_with(' ')).collect();
        assert_eq!(fields, super::KEYS);
    }

    #[test]
    fn a_wrong_type_is_an_error_with_its_key_and_what_is_allowed() {
        const TIME: &str = "expected `close_timeout` to be a time in seconds, such as 5 or 0.5";
        const LIST: &str = "expected `listen` to be a list of texts, such as [\"127.0.0.1:12345\"]";
        for (text, found, expected) in [
            ("listen = 5", "invalid type: integer `5`", LIST),
            ("listen = '127.0.0.1:0'", "invalid type: string \"127.0.0.1:0\"", LIST),
            ("listen = ['127.0.0.1:0', 5]", "invalid type: integer `5`", LIST),
            ("close_timeout = '5s'", "invalid type: string \"5s\"", TIME),
            ("close_timeout = -1", "invalid value: integer `-1`", TIME),
            ("close_timeout = -0.5", "invalid value: floating point `-0.5`", TIME),
            ("close_timeout = nan", "invalid value: floating point `NaN`", TIME),
            ("close_timeout = 1e300", "invalid value: floating point", TIME),
            ("close_timeout = true", "invalid type: boolean `true`", TIME),
            (
                "tcp_keepalive = 'off'",
                "invalid type",
                "`tcp_keepalive` to be a time in seconds, such as 60, or 0 for never",
            ),
            (
                "max_clients = -1",
                "invalid value: integer `-1`",
                "`max_clients` to be a whole number that is neither",
            ),
            (
                "max_clients = 99999999999999999999",
                "99999999999999999999",
                "`max_clients` to be a whole number",
            ),
            ("max_clients = 1.5", "invalid type: floating point `1.5`", "`max_clients` to be a whole number"),
            (
                "max_fragments = 5_000_000_000",
                "5000000000",
                "`max_fragments` to be a whole number from 0 to 4294967295",
            ),
            ("backlog = 3_000_000_000", "3000000000", "`backlog` to be a whole number from 1 to 2147483647"),
            ("shards = 'all'", "invalid type", "`shards` to be a whole number, or 0 for one per processor"),
            ("shards = -2", "invalid value", "`shards` to be a whole number, or 0 for one per processor"),
            ("nodelay = 1", "invalid type: integer `1`", "expected `nodelay` to be true or false"),
            ("nodelay = 'yes'", "invalid type: string \"yes\"", "expected `nodelay` to be true or false"),
            ("policy_file = 3", "invalid type: integer `3`", "expected `policy_file` to be a text"),
            ("[max_clients]\nlimit = 3", "invalid type: map", "`max_clients` to be a whole number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("invalid ") && error.contains(found), "{text}: {error}");
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    #[cfg(feature = "deflate")]
    fn an_error_in_the_table_of_deflate_names_its_key() {
        let error = read("[deflate]\nlevle = 3").unwrap_err();
        assert!(
            error.starts_with("unknown field `levle`, expected one of `level`, `memory_level`, "),
            "{error}"
        );
        const LEVEL: &str = "expected `deflate.level` to be a whole number from 1 to 9";
        for (text, expected) in [
            ("deflate = 'yes'", "expected `deflate` to be true, false, or a table of its settings"),
            ("deflate = 3", "invalid type: integer `3`, expected `deflate` to be true, false"),
            ("[deflate]\nlevel = 'high'", LEVEL),
            ("[deflate]\nlevel = -1", LEVEL),
            ("[deflate]\nlevel = 300", LEVEL),
            (
                "[deflate]\nclient_max_window_bits = 256",
                "`deflate.client_max_window_bits` to be a whole number from 9",
            ),
            (
                "[deflate]\nthreshold = -1",
                "`deflate.threshold` to be a whole number that is neither negative nor",
            ),
            (
                "[deflate]\nserver_no_context_takeover = 1",
                "`deflate.server_no_context_takeover` to be true or false",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn errors_have_their_line_and_column() {
        let error = toml::from_str::<Config>("backlog = 5\nmax_client = 3").unwrap_err().to_string();
        assert!(error.contains("line 2, column 1"), "{error}");
        let error = toml::from_str::<Config>("backlog = 5\nclose_timeout = 'soon'").unwrap_err().to_string();
        assert!(error.contains("line 2, column 17"), "{error}");
        #[cfg(feature = "deflate")]
        for (text, place) in
            [("[deflate]\nlevle = 3", "line 2, column 1"), ("[deflate]\nlevel = 'high'", "line 2, column 9")]
        {
            let error = toml::from_str::<Config>(text).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
    }
}
