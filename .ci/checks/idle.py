#!/usr/bin/env python3
"""Memory of idle connections in a server: idle.py ws://HOST:PORT PID [CONNECTIONS [none|takeover]].

Opens the connections, echoes one message on each, and reports the server's resident memory before and after. With
`none` or `takeover` they negotiate permessage-deflate, without or with context takeover, and send JSON.
"""

import resource
import select
import socket
import sys
import time

import deflated
import wire

WARM = 200  # the first connections include one-time allocations
AT_ONCE = 100  # connects in flight: below any listen backlog
SOURCES = 8  # 127.0.0.1 .. 127.0.0.8: enough ports despite TIME_WAIT
LIMIT = 4096  # maximum bytes per connection, generous: the aim is 1 KiB
CONTEXT = 4096  # in addition after a message of about 1 KiB with context takeover in both directions
DEADLINE = time.monotonic() + 150

passed = failed = 0


def check(name: str, good: bool) -> None:
    global passed, failed
    passed, failed = passed + good, failed + (not good)
    print("ok  " if good else "FAIL", name, flush=True)


def exchange(sockets: list[socket.socket], message: bytes, answer_size: int) -> list[bytes]:
    """Sends `message` on each socket and reads an answer of `answer_size` bytes (0: up to an empty line) from each."""
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


def open_many(url: str, count: int, offer: str | None) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        batch = []
        for n in range(min(AT_ONCE, count - len(sockets))):
            s = socket.socket()
            s.settimeout(wire.TIMEOUT)
            s.bind((f"127.0.0.{n % SOURCES + 1}", 0))
            s.connect(wire.address(url))
            batch.append(s)
        answers = exchange(batch, wire.request(Sec_WebSocket_Extensions=offer), 0)
        refused = [answer for answer in answers if not answer.startswith(b"HTTP/1.1 101 ")]
        if refused:
            raise AssertionError(f"{len(refused)} of {len(batch)} not opened after {len(sockets)}: {refused[0][:200]!r}")
        if offer and not all(offer.encode() in answer for answer in answers):
            raise AssertionError(f"no {offer} in {answers[0]!r}")
        sockets += batch
    return sockets


def settled(pid: int) -> int:
    """Resident memory once it is stable."""
    before = wire.memory(pid)
    for _ in range(20):
        time.sleep(0.25)
        now = wire.memory(pid)
        if now == before:
            break
        before = now
    return before


def conversation(url: str, deflate: str | None) -> tuple[str | None, bytes, bytes]:
    """The offer, the message and the expected echo of each connection, found with one connection."""
    if deflate is None:
        return None, wire.frame(wire.TEXT, b"x" * 100), b"\x81\x64" + b"x" * 100
    text = deflated.json_of(1000)
    with wire.Connection(url) as c:
        c.open(offer=deflated.NAME).send(deflated.message(text))
        agreed = deflated.agreed(deflated.NAME, str(c.extensions))
        check(f"negotiated {c.extensions}", agreed.server_takeover == agreed.client_takeover == (deflate == "takeover"))
        first, payload = c.any_frame()
        inflated = deflated.Inflater(15, False).message(payload)
        check(f"JSON of {len(text)} bytes is echoed in {len(payload)}", first == 0xC1 and inflated == text)
    head = bytes([first, len(payload)]) if len(payload) < 126 else bytes([first, 126]) + len(payload).to_bytes(2, "big")
    return deflated.NAME, deflated.message(text), head + payload


def main(url: str, pid: int, count: int, deflate: str | None) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - WARM - 100
    if count > allowed:
        print(f"note: {allowed} connections instead of {count}, because of the limit of open files")
        count = allowed

    offer, said, wanted = conversation(url, deflate)
    warm = open_many(url, WARM, offer)
    exchange(warm, said, len(wanted))
    before = settled(pid)
    start = time.monotonic()
    sockets = open_many(url, count, offer)
    seconds = time.monotonic() - start
    opened = settled(pid)
    check(f"{count} connections opened", len(sockets) == count)

    answers = exchange(sockets, said, len(wanted))
    check("each connection echoes one message", answers == [wanted] * count)
    spoken = settled(pid)

    each, each_after = (opened - before) / count, (spoken - before) / count
    kind = {None: "", "none": " with deflate and no context", "takeover": " with deflate and context takeover"}[deflate]
    print(f"note: {count} idle connections{kind}, opened in {seconds:.1f} s: {each:.0f} bytes of resident memory each, "
          f"{each_after:.0f} after one message each (server {before >> 10} KiB before, {spoken >> 10} KiB after)")
    check(f"an idle connection takes less than {LIMIT} bytes", each < LIMIT)
    limit = LIMIT + CONTEXT * (deflate == "takeover")
    check(f"less than {limit} after a message", each_after < limit)

    for s in warm + sockets:
        s.close()
    with wire.Connection(url) as late:
        late.open().send(wire.frame(wire.TEXT, b"late"))
        check("a late client is served", late.frame() == (wire.TEXT, b"late"))


try:
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 10000, sys.argv[4] if len(sys.argv) > 4 else None)
except (OSError, AssertionError, EOFError) as error:
    check(f"{type(error).__name__}: {error}", False)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
