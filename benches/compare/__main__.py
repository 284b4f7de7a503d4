"""Measures clws and its peers side by side: python3 benches/compare. BENCHMARKS.md explains the results."""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import shlex
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import charts
import report
import servers
from measure import Measure, Outcome
from rows import DEFLATE_ROWS, ROWS, SWEEPS, TLS_ROWS, Row, Sweep
from servers import Missing, Server


def arguments() -> argparse.Namespace:
    """Parses the command line."""
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(prog="compare", description=__doc__)
    add = parser.add_argument
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--deflate", action="store_true",
                       help="measure permessage-deflate, compared with npm ws; writes deflate.md")
    kinds.add_argument("--tls", choices=("ecdsa", "rsa"), nargs="?", const="ecdsa",
                       help="measure TLS with a certificate of this kind (default: ecdsa); writes tls.md")
    add("--rounds", type=int, default=3, help="rounds; tables show the medians")
    add("--seconds", type=float, default=1.5, help="seconds to measure each row and server in each round")
    add("--retries", type=int, default=2, help="how often to repeat a measurement that other programs disturbed")
    add("--row", action="append", default=[], metavar="TEXT", help="only rows whose title begins with TEXT (repeatable)")
    add("--server", action="append", default=[], metavar="TEXT", help="only servers whose name begins with TEXT (repeatable)")
    add("--extra", action="append", default=[], metavar="'NAME|COMMAND {port}'",
        help="an additional server that echoes on any path of 127.0.0.1 (repeatable); with --tls, {cert} and {key} "
             "are files in PEM")
    add("--server-core", type=int, default=cores[0], metavar="N", help="default: the first")
    add("--load-core", type=int, default=cores[-1], metavar="N", help="default: the last")
    add("--out", type=Path, default=servers.ROOT / "benches/results", metavar="FOLDER", help="the output folder")
    cli = parser.parse_args()
    if cli.server_core == cli.load_core:
        parser.error("the server and the load generator need different cores: change --server-core or --load-core")
    if cli.rounds < 1 or cli.retries < 0 or not 0.1 <= cli.seconds <= 60:
        parser.error("--rounds must be at least 1, --retries at least 0, and --seconds between 0.1 and 60")
    return cli


def main() -> None:
    """Runs the comparison."""
    cli = arguments()
    with tempfile.TemporaryDirectory(prefix="clws-compare-") as folder:
        compare(cli, servers.certificate(Path(folder), cli.tls) if cli.tls else None)


def compare(cli: argparse.Namespace, pair: servers.Certificate | None) -> None:
    """Measures, and writes the report."""
    name = "tls" if cli.tls else "deflate" if cli.deflate else "compare"
    all_rows = {"tls": TLS_ROWS, "deflate": DEFLATE_ROWS, "compare": ROWS}[name]
    rows = [row for row in all_rows if begins(row.title, cli.row)]
    sweeps = [sweep for sweep in SWEEPS if name == "compare" and begins(sweep.title, cli.row)]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    measured, missing = list_servers(cli, pair) if rows or sweeps else ([], [])
    if not measured:
        sys.exit("compare: no row or no server matches: check --row and --server")

    cores = os.sched_getaffinity(0)
    load = servers.load("tls") if cli.tls else servers.load()
    measure = Measure(load, cli.rounds, cli.retries, cli.seconds, cli.server_core, cli.load_core, cores)
    command = shlex.join(["python3", "benches/compare", *sys.argv[1:]])
    text = report.head(name, command, cli.rounds, cli.seconds, measured, missing)
    finished: list[Outcome] = []

    def write_rows(outcomes: list[Outcome]) -> None:
        tables = [report.table(row, measured, outcomes) for row in rows]
        save(cli.out, f"{name}.md", text + "".join(tables))
        save(cli.out, f"{name}.jsonl", json_lines(finished + outcomes))

    def write_sweep(sweep: Sweep, outcomes: list[Outcome]) -> None:
        save(cli.out, sweep.file, charts.lines(sweep.title, sweep.axis, [curve(sweep, of, outcomes) for of in some]))
        save(cli.out, f"{name}.md", text + report.sweep_table(sweep, some, outcomes))
        save(cli.out, f"{name}.jsonl", json_lines(finished + outcomes))

    outcomes = measure.run(rows, measured, write_rows) if rows else []
    text += "".join(report.table(row, measured, outcomes) for row in rows)
    finished += outcomes
    if rows and name == "compare":
        save(cli.out, "compare.svg", charts.bars([panel(row, measured, outcomes) for row in rows]))

    some = report.ours_and_the_best(rows, measured, outcomes)
    for sweep in sweeps:
        outcomes = measure.run(list(sweep.points.values()), some, partial(write_sweep, sweep))
        text += report.sweep_table(sweep, some, outcomes)
        finished += outcomes
    print(text)
    print(f"written to {cli.out / name}.md")


def list_servers(cli: argparse.Namespace, pair: servers.Certificate | None) -> tuple[list[Server], list[str]]:
    """The wanted servers, and a line for each one that is not installed."""
    ours: dict[str, list[str]]
    optional: dict[str, Callable[[], Server]]
    crates: list[Server] = []
    features: list[str] = []
    if pair:
        ours = {"clws": pair.flags, "clws, no TLS": []}
        optional = {"npm ws, https": partial(servers.npm_ws_tls, pair)}
        crates = [servers.tokio_rustls(pair)]
        features = ["tls"]
    elif cli.deflate:
        ours = {"clws, level 4": [], "clws, level 6": ["--config", str(servers.HERE / "level-6.toml")]}
        optional = {f"npm ws, level {level}": partial(servers.npm_ws, level) for level in (6, 4)}
    else:
        ours = {"clws": []}
        optional = {
            "npm ws": servers.npm_ws,
            "picows": servers.picows,
            "websockets": servers.websockets,
        }
        crates = servers.crates()
    crates = [server for server in crates if begins(server.name, cli.server)]
    ours = {name: flags for name, flags in ours.items() if begins(name, cli.server)}
    found = (servers.clws(ours, *features) if ours else []) + crates
    servers.build_crates(crates)
    missing: list[str] = []
    for name, make in optional.items():
        if begins(name, cli.server):
            try:
                found.append(make())
            except Missing as why:
                missing.append(str(why))
    extras = [servers.extra(text, pair) for text in cli.extra]
    found += [server for server in extras if begins(server.name, cli.server)]
    servers.need_distinct_names(found)
    return found, missing


def panel(row: Row, measured: list[Server], outcomes: list[Outcome]) -> tuple[str, list[charts.Bar]]:
    """The bars of one row, the best first."""
    values = [(server.name, server.is_ours, report.median(row, server, outcomes)) for server in measured]
    return f"{row.title}, {row.unit}", sorted(values, key=lambda bar: math.inf if bar[2] is None else bar[2])


def curve(sweep: Sweep, server: Server, outcomes: list[Outcome]) -> charts.Line:
    """The curve of one server."""
    points = [(float(x), report.median(row, server, outcomes)) for x, row in sweep.points.items()]
    return server.name, server.is_ours, [(x, y) for x, y in points if y is not None]


def begins(name: str, filters: list[str]) -> bool:
    """Whether the name begins with a filter. Everything passes if there are no filters."""
    return not filters or name.lower().startswith(tuple(text.lower() for text in filters))


def save(folder: Path, name: str, text: str) -> None:
    """Writes a file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def json_lines(outcomes: list[Outcome]) -> str:
    """The reports of all successful measurements, one a line."""
    return "".join(json.dumps(outcome.report) + "\n" for outcome in outcomes if outcome.report)


if __name__ == "__main__":
    main()
