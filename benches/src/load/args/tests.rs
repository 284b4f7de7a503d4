//! Tests of the command line.

use super::*;

fn parse(line: &str) -> Result<Mode, String> {
    Cli::try_parse_from(line.split(' ')).map(|cli| cli.mode).map_err(|error| error.to_string())
}

fn echo(line: &str) -> EchoArgs {
    match parse(line).unwrap() {
        Mode::Echo(args) => args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn run_rejects_a_remote_address_without_the_parser() {
    let mut args = echo("load echo 127.0.0.1:80");
    args.common.target = SocketAddr::from(([10, 0, 0, 1], 80));
    assert!(matches!(super::super::run(&Mode::Echo(args)), Err(Error::Usage(_))));
}

#[test]
fn every_load_has_an_end() {
    assert_eq!(echo("load echo").end.limits().unwrap(), (3.0, u64::MAX));
    assert_eq!(echo("load echo --messages 5").end.limits().unwrap(), (MAX_SECONDS, 5));
    assert_eq!(echo("load echo --messages 5 --seconds 2").end.limits().unwrap(), (2.0, 5));
    for bad in
        ["--seconds 0", "--seconds NaN", "--seconds inf", "--seconds 601", "--messages 0", "--warmup 61"]
    {
        assert!(echo(&format!("load echo {bad}")).end.limits().is_err(), "{bad}");
    }
}

#[test]
fn draft_0_has_text_in_one_frame() {
    let draft = Draft::Hybi00;
    assert!(echo("load echo --text").message.check(draft).is_ok());
    assert!(echo("load echo").message.check(draft).is_ok());
    assert!(echo("load echo --binary").message.check(draft).is_err());
    assert!(echo("load echo --fragments 2").message.check(draft).is_err());
    assert!(echo("load echo --fragments 2").message.check(Draft::Rfc6455).is_ok());
    assert!(echo("load echo --fragments 17").message.check(Draft::Rfc6455).is_err());
    assert!(echo("load echo --size 0 --fragments 1").message.check(Draft::Rfc6455).is_ok());
    assert!(parse("load echo --text --binary").is_err());
    assert!(parse("load echo --draft 9").is_err());
}

#[test]
fn compression_needs_draft_13() {
    let offer = |line: &str| {
        let args = echo(line);
        args.deflate.offer(args.common.draft)
    };
    assert_eq!(offer("load echo").unwrap(), None);
    assert_eq!(offer("load echo --deflate").unwrap(), Some(Offer::new(false, 15)));
    assert_eq!(offer("load echo --deflate-window 9").unwrap(), Some(Offer::new(false, 9)));
    assert_eq!(offer("load echo --deflate-takeover").unwrap(), Some(Offer::new(true, 15)));
    assert!(offer("load echo --deflate --draft 8").is_err());
    assert!(parse("load echo --deflate-window 8").is_err());
    assert!(parse("load connect --deflate").is_err());
}

#[test]
fn paths_must_be_printable_ascii() {
    assert!(echo("load echo --path /chat?room=1").common.check().is_ok());
    assert!(echo("load echo --path chat").common.check().is_err());
    let mut args = echo("load echo");
    args.common.path = Some("/a\r\nHost: b".into());
    assert!(args.common.check().is_err());
}
