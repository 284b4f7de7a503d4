//! permessage-deflate (RFC 7692) as this client does it: offered, insisted on, compressed beforehand.
//!
//! Each message is compressed by itself and before the clock starts. That is right with context takeover too: a message may
//! refer back to earlier ones, and need not. The server has to keep what it would keep for any client, and its own messages
//! do refer back.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Inflate, InflateFlush, Status};

use super::error::Error;

/// What a sender leaves out, and a receiver appends (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];
/// zlib's default, which is what browsers use.
const LEVEL: i32 = 6;
/// The largest window there is.
const MOST_BITS: u8 = 15;

/// What is asked of the server, and must be agreed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    takeover: bool,
    bits: u8,
}

impl Offer {
    /// With or without context takeover, and windows of at most 2 to the power of `bits` both ways.
    #[must_use]
    pub const fn new(takeover: bool, bits: u8) -> Self {
        Self { takeover, bits }
    }

    /// Whether the server's messages may refer back to earlier ones.
    #[must_use]
    pub const fn has_takeover(&self) -> bool {
        self.takeover
    }

    /// The header of the request.
    #[must_use]
    pub fn header(&self) -> String {
        let mut value = String::from("permessage-deflate");
        if !self.takeover {
            value += "; server_no_context_takeover; client_no_context_takeover";
        }
        match self.bits {
            MOST_BITS => value += "; client_max_window_bits",
            bits => value += &format!("; server_max_window_bits={bits}; client_max_window_bits={bits}"),
        }
        format!("Sec-WebSocket-Extensions: {value}\r\n")
    }

    /// Looks for the server's agreement in the head of its answer: what it agreed to, in its own words.
    ///
    /// # Errors
    /// [`Error::Handshake`] when it did not, or to something else than was asked for.
    pub fn agreed(&self, head: &[u8]) -> Result<String, Error> {
        let wrong = |why: String| Err(Error::Handshake(why));
        let head = String::from_utf8_lossy(head);
        let values: Vec<&str> = head
            .lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Extensions"))
            .map(|(_, value)| value.trim())
            .collect();
        let [value] = values[..] else {
            return wrong("the server does not take permessage-deflate: is compression on?".into());
        };
        let mut words = value.split(';').map(str::trim);
        if words.next() != Some("permessage-deflate") {
            return wrong(format!("permessage-deflate was offered, and the server took {value:?}"));
        }
        let (mut forgets, mut server_bits) = (false, MOST_BITS);
        for word in words {
            let (name, number) = word.split_once('=').unwrap_or((word, ""));
            let bits = number.trim_matches('"').parse().ok().filter(|bits| (8..=MOST_BITS).contains(bits));
            match (name, bits) {
                ("server_no_context_takeover", None) => forgets = true,
                ("client_no_context_takeover", None) => {}
                ("server_max_window_bits", Some(bits)) => server_bits = bits,
                ("client_max_window_bits", Some(bits)) if bits >= self.bits => {}
                ("client_max_window_bits", Some(bits)) => {
                    return wrong(format!(
                        "the server wants windows of {bits} bits: --deflate-window {}",
                        bits.max(9)
                    ));
                }
                _ => return wrong(format!("{word:?} in {value:?}")),
            }
        }
        match (forgets, self.takeover) {
            (true, true) => wrong(format!("the server keeps no context: {value:?}")),
            (false, false) => wrong(format!("the server would keep a context, unasked: {value:?}")),
            _ if server_bits > self.bits => {
                wrong(format!("windows of {} bits were asked for: {value:?}", self.bits))
            }
            _ => Ok(value.to_owned()),
        }
    }
}

/// Compresses messages, each by itself.
pub struct Compressor(Deflate);

impl Compressor {
    /// With the offered window.
    #[must_use]
    pub fn new(offer: &Offer) -> Self {
        Self(Deflate::new_with_config(DeflateConfig {
            level: LEVEL,
            window_bits: -i32::from(offer.bits), // raw
            ..DeflateConfig::default()
        }))
    }

    /// What goes into the frames of such a message.
    ///
    /// # Errors
    /// Never in practice: there is room for every outcome.
    pub fn compress(&mut self, payload: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.reset();
        let mut out = vec![0; payload.len() + payload.len() / 64 + 128];
        let done = self.0.compress(payload, &mut out, DeflateFlush::SyncFlush);
        let written = usize::try_from(self.0.total_out()).unwrap_or(usize::MAX);
        let octets = out.get(..written).and_then(|octets| octets.strip_suffix(&TAIL));
        match (done, octets) {
            (Ok(Status::Ok), Some(octets)) if self.0.total_in() == payload.len() as u64 => {
                Ok(octets.to_vec())
            }
            (done, _) => Err(Error::Usage(format!("compressing a message: {done:?}"))),
        }
    }
}

