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
    "slow_policy",
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
            slow_policy: Value::of("slow_policy"),
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
mod tests;
