"""Rounds of measurements. Each measurement starts a new server process."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rows import Row
from servers import Server, environment

# The share of a core used by other programs above which a measurement counts as disturbed.
BUSY = 0.1
# The pause before a disturbed measurement is repeated, in seconds.
PAUSE = 0.5
# The time that a server may take until it listens, in seconds.
PATIENCE = 10.0
# The time that the load generator may take, in seconds. No row needs half of it.
LOAD_PATIENCE = 300.0


@dataclass
class Outcome:
    """One measurement."""

    row: Row
    server: Server
    report: dict[str, Any] = field(default_factory=dict)  # the JSON of `load`
    error: str = ""  # the reason, if the server failed
    others: float = 0.0  # the share of a core that other programs used

    @property
    def value(self) -> float | None:
        """The compared value. Less is better."""
        if self.row.is_memory:
            memory = self.report.get("rss_pss_per_connection")
            return None if memory is None else float(memory[1])
        micros = self.report.get("server_us_per_message")
        return None if micros is None else float(micros)

    @property
    def is_busy(self) -> bool:
        """Whether other programs disturbed the measurement. Memory does not depend on them."""
        return self.others > BUSY and not self.row.is_memory


class Failure(Exception):
    """A server failed."""


class Meter:
    """The CPU time that other programs had used at one moment, and the steal time."""

    def __init__(self) -> None:
        self.at = time.monotonic()
        self.stolen = stolen(Path("/proc/stat").read_text(encoding="ascii"))
        # Kernel threads have no command line. Part of their work is caused by the load.
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        self.used = {pid: schedstat(pid)[0] for pid in pids if is_program(pid)}

    def share(self, ours: set[int], waited: float) -> float:
        """The share of one core that was not available to the measurement since the start.

        It is the larger of two times. One is the CPU time of other programs, plus steal time. The other is the
        time that the load generator waited for its core. Programs that start and end in between count only there.
        """
        return share(self, Meter(), ours, waited)


def share(before: Meter, now: Meter, ours: set[int], waited: float) -> float:
    """The share of one core that was not available between two moments. `Meter.share` explains it."""
    others = sum(cpu - before.used.get(pid, 0.0) for pid, cpu in now.used.items() if pid not in ours)
    return max(others + now.stolen - before.stolen, waited) / max(now.at - before.at, 1e-3)


def is_program(pid: int) -> bool:
    """Whether the process runs a program."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def schedstat(pid: int) -> tuple[float, float]:
    """The time that the threads of a process ran so far, and the time that they waited for a core, in seconds."""
    ran = waited = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            fields = file.read_text(encoding="ascii").split()
        except OSError:
            continue  # the thread has ended
        ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran / 1e9, waited / 1e9


def stolen(stat: str) -> float:
    """The steal time in /proc/stat, in seconds. The kernel counts hundredths."""
    fields = stat.split("\n", 1)[0].split()
    return int(fields[8]) / 100 if len(fields) > 8 else 0.0


