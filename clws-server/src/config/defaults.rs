//! The default of each setting.

use std::time::Duration;

use clws_handshake::ForwardedHeader;

use crate::admission::DEFAULT_MAX_CLIENTS;
use crate::budget::machine::quarter_of_memory;
use crate::config::Config;
use crate::config::excess::Excess;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            protocol_76_00_support: false,
            protocol_75_support: false,
            max_clients: DEFAULT_MAX_CLIENTS,
            raise_descriptor_limit: true,
            max_header_size: 16 * 1024,
            max_read_frame_size: 16 << 20,
            max_read_message_size: 16 << 20,
            max_fragments: 131_072,
            write_high_water: 1 << 20,
            max_write_backlog: 64 << 20,
            slow_policy: None,
            max_handler_read_backlog: 1 << 20,
            max_buffered: quarter_of_memory(),
            backlog: 1024,
            reuse_port: false,
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(60),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(20),
            idle_timeout: None,
            message_timeout: Duration::from_secs(60),
            min_rate: 1024,
            tcp_keepalive: Some(Duration::from_secs(60)),
            max_clients_per_ip: 0,
            ipv6_prefix: 64,
            trusted_proxies: Vec::new(),
            forwarded: ForwardedHeader::None,
            proxy_protocol: false,
            unix_mode: None,
            max_handshakes: 10_000,
            max_messages_per_second: 0,
            max_bytes_per_second: 0,
            excess: Excess::Wait,
            max_control_frames_per_second: 0,
            send_buffer: None,
            max_unsent: None,
            nodelay: true,
            keep_headers: true,
            max_kept_headers: 4 * 1024,
            #[cfg(feature = "deflate")]
            deflate: None,
            policy_file: None,
            debug_on_resource_errors: false,
            debug_on_server_errors: false,
            shards: None,
            task_per_client: false,
        }
    }
}
