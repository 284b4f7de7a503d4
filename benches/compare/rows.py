"""The rows of the comparison."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One load, measured with every server. Less of the compared value is better."""

    title: str
    load: str  # the arguments of `load`, without the server's address
    read_buffer: int = 8 << 10  # the fastest size for tungstenite, which zeroes the buffer before each read
    threads: int = 1  # the threads of the server; with more than one, nothing is pinned to a core
    deflate: str = ""  # the compression flags, which `load` and the servers share
    ours: str = ""  # additional flags for clws
    tls: str = ""  # additional flags of `load` for servers with TLS

    @property
    def is_memory(self) -> bool:
        """Whether the compared value is memory, not CPU time."""
        return self.load.startswith("idle")

    @property
    def unit(self) -> str:
        """The unit of the compared value."""
        return "bytes" if self.is_memory else "µs of CPU"


@dataclass(frozen=True)
class Sweep:
    """Rows that differ in one number and form a chart."""

    title: str
    axis: str
    file: str
    points: dict[int, Row]


PIPELINED = "echo -c 64 --size 125 --text --in-flight 64"

ROWS = [
    Row("echo 16 B, 1 connection", "echo -c 1 --size 16"),
    Row("echo 16 B, 64 connections", "echo -c 64 --size 16"),
    Row("echo 16 B, 1000 connections", "echo -c 1000 --size 16"),
    Row("echo 125 B text, 64 connections, 64 in flight", PIPELINED),
    Row("echo 16 KiB, 64 connections", "echo -c 64 --size 16384", 16 << 10),
    Row("echo 1 MiB, 4 connections", "echo -c 4 --size 1048576", 128 << 10),
    Row("broadcast 125 B to 500, window 1", "broadcast -c 500 --size 125 --window 1"),
    Row("broadcast 125 B to 500, window 16", "broadcast -c 500 --size 125 --window 16"),
    Row("connect, shake hands, echo, close", "connect -c 16 --size 16"),
    Row("10,000 idle connections, PSS each", "idle -c 10000", 4 << 10),
    Row("10,000 idle connections, clws without their headers", "idle -c 10000", 4 << 10, ours="--forget-headers"),
    Row("two threads, nothing pinned: echo 16 B, 64 connections", "echo -c 64 --size 16", threads=2),
    Row("two threads, nothing pinned: echo 125 B text, 64 connections, 64 in flight", PIPELINED, threads=2),
]

SWEEPS = [
    Sweep(
        "scaling: connections, echo 16 B",
        "connections",
        "scaling-connections.svg",
        {n: Row(f"{n:,} connection{'s' * (n > 1)}", f"echo -c {n} --size 16") for n in (1, 10, 100, 1000, 10_000)},
    ),
    Sweep(
        "scaling: size, echo on 4 connections",
        "bytes per message",
        "scaling-size.svg",
        {
            size: Row(f"{size:,} B", f"echo -c 4 --size {size}", min(max(size, 8 << 10), 128 << 10))
            for size in (16, 256, 4096, 65_536, 1 << 20, 16 << 20)
        },
    ),
]

BY_ITSELF = "--deflate"
TAKEOVER_12 = "--deflate-takeover --deflate-window 12"
TAKEOVER_15 = "--deflate-takeover"
FULL = "idle -c 1000 --touch --size 65536"  # a message that fills every compression window

# The rows of `compare --deflate`.
DEFLATE_ROWS = [
    Row("echo 125 B, 64 connections", "echo -c 64 --size 125", deflate=BY_ITSELF),
    Row("echo 125 B, 64 connections, takeover 12", "echo -c 64 --size 125", deflate=TAKEOVER_12),
    Row("echo 125 B, 64 connections, takeover 15", "echo -c 64 --size 125", deflate=TAKEOVER_15),
    Row("echo 1 KiB, 64 connections", "echo -c 64 --size 1024", deflate=BY_ITSELF),
    Row("echo 1 KiB, 64 connections, takeover 12", "echo -c 64 --size 1024", deflate=TAKEOVER_12),
    Row("echo 1 KiB, 64 connections, takeover 15", "echo -c 64 --size 1024", deflate=TAKEOVER_15),
    Row("echo 1 KiB, 4 connections, takeover 15", "echo -c 4 --size 1024", deflate=TAKEOVER_15),
    Row("echo 16 KiB, 64 connections", "echo -c 64 --size 16384", deflate=BY_ITSELF),
    Row("echo 16 KiB, 64 connections, takeover 15", "echo -c 64 --size 16384", deflate=TAKEOVER_15),
    Row("echo 256 KiB, 4 connections", "echo -c 4 --size 262144", deflate=BY_ITSELF),
    Row("10,000 idle connections", "idle -c 10000 --touch", deflate=BY_ITSELF),
    Row("10,000 idle connections, takeover 12", "idle -c 10000 --touch", deflate=TAKEOVER_12),
    Row("10,000 idle connections, takeover 15", "idle -c 10000 --touch", deflate=TAKEOVER_15),
    Row("1,000 idle connections, takeover 12, full", FULL, deflate=TAKEOVER_12),
    Row("1,000 idle connections, takeover 15, full", FULL, deflate=TAKEOVER_15),
]

RECORDS = "echo 125 B text, 64 connections, 64 in flight"
CONNECT = "connect -c 16 --size 16"

# The rows of `compare --tls`. clws without TLS is measured in each of them.
TLS_ROWS = [
    Row("echo 16 B, 64 connections", "echo -c 64 --size 16"),
    Row(f"{RECORDS}, each in a TLS record", PIPELINED),
    Row(f"{RECORDS}, in shared TLS records", PIPELINED, tls="--shared-records"),
    Row("echo 16 KiB, 64 connections", "echo -c 64 --size 16384", 16 << 10),
    Row("full handshake, echo, close", CONNECT),
    Row("resumed handshake, echo, close", CONNECT, tls="--resume"),
    Row("10,000 idle connections, PSS each", "idle -c 10000", 4 << 10),
]
