//! The example `async_handler`, tested with the example `client`.

use crate::common::{connected, serve};

const ASYNC_HANDLER: &str = env!("CARGO_BIN_EXE_async_handler");

#[test]
fn finds_the_number_by_bisection() {
    let (_server, url) = serve(ASYNC_HANDLER, &[]);
    for version in ["0", "7", "8", "13"] {
        let mut client = connected(&format!("{url}/guess"), &["--version", version]);
        client.until("< text 30 guess my number, from 1 to 100");
        client.say("seven");
        client.until("< text 17 that is no number");
        let (mut least, mut most) = (1, 100);
        loop {
            let guess = (least + most) / 2;
            client.say(&guess.to_string());
            let answer = client.until("< text ");
            if answer.ends_with("more") {
                least = guess + 1;
            } else if answer.ends_with("less") {
                most = guess - 1;
            } else {
                assert!(answer.contains("yes, after "), "{answer}");
                break;
            }
        }
        client.until("< close"); // the handler function has returned
        assert!(client.finish().0.success());
    }
}

#[test]
fn disconnects_a_slow_player() {
    let (_server, url) = serve(ASYNC_HANDLER, &["--patience", "0.1"]);
    let client = connected(&format!("{url}/guess"), &[]);
    client.until("too slow: goodbye");
    client.until("< close 1000");
}

#[test]
fn the_clock_ticks_at_the_requested_interval() {
    let (_server, url) = serve(ASYNC_HANDLER, &[]);
    let mut client = connected(&format!("{url}/clock"), &[]);
    client.say("soon");
    client.until("say the seconds from tick to tick, 0.01 or more");
    client.say("0.02");
    // It ticks once a second until it receives the interval, so the number of the next tick is
    // unknown.
    let line = client.until(" tick ");
    let first: u32 = line.rsplit(' ').next().unwrap().parse().unwrap();
    for tick in first + 1..first + 10 {
        assert!(client.until(" tick ").ends_with(&format!(" tick {tick}")));
    }
    let (status, lines) = client.finish();
    assert!(status.success() && lines.iter().any(|line| line == "< close 1000"), "{lines:?}");
}

#[test]
fn accepts_jobs_while_others_are_in_progress() {
    let (_server, url) = serve(ASYNC_HANDLER, &[]);
    let mut client = connected(&format!("{url}/jobs"), &[]);
    for job in 0..12 {
        client.say(&format!("job {job}"));
    }
    for job in 0..12 {
        client.until(&format!("done: job {job}"));
    }
    assert!(client.finish().0.success());
}
