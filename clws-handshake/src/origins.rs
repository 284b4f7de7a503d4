use std::fmt;
use std::sync::Arc;

/// Which origins may connect to a resource: CLWS's validators any, exact, prefix, and any closure.
///
/// Only a browser's `Origin` means something: it keeps other sites' pages from using a visitor's cookies here
/// (RFC 6455 §10.2). Other clients send what they like. Schemes and hosts have no case, so letters are
/// compared without theirs. The origin `null`, which sandboxed pages and files send, is a string like others,
/// admitted only where it is listed.
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
    Exact(Arc<[Box<str>]>),
    Prefix(Arc<[Box<str>]>),
    Closure(Arc<Closure>),
}

impl Origins {
    /// Admits every origin, and none at all.
    #[must_use]
    pub const fn any() -> Self {
        Self { rule: Rule::Any, absent: None }
    }

    /// Admits the origins that are listed, each as `scheme://host` with its port unless that is the scheme's
    /// own.
    pub fn exact<S: Into<Box<str>>>(origins: impl IntoIterator<Item = S>) -> Self {
        Self { rule: Rule::Exact(origins.into_iter().map(Into::into).collect()), absent: None }
    }

    /// Admits the origins that start with one of the prefixes and have a boundary behind it: their end, a
    /// port, or a `/`. So `http://localhost` is also `http://localhost:8080`, but not
    /// `http://localhost.evil.com`. A prefix that itself ends in `:` or `/` is at its boundary already:
    /// `https://` admits every origin of that scheme.
    pub fn prefix<S: Into<Box<str>>>(prefixes: impl IntoIterator<Item = S>) -> Self {
        Self { rule: Rule::Prefix(prefixes.into_iter().map(Into::into).collect()), absent: None }
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
                origin.is_some_and(|origin| list.iter().any(|one| one.eq_ignore_ascii_case(origin)))
            }
            Rule::Prefix(list) => {
                origin.is_some_and(|origin| list.iter().any(|prefix| starts_with(origin, prefix)))
            }
            Rule::Closure(admits) => admits(origin),
        }
    }
}

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
            Rule::Exact(list) => debug.field("exact", list),
            Rule::Prefix(list) => debug.field("prefix", list),
            Rule::Closure(_) => debug.field("rule", &"closure"),
        };
        debug.field("absent", &self.absent).finish()
    }
}

/// Whether an origin starts with a prefix that ends at a boundary of it.
fn starts_with(origin: &str, prefix: &str) -> bool {
    let (Some(start), Some(rest)) = (origin.get(..prefix.len()), origin.get(prefix.len()..)) else {
        return false;
    };
    // RFC 6454 §6.2 has no user information in an origin; with one, what looks like host and port is a name
    // and password.
    start.eq_ignore_ascii_case(prefix)
        && !rest.contains('@')
        && (rest.is_empty() || rest.starts_with([':', '/']) || prefix.ends_with([':', '/']))
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
