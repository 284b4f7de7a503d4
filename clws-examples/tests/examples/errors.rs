//! Errors of the examples are sentences: what happened, where, and what to do.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;

use crate::common::Program;

const ECHO: &str = env!("CARGO_BIN_EXE_echo");
const CHAT: &str = env!("CARGO_BIN_EXE_chat");
const PING: &str = env!("CARGO_BIN_EXE_ping");
const ROOMS_AUTH: &str = env!("CARGO_BIN_EXE_rooms_auth");
const ASYNC_HANDLER: &str = env!("CARGO_BIN_EXE_async_handler");
const CUSTOM_IO: &str = env!("CARGO_BIN_EXE_custom_io");
const CLIENT: &str = env!("CARGO_BIN_EXE_client");

/// Runs a program that fails. Checks that its output contains all parts.
#[track_caller]
fn assert_fails(program: &str, args: &[&str], parts: &[&str]) {
    let (status, lines) = Program::start(program, args).finish();
    let output = lines.join("\n");
    assert!(!status.success(), "{args:?}: {output}");
    for part in parts {
        assert!(output.contains(part), "{args:?}: no {part:?} in {output}");
    }
    // `Debug` of an error, or a panic.
    assert!(!output.contains("Error {") && !output.contains("panicked"), "{args:?}: {output}");
}

fn folder(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn an_address_that_cannot_be_bound_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for program in [ECHO, CHAT, PING, ROOMS_AUTH, ASYNC_HANDLER] {
        let said = format!("cannot listen on {address}: ");
        assert_fails(program, &["--listen", &address], &[&said, "another program listens there"]);
        assert_fails(program, &["--listen", ":8080"], &["`listen` is \":8080\"", "write `127.0.0.1:8080`"]);
    }
    let said = format!("cannot listen on `{address}`: ");
    assert_fails(CUSTOM_IO, &[&address], &["custom_io: ", &said, "another program listens there"]);
    assert_fails(CUSTOM_IO, &["8080"], &["`8080`", "an address is written as `127.0.0.1:12345`"]);
    assert_fails(
        ECHO,
        &["--listen", "unix:/no/such/folder/socket"],
        &["unix:/no/such/folder/socket: ", "create"],
    );
    assert_fails(ECHO, &["--listen", "http://127.0.0.1:80/"], &["it is a URL", "as `127.0.0.1:80`"]);
}

#[test]
fn an_error_of_a_configuration_file_names_the_file_and_the_place() {
    let folder = folder("errors");
    let file = folder.join("settings.toml");
    let (path, directory) = (file.to_str().unwrap(), folder.to_str().unwrap());
    for program in [ECHO, CHAT] {
        let missing = format!("{path}.missing");
        assert_fails(program, &["--config", &missing], &["cannot read the configuration ", &missing]);
        assert_fails(program, &["--config", directory], &["cannot read the configuration ", directory]);
        for (text, parts) in [
            (
                "[deflate]\nlevle = 3",
                ["line 2, column 1", "unknown field `levle`, expected one of `level`, "],
            ),
            (
                "[deflate]\nlevel = 'high'",
                ["line 2, column 9", "`deflate.level` to be a whole number from 1 to 9"],
            ),
            ("close_timeout = '5s'", ["line 1, column 17", "`close_timeout` to be a time in seconds"]),
            ("listen = 5", ["line 1, column 10", "`listen` to be a list of texts"]),
            ("listen = [':8080']", ["`listen` is \":8080\"", "the address is missing"]),
            ("listen = [", ["line 1, column ", "unclosed array"]),
        ] {
            fs::write(&file, text).unwrap();
            assert_fails(program, &["--config", path], &[&["the configuration ", path][..], &parts].concat());
        }
        fs::write(&file, [0xFF, 0xFE]).unwrap();
        assert_fails(program, &["--config", path], &["cannot read the configuration ", path, "UTF-8"]);
    }
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_wrong_flag_is_explained() {
    assert_fails(ECHO, &["--listn", "x"], &["unexpected argument '--listn'", "'--listen'"]);
    assert_fails(ECHO, &["--handshake-timeout", "-1"], &["'--handshake-timeout <SECONDS>'", "not negative"]);
    assert_fails(ECHO, &["--handshake-timeout", "soon"], &["write a number of seconds, such as 2 or 0.5"]);
    assert_fails(PING, &["--every", "0"], &["'--every <SECONDS>'", "longer than 0"]);
    assert_fails(ASYNC_HANDLER, &["--patience", "-1"], &["'--patience <SECONDS>'", "not negative"]);
}

#[test]
fn the_client_explains_a_wrong_url_and_a_missing_server() {
    for url in ["127.0.0.1:80", "http://127.0.0.1/"] {
        assert_fails(CLIENT, &[url], &["client: the URL `", url, "does not begin with ws://"]);
    }
    if cfg!(not(feature = "tls")) {
        assert_fails(CLIENT, &["wss://127.0.0.1/"], &["client: this client was built without TLS: add"]);
    }
    assert_fails(CLIENT, &["ws://"], &["has no host"]);
    let said = "cannot connect to 127.0.0.1:1: ";
    assert_fails(CLIENT, &["ws://127.0.0.1:1/"], &[said, "no server listens there"]);
    let too_long = "a".repeat(64); // no label of a name has so many letters, so no resolver is asked
    let said = format!("cannot find the address of {too_long}:80");
    assert_fails(CLIENT, &[&format!("ws://{too_long}/")], &[&said]);
}
