//! The check of a [`Config`] for invalid values.

use std::fmt;
use std::time::Duration;

use clws_handshake::ForwardedHeader;

use crate::budget::MIN_LIMIT;
use crate::config::Config;
use crate::config::check_address::check_addresses;
use crate::config::error::ConfigError;
use crate::config::proxies::TrustedProxy;

/// The length of the shortest opening handshake of RFC 6455: the path `/`, a host of one letter,
/// and no optional spaces.
pub(crate) const SHORTEST_HEAD: usize =
    "GET / HTTP/1.1\r\nHost:a\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n\
    Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version:13\r\n\r\n"
        .len();

/// The most bytes of a policy file.
const MAX_POLICY: usize = 64 << 10;

/// The most shards: the default limit of Linux on the threads of a system.
const MAX_SHARDS: usize = 32_768;

/// The shortest deadline that a client can meet.
const MIN_DEADLINE: Duration = Duration::from_millis(1);

/// The longest time that Linux accepts for `TCP_KEEPIDLE`, in seconds.
const MAX_KEEPALIVE: u64 = 32_767;

/// All permission bits.
const MAX_MODE: u32 = 0o777;

/// The largest socket option, whose type is `int`.
const MAX_SOCKET_BUFFER: usize = i32::MAX as usize;

impl Config {
    /// Checks each field for a valid value. [`Server::bind`](crate::Server::bind) calls this first,
    /// and so does reading from a file.
    ///
    /// | field | allowed |
    /// |---|---|
    /// | `listen` | `ADDRESS:PORT`, `NAME:PORT` or `unix:PATH`, each address once unless its port is 0 |
    /// | `protocol_76_00_support` | both values |
    /// | `protocol_75_support` | both values |
    /// | `max_clients` | at least 1 |
    /// | `raise_descriptor_limit` | both values |
    /// | `max_header_size` | at least 135, the length of the shortest handshake |
    /// | `max_read_frame_size` | at least 1; `max_read_message_size` is the limit if it is less |
    /// | `max_read_message_size` | at least 1 |
    /// | `max_fragments` | at least 1 |
    /// | `write_high_water` | at least 1; `max_write_backlog` is the limit if it is less |
    /// | `max_write_backlog` | at least 1 |
    /// | `slow_policy` | `None`, or any policy |
    /// | `max_handler_read_backlog` | any; with 0, one message of each client is queued at a time |
    /// | `max_buffered` | at least 1 MiB |
    /// | `backlog` | at least 1 |
    /// | `reuse_port` | both values |
    /// | `handshake_timeout` | at least 1 ms; more than a year counts as a year |
    /// | `close_timeout` | at least 1 ms; more than a year counts as a year |
    /// | `write_timeout` | at least 1 ms; more than a year counts as a year |
    /// | `ping_interval` | `None`, or at least 1 ms |
    /// | `ping_timeout` | at least 1 ms |
    /// | `idle_timeout` | `None`, or at least 1 ms |
    /// | `message_timeout` | at least 1 ms |
    /// | `min_rate` | any; with 0, any speed is allowed |
    /// | `tcp_keepalive` | `None`, or 1 s to 32,767 s, the longest that Linux accepts |
    /// | `max_clients_per_ip` | any; with 0, any number is allowed |
    /// | `ipv6_prefix` | 1 to 128 |
    /// | `trusted_proxies` | `ADDRESS`, `ADDRESS/BITS` or `unix`; not all addresses |
    /// | `forwarded` | all values; a header needs `trusted_proxies` |
    /// | `proxy_protocol` | both values; true needs `trusted_proxies` |
    /// | `unix_mode` | `None`, or `0o001` to `0o777` |
    /// | `max_handshakes` | at least 1 |
    /// | `max_messages_per_second` | any; with 0, any number is allowed |
    /// | `max_bytes_per_second` | any; with 0, any number is allowed |
    /// | `excess` | both values |
    /// | `max_control_frames_per_second` | any; with 0, any number is allowed |
    /// | `send_buffer` | `None`, or 1 byte to 2 GiB - 1 |
    /// | `max_unsent` | `None`, or 1 byte to 2 GiB - 1 |
    /// | `nodelay` | both values |
    /// | `keep_headers` | both values |
    /// | `max_kept_headers` | any; with 0, no headers are kept |
    /// | `deflate` | `None`, or levels from 1 to 9 and window bits from 9 to 15 |
    /// | `policy_file` | `None`, or 1 byte to 64 KiB without a NUL |
    /// | `debug_on_resource_errors` | both values |
    /// | `debug_on_server_errors` | both values |
    /// | `shards` | `None`, or at most 32,768 |
    /// | `task_per_client` | both values |
    ///
    /// # Errors
    ///
    /// The first field with an invalid value.
    pub fn check(&self) -> Result<(), ConfigError> {
        // Without `..`, so that a new field does not compile before it is checked here.
        let Self {
            listen,
            protocol_76_00_support: _,
            protocol_75_support: _,
            max_clients,
            raise_descriptor_limit: _,
            max_header_size,
            max_read_frame_size,
            max_read_message_size,
            max_fragments,
            write_high_water,
            max_write_backlog,
            slow_policy: _,
            max_handler_read_backlog: _,
            max_buffered,
            backlog,
            reuse_port: _,
            handshake_timeout,
            close_timeout,
            write_timeout,
            ping_interval,
            ping_timeout,
            idle_timeout,
            message_timeout,
            min_rate: _,
            tcp_keepalive,
            max_clients_per_ip: _,
            ipv6_prefix,
            trusted_proxies,
            forwarded,
            proxy_protocol,
            unix_mode,
            max_handshakes,
            max_messages_per_second: _,
            max_bytes_per_second: _,
            excess: _,
            max_control_frames_per_second: _,
            send_buffer,
            max_unsent,
            nodelay: _,
            keep_headers: _,
            max_kept_headers: _,
            #[cfg(feature = "deflate")]
            deflate,
            policy_file,
            debug_on_resource_errors: _,
            debug_on_server_errors: _,
            shards,
            task_per_client: _,
        } = self;
        check_addresses(listen)?;
        at_least("max_clients", *max_clients, 1)?;
        at_least("max_header_size", *max_header_size, SHORTEST_HEAD)?;
        at_least("max_read_frame_size", *max_read_frame_size, 1)?;
        at_least("max_read_message_size", *max_read_message_size, 1)?;
        at_least("max_fragments", *max_fragments, 1)?;
        at_least("write_high_water", *write_high_water, 1)?;
        at_least("max_write_backlog", *max_write_backlog, 1)?;
        at_least("max_buffered", *max_buffered, MIN_LIMIT)?;
        at_least("backlog", *backlog, 1)?;
        deadline("handshake_timeout", *handshake_timeout)?;
        deadline("close_timeout", *close_timeout)?;
        deadline("write_timeout", *write_timeout)?;
        deadline("ping_timeout", *ping_timeout)?;
        deadline("message_timeout", *message_timeout)?;
        for (field, time) in [("ping_interval", ping_interval), ("idle_timeout", idle_timeout)] {
            time.map_or(Ok(()), |time| deadline(field, time))?;
        }
        at_least("max_handshakes", *max_handshakes, 1)?;
        if !(1..=128).contains(ipv6_prefix) {
            return Err(ConfigError::new("ipv6_prefix", ipv6_prefix.to_string(), "from 1 to 128"));
        }
        check_proxies(trusted_proxies, *forwarded, *proxy_protocol)?;
        if let Some(mode) = unix_mode
            && !(1..=MAX_MODE).contains(mode)
        {
            let allowed = format!("none, or from 0o001 to {MAX_MODE:#05o}");
            return Err(ConfigError::new("unix_mode", format!("{mode:#05o}"), allowed));
        }
        for (field, bytes) in [("send_buffer", send_buffer), ("max_unsent", max_unsent)] {
            if let Some(bytes) = bytes
                && !(1..=MAX_SOCKET_BUFFER).contains(bytes)
            {
                let allowed = format!("none, or from 1 to {MAX_SOCKET_BUFFER} bytes");
                return Err(ConfigError::new(field, format!("{bytes} bytes"), allowed));
            }
        }
        if let Some(time) = tcp_keepalive
            && !(1..=MAX_KEEPALIVE).contains(&time.as_secs())
        {
            let allowed = format!("none, or from 1 to {MAX_KEEPALIVE} seconds");
            return Err(ConfigError::new("tcp_keepalive", seconds(*time), allowed));
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = deflate {
            check_deflate(deflate)?;
        }
        if let Some(policy) = policy_file {
            check_policy(policy)?;
        }
        if let Some(shards) = shards
            && shards.get() > MAX_SHARDS
        {
            let allowed = format!("at most {MAX_SHARDS}");
            return Err(ConfigError::new("shards", shards.to_string(), allowed));
        }
        Ok(())
    }
}

fn at_least<N: PartialOrd + fmt::Display>(
    field: &'static str,
    value: N,
    least: N,
) -> Result<(), ConfigError> {
    if value < least {
        return Err(ConfigError::new(field, value.to_string(), format!("at least {least}")));
    }
    Ok(())
}

fn deadline(field: &'static str, time: Duration) -> Result<(), ConfigError> {
    if time < MIN_DEADLINE {
        let allowed = format!("at least {} seconds", MIN_DEADLINE.as_secs_f64());
        return Err(ConfigError::new(field, seconds(time), allowed));
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{} seconds", time.as_secs_f64())
}

fn check_proxies(
    trusted: &[TrustedProxy],
    forwarded: ForwardedHeader,
    proxy_protocol: bool,
) -> Result<(), ConfigError> {
    const ALLOWED: &str =
        "`ADDRESS` as `10.0.0.2`, `ADDRESS/BITS` as `10.0.0.0/8`, or `unix` for all Unix sockets";
    for proxy in trusted {
        if let Some(fault) = proxy.fault() {
            let value = format!("{:?}", proxy.to_string());
            return Err(ConfigError::new("trusted_proxies", value, format!("{ALLOWED}; {fault}")));
        }
    }
    if !trusted.is_empty() {
        return Ok(());
    }
    // Without this error, the setting would have no effect, and nobody would notice.
    if forwarded != ForwardedHeader::None {
        let allowed = "none, because `trusted_proxies` is empty";
        return Err(ConfigError::new("forwarded", format!("{forwarded:?}"), allowed));
    }
    if proxy_protocol {
        return Err(ConfigError::new("proxy_protocol", "true", "false, because `trusted_proxies` is empty"));
    }
    Ok(())
}

fn check_policy(policy: &str) -> Result<(), ConfigError> {
    let value = match policy.len() {
        0 => "empty".to_owned(),
        length if length > MAX_POLICY => format!("a text of {length} bytes"),
        // The player reads up to the NUL that the server sends after the file.
        _ if policy.contains('\0') => "a text with a NUL".to_owned(),
        _ => return Ok(()),
    };
    let allowed = format!("none, or a text of 1 to {MAX_POLICY} bytes without a NUL");
    Err(ConfigError::new("policy_file", value, allowed))
}

/// Checks the public fields, which an application can set without the setters that keep the range.
#[cfg(feature = "deflate")]
fn check_deflate(deflate: &clws_proto::DeflateConfig) -> Result<(), ConfigError> {
    const LEVELS: &str = "from 1 to 9";
    const BITS: &str = "from 9 to 15";
    let near = deflate.in_range();
    for (field, value, nearest, allowed) in [
        ("deflate.level", deflate.level, near.level, LEVELS),
        ("deflate.memory_level", deflate.memory_level, near.memory_level, LEVELS),
        ("deflate.server_max_window_bits", deflate.server_max_window_bits, near.server_max_window_bits, BITS),
        ("deflate.client_max_window_bits", deflate.client_max_window_bits, near.client_max_window_bits, BITS),
    ] {
        if value != nearest {
            return Err(ConfigError::new(field, value.to_string(), allowed));
        }
    }
    Ok(())
}
