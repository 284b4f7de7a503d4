//! Rules for the origins that may connect.

use std::fmt;
use std::sync::Arc;

use crate::origins::entry::{Entry, Fault};
use crate::origins::same_host::is_same_host;

mod entry;
mod same_host;

/// The origins that may connect to a resource: any, exact, prefix or a closure, as in CLWS, or the
/// host of the server itself.
///
/// Only the `Origin` of a browser is reliable: it stops pages of other sites from using a visitor's
/// cookies (RFC 6455 §10.2). Other clients can send any value. The comparison ignores case, because
/// schemes and hosts are case-insensitive. Sandboxed pages and files send the origin `null`. It is
/// admitted only if it is listed.
///
/// The entries of `exact` and `prefix` are origins as browsers send them (RFC 6454 §6.2):
/// `scheme://host`, with `:port` unless it is the default of the scheme. [`check`](Self::check)
/// rejects an entry that cannot match the origin of a browser. `clws-server` calls it when a
/// resource is registered.
///
/// Each validator has a default for clients without an origin. [`or_absent`](Self::or_absent)
/// changes it:
///
/// | validator | client without an origin |
/// |---|---|
/// | [`any`](Self::any) | admitted |
/// | [`exact`](Self::exact), [`prefix`](Self::prefix), [`same_host`](Self::same_host) | refused |
/// | [`closure`](Self::closure) | is called with `None` |
///
/// ```
/// use clws_handshake::Origins;
///
/// let local = Origins::prefix(["http://localhost"]);
/// assert!(local.allows(Some("http://localhost:8080")));
/// assert!(!local.allows(Some("http://localhost.evil.com")));
/// assert!(!local.allows(None));
/// assert!(local.or_absent(true).allows(None));
/// ```
#[derive(Clone)]
pub struct Origins {
    rule: Rule,
    absent: Option<bool>,
}

type Closure = dyn Fn(Option<&str>) -> bool + Send + Sync;

#[derive(Clone)]
enum Rule {
    Any,
    Exact(Arc<[Entry]>),
    Prefix(Arc<[Entry]>),
    Closure(Arc<Closure>),
    SameHost,
}

impl Origins {
    /// Admits every origin, and clients without an origin.
    #[must_use]
    pub const fn any() -> Self {
        Self { rule: Rule::Any, absent: None }
    }

    /// Admits the listed origins. Each is `scheme://host`, with its port unless it is the default
    /// of the scheme: `https://example.com`, `http://localhost:8080`, `chrome-extension://abc`,
    /// `file://`, `null`.
    ///
    /// Write the host as browsers send it: a domain outside ASCII in Punycode, an IPv6 address in
    /// its shortest form. See [`check`](Self::check).
    pub fn exact<S: Into<Box<str>>>(origins: impl IntoIterator<Item = S>) -> Self {
        let list = origins.into_iter().map(|origin| Entry::exact(origin.into())).collect();
        Self { rule: Rule::Exact(list), absent: None }
    }

    /// Admits the origins that begin with one of the prefixes. The end of the prefix decides how an
    /// origin may continue:
    ///
    /// | prefix | admits |
    /// |---|---|
    /// | `https://` | every host of the scheme, on any port |
    /// | `http://localhost` | that host on any port; not `http://localhost.evil.com` |
    /// | `http://localhost:` | that host on any port except the default of the scheme |
    /// | `http://localhost:8080`, `null` | itself |
    ///
    /// A trailing slash is ignored, because some clients send one. Any other text after the prefix
    /// is refused: an invalid port, user information, a path, a second origin. A prefix of any
    /// other form is an error of [`check`](Self::check) and admits nothing.
    pub fn prefix<S: Into<Box<str>>>(prefixes: impl IntoIterator<Item = S>) -> Self {
        let list = prefixes.into_iter().map(|prefix| Entry::prefix(prefix.into())).collect();
        Self { rule: Rule::Prefix(list), absent: None }
    }

    /// Admits origins for which the closure returns true. It runs on the thread of the handshake.
    pub fn closure(admits: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        Self { rule: Rule::Closure(Arc::new(admits)), absent: None }
    }

