//! permessage-deflate: every combination of offered parameters and settings of the server. The
//! rules of RFC 7692 §7.1 decide whether the response is valid. They are written here a second
//! time, on the text of offer and response.
#![cfg(feature = "deflate")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "clippy does not see that helpers are tests, too")]

mod common;

use std::collections::BTreeMap;

use clws_handshake::{Acceptance, DeflateConfig, DeflateParams, Request};
use common::{RFC, plus, whole};

const NAME: &str = "permessage-deflate";
const SERVER_ALONE: &str = "server_no_context_takeover";
const CLIENT_ALONE: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// Parameters by name. A parameter without a value has `None`.
type Parameters<'a> = BTreeMap<&'a str, Option<u8>>;

/// The parameters of one element of the header.
fn parameters(element: &str) -> Parameters<'_> {
    let mut parts = element.split("; ");
    assert_eq!(parts.next(), Some(NAME), "{element}");
    let mut found = BTreeMap::new();
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name, Some(value.parse().unwrap())),
            None => (part, None),
        };
        assert!([SERVER_ALONE, CLIENT_ALONE, SERVER_BITS, CLIENT_BITS].contains(&name), "{element}");
        assert_eq!(found.insert(name, value), None, "{name} twice in {element}");
    }
    found
}

/// A request with these offers.
fn request(offers: &str) -> Vec<u8> {
    plus(RFC, &[&format!("Sec-WebSocket-Extensions: {offers}")])
}

/// The extensions in the response, and the agreed parameters.
fn negotiate(request: &Request<'_>, config: &DeflateConfig) -> Option<(String, DeflateParams)> {
    let accepted = request.clone().accept(&Acceptance::new().deflate(config)).unwrap();
    let response = String::from_utf8(accepted.response).unwrap();
    let mut lines = response.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    let line = lines.next().map(ToOwned::to_owned);
    assert_eq!((lines.next(), line.is_some()), (None, accepted.deflate.is_some()), "{line:?}");
    Some((line?, accepted.deflate?))
}

/// Every offer with valid parameters, in two orders.
fn valid_offers() -> impl Iterator<Item = String> {
    let alone = |name: &'static str| [None, Some(name.to_owned())];
    let with_bits = |name: &'static str| (8..=15).map(move |bits| Some(format!("{name}={bits}")));
    let (mut all, mut reversed) = (Vec::new(), false);
    for server_alone in alone(SERVER_ALONE) {
        for client_alone in alone(CLIENT_ALONE) {
            for server_bits in std::iter::once(None).chain(with_bits(SERVER_BITS)) {
                for client_bits in alone(CLIENT_BITS).into_iter().chain(with_bits(CLIENT_BITS)) {
                    let parts = [&server_alone, &client_alone, &server_bits, &client_bits];
                    let mut offer: Vec<_> = parts.into_iter().flatten().map(String::as_str).collect();
                    if reversed {
                        offer.reverse();
                    }
                    reversed = !reversed;
                    offer.insert(0, NAME);
                    all.push(offer.join("; "));
                }
            }
        }
    }
    assert_eq!(all.len(), 2 * 2 * 9 * 10);
    all.into_iter()
}

/// Both kinds of context takeover, with large and small windows.
fn settings() -> impl Iterator<Item = DeflateConfig> {
    let windows = [(15, 15), (15, 9), (9, 15), (12, 11)];
    windows.into_iter().flat_map(|(server, client)| {
        let config = DeflateConfig::default().server_max_window_bits(server).client_max_window_bits(client);
        [(false, false), (false, true), (true, false), (true, true)].map(|(server, client)| {
            config.server_no_context_takeover(server).client_no_context_takeover(client)
        })
    })
}

