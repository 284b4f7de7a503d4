//! Origin rules: errors in their entries, and the origins that they admit.

use clws_handshake::Origins;
use proptest::prelude::*;

/// Origins that browsers send.
const SENT: &[&str] = &[
    "null",
    "https://example.com",
    "http://localhost:8080",
    "https://example.com:80",
    "http://example.com:443",
    "http://example.com.",
    "http://my_host-1.example:1",
    "http://example.com:65535",
    "https://xn--tda.de",
    "http://127.0.0.1",
    "http://192.168.0.1:8080",
    "http://1.example",
    "http://[::1]:8080",
    "http://[2001:db8::1]",
    "http://[::ffff:7f00:1]",
    "HTTPS://Example.COM",
    "file://",
    "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
    "moz-extension://0e2d5a32-5f5c-4a0b-9a57-3f1c3c7a0f11",
    "ms-browser-extension://EdgeExtension_a.b_8wekyb3d8bbwe",
    "capacitor://localhost",
    "tauri://localhost",
    "app://.",
    "app://obsidian.md",
    "vscode-webview://1k2j3h4g5f",
    "ionic://localhost:8100",
];

#[test]
fn origins_that_browsers_send_pass() {
    for &origin in SENT {
        for origins in [Origins::exact([origin]), Origins::prefix([origin])] {
            assert_eq!(origins.check(), Ok(()), "{origin}");
            assert!(origins.allows(Some(origin)), "{origin}");
        }
    }
    for prefix in ["https://", "chrome-extension://", "file://", "http://localhost:", "http://[::1]:"] {
        assert_eq!(Origins::prefix([prefix]).check(), Ok(()), "{prefix}");
    }
    assert_eq!(Origins::any().check(), Ok(()));
    assert_eq!(Origins::any().or_absent(false).check(), Ok(()));
    assert_eq!(Origins::closure(|_| false).check(), Ok(()));
}

#[test]
fn an_entry_that_matches_nothing_is_an_error_with_a_reason() {
    for (entry, why) in [
        ("", "it is empty"),
        ("*", "Origins::any()"),
        ("example.com", "the scheme is missing"),
        ("example.com:443", "the scheme is missing"),
        ("localhost", "the scheme is missing"),
        (":443", "the scheme is missing"),
        ("//example.com", "the scheme is missing"),
        ("https:example.com", "the scheme is missing"),
        ("https:/example.com", "the scheme is missing"),
        ("://example.com", "`` is not a scheme"),
        ("1://example.com", "`1` is not a scheme"),
        ("ht_tp://example.com", "`ht_tp` is not a scheme"),
        ("ws://example.com", "its scheme is `http`"),
        ("WSS://example.com", "its scheme is `https`"),
        ("https://example.com/", "write `https://example.com`"),
        ("https://example.com:8443/", "write `https://example.com:8443`"),
        ("https://example.com/chat", "write `https://example.com`"),
        ("https://example.com?a", "write `https://example.com`"),
        ("https://example.com#a", "write `https://example.com`"),
        ("https:\\\\example.com", "the scheme is missing"),
        ("https://example.com\\", "write `https://example.com`"),
        ("file:///", "write `file://`"),
        ("https://user@example.com", "user name"),
        ("https://user:secret@example.com", "user name"),
        ("https://ü.de", "Punycode"),
        ("https://ü.de:8080", "Punycode"),
        ("app://ü", "percent-encoded"),
        ("https://:443", "the host is missing"),
        ("app://:1", "the host is missing"),
        ("https://*", "wildcards are not supported"),
        ("https://*.example.com", "wildcards are not supported"),
        ("http://localhost:*", "`*` is not a port"),
        ("moz-extension://*", "wildcards are not supported"),
        ("https://.example.com", "each part of a host name"),
        ("https://a..b", "each part of a host name"),
        ("https://.", "each part of a host name"),
        ("https://exa%6dple.com", "'%'"),
        ("https://a,b", "','"),
        ("https://{host}", "'{'"),
        ("app://a^b", "'^'"),
        ("https://example.com:443", "write `https://example.com`"),
        ("HTTP://example.com:80", "write `HTTP://example.com`"),
        ("http://[::1]:80", "write `http://[::1]`"),
        ("https://example.com:0", "`0` is not a port"),
        ("https://example.com:65536", "`65536` is not a port"),
        ("https://example.com:080", "`080` is not a port"),
        ("https://example.com:+1", "`+1` is not a port"),
        ("https://example.com:evil.com", "`evil.com` is not a port"),
        ("https://example.com:1:2", "`1:2` is not a port"),
        ("https://::1", "write `https://[::1]`"),
        ("http://2001:db8::1", "write `http://[2001:db8::1]`"),
        ("http://[::1", "`[::1` is not an IPv6 address in brackets"),
        ("http://[]", "`[]` is not an IPv6 address"),
        ("http://[::1]8080", "`8080` cannot follow"),
        ("http://[fe80::1%25eth0]", "`[fe80::1%25eth0]` is not an IPv6 address"),
        ("http://[0:0:0:0:0:0:0:1]", "`[::1]`"),
        ("http://[::ffff:127.0.0.1]", "`[::ffff:7f00:1]`"),
        ("http://127.1", "four decimal numbers"),
        ("http://127.0.0.1.", "four decimal numbers"),
        ("http://127.0.0.01", "four decimal numbers"),
        ("http://256.0.0.1", "four decimal numbers"),
        ("http://2130706433", "four decimal numbers"),
        ("http://0x7f.1", "four decimal numbers"),
        ("http://a.0x", "four decimal numbers"),
        (" https://example.com", "a separate entry"),
        ("https://example.com ", "a separate entry"),
        ("https://a.example https://b.example", "a separate entry"),
        ("https://a.example\r\nX: y", "a separate entry"),
        ("https://a.example\0", "a separate entry"),
        ("https://a.example,https://b.example", "several origins"),
        ("nullable", "the scheme is missing"),
        ("null/", "the scheme is missing"),
    ] {
        for (origins, allowed) in
            [(Origins::exact([entry]), "`scheme://host`"), (Origins::prefix([entry]), "`scheme://`")]
        {
            let error = origins.check().unwrap_err();
            assert_eq!(error.origin(), entry);
            let text = error.to_string();
            assert!(text.contains(&format!("{entry:?}")) && text.contains(why), "{entry}: {text}");
            assert!(text.contains(&format!("allowed forms are {allowed}")), "{text}");
        }
        assert!(!Origins::prefix([entry]).allows(Some(entry)), "{entry:?}");
    }
    let long = format!("https://{}.example", "a".repeat(64));
    assert!(Origins::exact([long]).check().is_err());
    let long = format!("https://{}example", "abcdefg.".repeat(31));
    assert!(Origins::exact([long]).check().is_err());
}