    /// Admits the pages of the server itself: the host and the port of the origin are those of the
    /// request's `Host` header. So pages and WebSockets have one address, and none is configured.
    ///
    /// Only `http` and `https` origins are admitted. The default ports of these schemes may be
    /// written or left out, and an IPv6 address may have any form. If the client is known to use
    /// TLS, a page that came without TLS is refused, because anybody on its way could change it. A
    /// final dot makes another name, as in browsers.
    ///
    /// A proxy must pass on the `Host` header of the client, with its port (nginx:
    /// `proxy_set_header Host $http_host`). `X-Forwarded-Host` and the `host` of `Forwarded` are
    /// ignored.
    ///
    /// It is no protection for a server that trusts everybody who can reach it, such as one on
    /// `localhost` without a login: with *DNS rebinding*, the name of an attacker's page leads to
    /// the server's address, and both headers have that name. Use [`exact`](Self::exact) there.
    ///
    /// ```
    /// use clws_handshake::Origins;
    ///
    /// let own = Origins::same_host();
    /// assert!(own.allows_at(Some("https://chat.example"), "chat.example", false));
    /// assert!(!own.allows_at(Some("https://evil.example"), "chat.example", false));
    /// ```
    #[must_use]
    pub const fn same_host() -> Self {
        Self { rule: Rule::SameHost, absent: None }
    }

    /// Admits or refuses clients without an origin. A closure is then not called for them.
    #[must_use]
    pub const fn or_absent(mut self, admitted: bool) -> Self {
        self.absent = Some(admitted);
        self
    }

    /// Whether a client with this origin may connect. `None` is a client without an origin.
    ///
    /// [`same_host`](Self::same_host) admits no origin here, because it needs the host: use
    /// [`allows_at`](Self::allows_at).
    #[must_use]
    pub fn allows(&self, origin: Option<&str>) -> bool {
        self.allows_at(origin, "", false)
    }

    /// Whether a client with this origin may connect to this host. `host` is the requested one, as
    /// [`Request::host`](crate::Request::host) returns it. `is_secure` is set if the client is known
    /// to use TLS.
    #[must_use]
    pub fn allows_at(&self, origin: Option<&str>, host: &str, is_secure: bool) -> bool {
        if let (None, Some(admitted)) = (origin, self.absent) {
            return admitted;
        }
        match &self.rule {
            Rule::Any => true,
            Rule::Exact(list) => {
                origin.is_some_and(|origin| list.iter().any(|one| one.text.eq_ignore_ascii_case(origin)))
            }
            Rule::Prefix(list) => {
                origin.is_some_and(|origin| list.iter().any(|prefix| prefix.begins(origin)))
            }
            Rule::Closure(admits) => admits(origin),
            Rule::SameHost => origin.is_some_and(|origin| is_same_host(origin, host, is_secure)),
        }
    }

    /// Checks that each entry can match the origin of a browser.
    ///
    /// Clients other than browsers may send any origin. Use [`closure`](Self::closure) for those. A
    /// closure is never an error.
    ///
    /// ```
    /// use clws_handshake::Origins;
    ///
    /// assert!(Origins::exact(["https://example.com", "null"]).check().is_ok());
    /// let error = Origins::exact(["https://example.com/"]).check().unwrap_err();
    /// assert_eq!(error.origin(), "https://example.com/");
    /// assert!(error.to_string().contains("write `https://example.com`"));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the first entry that cannot match any origin. An empty list is an error too, unless
    /// [`or_absent(true)`](Self::or_absent) admits clients without an origin.
    pub fn check(&self) -> Result<(), InvalidOrigin> {
        let (list, allowed) = match &self.rule {
            Rule::Any | Rule::Closure(_) | Rule::SameHost => return Ok(()),
            Rule::Exact(list) => (list, EXACT),
            Rule::Prefix(list) => (list, PREFIX),
        };
        if list.is_empty() && self.absent != Some(true) {
            return Err(InvalidOrigin { origin: None, fault: "no origin is listed".into(), allowed });
        }
        list.iter().try_for_each(|entry| match &entry.kind {
            Ok(_) => Ok(()),
            Err(fault) => {
                Err(InvalidOrigin { origin: Some(entry.text.clone()), fault: fault.clone(), allowed })
            }
        })
    }
}

const EXACT: &str = "`scheme://host`, `scheme://host:port` and `null`";
const PREFIX: &str = "`scheme://`, `scheme://host`, `scheme://host:`, `scheme://host:port` and `null`";

