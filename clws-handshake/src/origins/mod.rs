use std::fmt;
use std::sync::Arc;

use crate::origins::entry::{Entry, Fault};

mod entry;

/// Which origins may connect to a resource: CLWS's validators any, exact, prefix, and any closure.
///
/// Only a browser's `Origin` means something: it keeps other sites' pages from using a visitor's cookies here
/// (RFC 6455 §10.2). Other clients send what they like. Schemes and hosts have no case, so letters are
/// compared without theirs. The origin `null`, which sandboxed pages and files send, is a string like others,
/// admitted only where it is listed.
///
/// The entries of `exact` and `prefix` are origins as browsers send them (RFC 6454 §6.2): `scheme://host`, with
/// `:port` unless that is the scheme's default. An entry that no browser's origin can match is an error of
/// [`check`](Self::check), which `clws-server` calls when a resource is registered.
///
/// What a client without an origin gets is each validator's choice, which [`or_absent`](Self::or_absent)
/// changes:
///
/// | validator | without an origin |
/// |---|---|
/// | [`any`](Self::any) | admitted |
/// | [`exact`](Self::exact), [`prefix`](Self::prefix) | refused |
/// | [`closure`](Self::closure) | is asked with `None` |
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
}

impl Origins {
    /// Admits every origin, and none at all.
    #[must_use]
    pub const fn any() -> Self {
        Self { rule: Rule::Any, absent: None }
    }

    /// Admits the origins that are listed, each as `scheme://host` with its port unless that is the scheme's
    /// own: `https://example.com`, `http://localhost:8080`, `chrome-extension://abc`, `file://`, `null`.
    ///
    /// The host is in the form that browsers send: a domain that is not ASCII in Punycode, an IPv6 address in its
    /// shortest form. See [`check`](Self::check).
    pub fn exact<S: Into<Box<str>>>(origins: impl IntoIterator<Item = S>) -> Self {
        let list = origins.into_iter().map(|origin| Entry::exact(origin.into())).collect();
        Self { rule: Rule::Exact(list), absent: None }
    }

    /// Admits the origins that begin with one of the prefixes. What may follow depends on where the prefix ends:
    ///
    /// | prefix | admits |
    /// |---|---|
    /// | `https://` | every host of the scheme, on any port |
    /// | `http://localhost` | that host on any port; not `http://localhost.evil.com` |
    /// | `http://localhost:` | that host on any port but the scheme's default |
    /// | `http://localhost:8080`, `null` | itself |
    ///
    /// A slash after all of that is passed over, because some clients send one. Text of any other kind after the
    /// prefix is refused: a port that is no number, user information, a path, a second origin. A prefix of any other
    /// kind is an error of [`check`](Self::check), and admits nothing.
    pub fn prefix<S: Into<Box<str>>>(prefixes: impl IntoIterator<Item = S>) -> Self {
        let list = prefixes.into_iter().map(|prefix| Entry::prefix(prefix.into())).collect();
        Self { rule: Rule::Prefix(list), absent: None }
    }

    /// Admits what the closure says; it is asked on whatever thread the handshake is on.
    pub fn closure(admits: impl Fn(Option<&str>) -> bool + Send + Sync + 'static) -> Self {
        Self { rule: Rule::Closure(Arc::new(admits)), absent: None }
    }

    /// Changes what a client without an origin gets: admitted or not. A closure is then no longer asked about
    /// it.
    #[must_use]
    pub const fn or_absent(mut self, admitted: bool) -> Self {
        self.absent = Some(admitted);
        self
    }

    /// Whether a client with this origin, or without any, may connect.
    #[must_use]
    pub fn allows(&self, origin: Option<&str>) -> bool {
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
        }
    }

    /// Checks that a browser's origin can match each entry.
    ///
    /// Clients that are not browsers may send anything as their origin. [`closure`](Self::closure) decides on those
    /// and is never an error.
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
    /// The first entry that can match no origin. Also a list without entries, unless
    /// [`or_absent(true)`](Self::or_absent) leaves somebody to admit.
    pub fn check(&self) -> Result<(), InvalidOrigin> {
        let (list, allowed) = match &self.rule {
            Rule::Any | Rule::Closure(_) => return Ok(()),
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

/// An entry of [`Origins`] that can match no origin of a browser: [`Origins::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidOrigin {
    /// None where the list has no entries.
    origin: Option<Box<str>>,
    fault: Fault,
    allowed: &'static str,
}

impl InvalidOrigin {
    /// The entry as it was written; empty if there was none.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or_default()
    }
}

/// The entry, what is wrong with it, and the forms that are allowed.
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
    /// [`any`](Self::any).
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
    fn a_prefix_may_bring_its_own_boundary() {
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
    fn an_exact_origin_is_all_of_it() {
        let origins = Origins::exact(["http://a.example".to_owned(), "http://b.example:81".to_owned()]);
        assert!(origins.allows(Some("http://A.example")) && origins.allows(Some("http://b.example:81")));
        for bad in ["http://a.example:80", "http://a.example/", "http://b.example", "http://a.exampl", "null"]
        {
            assert!(!origins.allows(Some(bad)), "{bad}");
        }
    }

    #[test]
    fn an_absent_origin_gets_each_validators_choice() {
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
