"""The measured servers: where they come from, and the command that starts each of them."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rows import Row

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PEERS = ROOT / "benches/peers"
CRATES = ["tokio-tungstenite", "fastwebsockets", "tokio-websockets", "async-tungstenite", "yawc", "wtx", "soketto"]
# The minimum size of compressed messages in the rows with compression, in bytes.
THRESHOLD = ["--deflate-threshold", "64"]


@dataclass
class Server:
    """A server that can be started.

    The words of its command may contain {port}, {threads} and {read_buffer}.
    """

    name: str
    version: str
    compiler: str  # the compiler or interpreter, with its version
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    is_ours: bool = False
    takes_deflate: bool = True  # whether it understands the compression flags
    has_tls: bool = False  # whether clients connect with TLS

    def words(self, row: Row, port: int) -> list[str]:
        """The command line for this row."""
        values = {"{port}": str(port), "{threads}": str(row.threads), "{read_buffer}": str(row.read_buffer)}
        words = [re.sub(r"\{\w+\}", lambda m: values.get(m[0], m[0]), word) for word in self.command]
        if self.is_ours:
            words += row.ours.split()
        if row.deflate and self.takes_deflate:
            words += row.deflate.split() + THRESHOLD
        return words


class Missing(Exception):
    """A server is not installed. The text says how to install it."""


def output(*command: str | Path, cwd: Path = ROOT) -> str:
    """The standard output of a command; empty if the command fails."""
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


@dataclass
class Certificate:
    """A self-signed certificate for localhost, and its key, as files in PEM."""

    cert: Path
    key: Path

    @property
    def flags(self) -> list[str]:
        """The flags of a server that uses the certificate."""
        return ["--tls-cert", str(self.cert), "--tls-key", str(self.key)]


def certificate(folder: Path, algorithm: str) -> Certificate:
    """Makes a certificate with a new key: ecdsa (P-256) or rsa (2048 bits)."""
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    kind = {"ecdsa": ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"], "rsa": ["rsa:2048"]}[algorithm]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", str(made.key), "-out", str(made.cert)]
    output("openssl", "req", "-x509", "-nodes", "-days", "30", "-newkey", *kind, *names, *files)
    if not made.cert.exists():
        sys.exit("compare: openssl cannot make a certificate: install OpenSSL 1.1.1 or later")
    return made


def cargo(*arguments: str, manifest: Path = ROOT / "Cargo.toml") -> Path:
    """Builds one binary with the profile `dist` and returns its path."""
    words = ["cargo", "build", "--locked", "--profile", "dist", "--manifest-path", str(manifest), *arguments]
    print(shlex.join(words), file=sys.stderr)
    done = subprocess.run([*words, "--message-format", "json-render-diagnostics"], stdout=subprocess.PIPE, text=True)
    messages = map(json.loads, done.stdout.splitlines())
    built = [message["executable"] for message in messages if message.get("executable")]
    if done.returncode != 0 or not built:
        sys.exit(f"compare: {shlex.join(words)} failed")
    return Path(built[-1])


def load(*features: str) -> Path:
    """Builds the load generator, which drives every server."""
    return cargo("-p", "clws-benches", "--bin", "load", *(["--features", ",".join(features)] if features else []))


def revision(folder: Path) -> str:
    """The commit of a folder, with -dirty if files differ from it. A run rewrites its results, so they do not count."""
    commit = output("git", "-C", folder, "describe", "--always", "--abbrev=12")
    if not commit:
        return "unknown commit"
    top = output("git", "-C", folder, "rev-parse", "--show-toplevel")
    changed = output("git", "-C", top, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/results")
    return commit + ("-dirty" if changed else "")


def clws(variants: dict[str, list[str]], *features: str) -> list[Server]:
    """clws with these features, once for each list of flags."""
    # Built alone, so that no feature of another package leaks into it.
    echo = str(cargo("-p", "clws-examples", "--bin", "echo", "--features", ",".join(["simd", *features])))
    command = [echo, "--listen", "127.0.0.1:{port}", "--shards", "{threads}"]
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    number = re.search(r'^version = "(.+?)"', manifest, re.M)
    version = f"{number[1] if number else ''} at {revision(ROOT)}"
    return [
        Server(name, version, output("rustc", "--version"), command + flags, is_ours=True, has_tls="--tls-cert" in flags)
        for name, flags in variants.items()
    ]


def crates() -> list[Server]:
    """The Rust libraries of benches/peers. Building them is left to `build_crates`."""
    lock = (PEERS / "Cargo.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"', lock, re.M))
    flags = ["{port}", "--threads", "{threads}", "--read-buffer", "{read_buffer}"]
    env = {"ASYNC_STD_THREAD_COUNT": "{threads}"}
    compiler = output("rustc", "--version")
    return [Server(name, versions[name], compiler, ["peers", name, *flags], env, takes_deflate=False) for name in CRATES]


def tokio_rustls(pair: Certificate) -> Server:
    """tokio-tungstenite with tokio-rustls."""
    lock = (PEERS / "Cargo.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"', lock, re.M))
    server = next(server for server in crates() if server.name == "tokio-tungstenite")
    server.name, server.has_tls = "tokio-tungstenite, tokio-rustls", True
    server.version += f", {versions['tokio-rustls']}, rustls {versions['rustls']}"
    server.command += pair.flags
    return server


def build_crates(servers: list[Server]) -> None:
    """Builds the binary of these Rust libraries."""
    if servers:
        peers = str(cargo("--bin", "peers", manifest=PEERS / "Cargo.toml"))
        for server in servers:
            server.command[0] = peers


def script(name: str, program: str, file: str, install: str) -> Server:
    """A server in another language. Without a port it prints its version."""
    path = str(PEERS / file)
    version = output(program, path)
    if not version:
        raise Missing(f"{name}: {install}")
    interpreter = f"node {output('node', '--version')}" if program == "node" else f"Python {platform.python_version()}"
    return Server(name, version, interpreter, [program, path, "{port}"], takes_deflate=program == "node")


def npm_ws(level: int | None = None) -> Server:
    """npm `ws`, with this compression level of zlib."""
    name = "npm ws" if level is None else f"npm ws, level {level}"
    server = script(name, "node", "node/ws.mjs", "npm ci --prefix benches/peers/node")
    server.command += [] if level is None else [f"--level={level}"]
    return server


def npm_ws_tls(pair: Certificate) -> Server:
    """npm `ws` on node's https."""
    server = npm_ws()
    server.name, server.has_tls = "npm ws, https", True
    server.compiler += f", OpenSSL {output('node', '--print', 'process.versions.openssl')}"
    server.command += pair.flags
    return server


