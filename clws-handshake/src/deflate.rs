//! The negotiation of permessage-deflate, RFC 7692 §5 and §7.1.

use std::fmt::Write;

use clws_proto::{DeflateConfig, DeflateParams};

use crate::extensions::Extension;

const NAME: &str = "permessage-deflate";

/// The largest window there is, which is what holds where nothing is said.
const MAX_BITS: u8 = 15;

/// What stands behind the name in an offer or in an answer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<Bits>,
}

/// A window's size, or that one may be demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    Any,
    Most(u8),
}

impl Said {
    /// Reads the parameters; `None` where one is unknown, is there twice or has a value that it must not have.
    ///
    /// RFC 7692 §7: "A server MUST decline an extension negotiation offer for this extension if any of the
    /// following conditions are met: The negotiation offer contains an extension parameter not defined for use
    /// in an offer. The negotiation offer contains an extension parameter with an invalid value. The negotiation
    /// offer contains multiple extension parameters with the same name." For answers the client has the same
    /// three, on which it fails the connection.
    fn read(extension: Extension<'_>) -> Option<Self> {
        let mut said = Self::default();
        for (name, value) in extension.params() {
            let first = match (name, value) {
                ("server_no_context_takeover", None) => {
                    !std::mem::replace(&mut said.server_no_context_takeover, true)
                }
                ("client_no_context_takeover", None) => {
                    !std::mem::replace(&mut said.client_no_context_takeover, true)
                }
                ("server_max_window_bits", Some(value)) => {
                    said.server_max_window_bits.replace(bits(&value)?).is_none()
                }
                ("client_max_window_bits", value) => {
                    let value = match value {
                        Some(value) => Bits::Most(bits(&value)?),
                        None => Bits::Any,
                    };
                    said.client_max_window_bits.replace(value).is_none()
                }
                _ => false,
            };
            if !first {
                return None;
            }
        }
        Some(said)
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

/// The server's part: what was agreed on, and the answer that says so, if one of the offers can be taken.
pub(crate) fn accept<'a>(
    mut offers: impl Iterator<Item = Extension<'a>>,
    config: &DeflateConfig,
) -> Option<(DeflateParams, String)> {
    let config = config.in_range();
    // RFC 7692 §5: "The order of elements is important as it specifies the client's preference."
    offers.find_map(|offer| if offer.name() == NAME { answer(&Said::read(offer)?, &config) } else { None })
}

fn answer(offer: &Said, config: &DeflateConfig) -> Option<(DeflateParams, String)> {
    let mut answer = String::from(NAME);
    let mut params = DeflateParams::default();

    // RFC 7692 §7.1.1.1: "By including this extension parameter in an extension negotiation offer, a client prevents
    // the peer server from using context takeover." And of its own accord a server may say that it takes none over,
    // which spares the client the memory.
    if offer.server_no_context_takeover || config.server_no_context_takeover {
        params = params.server_no_context_takeover(true);
        answer.push_str("; server_no_context_takeover");
    }
    // RFC 7692 §7.1.1.2: with it in its offer a client only hints that it takes none over; what is not in the answer
    // is not agreed on. A server may demand it of every client.
    if offer.client_no_context_takeover || config.client_no_context_takeover {
        params = params.client_no_context_takeover(true);
        answer.push_str("; client_no_context_takeover");
    }
    // RFC 7692 §7.1.2.1: "A server accepts an extension negotiation offer with this parameter by including the
    // "server_max_window_bits" extension parameter in the extension negotiation response to send back to the client
    // with the same or smaller value as the offer." One that was not offered is not answered, though it might be:
    // there are browsers that give up on it. A smaller window than agreed harms nobody.
    let ours = config.server_max_window_bits;
    params = params.server_max_window_bits(ours.min(offer.server_max_window_bits.unwrap_or(MAX_BITS)));
    if offer.server_max_window_bits.is_some() {
        // RFC 7692 §7.1.2.1: "A server declines an extension negotiation offer with this parameter if the server
        // doesn't support it." No zlib can compress with a window of 256 octets.
        if params.server_max_window_bits < 9 {
            return None;
        }
        let _ = write!(answer, "; server_max_window_bits={}", params.server_max_window_bits);
    }
    // RFC 7692 §7.1.2.2: "If a received extension negotiation offer doesn't have the "client_max_window_bits"
    // extension parameter, the corresponding extension negotiation response to the offer MUST NOT include the
    // "client_max_window_bits" extension parameter."
    let theirs = match offer.client_max_window_bits {
        None => MAX_BITS,
        Some(Bits::Any) => config.client_max_window_bits,
        Some(Bits::Most(bits)) => config.client_max_window_bits.min(bits),
    };
    params = params.client_max_window_bits(theirs);
    if theirs < MAX_BITS {
        let _ = write!(answer, "; client_max_window_bits={theirs}");
    }
    Some((params, answer))
}

/// The client's offer.
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
    // Without a value it says no more than that the server may demand less.
    offer.push_str("; client_max_window_bits");
    if config.client_max_window_bits < MAX_BITS {
        let _ = write!(offer, "={}", config.client_max_window_bits);
    }
    offer
}

/// The client's judgement of the answer to that offer; `None` for one that it must not get.
///
/// RFC 7692 §7: "A client MUST _Fail the WebSocket Connection_ if the peer server accepted an extension negotiation
/// offer for this extension with an extension negotiation response meeting any of the following conditions".
pub(crate) fn agreed(answer: Extension<'_>, config: &DeflateConfig) -> Option<DeflateParams> {
    if answer.name() != NAME {
        return None;
    }
    let said = Said::read(answer)?;
    // What restrains the server was demanded, so an answer without it accepts another offer than ours.
    if config.server_no_context_takeover && !said.server_no_context_takeover {
        return None;
    }
    let server = match said.server_max_window_bits {
        Some(bits) => bits,
        None => MAX_BITS,
    };
    if server > config.server_max_window_bits {
        return None;
    }
    let client = match said.client_max_window_bits {
        None => MAX_BITS,
        Some(Bits::Most(bits)) => bits,
        Some(Bits::Any) => return None, // in an answer it has a value
    };
    Some(
        DeflateParams::default()
            .server_max_window_bits(server)
            .server_no_context_takeover(said.server_no_context_takeover)
            // What we said that we would not do, we do not do, whatever the answer has.
            .client_max_window_bits(client.min(config.client_max_window_bits))
            .client_no_context_takeover(said.client_no_context_takeover || config.client_no_context_takeover),
    )
}
