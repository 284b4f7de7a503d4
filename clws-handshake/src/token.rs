//! The common grammar of HTTP fields: tokens, comma-separated lists and field values.

/// RFC 9110 §5.6.2: a token is one or more `tchar`.
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_tchar)
}

/// RFC 9110 §5.6.2: "any VCHAR, except delimiters".
pub(crate) const fn is_tchar(byte: u8) -> bool {
    TCHARS[byte as usize]
}

/// A table, because each byte of each header name is looked up.
const TCHARS: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &[u8] = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    while let [byte, others @ ..] = rest {
        table[*byte as usize] = true;
        rest = others;
    }
    table
};

/// Whether a value can be sent unchanged: no control characters (so no line break), and no
/// whitespace at either end, which a recipient would remove.
pub(crate) fn is_field_value(value: &str) -> bool {
    // RFC 9110 §5.5: "Field values containing CR, LF, or NUL characters are invalid and dangerous"
    value.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
        && trim(value).len() == value.len()
}

/// A value without surrounding optional whitespace (spaces and tabs).
pub(crate) fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t'])
}

/// The trimmed, non-empty members of a comma-separated list.
pub(crate) fn list(value: &str) -> impl Iterator<Item = &str> {
    // RFC 9110 §5.6.1.2: "A recipient MUST parse and ignore a reasonable number of empty list
    // elements"
    value.split(',').map(trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_exclude_delimiters_and_non_ascii_bytes() {
        assert!(is_token("x-webkit-deflate-frame"));
        assert!(is_token("!#$%&'*+-.^_`|~09azAZ"));
        for byte in 0..=255 {
            assert_eq!(is_tchar(byte), byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        }
        for bad in [
            "", "a b", "a,b", "a\"b", "a/b", "a=b", "a;b", "é", "a\t", "(a)", "a@b", "[a]", "{a}", "a\\b",
            "a\0",
        ] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_field_value_cannot_break_its_line() {
        assert!(is_field_value("") && is_field_value("a b\tc") && is_field_value("ü"));
        for bad in ["a\r\nB: c", "a\nb", "a\rb", "a\0", "\x7f", " a", "a ", "\ta"] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn lists_skip_empty_members() {
        assert_eq!(list(" a ,, b,\t,c ,").collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(list(" , ").count(), 0);
    }
}