/// Inflates the messages of one connection.
pub struct Inflater {
    inflate: Inflate,
    takeover: bool,
    room: Vec<u8>,
}

impl Inflater {
    /// One for the server's messages, which refer back to earlier ones or not.
    #[must_use]
    pub fn new(takeover: bool) -> Self {
        Self { inflate: Inflate::new(false, MOST_BITS), takeover, room: Vec::new() }
    }

    /// The message of which these are the compressed octets, or `None` if they are corrupt or it is longer than that.
    pub fn inflate(&mut self, octets: &[u8], longest: usize) -> Option<&[u8]> {
        if !self.takeover {
            self.inflate.reset(false);
        }
        self.room.resize(longest + 16, 0); // as long as there is room left, nothing is left behind in it
        let mut written = 0;
        for mut part in [octets, &TAIL] {
            while !part.is_empty() {
                let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
                let place = self.room.get_mut(written..).filter(|place| !place.is_empty())?;
                let status = self.inflate.decompress(part, place, InflateFlush::SyncFlush).ok()?;
                let read = usize::try_from(self.inflate.total_in() - read).ok()?;
                let wrote = usize::try_from(self.inflate.total_out() - wrote).ok()?;
                if status == Status::StreamEnd || (read == 0 && wrote == 0) {
                    return None; // no server that is known to us ends a stream
                }
                part = part.get(read..)?;
                written += wrote;
            }
        }
        self.room.get(..written).filter(|message| message.len() <= longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(offer: Offer, value: &str) -> Result<String, String> {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-extensions: {value}\r\n\r\n");
        offer.agreed(head.as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_server_must_agree_to_what_was_asked() {
        let (none, all, small) = (Offer::new(false, 15), Offer::new(true, 15), Offer::new(true, 12));
        assert!(none.agreed(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").is_err());
        assert!(agreed(none, "x-webkit-deflate-frame").is_err());
        assert!(agreed(none, "permessage-deflate").unwrap_err().contains("unasked"));
        assert!(agreed(none, "permessage-deflate; server_no_context_takeover").is_ok());
        assert!(agreed(all, "permessage-deflate; server_no_context_takeover").is_err());
        assert!(agreed(all, "permessage-deflate; client_no_context_takeover").is_ok());
        assert!(
            agreed(all, "permessage-deflate; client_max_window_bits=12").unwrap_err().contains("window 12")
        );
        assert!(agreed(small, "permessage-deflate; client_max_window_bits=12").is_err());
        assert!(agreed(small, "permessage-deflate; server_max_window_bits=\"10\"").is_ok());
        assert!(agreed(all, "permessage-deflate; server_max_window_bits=16").is_err());
        assert!(agreed(all, "permessage-deflate; gzip").is_err());
    }

    #[test]
    fn offers_say_what_they_want() {
        assert!(
            Offer::new(false, 15).header().contains("; client_no_context_takeover; client_max_window_bits\r")
        );
        assert!(!Offer::new(true, 15).header().contains("no_context"));
        assert!(
            Offer::new(true, 9).header().ends_with("server_max_window_bits=9; client_max_window_bits=9\r\n")
        );
    }

    #[test]
    fn what_was_compressed_inflates_to_the_same() {
        for bits in 9..=15 {
            let mut compressor = Compressor::new(&Offer::new(true, bits));
            // Messages that stand for themselves, read by one that keeps its context.
            let mut inflater = Inflater::new(true);
            for size in [0, 1, 16, 1000, 70_000] {
                let message = "Grüße, мир ".repeat(size / 16 + 1).into_bytes();
                let octets = compressor.compress(&message[..size]).unwrap();
                assert_eq!(inflater.inflate(&octets, size), Some(&message[..size]), "{bits} {size}");
                assert_eq!(Inflater::new(false).inflate(&octets, size), Some(&message[..size]));
                assert!(size == 0 || Inflater::new(false).inflate(&octets, size - 1).is_none());
            }
        }
        assert!(Inflater::new(false).inflate(&[0xff; 20], 100).is_none());
    }
}
