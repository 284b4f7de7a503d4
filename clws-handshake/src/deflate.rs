//! The negotiation of permessage-deflate (RFC 7692 §5 and §7.1).

use std::fmt::Write;

use clws_proto::{DeflateConfig, DeflateParams};

use crate::extensions::Extension;

const NAME: &str = "permessage-deflate";

/// The largest window, and the default of a missing parameter.
const MAX_BITS: u8 = 15;

/// The parameters of an offer or of a response.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<ClientMaxBits>,
}

/// The value of `client_max_window_bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientMaxBits {
    NoValue,
    AtMost(u8),
}

impl Parameters {
    /// Parses the parameters. `None` if a parameter is unknown, repeated, or has an invalid value.
    ///
    /// RFC 7692 §7: "A server MUST decline an extension negotiation offer for this extension if any
    /// of the following conditions are met: The negotiation offer contains an extension parameter
    /// not defined for use in an offer. The negotiation offer contains an extension parameter with
    /// an invalid value. The negotiation offer contains multiple extension parameters with the same
    /// name." The same conditions make a client fail the connection.
    fn parse(extension: Extension<'_>) -> Option<Self> {
        let mut parameters = Self::default();
        for (name, value) in extension.params() {
            let is_first = match (name, value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut parameters.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut parameters.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    parameters.server_max_window_bits.replace(bits(&value)?).is_none()
                }
                ("client_max_window_bits", value) => {
                    let value = match value {
                        Some(value) => ClientMaxBits::AtMost(bits(&value)?),
                        None => ClientMaxBits::NoValue,
                    };
                    parameters.client_max_window_bits.replace(value).is_none()
                }
                _ => false,
            };
            if !is_first {
                return None;
            }
        }
        Some(parameters)
    }
}

/// RFC 7692 §7.1.2: "a decimal integer value without leading zeroes between 8 to 15, inclusive"
fn bits(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        "10" => Some(10),
        "11" => Some(11),
        "12" => Some(12),
        "13" => Some(13),
        "14" => Some(14),
        "15" => Some(15),
        _ => None,
    }
}

/// The server's side: accepts the first acceptable offer. Returns the parameters and the response.
pub(crate) fn accept<'a>(
    mut offers: impl Iterator<Item = Extension<'a>>,
    config: &DeflateConfig,
) -> Option<(DeflateParams, String)> {
    let config = config.in_range();
    // RFC 7692 §5: "The order of elements is important as it specifies the client's preference."
    offers.find_map(
        |offer| if offer.name() == NAME { respond(&Parameters::parse(offer)?, &config) } else { None },
    )
}

fn respond(offer: &Parameters, config: &DeflateConfig) -> Option<(DeflateParams, String)> {
    let mut response = String::from(NAME);
    let mut params = DeflateParams::default();

    // RFC 7692 §7.1.1.1: "By including this extension parameter in an extension negotiation offer,
    // a client prevents the peer server from using context takeover." A server may also include it
    // in its response without being asked, which saves memory of the client.
    if offer.server_no_context_takeover || config.server_no_context_takeover {
        params = params.server_no_context_takeover(true);
        response.push_str("; server_no_context_takeover");
    }
    // RFC 7692 §7.1.1.2: in an offer this parameter is only a hint. Only a response with the
    // parameter binds the client, and a server may include it for every client.
    if offer.client_no_context_takeover || config.client_no_context_takeover {
        params = params.client_no_context_takeover(true);
        response.push_str("; client_no_context_takeover");
    }
    // RFC 7692 §7.1.2.1: "A server accepts an extension negotiation offer with this parameter by
    // including the "server_max_window_bits" extension parameter in the extension negotiation
    // response to send back to the client with the same or smaller value as the offer." A server
    // may also include it without being asked. This server does not, because some browsers then
    // fail the connection. A window smaller than agreed is always valid.
    let server_bits = config.server_max_window_bits;
    params = params.server_max_window_bits(server_bits.min(offer.server_max_window_bits.unwrap_or(MAX_BITS)));
    if offer.server_max_window_bits.is_some() {
        // RFC 7692 §7.1.2.1: "A server declines an extension negotiation offer with this parameter
        // if the server doesn't support it." zlib cannot compress with a window of 256 bytes.
        if params.server_max_window_bits < 9 {
            return None;
        }
        let _ = write!(response, "; server_max_window_bits={}", params.server_max_window_bits);
    }
    // RFC 7692 §7.1.2.2: "If a received extension negotiation offer doesn't have the
    // "client_max_window_bits" extension parameter, the corresponding extension negotiation
    // response to the offer MUST NOT include the "client_max_window_bits" extension parameter."
    let client_bits = match offer.client_max_window_bits {
        None => MAX_BITS,
        Some(ClientMaxBits::NoValue) => config.client_max_window_bits,
        Some(ClientMaxBits::AtMost(bits)) => config.client_max_window_bits.min(bits),
    };
    params = params.client_max_window_bits(client_bits);
    if client_bits < MAX_BITS {
        let _ = write!(response, "; client_max_window_bits={client_bits}");
    }
    Some((params, response))
}

/// The offer of a client.
pub(crate) fn offer(config: &DeflateConfig) -> String {
    let mut offer = String::from(NAME);
    if config.server_no_context_takeover {
        offer.push_str("; server_no_context_takeover");
    }
    if config.client_no_context_takeover {
        offer.push_str("; client_no_context_takeover");
    }
    if config.server_max_window_bits < MAX_BITS {
        let _ = write!(offer, "; server_max_window_bits={}", config.server_max_window_bits);
    }
    // Without a value, this parameter only allows the server to require a smaller window.
    offer.push_str("; client_max_window_bits");
    if config.client_max_window_bits < MAX_BITS {
        let _ = write!(offer, "={}", config.client_max_window_bits);
    }
    offer
}

/// The client's side: checks the response to its offer. `None` if the response is invalid.
///
/// RFC 7692 §7: "A client MUST _Fail the WebSocket Connection_ if the peer server accepted an
/// extension negotiation offer for this extension with an extension negotiation response meeting
/// any of the following conditions".
pub(crate) fn check_response(response: Extension<'_>, config: &DeflateConfig) -> Option<DeflateParams> {
    if response.name() != NAME {
        return None;
    }
    let parameters = Parameters::parse(response)?;
    // The offer required these limits of the server, so a response without them is for another
    // offer.
    if config.server_no_context_takeover && !parameters.server_no_context_takeover {
        return None;
    }
    let server_bits = match parameters.server_max_window_bits {
        Some(bits) => bits,
        None => MAX_BITS,
    };
    if server_bits > config.server_max_window_bits {
        return None;
    }
    let client_bits = match parameters.client_max_window_bits {
        None => MAX_BITS,
        Some(ClientMaxBits::AtMost(bits)) => bits,
        Some(ClientMaxBits::NoValue) => return None, // a response must have a value
    };
    Some(
        DeflateParams::default()
            .server_max_window_bits(server_bits)
            .server_no_context_takeover(parameters.server_no_context_takeover)
            // The client's own offer limits it, even if the response does not.
            .client_max_window_bits(client_bits.min(config.client_max_window_bits))
            .client_no_context_takeover(
                parameters.client_no_context_takeover || config.client_no_context_takeover,
            ),
    )
}
