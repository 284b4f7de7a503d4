//! The measured servers, and how to start and stop them.

use std::env;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::Error;
use super::rows::Row;
use super::scripts::{SCRIPTS, Script};
use crate::peers::Peer;

/// A server that can be started.
#[derive(Debug)]
pub(super) struct Server {
    name: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// clws, with an optional configuration file of `benches`.
    Ours(Option<&'static str>),
    Peer(Peer),
    Script(&'static Script),
    /// npm `ws`, with this compression level.
    Node(u8),
    Extra(Vec<String>),
}

/// The minimum size of compressed messages in the rows with compression, in bytes.
const THRESHOLD: &str = "64";

/// A running server process. Dropping it kills the process.
#[derive(Debug)]
pub(super) struct Running {
    child: Child,
    port: u16,
}

/// Lists clws, the peers and the servers of the command line. Also returns the names of scripts
/// that are not installed.
pub(super) fn list(extras: &[String]) -> Result<(Vec<Server>, Vec<&'static str>), Error> {
    let mut missing = Vec::new();
    let mut servers = vec![Server { name: "clws".into(), kind: Kind::Ours(None) }];
    for peer in Peer::value_variants() {
        servers.push(Server { name: peer.title().into(), kind: Kind::Peer(*peer) });
    }
    for script in SCRIPTS {
        match script.title() {
            Ok(name) => servers.push(Server { name, kind: Kind::Script(script) }),
            Err(name) => missing.push(name),
        }
    }
    for extra in extras {
        servers.push(Server::extra(extra)?);
    }
    Ok((servers, missing))
}

/// Lists the servers with permessage-deflate: clws and npm `ws`, each at both default levels.
pub(super) fn compressing(extras: &[String]) -> Result<Vec<Server>, Error> {
    let ours = |name: &str, file| Server { name: name.into(), kind: Kind::Ours(file) };
    let mut servers = vec![ours("clws, level 4", None), ours("clws, level 6", Some("level-6.toml"))];
    match node_ws() {
        Some(version) => {
            for level in [6, 4] {
                let name = format!("npm ws {version}, level {level}");
                servers.push(Server { name, kind: Kind::Node(level) });
            }
        }
        None => eprintln!("npm ws is not measured: install node and run npm ci --prefix benches/node"),
    }
    for extra in extras {
        servers.push(Server::extra(extra)?);
    }
    Ok(servers)
}

/// The version of npm `ws`, if `ws` and node are installed.
fn node_ws() -> Option<String> {
    let output = Command::new("node").arg(bench_file("node/ws.mjs")).stdin(Stdio::null()).output().ok()?;
    let version = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !version.is_empty()).then_some(version)
}

/// The path of a file of this crate.
fn bench_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Builds the servers. The echo server is built alone, so that features of the peers do not leak
/// into it.
pub(super) fn build(servers: &[Server]) -> Result<(), Error> {
    let mut lines = Vec::new();
    if servers.iter().any(|server| matches!(server.kind, Kind::Ours(_))) {
        lines.push("build --release -p clws-examples --bin echo");
    }
    if servers.iter().any(|server| matches!(server.kind, Kind::Peer(_))) {
        lines.push("build --release -p clws-benches --features peers --bin peers");
    }
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    for line in lines {
        eprintln!("cargo {line}");
        let status = Command::new(&cargo)
            .args(line.split(' '))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .map_err(|error| Error::Io("cannot start cargo".into(), error))?;
        if !status.success() {
            return Err(Error::Usage(format!("cargo {line}: {status}")));
        }
    }
    Ok(())
}

impl Server {
    /// Reads `NAME|COMMAND {port}`.
    fn extra(text: &str) -> Result<Self, Error> {
        let usage = || Error::Usage(format!("--extra must be 'NAME|COMMAND {{port}}', not {text:?}"));
        let (name, command) = text.split_once('|').ok_or_else(usage)?;
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.trim().is_empty() || words.is_empty() || !command.contains("{port}") {
            return Err(usage());
        }
        Ok(Self { name: name.trim().into(), kind: Kind::Extra(words) })
    }

