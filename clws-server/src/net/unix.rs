//! Unix sockets that are bound to a path: replacing stale sockets, and removing ours at the end.

use std::ffi::OsString;
use std::fs::{self, File, FileType, Permissions, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// The longest wait for the lock of a directory.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

/// A non-blocking listening Unix socket. The file that [`bind`](Self::bind) has created is removed
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct UnixSocket {
    pub(crate) listener: UnixListener,
    /// The path from the configuration, or that of the application's socket.
    pub(super) path: PathBuf,
    created: Option<CreatedFile>,
}

/// The file of a socket that this process has created.
#[derive(Debug)]
struct CreatedFile {
    /// The absolute path, because the current directory may change.
    path: PathBuf,
    /// The system does not reuse it while the listener is open.
    id: Option<FileId>,
}

/// The identity of a file among all existing files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The identity of the socket at a path. Symbolic links are not followed.
    fn of_socket(path: &Path) -> Option<Self> {
        let metadata = fs::symlink_metadata(path).ok()?;
        let id = Self { device: metadata.dev(), inode: metadata.ino() };
        metadata.file_type().is_socket().then_some(id)
    }
}

impl UnixSocket {
    /// Creates a socket at a path, with these permission bits. Replaces a socket that no server
    /// listens on.
    pub(super) fn bind(path: &Path, backlog: i32, mode: Option<u32>) -> io::Result<Self> {
        let file = std::path::absolute(path)?;
        let _lock = lock_directory(&file);
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let address = SockAddr::unix(path)?;
        // The umask belongs to all threads of the process. Linux creates the file with the bits of
        // the socket that the umask permits, so it never has more than `mode`. Other systems have no
        // bits for a socket.
        let socket = match mode {
            Some(mode) => with_mode(socket, mode),
            None => socket,
        };
        socket.bind(&address).or_else(|error| {
            if error.kind() != io::ErrorKind::AddrInUse {
                return Err(error);
            }
            remove_stale(path)?;
            socket.bind(&address)
        })?;
        let created = CreatedFile { id: FileId::of_socket(&file), path: file };
        let socket = Self { listener: socket.into(), path: path.to_owned(), created: Some(created) };
        if let Some(mode) = mode {
            // Nobody can connect before `listen`.
            fs::set_permissions(path, Permissions::from_mode(mode))?;
        }
        SockRef::from(&socket.listener).listen(backlog)?;
        Ok(socket)
    }

    /// A socket that the application has opened.
    pub(super) fn foreign(listener: UnixListener) -> io::Result<Self> {
        let path = path_of(&listener.local_addr()?)?;
        Ok(Self { listener, path, created: None })
    }

    /// Whether the application has opened the socket. Others may use it.
    pub(super) const fn is_foreign(&self) -> bool {
        self.created.is_none()
    }
}

/// Sets the permission bits of a socket without a path, where the system has them.
fn with_mode(socket: Socket, mode: u32) -> Socket {
    let file = File::from(OwnedFd::from(socket));
    let _ = file.set_permissions(Permissions::from_mode(mode));
    OwnedFd::from(file).into()
}

/// The path of an address. An abstract address of Linux becomes a path with a leading NUL.
fn path_of(address: &SocketAddr) -> io::Result<PathBuf> {
    #[cfg(target_os = "android")]
    use std::os::android::net::SocketAddrExt;
    #[cfg(target_os = "linux")]
    use std::os::linux::net::SocketAddrExt;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(name) = address.as_abstract_name() {
        return Ok(OsString::from_vec([&[0], name].concat()).into());
    }
    let fault = || io::Error::new(io::ErrorKind::InvalidInput, "it has no address");
    address.as_pathname().map(Path::to_owned).ok_or_else(fault)
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        let Some(CreatedFile { path, id }) = &self.created else { return };
        let _lock = lock_directory(path);
        // Another server may have replaced the file.
        if id.is_some() && FileId::of_socket(path) == *id {
            let _ = fs::remove_file(path);
        }
    }
}

/// Removes the socket of a killed server. Fails for anything else, with a description.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |what: String| Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // just removed
        found => found?.file_type(),
    };
    if !found.is_socket() {
        let what = describe(found);
        return in_use(format!("the path is {what}; only a socket without a server is replaced"));
    }
    let id = FileId::of_socket(path);
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()), // just removed
        // A server listens, and its backlog is full.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return in_use(another_server()),
        Ok(()) => return in_use(another_server()),
        Err(error) => {
            return in_use(format!(
                "the path is a socket, and whether a server listens on it is unknown: {error}"
            ));
        }
    }
    if FileId::of_socket(path) != id {
        return in_use(another_server()); // it has just started
    }
    fs::remove_file(path).map_err(|error| {
        io::Error::new(error.kind(), format!("the socket of a killed server cannot be removed: {error}"))
    })
}

fn another_server() -> String {
    "another server listens on this socket".to_owned()
}

/// Connects without waiting, because the other server may accept nothing.
fn connect(path: &Path) -> io::Result<()> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)
}

/// Locks the directory of a socket against other servers of this kind, until the result is dropped.
///
/// The lock is advisory. Returns `None` if the system has no such lock or another process keeps it.
fn lock_directory(file: &Path) -> Option<File> {
    let directory = File::open(file.parent()?).ok()?;
    let end = Instant::now() + LOCK_TIMEOUT;
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