/// Checks a response and the parameters in use against the offer.
#[track_caller]
fn assert_complies(offer: &str, response: &str, params: DeflateParams, config: &DeflateConfig) {
    let (asked, said) = (parameters(offer), parameters(response));
    let asks = |name: &str| asked.contains_key(name);
    let says = |name: &str| said.contains_key(name);
    let most = |name: &str| asked.get(name).copied().flatten().unwrap_or(15);
    let bits = |name: &str| said.get(name).copied().flatten();
    let smaller = |bits: Option<u8>, most: u8| bits.is_some_and(|bits| (8..=most).contains(&bits));
    let rules = [
        // §7.1.1.1: the server may not keep a context if the client asks, and its response says so.
        ("server_no_context_takeover is missing", !asks(SERVER_ALONE) || says(SERVER_ALONE)),
        ("a flag has a value", (bits(SERVER_ALONE), bits(CLIENT_ALONE)) == (None, None)),
        // §7.1.2.1: the response has "the same or smaller value as the offer". If the offer has no
        // value, the RFC allows one. Some browsers refuse it.
        (
            "server_max_window_bits is wrong",
            match asks(SERVER_BITS) {
                true => smaller(bits(SERVER_BITS), most(SERVER_BITS)),
                false => !says(SERVER_BITS),
            },
        ),
        // §7.1.2.2: without the parameter in the offer, the response must not have it.
        (
            "client_max_window_bits is wrong",
            match says(CLIENT_BITS) {
                true => asks(CLIENT_BITS) && smaller(bits(CLIENT_BITS), most(CLIENT_BITS)),
                false => true,
            },
        ),
        // The server does no more than its response says, and is ready for all that it allows.
        ("the server's context differs", params.server_no_context_takeover == says(SERVER_ALONE)),
        ("the client's context differs", params.client_no_context_takeover == says(CLIENT_ALONE)),
        (
            "the server's window is too large",
            params.server_max_window_bits <= bits(SERVER_BITS).unwrap_or(15),
        ),
        ("the client's window differs", params.client_max_window_bits == bits(CLIENT_BITS).unwrap_or(15)),
        // The settings apply, and nothing is given up without a reason.
        (
            "the server's context is not as configured",
            says(SERVER_ALONE) == (asks(SERVER_ALONE) || config.server_no_context_takeover),
        ),
        (
            "the client's context is not as configured",
            says(CLIENT_ALONE) == (asks(CLIENT_ALONE) || config.client_no_context_takeover),
        ),
        (
            "the server's window is not as configured",
            params.server_max_window_bits == config.server_max_window_bits.min(most(SERVER_BITS)),
        ),
        (
            "the client's window is not as configured",
            params.client_max_window_bits
                == match asks(CLIENT_BITS) {
                    true => config.client_max_window_bits.min(most(CLIENT_BITS)),
                    false => 15,
                },
        ),
    ];
    if let Some((rule, _)) = rules.iter().find(|(_, holds)| !holds) {
        panic!("{rule}: {response:?} to {offer:?}, {params:?}, {config:?}");
    }
}

#[test]
fn every_valid_offer_gets_a_valid_response() {
    for offer in valid_offers() {
        // zlib has no window of 256 bytes, so the server declines to compress with one.
        let is_declined = parameters(&offer).get(SERVER_BITS) == Some(&Some(8));
        let bytes = request(&offer);
        let request = whole(&bytes).unwrap();
        for config in settings() {
            match negotiate(&request, &config) {
                Some((response, params)) if !is_declined => {
                    assert_complies(&offer, &response, params, &config);
                }
                got => assert!(is_declined && got.is_none(), "{offer:?} with {config:?}: {got:?}"),
            }
        }
    }
}

/// RFC 7692 §7: a server declines an offer with an unknown parameter, an invalid value, or a
/// repeated parameter.
#[test]
fn an_offer_with_an_invalid_parameter_is_declined() {
    let mut bad: Vec<String> = ["unknown", "unknown=1", SERVER_BITS].map(str::to_owned).to_vec();
    for value in ["0", "1", "7", "16", "09", "015", "1e1", "x", "-9", "999999999999", "8.0", "0x9"] {
        bad.extend([SERVER_BITS, CLIENT_BITS].map(|name| format!("{name}={value}")));
    }
    for value in ["0", "1", "15", "true"] {
        bad.extend([SERVER_ALONE, CLIENT_ALONE].map(|name| format!("{name}={value}")));
    }
    let good = [SERVER_ALONE, CLIENT_ALONE, "server_max_window_bits=10", "client_max_window_bits=10"];
    for name in good.map(|parameter| parameter.split('=').next().unwrap()) {
        bad.push(format!("{name}=10; {name}=10"));
        bad.push(format!("{name}; {name}"));
        bad.push(format!("{name}; {name}=10"));
    }
    let config = DeflateConfig::default();
    for bad in bad {
        let has_name = |parameter: &str| bad.starts_with(parameter.split('=').next().unwrap());
        let others: Vec<_> = good.into_iter().filter(|parameter| !has_name(parameter)).collect();
        // The parameter comes alone, first and last.
        for offer in [
            format!("{NAME}; {bad}"),
            format!("{NAME}; {bad}; {}", others.join("; ")),
            format!("{NAME}; {}; {bad}", others.join("; ")),
        ] {
            assert_eq!(negotiate(&whole(&request(&offer)).unwrap(), &config), None, "{offer}");
            // The next offer counts.
            let next = format!("{NAME}; server_max_window_bits=11");
            let offers = request(&format!("{offer}, {next}, {NAME}"));
            let (response, params) = negotiate(&whole(&offers).unwrap(), &config).unwrap();
            assert_complies(&next, &response, params, &config);
        }
    }
    for name in ["permessage-bzip2", "x-webkit-deflate-frame", "permessage-deflated", "deflate-frame"] {
        let alone = request(&format!("{name}; {NAME}"));
        assert_eq!(negotiate(&whole(&alone).unwrap(), &config), None, "{name}");
        let offers = request(&format!(" ,{name}; level=9,{NAME}"));
        let (response, params) = negotiate(&whole(&offers).unwrap(), &config).unwrap();
        assert_complies(NAME, &response, params, &config);
    }
}
