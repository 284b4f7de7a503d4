#!/usr/bin/env python3
"""What an idle connection costs a server: idle.py ws://HOST:PORT PID [CONNECTIONS].

Opens the connections, lets every one say one message, and reports the server's resident memory before and after.
"""

import resource
import select
import socket
import sys
import time

import wire

WARM = 200  # the first ones also pay for what a server sets up once
AT_ONCE = 100  # connects in flight: below any listen backlog
SOURCES = 8  # 127.0.0.1 .. 127.0.0.8: ports enough, whatever the machine has in TIME_WAIT
LIMIT = 4096  # octets a connection may cost, generous: the aim is 1 KiB
DEADLINE = time.monotonic() + 80

passed = failed = 0


def check(name: str, good: bool) -> None:
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print("ok  " if good else "FAIL", name, flush=True)


def exchange(sockets: list[socket.socket], message: bytes, answer_size: int) -> list[bytes]:
    """Sends `message` on each and reads one answer of `answer_size` octets (or up to an empty line when 0) from each."""
    answers = {s.fileno(): b"" for s in sockets}
    by_fd = {s.fileno(): s for s in sockets}
    poll = select.epoll()
    for s in sockets:
        s.sendall(message)
        poll.register(s, select.EPOLLIN)
    waiting = set(answers)
    while waiting:
        if time.monotonic() > DEADLINE:
            raise TimeoutError(f"{len(waiting)} of {len(sockets)} connections got no answer")
        for fd, _ in poll.poll(1.0):
            piece = by_fd[fd].recv(4096)
            answers[fd] += piece
            done = len(answers[fd]) >= answer_size if answer_size else answers[fd].endswith(b"\r\n\r\n")
            if done or not piece:
                poll.unregister(fd)
                waiting.discard(fd)
    poll.close()
    return list(answers.values())


def open_many(url: str, count: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        batch = []
        for n in range(min(AT_ONCE, count - len(sockets))):
            s = socket.socket()
            s.settimeout(10)
            s.bind((f"127.0.0.{n % SOURCES + 1}", 0))
            s.connect(wire.address(url))
            batch.append(s)
        refused = [answer for answer in exchange(batch, wire.request(), 0) if not answer.startswith(b"HTTP/1.1 101 ")]
        if refused:
            raise AssertionError(f"{len(refused)} of {len(batch)} not opened after {len(sockets)}: {refused[0][:200]!r}")
        sockets += batch
    return sockets


def settled(pid: int) -> int:
    """Resident memory once it has stopped moving."""
    before = wire.memory(pid)
    for _ in range(20):
        time.sleep(0.25)
        now = wire.memory(pid)
        if now == before:
            break
        before = now
    return before


def main(url: str, pid: int, count: int) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - WARM - 100
    if count > allowed:
        print(f"note: {allowed} connections instead of {count}: the limit of open files")
        count = allowed

    warm = open_many(url, WARM)
    exchange(warm, wire.frame(wire.TEXT, b"warm"), 6)
    before = settled(pid)
    start = time.monotonic()
    sockets = open_many(url, count)
    seconds = time.monotonic() - start
    opened = settled(pid)
    check(f"{count} connections opened", len(sockets) == count)

    answers = exchange(sockets, wire.frame(wire.TEXT, b"x" * 100), 102)
    check("each echoes one message", answers == [b"\x81\x64" + b"x" * 100] * count)
    spoken = settled(pid)

    each, each_after = (opened - before) / count, (spoken - before) / count
    print(f"note: {count} idle connections, opened in {seconds:.1f} s: {each:.0f} octets of resident memory each, "
          f"{each_after:.0f} after one message each (server {before >> 10} KiB before, {spoken >> 10} KiB after)")
    check(f"an idle connection costs less than {LIMIT} octets", each < LIMIT)
    check("and still does after a message", each_after < LIMIT)

    for s in warm + sockets:
        s.close()
    with wire.Connection(url) as late:
        late.open().send(wire.frame(wire.TEXT, b"late"))
        check("a late client is served", late.frame() == (wire.TEXT, b"late"))


try:
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10000)
except (OSError, AssertionError, EOFError) as error:
    check(f"{type(error).__name__}: {error}", False)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
