//! The grammar of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).

use std::borrow::Cow;

use crate::token;

/// An extension in a `Sec-WebSocket-Extensions` list (RFC 6455 §9.1). Its parameters are parsed on
/// demand.
///
/// ```
/// use clws_handshake::Extension;
///
/// let offer = "permessage-deflate; client_max_window_bits; server_max_window_bits=10";
/// let offer = Extension::parse(offer).unwrap();
/// assert_eq!(offer.name(), "permessage-deflate");
/// let params: Vec<_> = offer.params().collect();
/// assert_eq!(params[0], ("client_max_window_bits", None));
/// assert_eq!(params[1], ("server_max_window_bits", Some("10".into())));
/// assert!(Extension::parse("a; b=\"not a token\"").is_none());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    raw: &'a str,
}

impl<'a> Extension<'a> {
    /// Parses one member of the list. `None` if it violates the grammar of RFC 6455.
    #[must_use]
    pub fn parse(raw: &'a str) -> Option<Self> {
        let extension = Self { raw: token::trim(raw) };
        let mut parts = split_unquoted(extension.raw, b';');
        let name = parts.next()?;
        // RFC 6455 §9.1: extension-param = token [ "=" (token | quoted-string) ], and "When using
        // the quoted-string syntax variant, the value after quoted-string unescaping MUST conform
        // to the 'token' ABNF."
        let well_formed = token::is_token(token::trim(name))
            && parts.all(|part| {
                let (name, value) = split_param(part);
                token::is_token(name)
                    && value.is_none_or(|value| unquote(value).is_some_and(|v| token::is_token(&v)))
            });
        well_formed.then_some(extension)
    }

    /// The extension's registered name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        token::trim(split_unquoted(self.raw, b';').next().unwrap_or_default())
    }

    /// The parameters in order, with unquoted values.
    pub fn params(&self) -> impl Iterator<Item = (&'a str, Option<Cow<'a, str>>)> + use<'a> {
        split_unquoted(self.raw, b';').skip(1).map(|part| {
            let (name, value) = split_param(part);
            (name, value.and_then(unquote))
        })
    }

    /// The received text without surrounding whitespace.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        self.raw
    }
}

/// The non-empty members of a header value. `None` is a malformed member.
pub(crate) fn members(value: &str) -> impl Iterator<Item = Option<Extension<'_>>> {
    split_unquoted(value, b',').filter(|member| !token::trim(member).is_empty()).map(Extension::parse)
}

fn split_param(part: &str) -> (&str, Option<&str>) {
    match part.split_once('=') {
        Some((name, value)) => (token::trim(name), Some(token::trim(value))),
        None => (token::trim(part), None),
    }
}

/// A value without quotes and escapes. `None` if the quotes are unbalanced.
fn unquote(value: &str) -> Option<Cow<'_, str>> {
    let Some(inner) = value.strip_prefix('"') else {
        return Some(Cow::Borrowed(value));
    };
    let inner = inner.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        text.push(if char == '\\' { chars.next()? } else { char });
    }
    Some(Cow::Owned(text))
}

/// Splits at each separator outside of quoted strings.
fn split_unquoted(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = current.bytes().position(|byte| {
            if escaped {
                escaped = false;
            } else if byte == b'"' {
                quoted = !quoted;
            } else if quoted && byte == b'\\' {
                escaped = true;
            } else {
                return !quoted && byte == separator;
            }
            false
        });
        // The separator is ASCII, so the text is split between characters.
        let (head, tail) = match end {
            Some(end) => (current.get(..end)?, current.get(end + 1..)),
            None => (current, None),
        };
        rest = tail;
        Some(head)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_not_split_at_quoted_separators() {
        let value = r#"a; x="1\"2", b; y="p", , c"#;
        let parts: Vec<_> = split_unquoted(value, b',').collect();
        assert_eq!(parts, [r#"a; x="1\"2""#, r#" b; y="p""#, " ", " c"]);
        let names: Vec<_> = members("b; y=\"p\", , c").map(|e| e.unwrap().name()).collect();
        assert_eq!(names, ["b", "c"]);
    }

    #[test]
    fn removes_escapes() {
        let extension = Extension::parse(r#"a; x="1\2"; y = "z" "#).unwrap();
        let params: Vec<_> = extension.params().collect();
        assert_eq!(params, [("x", Some("12".into())), ("y", Some("z".into()))]);
    }

    #[test]
    fn rejects_malformed_extensions() {
        for bad in [
            "",
            ";",
            "a b",
            "a;",
            "a; =1",
            "a; b=",
            "a; b=\"\"",
            "a; b=\"1",
            "a; b=1\"",
            "a; b=\"1\\\"",
            "a; b=1=2",
            "a;;b",
            "\"a\"",
            "a; b=\"1 2\"",
        ] {
            assert_eq!(Extension::parse(bad), None, "{bad:?}");
        }
    }
}
