//! Generates the keys of draft 0 (hixie-76 §4.1).

/// Draws small numbers from a source of random bytes.
pub(crate) struct Random<'r, R>(pub(crate) &'r mut R);

impl<R: FnMut(&mut [u8])> Random<'_, R> {
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        (self.0)(&mut bytes);
        bytes
    }

    /// A number from 0 to `max`.
    fn up_to(&mut self, max: u32) -> u32 {
        let drawn = u64::from(u32::from_ne_bytes(self.bytes()));
        // The upper half of the product is at most `max`. The slight bias does not matter here.
        u32::try_from((drawn * (u64::from(max) + 1)) >> 32).unwrap_or(max)
    }

    fn index(&mut self, length: usize) -> usize {
        self.up_to(u32::try_from(length.saturating_sub(1)).unwrap_or(u32::MAX)) as usize
    }

    /// Shuffles a slice.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }

    /// A key, and the number that a server finds in it.
    pub(crate) fn hixie_key(&mut self) -> (String, u32) {
        // hixie-76 §4.1: 1 to 12 spaces, and a number whose product with the spaces is at most
        // 4,294,967,295. The key begins as that product in base ten.
        let spaces = 1 + self.up_to(11);
        let number = self.up_to(u32::MAX.checked_div(spaces).unwrap_or_default());
        let mut key = number.saturating_mul(spaces).to_string();
        // hixie-76 §4.1: "between one and twelve random characters from the ranges U+0021 to U+002F
        // and U+003A to U+007E" at random positions.
        for _ in 0..=self.up_to(11) {
            let at = self.index(key.len() + 1);
            key.insert(at, CHARS.get(self.index(CHARS.len())).map_or('!', |&byte| char::from(byte)));
        }
        // hixie-76 §4.1: the spaces "at random positions other than the start or end of the
        // string".
        for _ in 0..spaces {
            let at = 1 + self.index(key.len() - 1);
            key.insert(at, ' ');
        }
        (key, number)
    }
}

/// The printable ASCII characters except digits and the space.
const CHARS: [u8; 84] = {
    let mut chars = [0; 84];
    let (mut at, mut byte) = (0, b'!');
    while byte <= b'~' {
        if !byte.is_ascii_digit() {
            chars[at] = byte;
            at += 1;
        }
        byte += 1;
    }
    chars
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::challenge::hixie_76;

    #[test]
    fn a_server_finds_the_number_in_every_key() {
        let mut state = 1u32;
        let mut xorshift = |bytes: &mut [u8]| {
            for byte in bytes {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                *byte = state.to_be_bytes()[0];
            }
        };
        let mut random = Random(&mut xorshift);
        for _ in 0..2000 {
            let (key, number) = random.hixie_key();
            let (other, second) = random.hixie_key();
            assert_eq!(
                hixie_76::response(&key, &other, b"12345678"),
                Ok(hixie_76::digest(number, second, b"12345678")),
                "{key:?}"
            );
            assert_eq!(key.trim(), key);
            assert!((1..=12).contains(&key.matches(' ').count()), "{key:?}");
            let others = key.bytes().filter(|byte| !byte.is_ascii_digit() && *byte != b' ').count();
            assert!((1..=12).contains(&others), "{key:?}");
        }
    }

    #[test]
    fn constant_random_bytes_give_valid_keys() {
        for fill in [0, 1, 0x7f, 0x80, 0xff] {
            let mut constant = |bytes: &mut [u8]| bytes.fill(fill);
            let (key, number) = Random(&mut constant).hixie_key();
            assert_eq!(
                hixie_76::response(&key, &key, &[0; 8]),
                Ok(hixie_76::digest(number, number, &[0; 8])),
                "{key:?}"
            );
        }
        assert_eq!((CHARS[0], CHARS[83]), (b'!', b'~'));
    }
}
