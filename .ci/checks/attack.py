"""Shared parts of the programs with hostile bytes: counted checks, a good client in parallel, bounded sending."""

import select
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import wire
from wire import BINARY, CLOSE, PONG, TEXT, Connection, close_payload, frame

passed = failed = 0
lock = threading.Lock()


def check(name: str, body: Callable[[], None]) -> None:
    global passed, failed
    try:
        body()
    except Exception as error:  # any error fails this check only
        with lock:
            failed += 1
            print("FAIL", name, "-", type(error).__name__, str(error)[:300], flush=True)
    else:
        with lock:
            passed += 1
            print("ok  ", name, flush=True)


def want(good: bool, what: object) -> None:
    if not good:
        raise AssertionError(what)


def finish() -> None:
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


class GoodClient(threading.Thread):
    """Echoes on one connection and opens a new one now and then. Stores its first error."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.trips = 0
        self.slowest = 0.0
        self.trouble: BaseException | None = None
        self.stop = threading.Event()

    def run(self) -> None:
        try:
            with self.opened() as steady:
                while not self.stop.wait(0.002):
                    self.trip(steady)
                    if self.trips % 100 == 0:
                        with self.opened() as fresh:
                            self.trip(fresh)
                steady.send(frame(CLOSE, close_payload(1000)))
                want(steady.frame() == (CLOSE, close_payload(1000)), "close not echoed")
        except BaseException as error:
            self.trouble = error

    def opened(self) -> Connection:
        return Connection(self.url).open()

    def trip(self, connection: Connection) -> None:
        start = time.monotonic()
        text = f"message {self.trips} ".encode() * (1 + self.trips % 50)
        self.round_trip(connection, text)
        self.slowest = max(self.slowest, time.monotonic() - start)
        self.trips += 1

    def round_trip(self, connection: Connection, text: bytes) -> None:
        connection.send(frame(TEXT, text))
        got = connection.frame()
        want(got == (TEXT, text), f"echo differs: {got!r}"[:200])


@contextmanager
def in_parallel(good: GoodClient, pid: int, most: int) -> Iterator[None]:
    """Runs attacks in parallel with a good client, which must not notice. The server's memory may grow by `most` bytes."""
    good.start()
    while good.trips < 20 and good.is_alive():
        time.sleep(0.01)
    before = wire.memory(pid)
    yield
    good.stop.set()
    good.join(2 * wire.TIMEOUT)

    def unnoticed() -> None:
        if good.trouble:
            raise good.trouble
        want(not good.is_alive(), "the good client hangs")
        # A busy machine reaches far more. If an attack stops all clients, far less is reached.
        want(good.trips > 200, f"only {good.trips} round trips")
        want(good.slowest < 2, f"a round trip of {good.slowest:.2f} s")

    check("the good client never noticed", unnoticed)
    grown = wire.memory(pid, "VmHWM") - before
    check("memory is bounded over the run", lambda: want(grown < most, f"grew by {grown >> 10} KiB"))
    print(f"note: good client: {good.trips} round trips, the slowest {good.slowest * 1000:.0f} ms; "
          f"the server's memory grew by at most {grown >> 10} KiB from {before >> 10} KiB")


def pour(c: Connection, pieces: Iterable[bytes]) -> None:
    """Sends until everything is sent, or the server answers or disconnects. The caller reads the answer."""
    for piece in pieces:
        if c.buffer or select.select([c.socket], [], [], 0)[0]:
            return
        try:
            c.socket.sendall(piece)
        except ConnectionError:
            return


def closed_with(c: Connection, data: bytes | Iterable[bytes], codes: Iterable[int | None]) -> None:
    """Expects that the server answers `data` with a Close with one of `codes` (None: no code) and disconnects."""
    pour(c, [data] if isinstance(data, bytes) else data)
    first, payload = c.any_frame()
    while first & 0x0F in (TEXT, BINARY, PONG):  # answers to valid frames before the fault
        first, payload = c.any_frame()
    want(first == 0x80 | CLOSE, f"frame begins with {first:02x}, want a close frame")
    code = struct.unpack("!H", payload[:2])[0] if payload else None
    want(code in set(codes), f"close code {code} {payload[2:]!r}, want {codes}")
    want(c.at_end(), "the connection stays open")


def blocked(c: Connection, data: bytes, most: int) -> int:
    """Sends `data` repeatedly and reads nothing, until the server accepts nothing for a second, or `most` bytes are sent."""
    c.socket.settimeout(1.0)
    sent = 0
    try:
        while sent < most:
            sent += c.socket.send(data)
    except (TimeoutError, ConnectionError):
        pass
    return sent


def eventually(what: str, holds: Callable[[], bool]) -> None:
    """Waits until `holds()` is true."""
    end = time.monotonic() + wire.TIMEOUT
    while not holds():
        want(time.monotonic() < end, f"{what}: not in time")
        time.sleep(0.01)


def growth(pid: int, attack: Callable[[], None]) -> int:
    """The maximum growth of the resident memory of a process during `attack`, in bytes."""
    before = highest = wire.memory(pid)
    stop = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.01):
            highest = max(highest, wire.memory(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        attack()
    finally:
        highest = max(highest, wire.memory(pid))
        stop.set()
        watcher.join()
    return highest - before


def grows(pid: int, by: int, attack: Callable[[], None]) -> None:
    grown = growth(pid, attack)
    want(grown < by, f"resident memory grew by {grown >> 10} KiB, {by >> 10} KiB allowed")
