//! The rules for sent frames.

use std::collections::HashSet;

use clws_proto::Role;

/// Asserts RFC 6455 §5.1, §5.2 and §5.3: masking by clients only, with a new key for each frame, the
/// shortest length, and no reserved bits.
pub fn assert_valid_frames(mut wire: &[u8], role: Role) {
    let mut keys = HashSet::new();
    while let [first, second, after @ ..] = wire {
        assert_eq!(first & 0x30, 0);
        assert_eq!(second & 0x80 != 0, role == Role::Client);
        let (len, after) = match second & 0x7F {
            126 => {
                let len = usize::from(after[0]) << 8 | usize::from(after[1]);
                assert!(len > 125);
                (len, &after[2..])
            }
            127 => {
                let len = u64::from_be_bytes(after[..8].try_into().expect("8")) as usize;
                assert!(len > 0xFFFF);
                (len, &after[8..])
            }
            short => (usize::from(short), after),
        };
        let after = match role {
            Role::Client => {
                assert!(keys.insert(&after[..4]), "the masking key was used before");
                &after[4..]
            }
            Role::Server => after,
        };
        wire = &after[len..];
    }
    assert!(wire.is_empty());
}