#[test]
fn an_open_prefix_is_not_an_exact_origin() {
    for open in ["https://", "http://localhost:", "chrome-extension://"] {
        assert_eq!(Origins::exact([open]).check().unwrap_err().origin(), open);
    }
}

#[test]
fn the_first_invalid_entry_is_reported() {
    let origins = Origins::exact(["https://good.example", "bad.example", "*"]);
    assert_eq!(origins.check().unwrap_err().origin(), "bad.example");
    assert!(origins.clone().or_absent(true).check().is_err());
}

#[test]
fn an_empty_list_is_an_error_unless_it_admits_clients_without_an_origin() {
    for none in [Origins::exact([""; 0]), Origins::prefix([""; 0])] {
        let error = none.check().unwrap_err();
        assert_eq!(error.origin(), "");
        assert!(error.to_string().starts_with("no origin is admitted: no origin is listed"), "{error}");
        assert!(none.clone().or_absent(false).check().is_err());
        assert_eq!(none.or_absent(true).check(), Ok(()));
    }
}

#[test]
fn only_a_port_may_follow_a_prefix() {
    for (prefix, good, bad) in [
        (
            "http://localhost",
            &["http://localhost", "http://localhost/", "http://localhost:8080", "http://localhost:8080/"][..],
            &[
                "http://localhost:8080 http://evil.com",
                "http://localhost http://evil.com",
                "http://localhost/ http://evil.com",
                "http://localhost:evil.com",
                "http://localhost:evil.com:80",
                "http://localhost:80.evil.com",
                "http://localhost:8080:evil.com",
                "http://localhost:8080,http://evil.com",
                "http://localhost:8080@evil.com",
                "http://localhost:8080/@evil.com",
                "http://localhost:8080#@evil.com",
                "http://localhost:8080?@evil.com",
                "http://localhost/evil.com",
                "http://localhost\\evil.com",
                "http://localhost//",
                "http://localhost:",
                "http://localhost:/",
                "http://localhost:0",
                "http://localhost:65536",
                "http://localhost:99999999999999999999",
                "http://localhost:+80",
                "http://localhost:８０",
                "http://localhost:80\u{0}",
                "http://localhost:80\t",
                "http://localhost:080",
                "http://localhost.",
                "http://localhost.evil.com",
                "http://localhostess",
                "null",
            ][..],
        ),
        (
            "http://localhost:8080",
            &["http://localhost:8080", "http://localhost:8080/"],
            &[
                "http://localhost:80801",
                "http://localhost:808",
                "http://localhost:8080:1",
                "http://localhost",
            ],
        ),
        (
            "http://localhost:",
            &["http://localhost:8080", "http://localhost:1/"],
            &[
                "http://localhost",
                "http://localhost:",
                "http://localhost:/",
                "http://localhost:a",
                "http://localhost:1:2",
            ],
        ),
        (
            "http://[::1]",
            &["http://[::1]", "http://[::1]:80"],
            &["http://[::1]evil.com", "http://[::1].evil.com", "http://[::1]:80:80", "http://[::12]"],
        ),
        (
            "https://",
            &["https://example.com", "https://a.b.c:8443", "https://[::1]:1/", "HTTPS://EXAMPLE.COM"],
            &[
                "https://",
                "https:///",
                "https://a https://b",
                "https://a b",
                "https://a@b",
                "https://a/b",
                "https://a:b",
                "https://:1",
                "https://ü.de",
                "https://[::1",
                "https://[a]",
                "https://*",
                "http://a",
                "httpss://a",
            ],
        ),
        (
            "moz-extension://",
            &["moz-extension://0e2d5a32-5f5c-4a0b-9a57-3f1c3c7a0f11"],
            &["moz-extension://a b", "moz-extension:///a", "chrome-extension://a"],
        ),
        ("file://", &["file://", "file://server"], &["file:///etc/passwd", "file:///"]),
        ("null", &["null", "NULL"], &["null/", "nullable", "null:80", "null http://a"]),
        ("http://[", &[], &["http://[::1]", "http://[", "http://[:80"]),
    ] {
        let origins = Origins::prefix([prefix]);
        for origin in good {
            assert!(origins.allows(Some(origin)), "{prefix}: {origin}");
        }
        for origin in bad {
            assert!(!origins.allows(Some(origin)), "{prefix}: {origin}");
        }
    }
}

