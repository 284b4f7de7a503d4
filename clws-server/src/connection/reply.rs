//! The answer to an HTTP request.

use std::borrow::Cow;

/// The head and the body of an HTTP answer.
pub(super) type Reply = [Cow<'static, [u8]>; 2];
