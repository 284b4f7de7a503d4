//! Masking of payloads.

/// Masks or unmasks a payload in place, RFC 6455 §5.3: XORs each byte with the matching byte of the
/// key.
///
/// `offset` is the position of `payload[0]` in its frame, so a payload may be masked in pieces.
/// Masking twice restores the payload.
///
/// With the feature `simd`, payloads of 512 bytes and more use the widest vectors that the processor
/// has. Other payloads use the vectors that the program was compiled for. Any alignment works.
/// `cargo bench -p clws-benches --bench mask` compares the speed with a plain copy.
///
/// ```
/// // RFC 6455 §5.7: a masked "Hello"
/// let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// clws_proto::apply_mask([0x37, 0xfa, 0x21, 0x3d], 0, &mut payload);
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline]
pub fn apply_mask(key: [u8; 4], offset: usize, payload: &mut [u8]) {
    // RFC 6455 §5.3: "transformed-octet-i = original-octet-i XOR masking-key-octet-j", where j is i
    // modulo 4
    let mut key = key;
    key.rotate_left(offset % 4);
    if key == [0; 4] {
        return;
    }
    #[cfg(feature = "simd")]
    if payload.len() >= wide::MIN_LEN {
        return wide::mask(key, payload);
    }
    narrow(key, payload);
}

/// Masks with the vectors that the program was compiled for.
#[inline]
fn narrow(key: [u8; 4], payload: &mut [u8]) {
    let word = u32::from_ne_bytes(key);
    let word = u64::from(word) << 32 | u64::from(word);

    let (blocks, rest) = payload.as_chunks_mut::<32>();
    for block in blocks {
        let (words, _) = block.as_chunks_mut::<8>();
        for bytes in words {
            *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
    }
    let (words, rest) = rest.as_chunks_mut::<8>();
    for bytes in words {
        *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.into_iter().cycle()) {
        *byte ^= key;
    }
}

/// Masks with the widest vectors of the processor.
#[cfg(feature = "simd")]
mod wide {
    use std::sync::LazyLock;

    use fearless_simd::{Level, Simd, dispatch, prelude::*};

    use super::narrow;

    /// For shorter payloads, the choice of the vectors takes longer than it saves.
    pub(super) const MIN_LEN: usize = 512;

    #[inline(never)]
    pub(super) fn mask(key: [u8; 4], payload: &mut [u8]) {
        static LEVEL: LazyLock<Level> = LazyLock::new(Level::new);
        dispatch!(*LEVEL, simd => mask_with(simd, key, payload));
    }

    #[inline(always)]
    fn mask_with<S: Simd>(simd: S, key: [u8; 4], payload: &mut [u8]) {
        let vector = S::u32s::splat(simd, u32::from_ne_bytes(key)).bitcast::<S::u8s>();
        let mut vectors = payload.chunks_exact_mut(S::u8s::LEN);
        for bytes in &mut vectors {
            (S::u8s::from_slice(simd, bytes) ^ vector).store_slice(bytes);
        }
        narrow(key, vectors.into_remainder());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Longer than the payloads that are masked with wide vectors.
    const MAX_LEN: usize = 1536;

    proptest! {
        /// The RFC's definition by single bytes is the reference for the fast loop.
        #[test]
        fn matches_the_rfc_definition(
            key: [u8; 4],
            offset in 0usize..9,
            lead in 0usize..9,
            mut data in prop::collection::vec(any::<u8>(), 0..MAX_LEN),
        ) {
            let lead = lead.min(data.len());
            let expected: Vec<u8> =
                data[lead..].iter().enumerate().map(|(i, byte)| byte ^ key[(i + offset) % 4]).collect();
            // Without the feature `simd`, this is the code for payloads of any length.
            let mut narrowly = data[lead..].to_vec();
            let mut turned = key;
            turned.rotate_left(offset % 4);
            narrow(turned, &mut narrowly);
            prop_assert_eq!(&narrowly[..], &expected[..]);
            apply_mask(key, offset, &mut data[lead..]);
            prop_assert_eq!(&data[lead..], &expected[..]);
        }

        #[test]
        fn masks_pieces_like_the_whole(
            key: [u8; 4],
            data in prop::collection::vec(any::<u8>(), 0..MAX_LEN),
            cut: prop::sample::Index,
        ) {
            let cut = cut.index(data.len() + 1);
            let mut whole = data.clone();
            apply_mask(key, 0, &mut whole);
            let mut pieces = data;
            apply_mask(key, 0, &mut pieces[..cut]);
            apply_mask(key, cut, &mut pieces[cut..]);
            prop_assert_eq!(whole, pieces);
        }
    }
}
