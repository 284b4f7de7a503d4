//! `bind` rejects a configuration that can never work. The error names the field, its value and the
//! allowed values.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::common;
use clws_server::{
    Config, ConfigError, Excess, ForwardedHeader, Listen, Origins, Resource, Server, SlowPolicy,
};

fn base() -> Config {
    Config::default().listen("127.0.0.1:0")
}

fn bind(config: Config) -> Result<(), ConfigError> {
    let checked = config.check();
    let bound = match Server::bind(config) {
        Ok(_) => Ok(()),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ConfigError>());
            assert_eq!(inner.expect("a ConfigError").to_string(), error.to_string());
            Err(inner.unwrap().clone())
        }
    };
    assert_eq!(bound, checked);
    bound
}

/// A field with rejected values, each with its text in the error, and accepted values.
struct Field {
    name: &'static str,
    rejected: Vec<(Config, &'static str)>,
    accepted: Vec<Config>,
}

fn field(name: &'static str, rejected: Vec<(Config, &'static str)>, accepted: Vec<Config>) -> Field {
    Field { name, rejected, accepted }
}

/// A limit of bytes or connections.
fn limit(name: &'static str, set: impl Fn(usize) -> Config, min: usize) -> Field {
    let max = usize::MAX;
    let below: &'static str = (min - 1).to_string().leak();
    let rejected = if min == 1 { vec![(set(0), "0")] } else { vec![(set(0), "0"), (set(min - 1), below)] };
    field(name, rejected, vec![set(min), set(min + 1), set(max)])
}

fn time(name: &'static str, set: impl Fn(Duration) -> Config) -> Field {
    let (shortest, day) = (Duration::from_millis(1), Duration::from_secs(24 * 60 * 60));
    field(
        name,
        vec![
            (set(Duration::ZERO), "0 seconds"),
            (set(Duration::from_nanos(1)), "0.000000001 seconds"),
            (set(Duration::from_nanos(999_999)), "0.000999999 seconds"),
        ],
        vec![set(shortest), set(day), set(1000 * day), set(Duration::MAX)],
    )
}

fn optional_time(name: &'static str, set: impl Fn(Option<Duration>) -> Config) -> Field {
    let mut field = time(name, |time| set(Some(time)));
    field.accepted.push(set(None));
    field
}

fn any_number(name: &'static str, set: impl Fn(usize) -> Config) -> Field {
    field(name, Vec::new(), vec![set(0), set(1), set(usize::MAX)])
}

fn socket_buffer(name: &'static str, set: impl Fn(Option<usize>) -> Config) -> Field {
    field(
        name,
        vec![(set(Some(0)), "0 bytes"), (set(Some(1 << 31)), "2147483648 bytes")],
        vec![set(None), set(Some(1)), set(Some((1 << 31) - 1))],
    )
}

fn switch(name: &'static str, set: impl Fn(bool) -> Config) -> Field {
    field(name, Vec::new(), vec![set(false), set(true)])
}