/// Scheme, host and port of a single origin. Unlike the library, it parses from the end.
fn origin(text: &str) -> Option<(String, String, Option<u16>)> {
    let text = text.to_ascii_lowercase();
    let (scheme, authority) = text.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    if authority.contains(|c: char| c.is_whitespace() || c.is_control() || "/@?#\\".contains(c)) {
        return None;
    }
    let digits = authority.len() - authority.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (host, port) = match authority.split_at(authority.len() - digits) {
        (host, port) if host.ends_with(':') && !host.ends_with("::") => {
            (host.trim_end_matches(':'), Some(port.parse().ok()?))
        }
        _ => (authority, None),
    };
    let colons_are_an_address = host.starts_with('[') && host.ends_with(']');
    (colons_are_an_address || !host.contains(':')).then(|| (scheme.to_owned(), host.to_owned(), port))
}

/// Text that looks like an origin, or almost.
fn text() -> impl Strategy<Value = String> {
    let scheme = "https?|app|file|null|[a-z:]{0,3}";
    let host = r"localhost|example\.com|\[::1\]|127\.0\.0\.1|[a-z.\[\]:]{0,4}";
    let end = r"|:|:80|:8080|:443|/|:8080/|@evil\.com|\.evil\.com|:evil\.com| http://evil\.com|:8080 http://evil\.com|\PC{0,6}";
    (scheme, "://|:|/|", host, end).prop_map(|(scheme, mark, host, end)| format!("{scheme}{mark}{host}{end}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_prefix_admits_only_single_origins_of_its_scheme_and_host(
        entry in text(), other in text(), tail in r"|:80|:8080|/|:|@e|\.e|:e| http://e|[ -~]{0,4}|\PC{0,4}",
    ) {
        let origins = Origins::prefix([entry.as_str()]);
        for sent in [&other, &format!("{entry}{tail}"), &format!("{other}{tail}")] {
            if !origins.allows(Some(sent)) {
                continue;
            }
            prop_assert_eq!(origins.check(), Ok(()));
            if entry == "null" {
                prop_assert_eq!(sent, "null");
                continue;
            }
            let parsed = origin(sent);
            prop_assert!(parsed.is_some(), "{sent:?} is not a single origin");
            let (scheme, host, port) = parsed.unwrap();
            let (wanted_scheme, wanted) = entry.split_once("://").unwrap();
            prop_assert_eq!(&scheme, wanted_scheme);
            if wanted.is_empty() {
                continue;
            }
            let (wanted_host, wanted_port) = match origin(&entry) {
                Some((_, host, port)) => (host, port),
                None => (wanted.strip_suffix(':').unwrap().to_owned(), None),
            };
            prop_assert_eq!(host, wanted_host);
            prop_assert!(wanted_port.is_none() || wanted_port == port);
        }
    }

    #[test]
    fn a_valid_exact_origin_is_a_prefix_that_admits_it(entry in text()) {
        let (exact, prefix) = (Origins::exact([entry.as_str()]), Origins::prefix([entry.as_str()]));
        if exact.check().is_ok() {
            prop_assert_eq!(prefix.check(), Ok(()));
            prop_assert!(exact.allows(Some(&entry)) && prefix.allows(Some(&entry)));
        } else if prefix.check().is_ok() {
            prop_assert!(entry.ends_with("://") || entry.ends_with(':'));
        }
    }
}
