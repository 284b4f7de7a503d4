//! Conditional requests (RFC 9110 §13): a client that has a page already gets 304 without the page.

use crate::http::date::sort_key;
use crate::http::headers::Headers;
use crate::http::request::HttpRequest;
use crate::http::response::HttpResponse;

impl HttpResponse {
    /// Replaces the response with 304 (Not Modified) if the client has the same content already.
    ///
    /// That is so for a `GET` or `HEAD` whose `If-None-Match` lists the `ETag` of this response, and
    /// without `If-None-Match`, if this response has a `Last-Modified` that is not later than
    /// `If-Modified-Since`. Only a response with status 200 is replaced.
    ///
    /// ```
    /// use clws_handshake::{HandshakeLimits, HttpRequest, HttpResponse};
    ///
    /// let head = b"GET / HTTP/1.1\r\nHost: a.example\r\nIf-None-Match: \"v1\"\r\n\r\n";
    /// let request = HttpRequest::parse(head, &HandshakeLimits::default())?;
    /// let page = HttpResponse::html("<!doctype html>").append_header("ETag", "\"v1\"")?;
    /// assert_eq!(page.conditional(&request).status(), 304);
    /// # Ok::<(), clws_handshake::Reject>(())
    /// ```
    #[must_use]
    pub fn conditional(self, request: &HttpRequest<'_>) -> Self {
        let is_read = matches!(request.method(), "GET" | "HEAD");
        if self.status() == 200 && is_read && self.is_known(request.headers()) {
            self.into_not_modified()
        } else {
            self
        }
    }

    /// Whether the client has this content.
    fn is_known(&self, headers: Headers<'_>) -> bool {
        // RFC 9110 §13.1.3: "A recipient MUST ignore If-Modified-Since if the request contains an
        // If-None-Match header field".
        if headers.get_bytes("If-None-Match").is_some() {
            let own = self.header("ETag");
            return headers.get_all("If-None-Match").any(|value| matches(value, own));
        }
        let since = headers.get("If-Modified-Since").and_then(sort_key);
        let modified = self.header("Last-Modified").and_then(sort_key);
        matches!((modified, since), (Some(modified), Some(since)) if modified <= since)
    }
}

/// Whether a value of `If-None-Match` matches our entity tag.
fn matches(value: &str, own: Option<&str>) -> bool {
    // RFC 9110 §13.1.2: the condition is false for "*" "if the origin server has a current
    // representation for the target resource".
    value == "*" || own.is_some_and(|own| tags(value).any(|tag| opaque(tag) == opaque(own)))
}

/// The entity tags of a list (RFC 9110 §8.8.3). A tag may contain a comma.
fn tags(mut list: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        list = list.trim_start_matches([',', ' ', '\t']);
        let open = list.find('"')?;
        let close = open + 1 + list.get(open + 1..)?.find('"')?;
        let (tag, rest) = list.split_at_checked(close + 1)?;
        list = rest;
        Some(tag)
    })
}

/// The tag for the weak comparison, which `If-None-Match` uses (RFC 9110 §8.8.3.2).
fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::HandshakeLimits;

    fn status(method: &str, lines: &str, headers: &[(&'static str, &'static str)]) -> u16 {
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let request = HttpRequest::parse(head.as_bytes(), &HandshakeLimits::default()).unwrap();
        let response = headers.iter().fold(HttpResponse::html("page"), |response, (name, value)| {
            response.append_header(*name, *value).unwrap()
        });
        response.conditional(&request).status()
    }

    #[test]
    fn compares_entity_tags() {
        let tag = [("ETag", "\"a,b\"")];
        for (value, expected) in [
            ("\"a,b\"", 304),
            ("W/\"a,b\"", 304),
            ("\"x\", \"a,b\"", 304),
            ("\"x\",W/\"a,b\" ,", 304),
            ("*", 304),
            ("\"x\"", 200),
            ("a,b", 200),
            ("\"a,b", 200),
            ("", 200),
        ] {
            assert_eq!(status("GET", &format!("If-None-Match: {value}\r\n"), &tag), expected, "{value}");
        }
        assert_eq!(status("GET", "If-None-Match: \"x\"\r\nIf-None-Match: \"a,b\"\r\n", &tag), 304);
        assert_eq!(status("HEAD", "If-None-Match: \"a,b\"\r\n", &tag), 304);
        assert_eq!(status("POST", "If-None-Match: \"a,b\"\r\n", &tag), 200);
        assert_eq!(status("GET", "If-None-Match: \"a,b\"\r\n", &[]), 200);
        assert_eq!(status("GET", "If-None-Match: \"w\"\r\n", &[("ETag", "W/\"w\"")]), 304);
    }

    #[test]
    fn compares_dates() {
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        let modified = [("Last-Modified", date)];
        for (since, expected) in [
            (date, 304),
            ("Mon, 07 Nov 1994 08:49:37 GMT", 304),
            ("Sun, 06 Nov 1994 08:49:36 GMT", 200),
            ("yesterday", 200),
        ] {
            assert_eq!(status("GET", &format!("If-Modified-Since: {since}\r\n"), &modified), expected);
        }
        assert_eq!(status("GET", &format!("If-Modified-Since: {date}\r\n"), &[]), 200);
        let both = format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n");
        assert_eq!(status("GET", &both, &modified), 200);
    }

    #[test]
    fn keeps_the_headers_that_describe_the_content() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n";
        let request = HttpRequest::parse(head, &HandshakeLimits::default()).unwrap();
        let page = HttpResponse::html("page").append_header("ETag", "\"1\"").unwrap();
        let page = page.append_header("Cache-Control", "no-cache").unwrap();
        let page = page.append_header("Content-Language", "en").unwrap();
        let bytes = String::from_utf8(page.conditional(&request).to_bytes(&request)).unwrap();
        assert_eq!(
            bytes,
            "HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: \"1\"\r\nCache-Control: no-cache\r\n\r\n"
        );
    }
}