    /// The name in tables.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the server is clws.
    pub(super) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Ours(_))
    }

    /// Starts the server on a free port, with the settings of this row.
    pub(super) fn start(&self, row: &Row) -> Result<Running, Error> {
        let port = free_port().map_err(|error| Error::Io("cannot find a free port".into(), error))?;
        let mut command = match &self.kind {
            Kind::Ours(file) => {
                let mut command = Command::new(sibling_binary("echo")?);
                command.args(["--listen", &format!("127.0.0.1:{port}")]);
                command.args(["--shards".into(), row.threads.to_string()]);
                command.args(row.ours.split_whitespace());
                if let Some(file) = file {
                    command.arg("--config").arg(bench_file(file));
                }
                command
            }
            Kind::Node(level) => {
                let mut command = Command::new("node");
                command.arg(bench_file("node/ws.mjs")).args([port.to_string(), format!("--level={level}")]);
                command
            }
            Kind::Peer(peer) => {
                let mut command = Command::new(sibling_binary("peers")?);
                let name =
                    peer.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
                command.args([name, port.to_string(), "--read-buffer".into(), row.read_buffer.to_string()]);
                command.args(["--threads".into(), row.threads.to_string()]);
                command.env("ASYNC_STD_THREAD_COUNT", row.threads.to_string());
                command
            }
            Kind::Script(script) => {
                let mut command = Command::new(script.program);
                command.arg(script.path()).arg(port.to_string());
                command
            }
            Kind::Extra(words) => {
                let mut words = words.iter().map(|word| word.replace("{port}", &port.to_string()));
                let mut command = Command::new(words.next().unwrap_or_default());
                command.args(words);
                command
            }
        };
        if !row.deflate.is_empty() && !matches!(self.kind, Kind::Extra(_)) {
            command.args(row.deflate()).args(["--deflate-threshold", THRESHOLD]);
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Error::Io(format!("cannot start {:?}", command.get_program()), error))?;
        Ok(Running { child, port })
    }
}

impl Running {
    /// The process id.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The port on 127.0.0.1.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// The exit status, if the process has ended.
    pub(super) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the server accepts a connection.
    pub(super) fn wait_until_it_listens(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            if let Some(status) = self.ended() {
                return Err(Error::Usage(format!("the server exited before it listened: {status}")));
            }
            if start.elapsed() > Row::PATIENCE {
                return Err(Error::Usage(format!(
                    "the server does not listen on {address} within {:?}",
                    Row::PATIENCE
                )));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The process may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of a binary that was built with this one.
fn sibling_binary(name: &str) -> Result<PathBuf, Error> {
    let me = env::current_exe()
        .map_err(|error| Error::Io("cannot find the path of this program".into(), error))?;
    Ok(me.with_file_name(name))
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_servers_need_a_name_and_a_port() {
        let server = Server::extra(" node ws |node server.js --port {port}").unwrap();
        assert_eq!(server.name(), "node ws");
        assert!(!server.is_ours());
        for bad in ["node", "|node {port}", "node|", "node|node server.js"] {
            assert!(Server::extra(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn measures_compression_without_node() {
        let servers = compressing(&["mine|server {port}".into()]).unwrap();
        assert!(servers.len() == 3 || servers.len() == 5, "{servers:?}");
        assert!(servers[0].is_ours() && servers[1].is_ours() && !servers[2].is_ours());
        assert!(bench_file("level-6.toml").is_file());
    }

    #[test]
    fn reports_a_server_that_does_not_start() {
        let server = Server::extra("none|/nonexistent/server {port}").unwrap();
        assert!(server.start(&super::super::rows::ROWS[0]).is_err());
        let server = Server::extra("ends|true {port}").unwrap();
        let mut running = server.start(&super::super::rows::ROWS[0]).unwrap();
        assert!(running.wait_until_it_listens().is_err());
    }
}
