//! The bytes of one frame: header, payload encoding, mask.

pub(crate) mod encode;
pub(crate) mod header;
pub(crate) mod mask;
