//! What else comes to the port: requests that are no upgrade, Flash's policy requests.

use super::*;
use crate::HttpResponse;

const GET: &[u8] = b"GET /page?a=b HTTP/1.1\r\nHost: server\r\n\r\n";
const POLICY: &[u8] = b"<policy-file-request/>\0";

fn answer(world: &mut World) -> String {
    assert!(world.shut, "the connection is closed behind it");
    String::from_utf8(std::mem::take(&mut world.out)).unwrap()
}

#[test]
fn a_plain_request_goes_to_the_hook() {
    for cut in [0, 10] {
        let mut world = World::new(Config::default());
        world.shared.resources.http(|request| {
            HttpResponse::text(200, format!("{} {} {:?}", request.method(), request.path(), request.query()))
        });
        world.send(&GET[..cut]);
        world.send(&GET[cut..]);
        let answer = answer(&mut world);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\nConnection: close\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nGET /page Some(\"a=b\")"), "{answer}");
        world.diary(&[]);
    }
}

#[test]
fn the_hook_sees_any_method_and_head_gets_no_body() {
    let mut world = World::new(Config::default());
    world.shared.resources.http(|request| HttpResponse::text(200, request.method().to_owned()));
    world.send(b"HEAD / HTTP/1.1\r\nHost: server\r\n\r\n");
    assert!(answer(&mut world).ends_with("Content-Length: 4\r\n\r\n"));

    let mut world = World::new(Config::default());
    world.shared.resources.http(|request| HttpResponse::text(405, request.method().to_owned()));
    world.send(b"POST / HTTP/1.1\r\nHost: server\r\nContent-Length: 3\r\n\r\nabc");
    let answer = answer(&mut world);
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.ends_with("POST"), "{answer}");
}

#[test]
fn the_hook_sees_nothing_else() {
    for (octets, status) in [
        (request(Version::Rfc6455, "/none"), 404),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 400),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n".to_vec(), 505),
        (b"nonsense\r\n\r\n".to_vec(), 400),
    ] {
        let mut world = World::new(Config::default());
        world.shared.resources.http(|_| panic!("not called"));
        world.send(&octets);
        assert_eq!(world.refusal(), status, "{}", String::from_utf8_lossy(&octets));
    }
}

#[test]
fn a_hook_that_panics_says_500() {
    let mut world = World::new(Config::default());
    world.shared.resources.http(|_| panic!("in the hook"));
    world.send(GET);
    assert_eq!(world.refusal(), 500);
}

#[test]
fn a_policy_request_is_answered_where_there_is_a_policy() {
    let policy = Config::flash_policy("*", "*");
    for cut in [0, 1, 22] {
        let mut world = World::new(Config::default().policy_file(policy.clone()));
        world.send(&POLICY[..cut]);
        assert!(world.out.is_empty());
        world.send(&POLICY[cut..]);
        let answer = answer(&mut world);
        assert!(answer.starts_with("<?xml version=\"1.0\"?>\n<!DOCTYPE cross-domain-policy "), "{answer}");
        assert!(answer.ends_with("</cross-domain-policy>\0"), "{answer}");
    }
    let mut world = World::new(Config::default().policy_file(policy));
    world.send(b"<policy-file-requesT/>\0");
    assert_eq!(world.refusal(), 400);
    let mut world = World::new(Config::default());
    world.send(POLICY);
    world.send(b"\r\n\r\n");
    assert_eq!(world.refusal(), 400);
}

#[test]
fn no_policy_breaks_its_file() {
    assert!(Config::flash_policy("\"/><evil", "*").is_none());
    assert!(Config::flash_policy("*", "1 2").is_none());
    assert!(Config::flash_policy("", "*").is_none());
    for domain in ["*.", "a.*", "**", "*example.com", "a b", "ü.de"] {
        assert!(Config::flash_policy(domain, "*").is_none(), "{domain}");
    }
    for ports in ["", ",", "0", "65536", "80,", "80-", "-80", "81-80", "1-2-3", "http", "80,*", "+80"] {
        assert!(Config::flash_policy("*", ports).is_none(), "{ports}");
    }
    for (domain, ports) in
        [("a.example", "80"), ("*.a.example", "80,443"), ("127.0.0.1", "1-65535"), ("[::1]", "80-80,1")]
    {
        assert!(Config::flash_policy(domain, ports).is_some(), "{domain} {ports}");
    }
}
