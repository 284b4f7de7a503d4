//! Requests of test clients: refusals, plain HTTP, and what a request can set.

use clws_server::testing::{RequestError, TestError, TestServer};
use clws_server::{Accept, Config, HttpResponse, Opening, Origins, Peer, Reject, Resource, Version};

use crate::{ORIGIN, all_versions, echo};

#[test]
fn refusals_are_values() {
    struct Club;
    impl Resource for Club {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            let name =
                opening.query_string().ok_or_else(|| Reject::unauthorized("Bearer", "log in first"))?;
            Ok(Accept::new().subprotocol("club").header("X-Name", name))
        }
    }
    let server = TestServer::new(Config::default()).unwrap();
    server.resources().register("/club", Origins::exact([ORIGIN]), Club).unwrap();
    let request = |path| server.request(path).origin(ORIGIN).subprotocol("other").subprotocol("club");

    let client = request("/club?anna").connect().unwrap();
    assert_eq!((client.subprotocol(), client.header("x-name")), (Some("club"), Some("anna")));

    let refused = request("/club").connect().unwrap_err();
    let response = refused.response().unwrap();
    assert_eq!((response.status, &*response.text()), (401, "log in first"));
    assert_eq!(response.header("www-authenticate"), Some("Bearer"));
    assert_eq!(refused.to_string(), "the server refused the client: 401: log in first");
    assert_eq!(
        request("/club?anna").origin("http://evil.example").connect().unwrap_err().status(),
        Some(403)
    );
    assert_eq!(request("/none").connect().unwrap_err().status(), Some(404));
    let old = server.request("/club").origin(ORIGIN).version(Version::Hybi00).connect().unwrap_err();
    assert_eq!(old.status(), Some(426));

    assert!(matches!(server.connect("club"), Err(TestError::Request(_))));
    let invalid = server.request("/club").header("a b", "c").connect();
    assert!(matches!(invalid, Err(TestError::Request(_))));
}

#[test]
fn plain_http_reaches_the_hook() {
    let server = TestServer::new(Config::default()).unwrap();
    assert_eq!(server.get("/").unwrap().status, 426);
    server.resources().http(|request| match request.headers().get("X-Probe") {
        Some(probe) => HttpResponse::text(200, format!("{} {probe}", request.path())),
        None => HttpResponse::not_found(),
    });
    let response = server.request("/health").header("X-Probe", "1").get().unwrap();
    assert_eq!((response.status, &*response.text()), (200, "/health 1"));
    assert_eq!(response.header("Content-Length"), Some("9"));
    assert_eq!(server.get("/health").unwrap().status, 404);
}

#[test]
fn a_full_server_refuses() {
    let (server, _ends) = echo(Config::default().max_clients(1));
    let _first = server.connect("/echo").unwrap();
    assert_eq!(server.connect("/echo").unwrap_err().status(), Some(503));
}

#[test]
fn a_response_ends_its_connection() {
    let (server, _ends) = echo(Config::default().max_clients(1));
    for _ in 0..200 {
        assert_eq!(server.connect("/none").unwrap_err().status(), Some(404));
        assert_eq!(server.handle().clients(), 0);
        assert_eq!(server.get("/").unwrap().status, 426);
        assert_eq!(server.handle().clients(), 0);
    }
}

#[test]
fn a_request_has_a_host_a_peer_and_a_method() {
    struct Local;
    impl Resource for Local {
        fn accept(&self, opening: &Opening) -> Result<Accept, Reject> {
            let Peer::Tcp(address) = opening.peer() else { return Err(Reject::forbidden("no address")) };
            let host = opening.headers().get("Host").unwrap_or_default();
            Ok(Accept::new().header("X-Seen", format!("{address} {host}")))
        }
    }
    let server = TestServer::new(all_versions()).unwrap();
    server.resources().register("/", Origins::any(), Local).unwrap();
    server.resources().http(|request| {
        let host = request.headers().get("Host").unwrap_or_default();
        let seen = format!("{} {host}", request.method());
        HttpResponse::text(200, "seen").append_header("X-Seen", seen).unwrap()
    });
    assert_eq!(server.connect("/").unwrap_err().status(), Some(403));
    let request = server.request("/").host("example.com:8080");
    let peer = Peer::Tcp("192.0.2.1:5000".parse().unwrap());
    let client = request.clone().peer(peer).connect().unwrap();
    assert_eq!(client.header("X-Seen"), Some("192.0.2.1:5000 example.com:8080"));

    for method in ["GET", "HEAD", "POST", "OPTIONS"] {
        let response = request.http(method).unwrap();
        assert_eq!(response.header("X-Seen"), Some(&*format!("{method} example.com:8080")));
        assert_eq!(response.text(), if method == "HEAD" { "" } else { "seen" });
    }
    // A plain request has no version, so it needs no origin.
    assert_eq!(request.version(Version::Hybi00).get().unwrap().status, 200);
    let invalid = server.request("/").host("a/b").get();
    assert!(matches!(invalid, Err(TestError::Request(RequestError::Url))));
}
