//! The pages, and the echo resource of one of them.

use clws_server::{Accept, Client, HttpRequest, HttpResponse, Opening, Payload, Reject, Resource, Text};

/// Echoes messages for the page at `/echo.html`.
pub(crate) struct Echo;

impl Resource for Echo {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let offered = opening.subprotocols().any(|name| name == "echo");
        Ok(if offered { Accept::new().subprotocol("echo") } else { Accept::new() })
    }

    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }

    fn binary(&self, client: &Client, payload: Payload<'_>) {
        let _ = client.send(payload);
    }
}

/// The content security policy. Pages load only files from this server, and user text never becomes
/// markup or script.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

/// The methods of every page.
const METHODS: &str = "GET, HEAD, OPTIONS";

/// Serves the pages for requests without a WebSocket upgrade.
pub(crate) fn serve(request: &HttpRequest<'_>) -> HttpResponse {
    let (content_type, body) = match request.path() {
        "/" => ("text/html; charset=utf-8", include_str!("../../../assets/chat.html")),
        "/chat.js" => ("text/javascript; charset=utf-8", include_str!("../../../assets/chat.js")),
        "/echo.html" => ("text/html; charset=utf-8", include_str!("../../../assets/echo.html")),
        "/echo.js" => ("text/javascript; charset=utf-8", include_str!("../../../assets/echo.js")),
        "/style.css" => ("text/css; charset=utf-8", include_str!("../../../assets/style.css")),
        "/icon.svg" => ("image/svg+xml", include_str!("../../../assets/icon.svg")),
        "*" => ("", ""), // only OPTIONS has this target
        _ => return HttpResponse::not_found(),
    };
    match request.method() {
        "GET" | "HEAD" => {}
        // The default health check of haproxy.
        "OPTIONS" => {
            return HttpResponse::new(204)
                .append_header("Allow", METHODS)
                .unwrap_or_else(|_| HttpResponse::new(500));
        }
        _ => return HttpResponse::method_not_allowed(METHODS),
    }
    let answer = HttpResponse::new(200).body(content_type, body.as_bytes());
    let answer = answer.append_header("Content-Security-Policy", POLICY);
    let answer = answer.and_then(|it| it.append_header("X-Content-Type-Options", "nosniff"));
    answer.unwrap_or_else(|_| HttpResponse::new(500))
}
