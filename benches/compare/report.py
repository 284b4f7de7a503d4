"""The Markdown report of a comparison."""

from __future__ import annotations

import math
import os
import re
import statistics
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from measure import Outcome
from rows import Row, Sweep
from servers import Server, revision, ROOT

PLAIN = (
    " tungstenite's read buffer has the fastest size for each row. picows delivers text without UTF-8 validation. "
    "`BENCHMARKS.md` has the details.\n"
)
DEFLATE = """

Messages are JSON events of a shop. No message repeats within 64 KiB, and all are compressed in both directions (the thresholds \
are 64 bytes). *Compression* is payload bytes per byte received from the server, including frame headers. *Level* is zlib's: the \
default of clws is 4, of ws 6; both servers are shown with both. Each message is compressed by itself unless the row says \
*takeover*, with the bits of both windows. *After one message* is after 1 KiB was echoed with compression on each connection \
(64 KiB in *full* rows). ws compresses in libuv's threads, which run on the server's core too; it has no native add-on \
(bufferutil, utf-8-validate).
"""

TLS = """

*Plus* is the difference to clws without TLS, measured in the same rounds. TLS 1.3, AES-128-GCM, X25519, and one certificate for all \
servers. The load generator does not verify it. Its messages have a TLS record each, as from clients that write each message \
separately, or share records where the row says so. A message of 16 KiB needs two records. A handshake row covers all of a \
connection: TCP, TLS, the WebSocket handshake, one echo, and the end. *Resumed* is the share of connections that resumed a session: a \
session can be resumed once, and node sends no new ticket on a resumed connection.

"""
TITLES = {"compare": "clws and its peers", "deflate": "permessage-deflate", "tls": "TLS"}
NOTES = {"compare": PLAIN, "deflate": DEFLATE, "tls": TLS}


def digits(value: float) -> str:
    """Formats a value with about three digits."""
    places = 3 if abs(value) < 1 else 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:.{places}f}"


def spread(values: Sequence[float]) -> str:
    """The median, with the minimum and the maximum."""
    return f"{digits(statistics.median(values))} ({digits(min(values))}–{digits(max(values))})" if values else "-"


def median(row: Row, server: Server, outcomes: list[Outcome]) -> float | None:
    """The compared value of one server in one row."""
    values = [o.value for o in outcomes if o.row is row and o.server is server and o.value is not None]
    return statistics.median(values) if values else None


def our_median(row: Row, outcomes: list[Outcome]) -> float | None:
    """The compared value of clws in one row."""
    ours = next((o.server for o in outcomes if o.server.is_ours), None)
    return median(row, ours, outcomes) if ours else None


