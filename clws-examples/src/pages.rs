//! Web pages of the examples, built into the binary and served on the WebSocket port.

use std::hash::{DefaultHasher, Hash, Hasher};

use clws_server::{HttpRequest, HttpResponse, Listen};

/// A file of a page.
#[derive(Clone, Copy, Debug)]
pub struct File {
    path: &'static str,
    content_type: &'static str,
    content: &'static str,
}

impl File {
    /// A tag of the content. A browser that has the file already gets 304 instead.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        self.content.hash(&mut hasher);
        format!("\"{:x}\"", hasher.finish())
    }

    /// An HTML page at a path.
    #[must_use]
    pub const fn html(path: &'static str, content: &'static str) -> Self {
        Self { path, content_type: "text/html; charset=utf-8", content }
    }

    /// A script of a page.
    #[must_use]
    pub const fn script(path: &'static str, content: &'static str) -> Self {
        Self { path, content_type: "text/javascript; charset=utf-8", content }
    }
}

/// The files that all pages use.
const SHARED: [File; 2] = [
    File {
        path: "/style.css",
        content_type: "text/css; charset=utf-8",
        content: include_str!("../assets/style.css"),
    },
    File { path: "/icon.svg", content_type: "image/svg+xml", content: include_str!("../assets/icon.svg") },
];

/// The content security policy. Pages load only files from this server, and user text never becomes
/// markup or script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The methods of every page.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Answers a request without a WebSocket upgrade: one of these files, the style sheet, the icon, or
/// 404. For [`Resources::http`](clws_server::Resources::http).
#[must_use]
pub fn serve(files: &[File], request: &HttpRequest<'_>) -> HttpResponse {
    let path = request.path();
    let file = files.iter().chain(&SHARED).find(|file| file.path == path);
    // Only OPTIONS has the target `*`.
    if file.is_none() && path != "*" {
        return HttpResponse::not_found();
    }
    match (request.method(), file) {
        ("GET" | "HEAD", Some(file)) => {
            let answer = HttpResponse::new(200).body(file.content_type, file.content.as_bytes());
            let answer = answer.append_header("Content-Security-Policy", POLICY);
            let answer = answer.and_then(|it| it.append_header("X-Content-Type-Options", "nosniff"));
            let answer = answer.and_then(|it| it.append_header("ETag", file.tag()));
            let answer = answer.and_then(|it| it.append_header("Cache-Control", "no-cache"));
            answer.unwrap_or_else(|_| HttpResponse::new(500))
        }
        // The default health check of haproxy.
        ("OPTIONS", _) => {
            HttpResponse::new(204).append_header("Allow", METHODS).unwrap_or_else(|_| HttpResponse::new(500))
        }
        _ => HttpResponse::method_not_allowed(METHODS),
    }
}

/// The URL of the page at `/` for a browser on the same machine. A Unix socket has no URL, and
/// neither has an IPv6 address with a zone.
#[must_use]
pub fn url(address: &Listen) -> Option<String> {
    let url = address.url()?.replacen("ws", "http", 1); // wss becomes https
    (!url.contains('%')).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_a_browser_can_open_have_a_url() {
        for (address, expected) in [
            ("127.0.0.1:12345", Some("http://127.0.0.1:12345/")),
            ("0.0.0.0:80", Some("http://localhost:80/")),
            ("[::1]:81", Some("http://[::1]:81/")),
            ("[fe80::1%2]:82", None),
            ("unix:/run/echo.sock", None),
        ] {
            assert_eq!(url(&Listen::from(address)).as_deref(), expected, "{address}");
        }
    }
}
