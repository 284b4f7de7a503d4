//! Other answers on the same port: plain HTTP, and the policy file for Flash.

use std::io::Write;

use crate::common;
use crate::common::{Running, read_to_end};
use clws_server::{Client, Config, HttpResponse, Origins, Resource, Server, Text, Version};

in_both_modes!(
    a_page_and_its_websocket_share_a_port,
    a_large_response_arrives_whole,
    the_hook_can_be_replaced,
    serves_the_policy_file,
);

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, text: Text<'_>) {
        let _ = client.send(text);
    }
}

fn start(config: Config) -> Running {
    let server = Server::bind(config.listen("127.0.0.1:0")).unwrap();
    server.resources().register("/", Origins::any(), Echo).unwrap();
    server.resources().http(|request| match (request.method(), request.path()) {
        ("GET" | "HEAD", "/") => HttpResponse::html("<!doctype html><title>here</title>"),
        ("GET", "/big") => HttpResponse::new(200).body("text/plain", vec![b'x'; 5_000_000]),
        ("GET", _) => HttpResponse::not_found(),
        _ => HttpResponse::text(405, "only GET"),
    });
    Running::run(server)
}

fn ask(server: &Running, request: &str) -> String {
    let mut stream = server.tcp();
    stream.write_all(request.as_bytes()).unwrap();
    let (answer, ended_well) = read_to_end(&mut stream);
    assert!(ended_well);
    String::from_utf8(answer).unwrap()
}

fn a_page_and_its_websocket_share_a_port(config: Config) {
    let server = start(config);
    let page = ask(&server, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("<title>here</title>"), "{page}");
    let head = ask(&server, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(head.contains("\r\nContent-Length: 34\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    assert!(
        ask(&server, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404 ")
    );
    let post = ask(&server, &format!("POST / HTTP/1.1\r\nHost: a\r\n\r\n{}", "x".repeat(100_000)));
    assert!(post.starts_with("HTTP/1.1 405 "), "{post}");
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert!(ask(&server, &long).starts_with("HTTP/1.1 431 "), "the limits of the handshake apply");
    for version in common::ALL_VERSIONS {
        server.connect(version, "/").assert_echo("hello");
    }
}

fn a_large_response_arrives_whole(config: Config) {
    let answer = ask(&start(config), "GET /big HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("Content-Length: 5000000"));
    assert!(body.len() == 5_000_000 && body.bytes().all(|byte| byte == b'x'));
}

fn the_hook_can_be_replaced(config: Config) {
    let server = start(config);
    server.handle.resources().http(|_| HttpResponse::text(200, "another"));
    assert!(ask(&server, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ends_with("another"));
}

fn serves_the_policy_file(config: Config) {
    let server = start(config.clone());
    let answer = ask(&server, "<policy-file-request/>\0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 400 "), "off by default: {answer}");
    let server = start(config.policy_file(Config::flash_policy("*.example.com", "1234")));
    let answer = ask(&server, "<policy-file-request/>\0");
    assert!(answer.ends_with(
        "<cross-domain-policy><allow-access-from domain=\"*.example.com\" to-ports=\"1234\" />\
         </cross-domain-policy>\0"
    ));
    server.connect(Version::Hybi00, "/").assert_echo("from Flash");
}
