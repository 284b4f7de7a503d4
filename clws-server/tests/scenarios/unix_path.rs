//! Files at the path of a Unix socket before a server starts, and their removal when it ends.
#![cfg(unix)]

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Barrier;
use std::thread;

use crate::common;
use crate::common::{Peer, Probe, Running};
use clws_handshake::client::ClientRequest;
use clws_server::{Config, Listen, Server, Version};
use socket2::{Domain, SockAddr, Socket, Type};

in_both_modes!(a_socket_of_another_server_is_not_removed_at_the_end);
in_own_process!(relative_paths_survive_a_change_of_the_current_directory);

/// A directory for one test, which is removed with all its files.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("clws-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path); // left by a killed test with the same process id
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for TestDirectory {
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

/// Checks that binding fails, and that the error names the path and the kind of file.
#[track_caller]
fn assert_in_use(path: &Path, what: &str) {
    let error = bind(path).expect_err("the path is in use");
    assert_eq!(error.kind(), ErrorKind::AddrInUse, "{error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains(what), "{text}");
}

/// Leaves a socket file, as a killed server does.
fn leave_stale(path: &Path) {
    drop(UnixListener::bind(path).unwrap());
    assert!(is_socket(path));
}

fn is_socket(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
}

#[test]
fn files_other_than_sockets_are_left() {
    let root = TestDirectory::new("no-socket");
    let file = root.at("file");
    fs::write(&file, "precious").unwrap();
    assert_in_use(&file, "a regular file");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");

    let directory = root.at("directory");
    fs::create_dir(&directory).unwrap();
    assert_in_use(&directory, "a directory");
    assert!(directory.is_dir());

    let fifo = root.at("fifo");
    let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
    assert!(made.success());
    assert_in_use(&fifo, "a FIFO");
    assert!(fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());

    assert!(bind(&file.join("below")).is_err());
    assert_eq!(bind(&root.at("missing/socket")).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn symbolic_links_are_left_and_not_followed() {
    let directory = TestDirectory::new("links");
    let (file, stale, live) = (directory.at("file"), directory.at("stale"), directory.at("live"));
    fs::write(&file, "precious").unwrap();
    leave_stale(&stale);
    let _live = UnixListener::bind(&live).unwrap();
    for target in [&file, &stale, &live, &directory.at("nothing"), &directory.0] {
        let link = directory.at("link");
        symlink(target, &link).unwrap();
        assert_in_use(&link, "a symbolic link");
        assert_eq!(fs::read_link(&link).unwrap(), *target);
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert!(is_socket(&stale) && is_socket(&live));
    assert!(!directory.at("nothing").exists());
}

#[test]
fn a_stale_socket_is_replaced_and_removed_at_the_end() {
    let directory = TestDirectory::new("stale");
    let path = directory.at("socket");
    leave_stale(&path);
    let server = bind(&path).unwrap();
    drop(common::unix(&path)); // checks that the server listens
    drop(server);
    assert!(fs::symlink_metadata(&path).is_err());

    // A stale datagram socket is replaced too.
    drop(UnixDatagram::bind(&path).unwrap());
    drop(bind(&path).unwrap());
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn a_live_socket_is_not_replaced() {
    let directory = TestDirectory::new("live");
    let path = directory.at("socket");
    let live = UnixListener::bind(&path).unwrap();
    assert_in_use(&path, "another server listens");
    drop(common::unix(&path));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    assert_in_use(&path, "");
    assert!(is_socket(&path));
    drop(live);
    fs::remove_file(&path).unwrap();

    // A socket that accepts nothing and whose queue is full. Connecting to it would block for ever.
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
fn two_servers_of_a_process_cannot_share_a_path() {
    let directory = TestDirectory::new("twice");
    let path = directory.at("socket");
    let first = bind(&path).unwrap();
    assert_in_use(&path, "another server listens");
    let same = directory.at("same");
    let other_name = directory.0.join("..").join(directory.0.file_name().unwrap()).join("same");
    for (again, kind) in [(same.clone(), ErrorKind::InvalidInput), (other_name, ErrorKind::AddrInUse)] {
        let error = Server::bind(config_at(&same).listen(Listen::Unix(again))).unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(fs::symlink_metadata(&same).is_err(), "its first socket was not removed");
    }
    assert!(is_socket(&path), "another socket was removed");
    drop(first);
    assert!(fs::symlink_metadata(&path).is_err());
}

#[test]
fn only_one_of_many_concurrent_servers_gets_the_path() {
    const MANY: usize = 8;
    let directory = TestDirectory::new("race");
    let path = directory.at("socket");
    // Enough rounds for two servers to win the race if nothing were locked.
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
        drop(common::unix(&path)); // the winning server listens
        drop(servers);
        assert!(fs::symlink_metadata(&path).is_err());
    }
}

fn a_socket_of_another_server_is_not_removed_at_the_end(config: Config) {
    let mode = if config.task_per_client { "tasks" } else { "shards" };
    let directory = TestDirectory::new(&format!("replaced-{mode}"));
    let path = directory.at("socket");
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
fn sockets_are_removed_when_a_later_address_fails() {
    let directory = TestDirectory::new("later");
    let (path, file) = (directory.at("socket"), directory.at("file"));
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
fn invalid_socket_paths_are_rejected() {
    let directory = TestDirectory::new("long");
    let long = directory.at(&"x".repeat(200));
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

/// Needs its own process, because the current directory is global to the process.
fn relative_paths_survive_a_change_of_the_current_directory() {
    let directory = TestDirectory::new("relative");
    let elsewhere = TestDirectory::new("elsewhere");
    std::env::set_current_dir(&directory.0).unwrap();
    let server = bind(Path::new("socket")).unwrap();
    assert_eq!(server.local_addrs().unwrap(), [Listen::Unix("socket".into())]);
    std::env::set_current_dir(&elsewhere.0).unwrap();
    let another = bind(Path::new("socket")).unwrap();
    drop(server);
    assert!(fs::symlink_metadata(directory.at("socket")).is_err());
    assert!(is_socket(&elsewhere.at("socket")));
    drop(another);
    assert!(fs::symlink_metadata(elsewhere.at("socket")).is_err());
}

#[test]
fn a_directory_without_write_permission_is_an_error() {
    const NOBODY: u32 = 65_534;
    let directory = TestDirectory::new("permissions");
    fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.at("socket");
    match std::env::var_os("CLWS_TEST_UNWRITABLE") {
        Some(path) => return assert_unwritable(Path::new(&path)),
        None if !rustix::process::geteuid().is_root() => {
            leave_stale(&path);
            fs::set_permissions(&directory.0, fs::Permissions::from_mode(0o555)).unwrap();
            assert_unwritable(&path);
        }
        // Root may write everywhere. Another user runs this test again, from a readable directory.
        None => {
            leave_stale(&path);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            let program = directory.at("test");
            fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            let mut again = Command::new(&program);
            let test = concat!(module_path!(), "::a_directory_without_write_permission_is_an_error");
            again.args([common::own_process::test_name(test), "--exact"]).env("CLWS_TEST_UNWRITABLE", &path);
            let output = again.current_dir("/").uid(NOBODY).gid(NOBODY).output().unwrap();
            let stdout = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
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

/// `backlog` is the number of connections that may wait to be accepted.
#[cfg(target_os = "linux")]
#[test]
fn the_backlog_is_configurable() {
    let directory = TestDirectory::new("backlog");
    let path = directory.at("socket");
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
    assert_eq!(waiting.len(), 6); // Linux allows one more
}

/// The umask of the process has no effect, and belongs to all tests of this program.
#[test]
fn the_socket_has_the_permissions_of_the_config() {
    let directory = TestDirectory::new("mode");
    for mode in [0o600, 0o660, 0o666, 0o777, 0o220] {
        let path = directory.at("socket");
        let server = Server::bind(config_at(&path).unix_mode(Some(mode))).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode, "{mode:o}");
        drop(server);
        assert!(!path.exists());
    }
}

/// Another process could connect meanwhile.
#[test]
#[cfg(target_os = "linux")]
fn the_socket_never_has_more_permissions() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let directory = TestDirectory::new("mode-race");
    let path = directory.at("socket");
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = 0_u32;
            while !ended.load(Ordering::Relaxed) {
                if let Ok(metadata) = fs::symlink_metadata(&path) {
                    seen |= metadata.permissions().mode() & 0o777;
                }
            }
            seen
        });
        for _ in 0..300 {
            drop(Server::bind(config_at(&path).unix_mode(Some(0o600))).unwrap());
        }
        ended.store(true, Ordering::Relaxed);
        assert_eq!(watcher.join().unwrap() & !0o600, 0);
    });
}