@dataclass
class Measure:
    """How to measure."""

    load: Path  # the load generator
    rounds: int
    retries: int  # how often a disturbed measurement is repeated
    seconds: float
    server_core: int
    load_core: int
    cores: set[int]

    def run(self, rows: list[Row], servers: list[Server], after: Callable[[list[Outcome]], None]) -> list[Outcome]:
        """Measures every row with every server, round by round. Calls `after` at the end of each round."""
        outcomes: list[Outcome] = []
        total, start = self.rounds * len(rows) * len(servers), time.monotonic()
        for _ in range(self.rounds):
            for row in rows:
                for server in servers:
                    outcomes.append(self.steady(row, server))
                    left = (time.monotonic() - start) / len(outcomes) * (total - len(outcomes))
                    progress(outcomes[-1], f"{len(outcomes):>3}/{total} {left // 60:>2.0f}:{left % 60:02.0f} left")
            after(outcomes)  # results of complete rounds survive an interrupted run
        return outcomes

    def steady(self, row: Row, server: Server) -> Outcome:
        """Measures, and repeats while other programs disturb. Returns the least disturbed try.

        A failed try never replaces a measurement.
        """
        best = self.once(row, server)
        for _ in range(self.retries):
            if not best.is_busy:
                break
            time.sleep(PAUSE)
            best = min(best, self.once(row, server), key=lambda outcome: (outcome.value is None, outcome.others))
        return best

    def once(self, row: Row, server: Server) -> Outcome:
        """Starts the server, measures once, and ends the server."""
        port = free_port()
        free = row.threads > 1
        try:
            running = self.start(server.words(row, port), {self.server_core}, free, env=environment(server, row))
        except OSError as error:
            return Outcome(row, server, error=f"cannot start: {error}")
        try:
            wait_until_it_listens(running, port)
            report, others = self.measure(row, server, port, running.pid, free)
            outcome = Outcome(row, server, report, others=others)
            outcome.error = "no message came back" if outcome.value is None else ""
            return outcome
        except Failure as error:
            status = running.poll()
            ended = "" if status is None else f"; the server ended with status {status}"
            return Outcome(row, server, error=f"{error}{ended}")
        finally:
            running.kill()
            running.wait()

    def measure(self, row: Row, server: Server, port: int, pid: int, free: bool) -> tuple[dict[str, Any], float]:
        """Runs the load generator. Returns its report and the share of a core that other programs used."""
        words = [str(self.load), *row.load.split(), *row.deflate.split(), f"127.0.0.1:{port}"]
        words += ["--tls", *row.tls.split()] if server.has_tls else []
        words += ["--pid", str(pid), "--name", server.name, "--json"]
        if not row.is_memory:
            words += ["--seconds", str(self.seconds)]
        meter = Meter()
        load = self.start(words, {self.load_core}, free, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        # This wait does not reap the process. The kernel keeps the times of an ended process until then.
        if not has_ended(load.pid, LOAD_PATIENCE):
            load.kill()
            load.communicate()
            raise Failure(f"load did not end within {LOAD_PATIENCE:.0f} s")
        # If the load generator shares its core with the server, its wait is the server's work.
        waited = 0.0 if free else schedstat(load.pid)[1]
        others = meter.share({os.getpid(), pid, load.pid}, waited)
        out, err = load.communicate()
        if load.returncode != 0:
            lines = err.decode(errors="replace").strip().splitlines() or [f"load ended with status {load.returncode}"]
            raise Failure(lines[-1].removeprefix("load: "))
        report: dict[str, Any] = json.loads(out)
        return report, others

    def start(self, words: list[str], cores: set[int], free: bool, **more: Any) -> subprocess.Popen[bytes]:
        """Starts a process on these cores, or on all. A process inherits the cores of the thread that starts it."""
        os.sched_setaffinity(0, self.cores if free else cores)
        quiet: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        try:
            running: subprocess.Popen[bytes] = subprocess.Popen(words, **(quiet | more))
            return running
        finally:
            os.sched_setaffinity(0, self.cores)


def progress(outcome: Outcome, done: str) -> None:
    """Prints one line: progress, remaining time and result."""
    value = outcome.value
    result = f"failed: {outcome.error}" if value is None else f"{value:.3f} {outcome.row.unit}"
    busy = f"  (the machine was busy: other programs used {outcome.others:.2f} of a core)" if outcome.is_busy else ""
    print(f"{done}  {outcome.row.title:<46.46} {outcome.server.name:<20} {result}{busy}", file=sys.stderr)


def has_ended(pid: int, patience: float) -> bool:
    """Waits until a child process ends, at most this many seconds. Returns whether it has ended."""
    handle = os.pidfd_open(pid)
    try:
        return bool(select.select([handle], [], [], patience)[0])
    finally:
        os.close(handle)


def wait_until_it_listens(running: subprocess.Popen[bytes], port: int) -> None:
    """Waits until the server accepts a connection."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            pass
        if running.poll() is not None:
            raise Failure("the server exited before it listened")
        if time.monotonic() > end:
            raise Failure(f"the server does not listen within {PATIENCE:.0f} s")
        time.sleep(0.02)


def free_port() -> int:
    """A free port on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
