//! The values of a [`Config`] that can never work.

use std::fmt;
use std::time::Duration;

use crate::budget::MIN_LIMIT;
use crate::config::Config;
use crate::config::check_address::check_addresses;
use crate::config::error::ConfigError;

/// The length of the shortest opening handshake of RFC 6455: for the path `/` and a host of one letter, without optional
/// spaces.
pub(crate) const SHORTEST_HEAD: usize =
    "GET / HTTP/1.1\r\nHost:a\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n\
    Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version:13\r\n\r\n"
        .len();

/// The bytes of the longest policy file.
const LONGEST_POLICY: usize = 64 << 10;

/// The number of threads that Linux lets a system have by default.
const MOST_SHARDS: usize = 32_768;

/// The shortest deadline that any client can meet.
const SHORTEST_TIME: Duration = Duration::from_millis(1);

/// The longest silence that Linux takes for `TCP_KEEPIDLE`, in seconds.
const LONGEST_KEEPALIVE: u64 = 32_767;

impl Config {
    /// Checks that each field has a value that can work. [`Server::bind`](crate::Server::bind) does this first, and so does
    /// reading from a file.
    ///
    /// | field | allowed |
    /// |---|---|
    /// | `listen` | `ADDRESS:PORT`, `NAME:PORT` or `unix:PATH`, each address once unless its port is 0 |
    /// | `protocol_76_00_support` | both |
    /// | `protocol_75_support` | both |
    /// | `max_clients` | at least 1 |
    /// | `raise_descriptor_limit` | both |
    /// | `max_header_size` | at least 135, the length of the shortest handshake |
    /// | `max_read_frame_size` | at least 1; above `max_read_message_size` that holds |
    /// | `max_read_message_size` | at least 1 |
    /// | `max_fragments` | at least 1 |
    /// | `write_high_water` | at least 1; above `max_write_backlog` that holds |
    /// | `max_write_backlog` | at least 1 |
    /// | `max_handler_read_backlog` | any; with 0 one message of each client waits at a time |
    /// | `max_buffered` | at least 1 MiB |
    /// | `backlog` | at least 1 |
    /// | `handshake_timeout` | at least 1 ms; more than a year counts as a year |
    /// | `close_timeout` | the same |
    /// | `write_timeout` | the same |
    /// | `keepalive` | `None`, or 1 s to 32,767 s, the longest that Linux takes |
    /// | `nodelay` | both |
    /// | `keep_headers` | both |
    /// | `max_kept_headers` | any; with 0 none are kept |
    /// | `deflate` | `None`, or levels from 1 to 9 and window bits from 9 to 15 |
    /// | `policy_file` | `None`, or 1 byte to 64 KiB without a NUL |
    /// | `debug_on_resource_errors` | both |
    /// | `debug_on_server_errors` | both |
    /// | `shards` | `None`, or at most 32,768 |
    /// | `task_per_client` | both |
    ///
    /// # Errors
    ///
    /// The first field that has another value.
    pub fn check(&self) -> Result<(), ConfigError> {
        // Without `..`: a new field has to be looked at here.
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
            max_handler_read_backlog: _,
            max_buffered,
            backlog,
            handshake_timeout,
            close_timeout,
            write_timeout,
            keepalive,
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
        if let Some(time) = keepalive
            && !(1..=LONGEST_KEEPALIVE).contains(&time.as_secs())
        {
            let allowed = format!("none, or from 1 to {LONGEST_KEEPALIVE} seconds");
            return Err(ConfigError::new("keepalive", seconds(*time), allowed));
        }
        #[cfg(feature = "deflate")]
        if let Some(deflate) = deflate {
            check_deflate(deflate)?;
        }
        if let Some(policy) = policy_file {
            check_policy(policy)?;
        }
        if let Some(shards) = shards
            && shards.get() > MOST_SHARDS
        {
            let allowed = format!("at most {MOST_SHARDS}");
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
    if time < SHORTEST_TIME {
        let allowed = format!("at least {} seconds", SHORTEST_TIME.as_secs_f64());
        return Err(ConfigError::new(field, seconds(time), allowed));
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{} seconds", time.as_secs_f64())
}

fn check_policy(policy: &str) -> Result<(), ConfigError> {
    let value = match policy.len() {
        0 => "empty".to_owned(),
        length if length > LONGEST_POLICY => format!("a text of {length} bytes"),
        // The player reads as far as the NUL that the server sends after the file.
        _ if policy.contains('\0') => "a text with a NUL".to_owned(),
        _ => return Ok(()),
    };
    let allowed = format!("none, or a text of 1 to {LONGEST_POLICY} bytes without a NUL");
    Err(ConfigError::new("policy_file", value, allowed))
}

/// The fields of the table can be set by hand, past the setters that bring them into range.
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
