//! The challenge of draft 0 (hixie-76 §5.2, the same in hybi-00): two keys that each hide a number,
//! and 8 bytes. The response is an MD5.

use md5::{Digest as _, Md5};

/// The bytes after the head of a draft 0 request.
pub(crate) const BODY_LEN: usize = 8;

/// The reason why a key is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidKey(pub(crate) &'static str);

/// The 16 bytes that prove that the server read both keys and the body.
pub(crate) fn response(key1: &str, key2: &str, body: &[u8; BODY_LEN]) -> Result<[u8; 16], InvalidKey> {
    Ok(digest(number(key1)?, number(key2)?, body))
}

/// The MD5 of both numbers, each "expressed as a big-endian 32 bit integer", and the body.
pub(crate) fn digest(part1: u32, part2: u32, body: &[u8; BODY_LEN]) -> [u8; 16] {
    let mut md5 = Md5::new();
    md5.update(part1.to_be_bytes());
    md5.update(part2.to_be_bytes());
    md5.update(body);
    md5.finalize().into()
}

/// The number in a key: its digits divided by the number of its spaces.
fn number(key: &str) -> Result<u32, InvalidKey> {
    // hixie-76 §5.2: the digits in the key, "interpreted as a base ten integer, ignoring all other
    // characters". No client exceeds 32 bits: its product of number and spaces is at most
    // 4,294,967,295 (§4.1).
    let mut digits = 0u32;
    let mut any = false;
    for digit in key.bytes().filter(u8::is_ascii_digit) {
        any = true;
        digits = digits
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u32::from(digit - b'0')))
            .ok_or(InvalidKey("the number in a Sec-WebSocket-Key1 or -Key2 is over 32 bits"))?;
    }
    if !any {
        return Err(InvalidKey("a Sec-WebSocket-Key1 or -Key2 has no digits"));
    }
    // hixie-76 §5.2: "If either /spaces_1/ or /spaces_2/ is zero, then the server must abort the
    // WebSocket connection. This is a symptom of a cross-protocol attack."
    let spaces = u32::try_from(key.bytes().filter(|&byte| byte == b' ').count()).unwrap_or(u32::MAX);
    match (digits.checked_div(spaces), digits.checked_rem(spaces)) {
        (Some(number), Some(0)) => Ok(number),
        // hixie-76 §5.2: a number that "is not an integral multiple" of the spaces also aborts the
        // connection.
        (Some(_), _) => Err(InvalidKey("a Sec-WebSocket-Key1 or -Key2 is not divisible by its spaces")),
        (None, _) => Err(InvalidKey("a Sec-WebSocket-Key1 or -Key2 has no spaces")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_the_examples_of_the_draft() {
        let example = |key1, key2, body| response(key1, key2, body).unwrap();
        assert_eq!(&example("4 @1  46546xW%0l 1 5", "12998 5 Y3 1  .P00", b"^n:ds[4U"), b"8jKS'y:G*Co,Wxa-");
        assert_eq!(
            &example(
                "18x 6]8vM;54 *(5:  {   U1]8  z [  8",
                "1_ tx7X d  <  nw  334J702) 7]o}` 0",
                b"Tm[K T2u"
            ),
            b"fQJ,fN/4F4!~K~MH"
        );
        // The keys of §1.2, with a digest from an independent MD5 (Python's hashlib).
        assert_eq!(
            &example("3e6b263  4 17 80", "17  9 G`ZD9   2 2b 7X 3 /r90", b"WjN}|M(6"),
            b"n`9eBk9z$R8pOtVb"
        );
        assert_eq!(number("3e6b263  4 17 80"), Ok(906_585_445));
        assert_eq!(number("17  9 G`ZD9   2 2b 7X 3 /r90"), Ok(179_922_739));
    }

    #[test]
    fn checks_the_number_in_a_key() {
        assert_eq!(number("4294967295 "), Ok(u32::MAX));
        assert_eq!(number("0 0"), Ok(0));
        for (key, why) in [
            ("a b c", "no digits"),
            ("", "no digits"),
            ("123", "no spaces"),
            ("1 2 3 5", "not divisible"),
            ("4294967296 ", "over 32 bits"),
            ("99999999999999999999999999 9", "over 32 bits"),
        ] {
            let InvalidKey(text) = number(key).unwrap_err();
            assert!(text.contains(why), "{key:?}: {text}");
        }
    }
}
