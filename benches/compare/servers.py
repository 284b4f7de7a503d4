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


def load() -> Path:
    """Builds the load generator, which drives every server."""
    return cargo("-p", "clws-benches", "--bin", "load")


def revision(folder: Path) -> str:
    """The commit of a folder, with -dirty if files differ from it. A run rewrites its results, so they do not count."""
    commit = output("git", "-C", folder, "describe", "--always", "--abbrev=12")
    if not commit:
        return "unknown commit"
    top = output("git", "-C", folder, "rev-parse", "--show-toplevel")
    changed = output("git", "-C", top, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benches/results")
    return commit + ("-dirty" if changed else "")


def clws(levels: dict[str, Path | None]) -> list[Server]:
    """clws, once for each configuration file."""
    # Built alone, so that no feature of another package leaks into it.
    echo = [str(cargo("-p", "clws-examples", "--features", "simd", "--bin", "echo")), "--listen", "127.0.0.1:{port}", "--shards", "{threads}"]
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    number = re.search(r'^version = "(.+?)"', manifest, re.M)
    version = f"{number[1] if number else ''} at {revision(ROOT)}"
    return [
        Server(name, version, output("rustc", "--version"), echo + (["--config", str(file)] if file else []), is_ours=True)
        for name, file in levels.items()
    ]


def crates() -> list[Server]:
    """The Rust libraries of benches/peers. Building them is left to `build_crates`."""
    lock = (PEERS / "Cargo.lock").read_text(encoding="utf-8")
    versions = dict(re.findall(r'^name = "(.+)"\nversion = "(.+)"', lock, re.M))
    flags = ["{port}", "--threads", "{threads}", "--read-buffer", "{read_buffer}"]
    env = {"ASYNC_STD_THREAD_COUNT": "{threads}"}
    compiler = output("rustc", "--version")
    return [Server(name, versions[name], compiler, ["peers", name, *flags], env, takes_deflate=False) for name in CRATES]


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


def picows() -> Server:
    """Python's picows."""
    return script("picows", sys.executable, "python/picows_echo.py", "pip install picows uvloop")


def websockets() -> Server:
    """Python's websockets."""
    return script("websockets", sys.executable, "python/websockets_echo.py", "pip install websockets uvloop")


def extra(text: str) -> Server:
    """Reads `NAME|COMMAND {port}`."""
    name, _, command = text.partition("|")
    if not name.strip() or not command.strip() or "{port}" not in command:
        sys.exit(f"compare: --extra must be 'NAME|COMMAND {{port}}', not {text!r}")
    return Server(name.strip(), "", "", shlex.split(command), takes_deflate=False)


def need_distinct_names(servers: list[Server]) -> None:
    """Ends the program if two servers have the same name. The report could not tell them apart."""
    names = [server.name for server in servers]
    for name in names:
        if names.count(name) > 1:
            sys.exit(f"compare: two servers have the name {name!r}: change the name of --extra")


def environment(server: Server, row: Row) -> dict[str, str]:
    """The environment of a server process."""
    return os.environ | {key: value.replace("{threads}", str(row.threads)) for key, value in server.env.items()}
