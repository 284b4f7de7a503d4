//! What may lie at the path of a Unix socket when a server starts, and what it removes when it ends.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

#[macro_use]
mod common;

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use clws_handshake::client::ClientRequest;
use clws_server::{Config, Listen, Server, Version};
use common::{Peer, Probe, Running};
use socket2::{Domain, SockAddr, Socket, Type};

in_both_modes!(a_socket_of_another_server_is_left_at_the_end);
alone!(the_current_directory_changes);

/// A directory for one test, removed with everything in it.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("clws-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // a test was killed whose process had the same number
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn config_at(path: &Path) -> Config {
    common::config().listen(Listen::Unix(path.to_owned()))
}

fn bind(path: &Path) -> io::Result<Server> {
    Server::bind(config_at(path))
}

/// Binding fails, and says where and what is there.
#[track_caller]
fn assert_in_use(path: &Path, what: &str) {
    let error = bind(path).expect_err("it is in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains(what), "{text}");
}

/// Leaves a socket there as a server does that is killed.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(is_socket(path));
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[test]
fn what_is_no_socket_is_left() {
    let place = Place::new("no-socket");
    let file = place.at("file");
    fs::write(&file, "precious").unwrap();
    assert_in_use(&file, "a regular file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let directory = place.at("directory");
    fs::create_dir(&directory).unwrap();
    assert_in_use(&directory, "a directory");
    assert!(directory.is_dir());

    let fifo = place.at("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    assert_in_use(&fifo, "a FIFO");
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());

    assert!(bind(&file.join("below")).is_err());
    assert_eq!(bind(&place.at("missing/socket")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn symbolic_links_are_left_and_not_followed() {
    let place = Place::new("links");
    let (file, stale, live) = (place.at("file"), place.at("stale"), place.at("live"));
    fs::write(&file, "precious").unwrap();
    leave_stale(&stale);
    let _live = UnixListener::bind(&live).unwrap();
    for target in [&file, &stale, &live, &place.at("nothing"), &place.0] {
        let link = place.at("link");
        symlink(target, &link).unwrap();
        assert_in_use(&link, "a symbolic link");
        assert_eq!(fs::read_link(&link).unwrap(), *target);
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(is_socket(&stale) && is_socket(&live));
    assert!(!place.at("nothing").exists());
}

#[test]
fn a_stale_socket_is_replaced_and_removed_at_the_end() {
    let place = Place::new("stale");
    let path = place.at("socket");
    leave_stale(&path);
    let server = bind(&path).unwrap();
    drop(common::unix(&path)); // it listens
    drop(server);
    assert!(fs::symlink_metadata(&path).is_err());

    // So is one of another type.
    drop(UnixDatagram::bind(&path).unwrap());
    drop(bind(&path).unwrap());
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn a_live_socket_is_not_stolen() {
    let place = Place::new("live");
    let path = place.at("socket");
    let live = UnixListener::bind(&path).unwrap();
    assert_in_use(&path, "another server listens");
    drop(common::unix(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert_in_use(&path, "");
    assert!(is_socket(&path));
    drop(live);
    fs::remove_file(&path).unwrap();

    // One that accepts nothing, with a queue that is full: to connect to it would take for ever.
    let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
    busy.listen(0).unwrap();
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&SockAddr::unix(&path).unwrap());
            client
        })
        .collect();
    assert_in_use(&path, "another server listens");
    drop((waiting, busy));
    fs::remove_file(&path).unwrap();

    let _datagrams = UnixDatagram::bind(&path).unwrap();
    assert_in_use(&path, "the path is a socket");
    assert!(is_socket(&path));
}

#[test]
fn two_servers_of_one_process_do_not_share_a_path() {
    let place = Place::new("twice");
    let path = place.at("socket");
    let first = bind(&path).unwrap();
    assert_in_use(&path, "another server listens");
    let same = place.at("same");
    let other_name = place.0.join("..").join(place.0.file_name().unwrap()).join("same");
    for (again, kind) in [(same.clone(), ErrorKind::InvalidInput), (other_name, ErrorKind::AddrInUse)] {
        let error = Server::bind(config_at(&same).listen(Listen::Unix(again))).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(fs::symlink_metadata(&same).is_err(), "its first socket is removed");
    }
    assert!(is_socket(&path), "and nothing else");
    drop(first);
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn of_many_servers_that_start_at_once_one_gets_the_path() {
    const MANY: usize = 8;
    let place = Place::new("race");
    let path = place.at("socket");
    // So often that two win, and one loses its socket to the other, where nothing is locked.
    for _ in 0..1000 {
        leave_stale(&path);
        let barrier = Barrier::new(MANY);
        let servers: Vec<_> = thread::scope(|scope| {
            let start = || {
                barrier.wait();
                bind(&path)
            };
            let threads: Vec<_> = (0..MANY).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(servers.iter().filter(|server| server.is_ok()).count(), 1);
        drop(common::unix(&path)); // the one that has it is the one that is there
        drop(servers);
        assert!(fs::symlink_metadata(&path).is_err());
    }
}

fn a_socket_of_another_server_is_left_at_the_end(config: Config) {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let place = Place::new(&format!("replaced-{mode}"));
    let path = place.at("socket");
    let replacements: [fn(&Path); 3] =
        [|path| drop(UnixListener::bind(path).unwrap()), |path| fs::write(path, "a file").unwrap(), |_| {}];
    for (number, replace) in replacements.into_iter().enumerate() {
        let server = Running::start(config.clone().listen(Listen::Unix(path.clone())), Probe::new().0);
        let request = ClientRequest::new(Version::Rfc6455, "ws://localhost/");
        Peer::open(common::unix(&path), Version::Rfc6455, request).unwrap().assert_echo("hello");
        fs::remove_file(&path).unwrap();
        replace(&path);
        let there = |path| fs::symlink_metadata(path).map(|found| found.file_type()).ok();
        let before = there(&path);
        server.stop().unwrap();
        drop(server);
        assert_eq!(there(&path), before, "{number}");
        let _ = fs::remove_file(&path);
    }
}

#[test]
fn a_later_address_fails() {
    let place = Place::new("later");
    let (path, file) = (place.at("socket"), place.at("file"));
    fs::write(&file, "precious").unwrap();
    leave_stale(&path);
    let config = config_at(&path).listen(Listen::Unix(file.clone()));
    assert_eq!(Server::bind(config).unwrap_err().kind(), ErrorKind::AddrInUse);
    assert!(fs::symlink_metadata(&path).is_err());
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    Server::bind(config_at(&path).listen(taken.local_addr().unwrap())).unwrap_err();
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn paths_that_no_socket_can_have() {
    let place = Place::new("long");
    let long = place.at(&"x".repeat(200));
    let error = bind(&long).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let length = long.as_os_str().len();
    assert!(error.to_string().contains(&format!("has {length} bytes")), "{error}");
    #[cfg(target_os = "linux")]
    assert!(error.to_string().contains("at most 107"), "{error}");
    for (path, why) in [("", "the path is empty"), ("/a\0b", "NUL")] {
        let error = bind(Path::new(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// Alone: the current directory is the process's.
fn the_current_directory_changes() {
    let place = Place::new("relative");
    let elsewhere = Place::new("elsewhere");
    std::env::set_current_dir(&place.0).unwrap();
    let server = bind(Path::new("socket")).unwrap();
    assert_eq!(server.local_addrs().unwrap(), [Listen::Unix("socket".into())]);
    std::env::set_current_dir(&elsewhere.0).unwrap();
    let another = bind(Path::new("socket")).unwrap();
    drop(server);
    assert!(fs::symlink_metadata(place.at("socket")).is_err());
    assert!(is_socket(&elsewhere.at("socket")));
    drop(another);
    assert!(fs::symlink_metadata(elsewhere.at("socket")).is_err());
}

#[test]
fn the_directory_cannot_be_written() {
    const NOBODY: u32 = 65_534;
    let place = Place::new("permissions");
    fs::set_permissions(&place.0, fs::Permissions::from_mode(0o755)).unwrap();
    let path = place.at("socket");
    match std::env::var_os("CLWS_TEST_UNWRITABLE") {
        Some(path) => return assert_unwritable(Path::new(&path)),
        None if !rustix::process::geteuid().is_root() => {
            leave_stale(&path);
            fs::set_permissions(&place.0, fs::Permissions::from_mode(0o555)).unwrap();
            assert_unwritable(&path);
        }
        // Nothing is forbidden to root: somebody else runs this test again, from where everybody can read it.
        None => {
            leave_stale(&path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            let program = place.at("test");
            fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            let mut again = Command::new(&program);
            again.args(["the_directory_cannot_be_written", "--exact"]).env("CLWS_TEST_UNWRITABLE", &path);
            let output = again.current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains("1 passed"), "{said}");
        }
    }
    assert!(is_socket(&path));
}

fn assert_unwritable(path: &Path) {
    let error = bind(path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(error.to_string().contains("cannot be removed"), "{error}");
}

/// Connections that wait to be accepted are as many as `backlog` says.
#[cfg(target_os = "linux")]
#[test]
fn the_backlog_is_the_configured_one() {
    let place = Place::new("backlog");
    let path = place.at("socket");
    let _server = Server::bind(config_at(&path).backlog(5)).unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        match client.connect(&SockAddr::unix(&path).unwrap()) {
            Ok(()) => waiting.push(client),
            Err(error) => break error,
        }
    };
    assert_eq!(refused.kind(), ErrorKind::WouldBlock);
    assert_eq!(waiting.len(), 6); // Linux counts one more
}