def picows() -> Server:
    """Python's picows."""
    return script("picows", sys.executable, "python/picows_echo.py", "pip install picows uvloop")


def websockets() -> Server:
    """Python's websockets."""
    return script("websockets", sys.executable, "python/websockets_echo.py", "pip install websockets uvloop")


def extra(text: str, pair: Certificate | None = None) -> Server:
    """Reads `NAME|COMMAND {port}`. With a certificate, a command with {cert} and {key} serves with TLS."""
    name, _, command = text.partition("|")
    if not name.strip() or not command.strip() or "{port}" not in command:
        sys.exit(f"compare: --extra must be 'NAME|COMMAND {{port}}', not {text!r}")
    has_tls = pair is not None and "{cert}" in command
    if pair is not None:
        command = command.replace("{cert}", str(pair.cert)).replace("{key}", str(pair.key))
    return Server(name.strip(), "", "", shlex.split(command), takes_deflate=False, has_tls=has_tls)


def need_distinct_names(servers: list[Server]) -> None:
    """Ends the program if two servers have the same name. The report could not tell them apart."""
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            sys.exit(f"compare: two servers have the name {name!r}: change the name of --extra")


def environment(server: Server, row: Row) -> dict[str, str]:
    """The environment of a server process."""
    return os.environ | {key: value.replace("{threads}", str(row.threads)) for key, value in server.env.items()}
