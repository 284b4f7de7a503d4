//! The header fields of an opening handshake.

use clws_proto::Version;

use crate::http::headers::{Headers, Single};
use crate::http::reject::Reject;
use crate::{extensions, token, version_rules};

/// The value of a header that must appear exactly once.
pub(super) fn required<'a>(headers: Headers<'a>, name: &str) -> Result<&'a str, Reject> {
    match headers.single(name) {
        Single::One(value) => Ok(value),
        Single::NotText => Err(Reject::bad_request(format!("the {name} header is not UTF-8"))),
        Single::Missing => Err(Reject::bad_request(format!("the {name} header is missing"))),
        // RFC 6455 §11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in
        // an HTTP request."
        Single::Repeated => Err(Reject::bad_request(format!("the {name} header appears twice"))),
    }
}

/// The origin, from the header that the version uses.
pub(super) fn origin(headers: Headers<'_>, version: Version) -> Result<Option<&str>, Reject> {
    match headers.single(origin_header(headers, version)) {
        Single::Missing => Ok(None),
        Single::One(origin) => Ok(Some(origin)),
        Single::NotText => Err(Reject::bad_request("the origin is not UTF-8")),
        // RFC 6454 §7.3: "the user agent MUST NOT include more than one Origin header field in any
        // HTTP request."
        Single::Repeated => Err(Reject::bad_request("the origin header appears twice")),
    }
}

/// The name of the header that holds the origin.
///
/// hybi-07 and hybi-08 use `Sec-WebSocket-Origin`. hybi-11 and hybi-12 also announce version 8 but
/// use `Origin`, as RFC 6455 does. ws 0.4 sends both with versions 7 and 8, and means the first.
pub(super) fn origin_header(headers: Headers<'_>, version: Version) -> &'static str {
    let specific = version_rules::origin_header(version);
    if headers.get_bytes(specific).is_some() { specific } else { "Origin" }
}

/// The subprotocols that a client of this version offers in these headers.
pub(super) fn subprotocols<'a>(
    headers: Headers<'a>,
    version: Version,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let name = version_rules::subprotocol_header(version);
    let (whole, list) =
        if version.is_hixie() { (headers.get(name), Headers::default()) } else { (None, headers) };
    whole.into_iter().chain(list.list(name))
}

/// Checks the offered subprotocols. Sorts them, so that the time is not quadratic in their number.
pub(super) fn check_subprotocols(headers: Headers<'_>) -> Result<(), Reject> {
    if headers.get_bytes("Sec-WebSocket-Protocol").is_none() {
        return Ok(());
    }
    // RFC 6455 §4.1: "The elements that comprise this value MUST be non-empty strings with
    // characters in the range U+0021 to U+007E not including separator characters as defined in
    // [RFC2616] and MUST all be unique strings."
    //
    // RFC 9110 §5.6.1.2 has a recipient ignore empty members, so a list of nothing else is an empty
    // offer.
    let mut names: Vec<_> = headers.list("Sec-WebSocket-Protocol").collect();
    let all_ascii = headers.all_bytes("Sec-WebSocket-Protocol").all(|value| value.is_ascii());
    if !all_ascii || !names.iter().copied().all(token::is_token) {
        return Err(Reject::bad_request("the Sec-WebSocket-Protocol header is malformed"));
    }
    names.sort_unstable();
    if names.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Reject::bad_request("a subprotocol is offered twice"));
    }
    Ok(())
}

/// Checks the grammar of the offered extensions.
pub(super) fn check_extensions(headers: Headers<'_>) -> Result<(), Reject> {
    // RFC 6455 §9.1: "If a value is received by either the client or the server during negotiation
    // that does not conform to the ABNF below, the recipient of such malformed data MUST
    // immediately _Fail the WebSocket Connection_."
    let is_valid = headers.all_bytes("Sec-WebSocket-Extensions").all(|value| {
        let Ok(value) = str::from_utf8(value) else { return false };
        // That ABNF requires a member, but some clients send an empty list (Python's websockets
        // with extensions turned off). RFC 9110 §5.6.1.2 asks to "parse and ignore" empty members.
        extensions::members(value).all(|member| member.is_some())
    });
    if is_valid {
        Ok(())
    } else {
        Err(Reject::bad_request("the Sec-WebSocket-Extensions header is malformed"))
    }
}