def machine() -> str:
    """The processor, the number of cores and the kernel."""
    model = re.search(r"^model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return f"{model[1] if model else 'unknown processor'}, {os.cpu_count()} cores, Linux {os.uname().release}"


def head(kind: str, command: str, rounds: int, seconds: float, servers: list[Server], missing: list[str]) -> str:
    """The head of a report of this kind: machine, date, commit, command and versions."""
    date = datetime.now(timezone.utc).date().isoformat()
    lines = [
        f"# {TITLES[kind]}",
        "",
        f"{date}, {machine()}, clws at {revision(ROOT)}. Medians of {rounds} interleaved rounds of {seconds} s "
        "(minimum–maximum). The server runs on one core and the load generator on another, unless a row says otherwise. "
        "Each measurement starts a new server process. One binary of the load generator drives every server.",
        "",
        f"Command: `{command}`",
        "",
        "*CPU* is the server's CPU time per message (delivery, handshake) and the value to compare. *Ratio* is relative to "
        "clws: above 1 clws needs less. *Load* is the load of the generator: near 1 it limits the rate, not the server."
        + NOTES[kind],
        "| server | version | compiler or interpreter |",
        "|---|---|---|",
        *(f"| {server.name} | {server.version or '-'} | {server.compiler or '-'} |" for server in servers),
        "",
    ]
    if missing:
        lines += ["Not installed and not measured:", "", *(f"- {name}" for name in missing), ""]
    if kind == "compare":
        lines += ["![CPU time in each row](compare.svg)", ""]
    return "\n".join(lines)


def plain_median(row: Row, outcomes: list[Outcome]) -> float | None:
    """The compared value of clws without TLS in one row."""
    plain = next((o.server for o in outcomes if o.server.is_ours and not o.server.has_tls), None)
    return median(row, plain, outcomes) if plain else None


def table(row: Row, servers: list[Server], outcomes: list[Outcome]) -> str:
    """The table of one row, with the best server first."""
    with_tls = any(server.has_tls for server in servers)
    columns = columns_of(row, with_tls)
    flags = f"[--tls {row.tls}".strip() + "]" if with_tls else ""
    lines = [
        f"\n## {row.title}\n",
        f"`load {' '.join(filter(None, [row.load, row.deflate, flags]))}`\n",
        f"| server | {' | '.join(columns)} |",
        f"|---|{'---:|' * len(columns)}",
    ]
    reference, plain = our_median(row, outcomes), plain_median(row, outcomes)
    value_of = {server.name: median(row, server, outcomes) for server in servers}
    for server in sorted(servers, key=lambda server: value_of[server.name] or math.inf):
        of = [outcome for outcome in outcomes if outcome.row is row and outcome.server is server]
        value, errors = value_of[server.name], [clean(outcome.error) for outcome in of if outcome.error]
        name = f"**{server.name}**" if server.is_ours else server.name
        if value is None:
            lines.append(f"| {name} | failed: {errors[0] if errors else 'not measured'} |")
            continue
        name += f" (failed in some rounds: {errors[0]})" if errors else ""
        name += " (the machine was busy)" if any(outcome.is_busy for outcome in of) else ""
        compared = {
            "ratio": f"{value / reference:.2f}" if reference else "-",
            "plus": digits(value - plain) if plain and server.has_tls else "-",
        }
        cells = (compared.get(column) or cell(column, of) for column in columns)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def columns_of(row: Row, with_tls: bool) -> list[str]:
    """The headings of a row's table."""
    plus = ["plus"] if with_tls else []
    if row.is_memory and row.deflate:
        return ["PSS each, bytes", "PSS after one message", "ratio", "RSS each, bytes", "RSS after one message"]
    if row.is_memory:
        return ["PSS each, bytes", *plus, "ratio", "RSS each, bytes"]
    more = ["compression"] if row.deflate else ["resumed"] if "--resume" in row.tls else []
    return ["CPU, µs", *plus, "ratio", *more, "per second", "p50, µs", "p99, µs", "load"]


def cell(column: str, outcomes: list[Outcome]) -> str:
    """The text of one column for one server."""
    reports = [outcome.report for outcome in outcomes if outcome.report]

    def values(key: str, index: int | None = None) -> list[float]:
        found = [report[key] for report in reports if report.get(key) is not None]
        return [float(value if index is None else value[index]) for value in found]

    def middle(key: str, places: int, index: int | None = None) -> str:
        found = values(key, index)
        return f"{statistics.median(found):.{places}f}" if found else "-"

    return {
        "CPU, µs": lambda: spread(values("server_us_per_message")),
        "compression": lambda: middle("ratio", 2),
        "resumed": lambda: middle("resumed", 2),
        "per second": lambda: middle("rate", 0),
        "p50, µs": lambda: middle("p50_us", 1),
        "p99, µs": lambda: middle("p99_us", 1),
        "load": lambda: middle("load_cores", 2),
        "PSS each, bytes": lambda: spread(values("rss_pss_per_connection", 1)),
        "PSS after one message": lambda: spread(values("rss_pss_touched", 1)),
        "RSS each, bytes": lambda: middle("rss_pss_per_connection", 0, 0),
        "RSS after one message": lambda: middle("rss_pss_touched", 0, 0),
    }[column]()


def sweep_table(sweep: Sweep, servers: list[Server], outcomes: list[Outcome]) -> str:
    """The table of a sweep, with a line for each point and a column for each server."""
    lines = [
        f"\n## {sweep.title}\n",
        f"![{sweep.title}]({sweep.file})\n",
        "CPU per message, µs.\n",
        f"| | {' | '.join(server.name for server in servers)} |",
        f"|---|{'---:|' * len(servers)}",
    ]
    for row in sweep.points.values():
        cells = []
        for server in servers:
            of = [outcome for outcome in outcomes if outcome.row is row and outcome.server is server]
            error = next((clean(outcome.error) for outcome in of if outcome.error), "")
            values = [outcome.value for outcome in of if outcome.value is not None]
            cells.append(spread(values) if values or not error else f"failed: {error}")
        lines.append(f"| {row.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def ours_and_the_best(rows: list[Row], servers: list[Server], outcomes: list[Outcome]) -> list[Server]:
    """clws and the two other servers with the least CPU time, by the mean of logarithms over all rows.

    A server that failed in a row is left out. Returns all servers if there is nothing to compare.
    """
    rows = [row for row in rows if not row.is_memory]
    means: list[tuple[float, Server]] = []
    for server in servers:
        values = [median(row, server, outcomes) for row in rows]
        if not server.is_ours and rows and all(values):
            means.append((sum(math.log(value) for value in values if value), server))
    if not means:
        return servers
    best = [server for _, server in sorted(means, key=lambda pair: pair[0])[:2]]
    return [server for server in servers if server.is_ours] + best


def clean(text: str) -> str:
    """A text that fits into a table cell."""
    return re.sub(r"[|\n]", " ", text)