/// An entry of [`Origins`] that cannot match the origin of a browser. See [`Origins::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrigin {
    /// `None` if the list is empty.
    origin: Option<Box<str>>,
    fault: Fault,
    allowed: &'static str,
}

impl InvalidOrigin {
    /// The entry as written. Empty if the list is empty.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or_default()
    }
}

/// Shows the entry, its error, and the allowed forms.
impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(f, "no browser sends an origin like {origin:?}: ")?,
            None => f.write_str("no origin is admitted: ")?,
        }
        write!(f, "{}; the allowed forms are {}", self.fault, self.allowed)
    }
}

impl std::error::Error for InvalidOrigin {}

impl Default for Origins {
    /// Returns [`any`](Self::any).
    fn default() -> Self {
        Self::any()
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Origins");
        match &self.rule {
            Rule::Any => debug.field("rule", &"any"),
            Rule::Exact(list) => debug.field("exact", &texts(list)),
            Rule::Prefix(list) => debug.field("prefix", &texts(list)),
            Rule::Closure(_) => debug.field("rule", &"closure"),
            Rule::SameHost => debug.field("rule", &"same host"),
        };
        debug.field("absent", &self.absent).finish()
    }
}

fn texts(list: &[Entry]) -> Vec<&str> {
    list.iter().map(|entry| &*entry.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_boundary() {
        let origins = Origins::prefix(["http://localhost", "https://Example.com"]);
        for good in [
            "http://localhost",
            "http://localhost:8080",
            "http://localhost/",
            "HTTP://LocalHost:1",
            "https://example.com",
            "https://EXAMPLE.COM:444",
        ] {
            assert!(origins.allows(Some(good)), "{good}");
        }
        for bad in [
            "http://localhost.evil.com",
            "http://localhostess",
            "http://localhost-evil.com",
            "http://localhost:80@evil.com",
            "http://localhost@evil.com",
            "https://localhost",
            "http://localhos",
            "http://example.com",
            "null",
            "",
            "http://localhosté",
            "http://localhosß",
        ] {
            assert!(!origins.allows(Some(bad)), "{bad}");
        }
    }

    #[test]
    fn a_prefix_may_contain_the_boundary() {
        let scheme = Origins::prefix(["https://"]);
        assert!(scheme.allows(Some("https://any.example")) && !scheme.allows(Some("http://any.example")));
        let port = Origins::prefix(["http://localhost:"]);
        assert!(port.allows(Some("http://localhost:8080")));
        assert!(!port.allows(Some("http://localhost")) && !port.allows(Some("http://localhost:a@evil.com")));
        assert!(
            !Origins::prefix([""]).allows(Some("http://a")) && !Origins::prefix([""; 0]).allows(Some(""))
        );
    }

    #[test]
    fn an_exact_origin_matches_completely() {
        let origins = Origins::exact(["http://a.example".to_owned(), "http://b.example:81".to_owned()]);
        assert!(origins.allows(Some("http://A.example")) && origins.allows(Some("http://b.example:81")));
        for bad in ["http://a.example:80", "http://a.example/", "http://b.example", "http://a.exampl", "null"]
        {
            assert!(!origins.allows(Some(bad)), "{bad}");
        }
    }

    #[test]
    fn each_validator_has_a_default_for_absent_origins() {
        let closure = || Origins::closure(|origin| origin.is_none_or(|origin| origin == "x"));
        assert!(Origins::any().allows(None) && Origins::default().allows(Some("null")));
        assert!(!Origins::exact(["a"]).allows(None) && !Origins::prefix(["a"]).allows(None));
        assert!(closure().allows(None) && closure().allows(Some("x")) && !closure().allows(Some("y")));
        assert!(!Origins::any().or_absent(false).allows(None));
        assert!(Origins::exact(["a"]).or_absent(true).allows(None));
        assert!(Origins::prefix(["a"]).or_absent(true).allows(None));
        assert!(!closure().or_absent(false).allows(None));
    }

    #[test]
    fn null_must_be_listed() {
        assert!(!Origins::prefix(["http://a", "https://"]).allows(Some("null")));
        assert!(
            Origins::exact(["null"]).allows(Some("null")) && Origins::prefix(["null"]).allows(Some("null"))
        );
        assert!(!Origins::prefix(["null"]).allows(Some("nullable")));
    }
}
