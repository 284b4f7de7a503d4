//! Unix sockets that are bound to a path: what may be replaced there, and what is removed at the end.

use std::fs::{self, File, FileType, TryLockError};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// How long another holder of the directory's lock is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);

/// A listening Unix socket, not blocking, and its file, which is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct BoundUnix {
    pub(crate) listener: UnixListener,
    /// The path as it was given.
    pub(super) path: PathBuf,
    /// The same path, whatever becomes the current directory.
    file: PathBuf,
    /// The file that was created. Its number is not given to another file while the listener holds it.
    id: Option<FileId>,
}

/// What tells a socket's file from every other file that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The id of the socket at that path. A symbolic link is not followed.
    fn of_socket(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let id = Self { device: metadata.dev(), inode: metadata.ino() };
        metadata.file_type().is_socket().then_some(id)
    }
}

impl BoundUnix {
    /// Creates a socket at a path where there is none, or one that no server listens on any more.
    pub(super) fn bind(path: &Path, backlog: i32) -> io::Result<Self> {
        let file = std::path::absolute(path)?;
        let _lock = lock_directory(&file);
        let listener = UnixListener::bind(path).or_else(|error| {
            if error.kind() != io::ErrorKind::AddrInUse {
                return Err(error);
            }
            remove_stale(path)?;
            UnixListener::bind(path)
        })?;
        let id = FileId::of_socket(&file);
        let bound = Self { listener, path: path.to_owned(), file, id };
        bound.listener.set_nonblocking(true)?;
        SockRef::from(&bound.listener).listen(backlog)?; // the standard library has chosen its own
        Ok(bound)
    }
}

impl Drop for BoundUnix {
    fn drop(&mut self) {
        let _lock = lock_directory(&self.file);
        // Another server may have replaced it.
        if self.id.is_some() && FileId::of_socket(&self.file) == self.id {
            let _ = fs::remove_file(&self.file);
        }
    }
}

/// Removes the socket of a server that was killed; leaves everything else and says what it is.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |what: String| Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // just removed
        found => found?.file_type(),
    };
    if !found.is_socket() {
        let what = describe(found);
        return in_use(format!("there is {what}; only a socket that no server listens on is replaced"));
    }
    let id = FileId::of_socket(path);
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // just removed
        // A server listens, and is too busy to accept.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return in_use(another_server()),
        Ok(()) => return in_use(another_server()),
        Err(error) => {
            return in_use(format!(
                "there is a socket, and it is unknown whether a server listens on it: {error}"
            ));
        }
    }
    if FileId::of_socket(path) != id {
        return in_use(another_server()); // it has just come
    }
    fs::remove_file(path).map_err(|error| {
        io::Error::new(error.kind(), format!("the socket of an ended server cannot be removed: {error}"))
    })
}

fn another_server() -> String {
    "another server listens on the socket there".to_owned()
}

/// Connects without waiting: a server that accepts nothing would hold us up.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Keeps other servers of this kind from replacing or removing sockets in that directory until the result is dropped.
///
/// The lock is advisory. `None` where there is no such lock, or where somebody else holds it for long.
fn lock_directory(file: &Path) -> Option<File> {
    let directory = File::open(file.parent()?).ok()?;
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match directory.try_lock() {
            Ok(()) => return Some(directory),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(Duration::from_millis(2)),
            Err(_) => return None,
        }
    }
}

fn describe(file: FileType) -> &'static str {
    if file.is_file() {
        "a regular file"
    } else if file.is_dir() {
        "a directory"
    } else if file.is_symlink() {
        "a symbolic link"
    } else if file.is_fifo() {
        "a FIFO"
    } else {
        "a device"
    }
}
