//! The elements of a `Forwarded` header line, RFC 7239 §4.

use crate::forwarded::node::Node;
use crate::forwarded::scheme::is_tls;
use crate::token::is_tchar;

/// The report of one proxy.
pub(super) struct Element {
    /// The peer of the proxy. `None` if the text is malformed.
    pub(super) node: Option<Node>,
    /// Whether the peer used TLS.
    pub(super) is_secure: bool,
}

/// Parses `1#forwarded-element`. Returns `None` for malformed text: with an open quote, nobody can
/// say where elements begin.
pub(super) fn elements(line: &[u8]) -> Option<Vec<Element>> {
    let mut rest = line;
    let mut elements = Vec::new();
    loop {
        let (element, after) = element(rest)?;
        elements.extend(element);
        match after {
            [] => return Some(elements),
            [b',', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// Parses an element up to a comma or the end. Returns `None` inside if it is empty, which RFC 9110
/// §5.6.1.2 allows in every list.
fn element(line: &[u8]) -> Option<(Option<Element>, &[u8])> {
    let (mut peer, mut proto, mut is_empty) = (None, None, true);
    let mut rest = skip_spaces(line);
    loop {
        // forwarded-element = [ forwarded-pair ] *( ";" [ forwarded-pair ] )
        if !matches!(rest, [] | [b';' | b',', ..]) {
            let (name, after) = take_while(rest, is_tchar);
            let (value, after) = value(after.strip_prefix(b"=").filter(|_| !name.is_empty())?)?;
            rest = skip_spaces(after);
            is_empty = false;
            let place = match name {
                name if name.eq_ignore_ascii_case(b"for") => &mut peer,
                name if name.eq_ignore_ascii_case(b"proto") => &mut proto,
                _ => &mut None,
            };
            // "Each parameter MUST NOT occur more than once per field-value."
            if place.replace(value).is_some() {
                return None;
            }
        }
        match rest {
            [b';', after @ ..] => rest = skip_spaces(after),
            [] | [b',', ..] => break,
            _ => return None,
        }
    }
    if is_empty {
        return Some((None, rest));
    }
    // "for" may be absent: then the proxy does not say who its peer is.
    let node = peer.map_or(Some(Node::Unknown), |peer| Node::parse(&peer));
    let is_secure = proto.is_some_and(|scheme| is_tls(&scheme));
    Some((Some(Element { node, is_secure }), rest))
}

/// Parses `value = token / quoted-string`. A token may also have the characters of an address, which
/// some proxies write without quotes.
fn value(text: &[u8]) -> Option<(String, &[u8])> {
    let Some(mut rest) = text.strip_prefix(b"\"") else {
        let (value, rest) = take_while(text, |byte| is_tchar(byte) || b":[]".contains(&byte));
        return (!value.is_empty()).then(|| (String::from_utf8_lossy(value).into_owned(), rest));
    };
    let mut value = Vec::new();
    loop {
        // RFC 9110 §5.6.4: quoted-pair = "\" ( HTAB / SP / VCHAR / obs-text )
        let (byte, after) = match rest {
            [b'"', after @ ..] => return Some((String::from_utf8_lossy(&value).into_owned(), after)),
            [b'\\', byte, after @ ..] => (byte, after),
            [] | [b'\\'] => return None,
            [byte, after @ ..] => (byte, after),
        };
        value.push(*byte);
        rest = after;
    }
}

fn take_while(text: &[u8], fits: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !fits(*byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, &[]))
}

/// Skips whitespace, which RFC 7239 allows only next to a comma. Many proxies also write it after a
/// semicolon.
fn skip_spaces(text: &[u8]) -> &[u8] {
    take_while(text, |byte| byte == b' ' || byte == b'\t').1
}
