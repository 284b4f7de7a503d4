//! The methods that set the fields of a [`Config`].

use std::num::NonZeroUsize;
use std::time::Duration;

use clws_handshake::ForwardedHeader;
#[cfg(feature = "deflate")]
use clws_proto::DeflateConfig;
use clws_proto::SlowPolicy;

use crate::config::Config;
use crate::config::address::Listen;
use crate::config::excess::Excess;
use crate::config::proxies::TrustedProxy;

/// Whether a text is a port, or a range of ports such as `1024-2048`.
fn is_port_or_range(text: &str) -> bool {
    let port = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?;
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let ports: (Option<u16>, Option<u16>) = (port(first), port(last));
    matches!(ports, (Some(first), Some(last)) if 0 < first && first <= last)
}

/// Defines setters that return the config, for method chaining.
macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl Config {
    /// Adds an address to [`listen`](Self#structfield.listen) on: `"127.0.0.1:0"`, `"[::1]:8080"`,
    /// `"localhost:80"`, `"unix:/run/clws.sock"`, or a `SocketAddr`.
    #[must_use]
    pub fn listen(mut self, address: impl Into<Listen>) -> Self {
        self.listen.push(address.into());
        self
    }

    /// Sets [`trusted_proxies`](Self#structfield.trusted_proxies): `"10.0.0.2"`, `"10.0.0.0/8"`,
    /// `"unix"`, or an `IpAddr`.
    #[must_use]
    pub fn trusted_proxies(mut self, proxies: impl IntoIterator<Item = impl Into<TrustedProxy>>) -> Self {
        self.trusted_proxies = proxies.into_iter().map(Into::into).collect();
        self
    }

    /// Writes a socket policy file that lets pages of a domain connect to some ports.
    ///
    /// The domain is `*` for all, or as in `example.com` or `*.example.com`. The ports are `*`, or
    /// as in `80,443` or `1024-2048`. Returns `None` for anything else.
    ///
    /// ```
    /// use clws_server::Config;
    ///
    /// let config = Config::default().policy_file(Config::flash_policy("*.example.com", "443"));
    /// assert!(config.policy_file.is_some_and(|policy| policy.contains("domain=\"*.example.com\" to-ports=\"443\"")));
    /// ```
    #[must_use]
    pub fn flash_policy(domain: &str, ports: &str) -> Option<String> {
        let name = domain.strip_prefix("*.").unwrap_or(domain);
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-:_[]".contains(&byte);
        let is_domain = domain == "*" || (!name.is_empty() && name.bytes().all(is_name));
        (is_domain && (ports == "*" || ports.split(',').all(is_port_or_range))).then(|| {
            format!(
                "<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy SYSTEM \
                 \"http://www.macromedia.com/xml/dtds/cross-domain-policy.dtd\">\n<cross-domain-policy>\
                 <allow-access-from domain=\"{domain}\" to-ports=\"{ports}\" /></cross-domain-policy>"
            )
        })
    }

    /// Sets [`shards`](Self#structfield.shards); 0 means one per processor.
    #[must_use]
    pub const fn shards(mut self, shards: usize) -> Self {
        self.shards = NonZeroUsize::new(shards);
        self
    }

    setters! {
        /// Sets [`protocol_76_00_support`](Self#structfield.protocol_76_00_support).
        protocol_76_00_support: bool,
        /// Sets [`protocol_75_support`](Self#structfield.protocol_75_support).
        protocol_75_support: bool,
        /// Sets [`max_clients`](Self#structfield.max_clients).
        max_clients: usize,
        /// Sets [`raise_descriptor_limit`](Self#structfield.raise_descriptor_limit).
        raise_descriptor_limit: bool,
        /// Sets [`max_header_size`](Self#structfield.max_header_size).
        max_header_size: usize,
        /// Sets [`max_read_frame_size`](Self#structfield.max_read_frame_size).
        max_read_frame_size: usize,
        /// Sets [`max_read_message_size`](Self#structfield.max_read_message_size).
        max_read_message_size: usize,
        /// Sets [`max_fragments`](Self#structfield.max_fragments).
        max_fragments: u32,
        /// Sets [`write_high_water`](Self#structfield.write_high_water).
        write_high_water: usize,
        /// Sets [`max_write_backlog`](Self#structfield.max_write_backlog).
        max_write_backlog: usize,
        /// Sets [`slow_policy`](Self#structfield.slow_policy).
        slow_policy: Option<SlowPolicy>,
        /// Sets [`max_handler_read_backlog`](Self#structfield.max_handler_read_backlog).
        max_handler_read_backlog: usize,
        /// Sets [`max_buffered`](Self#structfield.max_buffered).
        max_buffered: usize,
        /// Sets [`backlog`](Self#structfield.backlog).
        backlog: i32,
        /// Sets [`reuse_port`](Self#structfield.reuse_port).
        reuse_port: bool,
        /// Sets [`handshake_timeout`](Self#structfield.handshake_timeout).
        handshake_timeout: Duration,
        /// Sets [`close_timeout`](Self#structfield.close_timeout).
        close_timeout: Duration,
        /// Sets [`write_timeout`](Self#structfield.write_timeout).
        write_timeout: Duration,
        /// Sets [`ping_interval`](Self#structfield.ping_interval).
        ping_interval: Option<Duration>,
        /// Sets [`ping_timeout`](Self#structfield.ping_timeout).
        ping_timeout: Duration,
        /// Sets [`idle_timeout`](Self#structfield.idle_timeout).
        idle_timeout: Option<Duration>,
        /// Sets [`message_timeout`](Self#structfield.message_timeout).
        message_timeout: Duration,
        /// Sets [`min_rate`](Self#structfield.min_rate).
        min_rate: usize,
        /// Sets [`tcp_keepalive`](Self#structfield.tcp_keepalive).
        tcp_keepalive: Option<Duration>,
        /// Sets [`max_clients_per_ip`](Self#structfield.max_clients_per_ip).
        max_clients_per_ip: usize,
        /// Sets [`ipv6_prefix`](Self#structfield.ipv6_prefix).
        ipv6_prefix: u8,
        /// Sets [`forwarded`](Self#structfield.forwarded).
        forwarded: ForwardedHeader,
        /// Sets [`proxy_protocol`](Self#structfield.proxy_protocol).
        proxy_protocol: bool,
        /// Sets [`unix_mode`](Self#structfield.unix_mode).
        unix_mode: Option<u32>,
        /// Sets [`max_handshakes`](Self#structfield.max_handshakes).
        max_handshakes: usize,
        /// Sets [`max_messages_per_second`](Self#structfield.max_messages_per_second).
        max_messages_per_second: u32,
        /// Sets [`max_bytes_per_second`](Self#structfield.max_bytes_per_second).
        max_bytes_per_second: usize,
        /// Sets [`excess`](Self#structfield.excess).
        excess: Excess,
        /// Sets [`max_control_frames_per_second`](Self#structfield.max_control_frames_per_second).
        max_control_frames_per_second: u32,
        /// Sets [`send_buffer`](Self#structfield.send_buffer).
        send_buffer: Option<usize>,
        /// Sets [`max_unsent`](Self#structfield.max_unsent).
        max_unsent: Option<usize>,
        /// Sets [`nodelay`](Self#structfield.nodelay).
        nodelay: bool,
        /// Sets [`keep_headers`](Self#structfield.keep_headers).
        keep_headers: bool,
        /// Sets [`max_kept_headers`](Self#structfield.max_kept_headers).
        max_kept_headers: usize,
        /// Sets [`deflate`](Self#structfield.deflate).
        #[cfg(feature = "deflate")]
        deflate: Option<DeflateConfig>,
        /// Sets [`policy_file`](Self#structfield.policy_file).
        policy_file: Option<String>,
        /// Sets [`debug_on_resource_errors`](Self#structfield.debug_on_resource_errors).
        debug_on_resource_errors: bool,
        /// Sets [`debug_on_server_errors`](Self#structfield.debug_on_server_errors).
        debug_on_server_errors: bool,
        /// Sets [`task_per_client`](Self#structfield.task_per_client).
        task_per_client: bool,
    }
}
