//! WebSocket over HTTP/2 through another HTTP server.

use std::sync::{Arc, Mutex};

use clws_server::{Accept, Opening, Origins, Reject, Resource};
use http::{Request, StatusCode, Version};

use crate::common::{Probe, config};
use crate::upgrade::{Picky, connect, refusal, server, upgrade};

#[test]
fn a_connect_of_http_2_is_an_extended_connect() {
    let (probe, recorder) = Probe::new();
    let (server, handle) = server(config(), probe);
    server.resources().register("/chat", Origins::exact(["http://here.example"]), Picky).unwrap();
    let connect_to = |uri: &str| {
        Request::builder()
            .method("CONNECT")
            .version(Version::HTTP_2)
            .uri(uri)
            .header("sec-websocket-version", "13")
            .header("origin", "http://here.example")
    };
    let get = connect_to("https://server.example:8443/?a=b").body(()).unwrap();
    let (response, accepted) = upgrade(&handle, &get).unwrap();
    assert_eq!((response.status(), response.headers().len()), (StatusCode::OK, 0));
    let mut peer = connect(accepted);
    peer.assert_echo("hello");
    let client = recorder.connected();
    assert_eq!((client.host(), client.query_string()), ("server.example:8443", Some("a=b")));

    assert!(upgrade(&handle, &connect_to("https://server/chat").body(()).unwrap()).is_ok());
    assert_eq!(refusal(&handle, &connect_to("https://server/none").body(()).unwrap()).status(), 404);
    let other = Request::builder().method("CONNECT").version(Version::HTTP_2).uri("https://server/");
    assert_eq!(refusal(&handle, &other.body(()).unwrap()).status(), 400, "another protocol");
    let mut old = connect_to("https://server/").body(()).unwrap();
    old.headers_mut().insert("sec-websocket-version", "12".parse().unwrap());
    let old = refusal(&handle, &old);
    assert_eq!(old.status(), 426);
    assert!(!old.headers().contains_key("upgrade") && !old.headers().contains_key("connection"));
    // A plain request of HTTP/2 is no handshake.
    let page = Request::builder().version(Version::HTTP_2).uri("https://server/").body(()).unwrap();
    assert_eq!(refusal(&handle, &page).status(), 426);
}

/// Records the `Cookie` lines, and the cookies in them.
#[derive(Default)]
struct Cookies(Mutex<(Vec<String>, Vec<String>)>);

impl Resource for Cookies {
    fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
        let headers = opening.headers();
        let lines = headers.get_all("cookie").map(str::to_owned).collect();
        let names = headers.cookies().map(|(name, _)| name.to_owned()).collect();
        *self.0.lock().unwrap() = (lines, names);
        Ok(Accept::new())
    }
}

/// Browsers split their cookies, so that HTTP/2 compresses each of them.
#[test]
fn split_cookies_are_one_header() {
    let cookies = Arc::new(Cookies::default());
    let (_server, handle) = server(config(), cookies.clone());
    for (version, method, lines) in
        [(Version::HTTP_2, "CONNECT", 1), (Version::HTTP_3, "CONNECT", 1), (Version::HTTP_11, "GET", 3)]
    {
        let mut request = crate::upgrade::request("/");
        if method == "CONNECT" {
            request = Request::builder().uri("https://server/").header("Sec-WebSocket-Version", "13");
        }
        let request = request.method(method).version(version);
        let request = request.header("Cookie", "a=1").header("X-Other", "x").header("Cookie", "b=2");
        let request = request.header("Cookie", "c=3").body(()).unwrap();
        let (_, _accepted) = upgrade(&handle, &request).unwrap();
        let (found, names) = cookies.0.lock().unwrap().clone();
        assert_eq!((found.len(), found.join("; ")), (lines, "a=1; b=2; c=3".to_owned()), "{version:?}");
        assert_eq!(names, ["a", "b", "c"]);
    }
}

#[test]
fn a_connect_for_a_tunnel_is_refused() {
    let (_server, handle) = server(config(), Arc::new(Picky));
    let tunnel = Request::builder().method("CONNECT").version(Version::HTTP_2).uri("server:443");
    let tunnel = tunnel.header("sec-websocket-version", "13").body(()).unwrap();
    let refused = refusal(&handle, &tunnel);
    assert_eq!(refused.status(), 400);
    assert!(refused.body().contains("tunnel"), "{}", refused.body());
    assert_eq!(handle.clients(), 0);
}
