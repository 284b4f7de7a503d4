//! `Date` headers.
//!
//! RFC 9110 §6.6.1: a server with a clock must send one with each response of status 2xx, 3xx or
//! 4xx.

use std::time::{SystemTime, UNIX_EPOCH};

use clws_handshake::{HttpResponse, Reject};

/// Adds the current date to a response, unless the application has set one.
pub(crate) fn dated(response: HttpResponse, now: SystemTime) -> HttpResponse {
    if response.header("Date").is_some() {
        return response;
    }
    let Some(date) = http_date(now) else { return response };
    // It cannot fail, because no date contains a line break.
    response.append_header("Date", date).unwrap_or_else(|_| HttpResponse::new(500))
}

/// Adds the current date to a refusal, unless the application has set one.
pub(crate) fn dated_reject(reject: &Reject, now: SystemTime) -> Reject {
    let date = http_date(now).filter(|_| reject.header("Date").is_none());
    date.and_then(|date| reject.clone().append_header("Date", date).ok()).unwrap_or_else(|| reject.clone())
}

/// Formats an `IMF-fixdate` (RFC 9110 §5.6.7). Returns `None` before 1970 and after 9999.
fn http_date(time: SystemTime) -> Option<String> {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let weekday = DAYS.get(usize::try_from(days % 7).ok()?)?;
    let (year, month, day) = civil(days)?;
    let month = MONTHS.get(month)?;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT"))
}

/// The year, the month from 0, and the day of the month from 1, for a number of days after
/// 1970-01-01.
fn civil(mut days: u64) -> Option<(u64, usize, u64)> {
    // The Gregorian calendar repeats every 400 years.
    const CYCLE: u64 = 146_097;
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970 + days / CYCLE * 400;
    days %= CYCLE;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    for (month, length) in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().enumerate() {
        if days < length {
            return (year <= 9999).then_some((year, month, days + 1));
        }
        days -= length;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn formats_dates_of_the_gregorian_calendar() {
        // Computed with Python's email.utils.formatdate(seconds, usegmt=True).
        for (seconds, date) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), // RFC 9110's example
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_799, "Tue, 29 Feb 2000 23:59:59 GMT"),
            (1_709_164_800, "Thu, 29 Feb 2024 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (13_601_088_000, "Mon, 01 Jan 2401 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(seconds)).as_deref(), Some(date));
        }
        assert_eq!(http_date(UNIX_EPOCH + Duration::from_secs(253_402_300_800)), None);
        assert_eq!(http_date(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn keeps_the_date_of_the_application() {
        let own = HttpResponse::new(200).append_header("date", "yesterday").unwrap();
        assert_eq!(dated(own.clone(), SystemTime::now()), own);
        assert!(
            dated(HttpResponse::new(200), SystemTime::now())
                .header("Date")
                .is_some_and(|date| date.ends_with(" GMT"))
        );
        let own = Reject::not_found().append_header("DATE", "yesterday").unwrap();
        assert_eq!(dated_reject(&own, SystemTime::now()), own);
        assert!(
            dated_reject(&Reject::not_found(), SystemTime::now())
                .header("Date")
                .is_some_and(|date| date.len() == 29)
        );
    }
}
