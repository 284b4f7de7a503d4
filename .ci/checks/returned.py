#!/usr/bin/env python3
"""Memory returns to the system when clients disconnect: returned.py ws://HOST:PORT PID [CLIENTS [ROUNDS]].

In each round the clients each send 1 MiB of an unfinished message, then all disconnect. Reports the server's resident
memory before and after they disconnect, and fails if much of it remains.
"""

import resource
import sys
import time
from collections.abc import Callable

import wire

MIB = 1 << 20
MOST = 24 * MIB  # may remain; generous: a server that returns memory keeps 1 to 3 MiB
SOON = 20.0  # seconds until memory must have grown or returned

passed = failed = 0


def check(name: str, good: bool) -> None:
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print("ok  " if good else "FAIL", name, flush=True)


def memory_once(good: Callable[[int], bool], pid: int) -> int:
    """Resident memory as soon as it is good, or its last value."""
    end = time.monotonic() + SOON
    while not good(now := wire.memory(pid)) and time.monotonic() < end:
        time.sleep(0.1)
    return now


def in_mib(values: list[int]) -> str:
    return ", ".join(str(value >> 20) for value in values)


def connected(url: str, number: int, part: dict[int, bytes]) -> wire.Connection:
    """A client with half a message: text, which the server copies while it validates, or binary, which it reads directly."""
    client = wire.Connection(url, 30).open()
    return client.send(part[wire.TEXT if number % 2 else wire.BINARY])


def main(url: str, pid: int, clients: int, rounds: int) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 50
    if clients > allowed:
        print(f"note: {allowed} clients instead of {clients}, because of the limit of open files")
        clients = allowed
    part = {opcode: wire.frame(opcode, b"x" * (2 * MIB))[: MIB + 14] for opcode in (wire.TEXT, wire.BINARY)}

    with wire.Connection(url) as first:
        first.open().send(wire.frame(wire.TEXT, b"first"))
        check("the first client is served", first.frame() == (wire.TEXT, b"first"))
    before = wire.memory(pid)
    held, left = [], []
    for _ in range(rounds):
        present = [connected(url, number, part) for number in range(clients)]
        held.append(memory_once(lambda now: now >= before + clients * MIB * 9 // 10, pid))
        for client in present:
            client.socket.close()
        left.append(memory_once(lambda now: now <= before + MOST, pid))
    time.sleep(3)
    after = wire.memory(pid)

    print(f"note: {clients} clients with 1 MiB of a message each, {rounds} times: {in_mib(held)} MiB resident while connected, "
          f"{in_mib(left)} after they disconnected, {after >> 20} at the end ({before >> 20} before)")
    check("the server holds the sent bytes", all(value >= before + clients * MIB * 9 // 10 for value in held))
    check(f"the memory returns, except {MOST >> 20} MiB", after <= before + MOST)
    with wire.Connection(url) as late:
        late.open().send(wire.frame(wire.TEXT, b"late"))
        check("a late client is served", late.frame() == (wire.TEXT, b"late"))


try:
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 400, int(sys.argv[4]) if len(sys.argv) > 4 else 3)
except (OSError, AssertionError, EOFError) as error:
    check(f"{type(error).__name__}: {error}", False)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
