//! Tests of configuration files and their errors.

use std::time::Duration;

use crate::config::Config;
use crate::config::address::Listen;
use crate::config::excess::Excess;
use crate::config::file::KEYS;
use clws_proto::SlowPolicy;

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
fn the_settings_of_slow_and_greedy_clients_have_names() {
    let config = read("excess = 'close'\nslow_policy = 'drop_oldest'\nping_interval = 0").unwrap();
    assert_eq!((config.excess, config.ping_interval), (Excess::Close, None));
    assert_eq!(config.slow_policy, Some(SlowPolicy::drop_oldest()));
    for (name, policy) in [
        ("none", None),
        ("refuse", Some(SlowPolicy::refuse())),
        ("close", Some(SlowPolicy::close())),
        ("drop_newest", Some(SlowPolicy::drop_newest())),
    ] {
        assert_eq!(read(&format!("slow_policy = '{name}'")).unwrap().slow_policy, policy);
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
        ("ping_timeout = 0", "`ping_timeout` is 0 seconds: allowed is at least 0.001 seconds"),
        ("message_timeout = 0", "`message_timeout` is 0 seconds: allowed is at least 0.001 seconds"),
        ("ipv6_prefix = 129", "`ipv6_prefix` is 129: allowed is from 1 to 128"),
        ("max_handshakes = 0", "`max_handshakes` is 0: allowed is at least 1"),
        ("send_buffer = 2_147_483_648", "`send_buffer` is 2147483648 bytes: allowed is none, or from 1"),
        ("max_unsent = 2_147_483_648", "`max_unsent` is 2147483648 bytes: allowed is none, or from 1"),
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
    assert_eq!(fields, KEYS);
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
        ("max_clients = 99999999999999999999", "99999999999999999999", "`max_clients` to be a whole number"),
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
        ("ping_interval = 'never'", "invalid type", "`ping_interval` to be a time in seconds"),
        ("idle_timeout = -1", "invalid value: integer `-1`", "`idle_timeout` to be a time in seconds"),
        ("min_rate = 0.5", "invalid type: floating point `0.5`", "`min_rate` to be a whole number"),
        ("ipv6_prefix = 300", "300", "`ipv6_prefix` to be a whole number"),
        ("excess = 'drop'", "invalid value: string \"drop\"", "`excess` to be \"wait\" or \"close\""),
        ("excess = false", "invalid type: boolean `false`", "`excess` to be \"wait\" or \"close\""),
        (
            "slow_policy = 'drop'",
            "invalid value: string \"drop\"",
            "`slow_policy` to be \"none\", \"refuse\", ",
        ),
        (
            "max_unsent = -1",
            "invalid value: integer `-1`",
            "`max_unsent` to be a number of bytes, or 0 for the",
        ),
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
    assert!(error.starts_with("unknown field `levle`, expected one of `level`, `memory_level`, "), "{error}");
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
