//! Dates in header fields (RFC 9110 §5.6.7).

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A number for a date such as `Sun, 06 Nov 1994 08:49:37 GMT`. Later dates have larger numbers.
///
/// Reads only the preferred format. The two obsolete formats count as invalid, which is safe for a
/// precondition: the client then gets the whole content.
pub(crate) fn sort_key(date: &str) -> Option<u64> {
    let mut words = date.split(' ');
    let weekday = words.next()?;
    if weekday.len() != 4 || !weekday.ends_with(',') {
        return None;
    }
    let day = number(words.next()?, 2).filter(|day| (1..=31).contains(day))?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|month| *month == name)?;
    let year = number(words.next()?, 4)?;
    let mut time = words.next()?.split(':');
    let mut part = |limit| number(time.next()?, 2).filter(|part| *part < limit);
    let (hour, minute, second) = (part(24)?, part(60)?, part(61)?);
    if time.next().is_some() || words.next() != Some("GMT") || words.next().is_some() {
        return None;
    }
    // Days and months have gaps in these numbers, which do not matter for a comparison.
    let days = (year * 12 + u64::try_from(month).ok()?) * 32 + day;
    Some(((days * 24 + hour) * 60 + minute) * 61 + second)
}

fn number(digits: &str, len: usize) -> Option<u64> {
    let is_number = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_dates_have_larger_numbers() {
        let dates = [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:60 GMT",
            "Sun, 06 Nov 1994 08:50:00 GMT",
            "Wed, 30 Nov 1994 23:59:59 GMT",
            "Thu, 01 Dec 1994 00:00:00 GMT",
            "Sun, 01 Jan 1995 00:00:00 GMT",
        ];
        assert!(dates.map(|date| sort_key(date).unwrap()).is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn other_texts_are_no_dates() {
        for text in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "Sun, 06 Nov +994 08:49:37 GMT",
        ] {
            assert_eq!(sort_key(text), None, "{text}");
        }
    }
}