fn fields() -> Vec<Field> {
    let keepalive = |seconds| base().tcp_keepalive(Some(Duration::from_secs(seconds)));
    let behind = base().trusted_proxies(["10.0.0.1"]);
    let policy = |text: &str| base().policy_file(Some(text.to_owned()));
    vec![
        field(
            "listen",
            Vec::new(),
            vec![Config::default().listen("localhost:0"), base().listen("127.0.0.1:0")],
        ),
        switch("protocol_76_00_support", |on| base().protocol_76_00_support(on)),
        switch("protocol_75_support", |on| base().protocol_75_support(on)),
        limit("max_clients", |n| base().max_clients(n), 1),
        switch("raise_descriptor_limit", |on| base().raise_descriptor_limit(on)),
        limit("max_header_size", |n| base().max_header_size(n), 135),
        limit("max_read_frame_size", |n| base().max_read_frame_size(n), 1),
        limit("max_read_message_size", |n| base().max_read_message_size(n), 1),
        field(
            "max_fragments",
            vec![(base().max_fragments(0), "0")],
            vec![base().max_fragments(1), base().max_fragments(u32::MAX)],
        ),
        limit("write_high_water", |n| base().write_high_water(n), 1),
        limit("max_write_backlog", |n| base().max_write_backlog(n), 1),
        field(
            "max_handler_read_backlog",
            Vec::new(),
            vec![base().max_handler_read_backlog(0), base().max_handler_read_backlog(usize::MAX)],
        ),
        field(
            "slow_policy",
            Vec::new(),
            vec![
                base().slow_policy(None),
                base().slow_policy(Some(SlowPolicy::drop_newest().max_queued(0))),
                base().slow_policy(Some(SlowPolicy::close())),
            ],
        ),
        limit("max_buffered", |n| base().max_buffered(n), 1 << 20),
        switch("reuse_port", |on| base().reuse_port(on)),
        field(
            "backlog",
            vec![
                (base().backlog(0), "0"),
                (base().backlog(-1), "-1"),
                (base().backlog(i32::MIN), "-2147483648"),
            ],
            vec![base().backlog(1), base().backlog(i32::MAX)],
        ),
        time("handshake_timeout", |time| base().handshake_timeout(time)),
        time("close_timeout", |time| base().close_timeout(time)),
        time("write_timeout", |time| base().write_timeout(time)),
        field(
            "tcp_keepalive",
            vec![
                (keepalive(0), "0 seconds"),
                (base().tcp_keepalive(Some(Duration::from_millis(999))), "0.999 seconds"),
                (keepalive(32_768), "32768 seconds"),
            ],
            vec![base().tcp_keepalive(None), keepalive(1), keepalive(32_767)],
        ),
        optional_time("ping_interval", |time| base().ping_interval(time)),
        time("ping_timeout", |time| base().ping_timeout(time)),
        optional_time("idle_timeout", |time| base().idle_timeout(time)),
        time("message_timeout", |time| base().message_timeout(time)),
        any_number("min_rate", |n| base().min_rate(n)),
        any_number("max_clients_per_ip", |n| base().max_clients_per_ip(n)),
        field(
            "ipv6_prefix",
            vec![(base().ipv6_prefix(0), "0"), (base().ipv6_prefix(129), "129")],
            vec![base().ipv6_prefix(1), base().ipv6_prefix(128)],
        ),
        field(
            "trusted_proxies",
            vec![
                (base().trusted_proxies(["localhost"]), "\"localhost\""),
                (base().trusted_proxies(["10.0.0.1/8"]), "\"10.0.0.1/8\""),
                (base().trusted_proxies(["::1", "0.0.0.0/0"]), "\"0.0.0.0/0\""),
            ],
            vec![
                base().trusted_proxies(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32", "unix"]),
                base().trusted_proxies([std::net::IpAddr::from([10, 0, 0, 1])]),
            ],
        ),
        field(
            "forwarded",
            vec![(base().forwarded(ForwardedHeader::Forwarded), "Forwarded")],
            vec![
                base().forwarded(ForwardedHeader::None),
                behind.clone().forwarded(ForwardedHeader::Forwarded),
                behind.clone().forwarded(ForwardedHeader::XForwardedFor),
                behind.clone().forwarded(ForwardedHeader::XForwardedForAndProto),
            ],
        ),
        field(
            "proxy_protocol",
            vec![(base().proxy_protocol(true), "true")],
            vec![base().proxy_protocol(false), behind.proxy_protocol(true)],
        ),
        field(
            "unix_mode",
            vec![(base().unix_mode(Some(0)), "0o000"), (base().unix_mode(Some(0o1777)), "0o1777")],
            vec![base().unix_mode(None), base().unix_mode(Some(1)), base().unix_mode(Some(0o777))],
        ),
        limit("max_handshakes", |n| base().max_handshakes(n), 1),
        any_number("max_messages_per_second", |n| {
            base().max_messages_per_second(u32::try_from(n).unwrap_or(u32::MAX))
        }),
        any_number("max_bytes_per_second", |n| base().max_bytes_per_second(n)),
        field("excess", Vec::new(), vec![base().excess(Excess::Wait), base().excess(Excess::Close)]),
        any_number("max_control_frames_per_second", |n| {
            base().max_control_frames_per_second(u32::try_from(n).unwrap_or(u32::MAX))
        }),
        socket_buffer("send_buffer", |bytes| base().send_buffer(bytes)),
        socket_buffer("max_unsent", |bytes| base().max_unsent(bytes)),
        switch("nodelay", |on| base().nodelay(on)),
        switch("keep_headers", |on| base().keep_headers(on)),
        field(
            "max_kept_headers",
            Vec::new(),
            vec![base().max_kept_headers(0), base().max_kept_headers(usize::MAX)],
        ),
        #[cfg(feature = "deflate")]
        deflate(),
        field(
            "policy_file",
            vec![
                (policy(""), "empty"),
                (policy("<x/>\0"), "a text with a NUL"),
                (policy(&"x".repeat(65_537)), "a text of 65537 bytes"),
            ],
            vec![base().policy_file(None), policy("x"), policy(&"x".repeat(65_536))],
        ),
        switch("debug_on_resource_errors", |on| base().debug_on_resource_errors(on)),
        switch("debug_on_server_errors", |on| base().debug_on_server_errors(on)),
        field(
            "shards",
            vec![(base().shards(32_769), "32769")],
            vec![base().shards(0), base().shards(1), base().shards(32_768)],
        ),
        switch("task_per_client", |on| base().task_per_client(on)),
    ]
}

#[cfg(feature = "deflate")]
fn deflate() -> Field {
    use clws_server::DeflateConfig;

    let with = |change: fn(&mut DeflateConfig)| {
        let mut config = DeflateConfig::default();
        change(&mut config);
        base().deflate(Some(config))
    };
    field(
        "deflate",
        vec![
            (with(|deflate| deflate.level = 0), "0"),
            (with(|deflate| deflate.level = 10), "10"),
            (with(|deflate| deflate.memory_level = 0), "0"),
            (with(|deflate| deflate.memory_level = 10), "10"),
            (with(|deflate| deflate.server_max_window_bits = 8), "8"),
            (with(|deflate| deflate.server_max_window_bits = 16), "16"),
            (with(|deflate| deflate.client_max_window_bits = 8), "8"),
            (with(|deflate| deflate.client_max_window_bits = 16), "16"),
        ],
        vec![
            base().deflate(None),
            with(|deflate| deflate.level = 9),
            with(|deflate| deflate.memory_level = 1),
            with(|deflate| deflate.server_max_window_bits = 9),
            with(|deflate| deflate.threshold = usize::MAX),
        ],
    )
}

#[test]
fn every_field_is_checked() {
    assert_eq!(bind(base()), Ok(()));
    assert_eq!(Config::default().check(), Ok(()));
    for Field { name, rejected, accepted } in fields() {
        for (config, value) in rejected {
            let error = bind(config).expect_err(name);
            let in_a_table = error.field().strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            assert!(error.field() == name || in_a_table, "{name}: {error}");
            assert_eq!(error.value(), value, "{error}");
            let expected = format!("`{}` is {value}: allowed is {}", error.field(), error.allowed());
            assert_eq!(error.to_string(), expected);
        }
        for config in accepted {
            bind(config).unwrap();
        }
    }
}

/// The chapter "running" has a row for each field.
#[test]
fn every_field_is_in_the_guide() {
    let guide = include_str!("../../src/guide/running.md");
    for Field { name, .. } in fields() {
        let is_row = |line: &str| {
            line.starts_with(&format!("| [`{name}`]")) || line.starts_with(&format!("| `{name}`"))
        };
        assert!(guide.lines().any(is_row), "{name}");
    }
}

/// The compiler enforces that `Config::check` covers a new field. This test enforces that `fields`
/// covers it.
#[test]
fn every_field_is_tested() {
    let names: BTreeSet<_> = fields().iter().map(|field| field.name.to_owned()).collect();
    let config = format!("{:#?}", Config::default());
    let all: BTreeSet<_> = config
        .lines()
        .filter_map(|line| Some(line.strip_prefix("    ")?.split_once(": ")?.0.to_owned()))
        .filter(|name| !name.starts_with(' '))
        .collect();
    assert_eq!(names, all);
}

#[test]
fn invalid_addresses_are_rejected() {
    for (address, why) in [
        ("", "it is empty: write an address and a port, such as `127.0.0.1:12345`"),
        ("localhost", "the port is missing, as in `localhost:12345`"),
        ("127.0.0.1", "the port is missing, as in `127.0.0.1:12345`"),
        ("8080", "the address is missing: write `127.0.0.1:8080` for this machine alone"),
        (":8080", "the address is missing: write `127.0.0.1:8080` for this machine alone"),
        (":8080", "or `0.0.0.0:8080` and `[::]:8080` for all"),
        (":", "the address is missing: write `127.0.0.1:12345`"),
        ("localhost:", "a port is a number"),
        ("localhost:http", "a port is a number"),
        ("localhost:-1", "a port is a number"),
        ("localhost:+80", "a port is a number"),
        ("localhost: 80", "a port is a number"),
        ("localhost:65536", "a port is a number"),
        ("127.0.0.1:99999", "a port is a number"),
        ("localhost:80/chat", "a port is a number"),
        ("::1", "put an IPv6 address in brackets"),
        ("::", "put an IPv6 address in brackets"),
        ("::1:8080", "put an IPv6 address in brackets"),
        ("2001:db8::1:80", "put an IPv6 address in brackets"),
        ("[::1]", "the port is missing, as in `[::1]:12345`"),
        ("[localhost]:80", "brackets contain an IPv6 address"),
        ("[fe80::1%eth0]:80", "`fe80::1%eth0:80`"),
        ("fe80::1%:80", "`fe80::1%eth0:80`"),
        ("localhost%eth0:80", "`fe80::1%eth0:80`"),
        ("*:80", "write `0.0.0.0:80` and `[::]:80`"),
        ("http://localhost:80", "it is a URL: write only the address and port, as `localhost:80`"),
        ("http://127.0.0.1:80/chat", "it is a URL: write only the address and port, as `127.0.0.1:80`"),
        ("http://[::1]:80/", "it is a URL: write only the address and port, as `[::1]:80`"),
        // No suggestion is refused in its turn.
        ("https://example.com", "as `127.0.0.1:12345`"),
        ("http://", "as `127.0.0.1:12345`"),
        ("99999", "a port is a number"),
        (":99999", "write `127.0.0.1:12345`"),
        (":http", "write `127.0.0.1:12345`"),
        ("ü.de", "as in `127.0.0.1:12345`"),
        ("user@localhost:80", "a name is made of"),
        ("local host:80", "a name is made of"),
        (" localhost:80", "a name is made of"),
        ("local\0host:80", "a name is made of"),
        ("ü.de:80", "Punycode"),
        ("unix:", "the path is empty"),
        ("unix:/a\0b", "a NUL"),
        (&format!("unix:/{}", "a".repeat(107)), "the system takes at most"),
        ("224.0.0.1:80", "multicast"),
        ("[ff02::1]:80", "multicast"),
        ("[::ffff:127.0.0.1]:80", "write it as IPv4, as in `127.0.0.1:80`"),
        ("255.255.255.255:80", "broadcast"),
    ] {
        let error = bind(base().listen(address)).expect_err(address);
        assert_eq!(error.field(), "listen");
        assert_eq!(error.value(), format!("{address:?}"));
        assert!(error.allowed().contains("`NAME:PORT`") && error.allowed().contains(why), "{error}");
    }
}

/// Only this address form has a zone. The system resolves the zone's name.
#[test]
fn addresses_with_a_zone_are_accepted() {
    for address in ["fe80::1%eth0:80", "fe80::1%en-0.2:0", "[fe80::1%2]:80"] {
        base().listen(address).check().unwrap();
    }
}

#[test]
fn duplicate_addresses_are_rejected() {
    let unix = format!("unix:{}/clws-config-{}", std::env::temp_dir().display(), std::process::id());
    for address in ["127.0.0.1:54321", "localhost:54321", &unix] {
        let error = bind(base().listen(address).listen("127.0.0.1:0").listen(address)).unwrap_err();
        assert_eq!((error.field(), error.value()), ("listen", &*format!("{address:?} twice")));
    }
    for address in ["127.0.0.1:0", "localhost:0"] {
        bind(Config::default().listen(address).listen(address)).unwrap();
    }
    assert_eq!(Config::default().listen(Listen::from("[::1]:80")).listen("[::]:80").check(), Ok(()));
}

/// `check` has no rule about two limits. The lower limit applies.
#[test]
fn related_limits_are_independent() {
    for config in [
        base().max_read_message_size(1),
        base().max_read_frame_size(usize::MAX),
        base().max_write_backlog(1),
        base().write_high_water(usize::MAX),
        base().max_buffered(1 << 20),
    ] {
        bind(config).unwrap();
    }
}

struct Silent;
impl Resource for Silent {}

#[test]
fn the_shortest_handshake_fits_the_lowest_limit() {
    let request = "GET / HTTP/1.1\r\nHost:a\r\nUpgrade:websocket\r\nConnection:Upgrade\r\n\
        Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version:13\r\n\r\n";
    assert_eq!(request.len(), 135);
    let server = common::Running::start(base().max_header_size(135), std::sync::Arc::new(Silent));
    let mut stream = server.tcp();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
}

#[test]
fn paths_too_long_for_a_request_are_rejected() {
    let server = Server::bind(base().max_header_size(200)).unwrap();
    let path = |length: usize| format!("/{}", "a".repeat(length - 1));
    assert_eq!(server.resources().register(&path(200 - 134), Origins::any(), Silent), Ok(()));
    let error = server.resources().register(&path(200 - 133), Origins::any(), Silent).unwrap_err();
    assert!(error.to_string().contains("67 bytes") && error.to_string().contains("= 200"), "{error}");
    assert!(server.resources().register_prefix(&format!("{}/", path(66)), Origins::any(), Silent).is_err());
}
