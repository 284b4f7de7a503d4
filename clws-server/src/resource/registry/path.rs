//! The paths that a request can have.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The reason why no request has this path; `None` if one can.
///
/// A client sends the output of the URL Standard's parser, or a URL as RFC 3986 allows it.
pub(super) fn fault(path: &str) -> Option<Cow<'static, str>> {
    if !path.starts_with('/') {
        return Some("a path begins with `/`".into());
    }
    if path.contains(['?', '#']) {
        return Some("a path ends before the query and the fragment, `?` or `#`".into());
    }
    if path.contains('\\') {
        return Some("browsers send `/` in place of a backslash".into());
    }
    if path.contains(['{', '}']) {
        let encoded = encode(path);
        return Some(
            format!("there are no patterns, but register_prefix takes all paths below one; the characters alone are `{encoded}`")
                .into(),
        );
    }
    if path.bytes().any(is_encoded) {
        return Some(format!("clients send it percent-encoded: write `{}`", encode(path)).into());
    }
    let is_dots = |segment: &str| {
        // The URL Standard's "single-dot" and "double-dot URL path segments".
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        dots == "." || dots == ".."
    };
    path.split('/')
        .any(is_dots)
        .then(|| "browsers resolve the segments `.` and `..` before they send it".into())
}

/// The reason why no request has a path with this prefix; `None` if one can.
pub(super) fn prefix_fault(prefix: &str) -> Option<Cow<'static, str>> {
    fault(prefix).or_else(|| (!prefix.ends_with('/')).then(|| "a prefix ends in `/`".into()))
}

/// The URL Standard's path percent-encode set, except the caret, which older browsers do not
/// encode.
fn is_encoded(byte: u8) -> bool {
    !byte.is_ascii_graphic() || b"\"<>`{}".contains(&byte)
}

fn encode(path: &str) -> String {
    path.bytes().fold(String::new(), |mut encoded, byte| {
        if is_encoded(byte) {
            let _ = write!(encoded, "%{byte:02X}"); // a `String` takes anything
        } else {
            encoded.push(char::from(byte));
        }
        encoded
    })
}
