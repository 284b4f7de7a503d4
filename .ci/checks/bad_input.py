#!/usr/bin/env python3
"""Hostile bytes over real sockets: bad_input.py ws://HOST:PORT PID

The server is echo with `--hixie --hixie-75 --handshake-timeout 2` and the default limits (16 KiB of head, 16 MiB of message). Each
attack must get the right answer, and a good client in parallel must not notice anything. The server's resident memory
is bounded over the whole run.
"""

import random
import select
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator

import attack
import wire
from attack import blocked, check, grows, pour, want
from wire import BINARY, CLOSE, PING, TEXT, Connection, close_payload, frame, request

HANDSHAKE_TIMEOUT = 2.0  # the value of --handshake-timeout
MIB = 1 << 20
MEMORY_LIMIT = 96 * MIB  # a 16 MiB message, its echo, and allocator overhead
HIXIE_HEAD = (
    b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nOrigin: http://example.com\r\n"
    b"Sec-WebSocket-Key1: %b\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U"
)
HIXIE_KEY1 = b"4 @1  46546xW%0l 1 5"  # the other parts are in the head: hixie-76 section 1.3
HIXIE_75_HEAD = (
    b"GET /echo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: 127.0.0.1\r\nOrigin: http://example.com\r\n%b\r\n"
)
HIXIE_75_ANSWER = (
    b"HTTP/1.1 101 Web Socket Protocol Handshake\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
    b"WebSocket-Origin: http://example.com\r\nWebSocket-Location: ws://127.0.0.1/echo\r\n\r\n"
)

# --- the opening handshake ---


def first_piece(data: bytes | Iterable[bytes]) -> bytes:
    return data if isinstance(data, bytes) else b""


def refused(url: str, data: bytes | Iterable[bytes], statuses: Iterable[int], **headers: str) -> None:
    """Expects one complete HTTP answer to `data` with one of `statuses`, and then the end of the connection."""
    with Connection(url) as c:
        pour(c, [data] if isinstance(data, bytes) else data)
        status, got = c.head()
        want(status in set(statuses), f"status {status}, want {statuses}")
        tokens = [token.strip() for token in got.get("connection", "").lower().split(",")]
        want("close" in tokens, f"no Connection: close in {got}")
        if first_piece(data).lstrip(b"\r\n").startswith(b"HEAD "):
            want(int(got["content-length"]) > 0, "no Content-Length of the body of GET")
        else:
            want(bool(c.exactly(int(got["content-length"])).strip()), "empty body")
        for name, value in headers.items():
            want(got.get(name.replace("_", "-")) == value, f"{name}: {got.get(name.replace('_', '-'))}, want {value}")
        want(c.at_end(), "the connection stays open")


def handshakes(url: str) -> None:
    noise = random.Random(6455)
    for n in range(5):
        data = b"\x00" + noise.randbytes(3000)
        check(f"garbage {n}", lambda data=data: refused(url, data, [400]))  # type: ignore[misc]
    check("garbage that ends like a head", lambda: refused(url, noise.randbytes(200) + b"\r\n\r\n", [400]))
    check("a TLS client", lambda: refused(url, bytes.fromhex("16030100c8010000c40303") + noise.randbytes(194), [400]))
    check("one endless word", lambda: refused(url, b"G" * 20000, [400, 414, 431]))
    check("HTTP/2 preface", lambda: refused(url, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [400, 405, 505]))

    start = request()[:-2]
    ten = [b"a" * 65536] * 160
    check("a head of 10 MiB in one header", lambda: refused(url, [start + b"X: ", *ten], [431]))
    check("a head of 10 MiB in many headers", lambda: refused(url, [start, *([b"X-Filler: filler\r\n" * 4000] * 146)], [431]))
    check("a request line of 10 MiB", lambda: refused(url, [b"GET /", *ten], [414]))
    check("endless empty lines", lambda: refused(url, [b"\r\n" * 32768] * 160, [400, 431]))
    check("a head of 10 MiB in one write", lambda: refused(url, start + b"X: " + b"a" * (10 * MIB), [431]))
    # Complete, so that only the number of fields can be wrong: 5 bytes each, 2 KiB together.
    check("400 headers", lambda: refused(url, start + b"a: b\r\n" * 400 + b"\r\n", [431]))

    cases: list[tuple[str, bytes, list[int], dict[str, str]]] = [
        ("POST", request().replace(b"GET", b"POST", 1), [405], {"allow": "GET"}),
        ("HEAD", request().replace(b"GET", b"HEAD", 1), [405], {"allow": "GET"}),
        ("HEAD for a page", b"HEAD /echo HTTP/1.1\r\nHost: a\r\n\r\n", [426], {"upgrade": "websocket"}),
        ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", [405], {}),
        ("HTTP/1.0", request().replace(b"HTTP/1.1", b"HTTP/1.0", 1), [400], {}),
        ("HTTP/1.0 for a page", b"GET /echo HTTP/1.0\r\n\r\n", [426], {"upgrade": "websocket"}),
        ("HTTP/3.7", request().replace(b"HTTP/1.1", b"HTTP/3.7", 1), [505], {}),
        ("HTTP/0.9", request().replace(b"HTTP/1.1", b"HTTP/0.9", 1), [505], {}),
        ("HTTP/1.10", request().replace(b"HTTP/1.1", b"HTTP/1.10", 1), [400], {}),
        ("an expectation other than 100-continue", request(Expect="200-ok"), [417], {}),
        ("no Host", request(Host=None), [400], {}),
        *((f"Host: {host}", request(Host=host), [400], {}) for host in ("a:b:c", "]:[", "%zz", ":", "", "a:99999999", "u@a", "[::g]")),
        ("two Hosts", request().replace(b"Host: ", b"Host: elsewhere\r\nHost: ", 1), [400], {}),
        ("no Upgrade", request(Upgrade=None), [400, 426], {}),
        ("another Upgrade", request(Upgrade="h2c"), [400, 426], {}),
        ("no Connection", request(Connection=None), [400, 426], {}),
        ("no key", request(Sec_WebSocket_Key=None), [400], {}),
        ("two keys", request().replace(b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: AAAA\r\nSec-WebSocket-Key: ", 1), [400], {}),
        ("a key of 3 bytes", request(Sec_WebSocket_Key="AAAA"), [400], {}),
        ("a key that is not base64", request(Sec_WebSocket_Key="!" * 24), [400], {}),
        ("version 9", request(version=9), [426], {"sec_websocket_version": "13, 8, 7"}),
        ("version 99999999999999999999", request(Sec_WebSocket_Version="9" * 20), [400, 426], {}),
        ("version twice", request().replace(b"Sec-WebSocket-Version", b"Sec-WebSocket-Version: 8\r\nSec-WebSocket-Version", 1), [400], {}),
        ("unknown path", request("/no/such/resource"), [404], {}),
        ("a fragment in the path", request("/echo#part"), [400], {}),
        ("a space before a header's colon", request().replace(b"Host:", b"Host :", 1), [400], {}),
        ("a header folded over two lines", request().replace(b"Host: ", b"X: a\r\n b\r\nHost: ", 1), [400], {}),
        ("a NUL in a header", request(X="a\0b"), [400], {}),
        ("hixie: a key without spaces", HIXIE_HEAD % b"4@146546xW%0l15", [400], {}),
        ("hixie: a key without digits", HIXIE_HEAD % b"x @y  z", [400], {}),
        ("hixie: not divisible by its spaces", HIXIE_HEAD % b"1 0  1", [400], {}),
        ("hixie: a number over 32 bits", HIXIE_HEAD % (b"9" * 40 + b" "), [400], {}),
        ("hixie-75: no origin", (HIXIE_75_HEAD % b"").replace(b"Origin: http://example.com\r\n", b""), [400], {}),
        ("hixie-75: a body", HIXIE_75_HEAD % b"Content-Length: 8\r\n", [400], {}),
        ("hixie-75: a key and no version", HIXIE_75_HEAD % b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", [400], {}),
    ]
    for name, data, statuses, headers in cases:
        check(name, lambda d=data, s=statuses, h=headers: refused(url, d, s, **h))  # type: ignore[misc]

    def byte_by_byte() -> None:
        with Connection(url) as c:
            for n in request():
                c.send(bytes([n]))
                time.sleep(0.001)
            want(c.head()[0] == 101, "not opened")
            for n in frame(TEXT, b"slow but sure"):
                c.send(bytes([n]))
                time.sleep(0.001)
            want(c.frame() == (TEXT, b"slow but sure"), "echo differs")

    check("a head byte by byte is valid", byte_by_byte)

    def pipelined() -> None:
        with Connection(url) as c:
            c.send(request() + frame(TEXT, b"early") + frame(CLOSE, close_payload(1000)))
            want(c.head()[0] == 101, "not opened")
            want([c.frame(), c.frame()] == [(TEXT, b"early"), (CLOSE, close_payload(1000))], "frames after the head")

    check("frames in one write with the head are kept", pipelined)

    def opened(data: bytes, *before: int) -> None:
        with Connection(url) as c:
            c.send(data)
            for status in (*before, 101):
                got = c.head()[0]
                want(got == status, f"status {got}, want {status}")
            c.send(frame(TEXT, b"hello"))
            want(c.frame() == (TEXT, b"hello"), "echo differs")

    check("HTTP/1.2 is HTTP/1.1", lambda: opened(request().replace(b"HTTP/1.1", b"HTTP/1.2", 1)))
    check("empty lines before the request are ignored", lambda: opened(b"\r\n\r\n" + request()))
    check("Expect: 100-continue gets 100 before 101", lambda: opened(request(Expect="100-continue"), 100))
    check("empty lists are no offers", lambda: opened(request(Sec_WebSocket_Protocol="", Sec_WebSocket_Extensions=" ,")))


def slow_heads(url: str) -> list[threading.Thread]:
    """Connections that never finish their head. The deadline closes them, not earlier. They run in parallel."""

    def slow(drops: Callable[[], Iterator[bytes]]) -> None:
        start = time.monotonic()  # before the server can know of the connection
        with Connection(url) as c:
            said = b""
            try:
                for piece in drops():
                    if select.select([c.socket], [], [], 0.1)[0]:
                        break
                    c.send(piece)
                while piece := c.socket.recv(4096):
                    said += piece
            except ConnectionError:
                pass
            seconds = time.monotonic() - start
            want(HANDSHAKE_TIMEOUT - 0.5 < seconds < HANDSHAKE_TIMEOUT + 3, f"closed after {seconds:.1f} s")
            want(not said or said.startswith(b"HTTP/1.1 408 "), f"the server sent {said[:80]!r}")

    def trickle() -> Iterator[bytes]:
        yield request()[:-2]
        for _ in range(100):
            yield b"X-Slow: y\r\n"

    kinds: dict[str, Callable[[], Iterator[bytes]]] = {
        "the deadline closes a slow head": trickle,
        "the deadline closes an incomplete head": lambda: iter([b"GET /echo HT"]),
        "the deadline closes a silent client": lambda: iter([]),
        "the deadline closes a hixie client without its last eight bytes": lambda: iter([(HIXIE_HEAD % HIXIE_KEY1)[:-3]]),
    }
    threads = [threading.Thread(target=check, args=(name, lambda d=drops: slow(d))) for name, drops in kinds.items()]
    for thread in threads:
        thread.start()
    return threads


# --- frames ---


def closed_with(url: str, data: bytes, codes: Iterable[int | None], version: int = 13) -> None:
    with Connection(url) as c:
        attack.closed_with(c.open(version=version), data, codes)


def frames(url: str) -> None:
    def declared(length: int, first: int = 0x82) -> bytes:
        return struct.pack("!BBQ", first, 0xFF, length) + b"mask" + b"some of it"

    cases: list[tuple[str, bytes, list[int | None]]] = [
        ("declared length 2^62", declared(1 << 62), [1009]),
        ("declared length 2^62 of text", declared(1 << 62, 0x81), [1009]),
        ("declared length 2^63 (top bit)", declared(1 << 63), [1002]),
        ("declared length 2^64 - 1", declared((1 << 64) - 1), [1002]),
        ("declared length just over the limit", declared(16 * MIB + 1), [1009]),
        ("a message over the limit in fragments",
         frame(BINARY, bytes(9 * MIB), fin=False) + frame(0, bytes(9 * MIB)), [1009]),
        ("a ping of length 2^62", declared(1 << 62, 0x89), [1002]),
        ("RSV1", frame(TEXT, b"x", rsv=4), [1002]),
        ("RSV2", frame(TEXT, b"x", rsv=2), [1002]),
        ("RSV3 on a ping", frame(PING, b"x", rsv=1), [1002]),
        ("an unmasked frame", frame(TEXT, b"x", mask=None), [1002]),
        ("an unmasked close", frame(CLOSE, close_payload(1000), mask=None), [1002]),
        ("opcode 3", frame(3, b"x"), [1002]),
        ("opcode 11", frame(11, b"x"), [1002]),
        ("a ping of 126 bytes", frame(PING, b"p" * 126), [1002]),
        ("a fragmented ping", frame(PING, b"p", fin=False), [1002]),
        ("a 16-bit length for 5 bytes", b"\x82\xfe\x00\x05maskabcde", [1002]),
        ("a 64-bit length for 126 bytes", b"\x82\xff" + struct.pack("!Q", 126) + b"mask" + b"a" * 126, [1002]),
        ("a continuation without a message", frame(0, b"x"), [1002]),
        ("a text inside a text", frame(TEXT, b"a", fin=False) + frame(TEXT, b"b"), [1002]),
        ("text that is not UTF-8", frame(TEXT, b"ok \xff"), [1007]),
        ("text that ends inside a character", frame(TEXT, "é".encode()[:1]), [1007]),
        ("a surrogate in UTF-8", frame(TEXT, b"\xed\xa0\x80"), [1007]),
        ("bad UTF-8 in an incomplete frame", frame(TEXT, b"\xff" + b"a" * 999)[:50], [1007]),
        ("a close of one byte", frame(CLOSE, b"\x03"), [1002]),
        ("close code 1005", frame(CLOSE, close_payload(1005)), [1002]),
        ("close code 999", frame(CLOSE, close_payload(999)), [1002]),
        ("a close reason that is not UTF-8", frame(CLOSE, close_payload(1000, b"\xff")), [1007]),
        ("a good close", frame(CLOSE, close_payload(1000, b"bye")), [1000]),
        ("an empty close", frame(CLOSE), [None]),
        ("a close, then more", frame(CLOSE, close_payload(3000)) + frame(TEXT, b"late") * 100, [3000]),
        ("200,000 empty fragments", frame(TEXT, fin=False) + frame(0, fin=False) * 200_000, [1002, 1008, 1009]),
        ("garbage", b"\xff" * 4096, [1002]),
    ]
    for name, data, codes in cases:
        check(f"{name}: {'/'.join('no code' if c is None else str(c) for c in codes)}",
              lambda d=data, c=codes: closed_with(url, d, c))  # type: ignore[misc]
    for version in (7, 8):
        check(f"version {version}: an unmasked frame", lambda v=version: closed_with(url, frame(TEXT, b"x", mask=None), [1002], v))  # type: ignore[misc]

    def half_closed() -> None:
        with Connection(url) as c:
            c.open().socket.shutdown(1)
            want(c.at_end(), "the connection stays open")

    check("the end of the client's side without a close frame", half_closed)


def hixie(url: str) -> None:
    def opened(c: Connection) -> Connection:
        c.send(HIXIE_HEAD % HIXIE_KEY1)
        want(c.head()[0] == 101, "not opened")
        want(c.exactly(16) == b"8jKS'y:G*Co,Wxa-", "digest")
        return c

    def echoed() -> None:
        with Connection(url) as c:
            opened(c).send(b"\x00hello\xff")
            want(c.exactly(7) == b"\x00hello\xff", "echo differs")
            c.send(b"\xff\x00")
            want(c.exactly(2) == b"\xff\x00", "no closing handshake")

    def ended(data: Iterable[bytes]) -> None:
        with Connection(url) as c:
            pour(opened(c), data)
            while not c.at_end():
                c.buffer = b""  # a closing handshake, or the echo of valid messages
                want(bool(select.select([c.socket], [], [], wire.TIMEOUT)[0]), "the connection stays open")

    check("hixie: the example of the draft, and an echo", echoed)
    check("hixie: a length that overflows closes", lambda: ended([b"\x80" + b"\xff" * 100]))
    check("hixie: a declared length of 2^62 closes", lambda: ended([b"\x80" + b"\xc0" + b"\x80" * 7 + b"\x00"]))
    check("hixie: an endless text closes at the limit", lambda: ended([b"\x00", *([b"a" * 65536] * 320)]))


def hixie_75(url: str) -> None:
    def opened(c: Connection) -> Connection:
        c.send(HIXIE_75_HEAD % b"")
        want(c.exactly(len(HIXIE_75_ANSWER)) == HIXIE_75_ANSWER, "the answer differs")
        return c

    def echoed() -> None:
        with Connection(url) as c:
            opened(c).send(b"\x00one\xff\xff\x00\x80\x01?\x00two\xff")
            want(c.exactly(10) == b"\x00one\xff\x00two\xff", "echo differs")
            c.socket.shutdown(1)
            want(c.at_end(), "the connection stays open")

    def ended(data: Iterable[bytes]) -> None:
        with Connection(url) as c:
            pour(opened(c), data)
            want(c.at_end(), "the connection stays open")

    check("hixie-75: the example of the draft, FF 00 in between, and an end", echoed)
    check("hixie-75: a length that overflows closes", lambda: ended([b"\xff" + b"\xff" * 100]))
    check("hixie-75: a declared length of 2^62 closes", lambda: ended([b"\xff" + b"\xc0" + b"\x80" * 7 + b"\x00"]))
    check("hixie-75: an endless text closes at the limit", lambda: ended([b"\x00", *([b"a" * 65536] * 320)]))
    check("hixie-75: an endless frame closes at the limit", lambda: ended([b"\x01", *([b"a" * 65536] * 320)]))


# --- memory, resets ---


def memory_bounds(url: str, pid: int) -> None:
    def promises() -> None:
        connections = [Connection(url).open() for _ in range(100)]
        for c in connections:
            c.send(b"\x82\xff" + struct.pack("!Q", 16 * MIB) + b"mask" + b"little")
        attack.eventually("the server has read everything", lambda: wire.is_all_read(url))
        for c in connections:
            c.reset()

    def never_reads(data: bytes) -> None:
        with Connection(url) as c:
            blocked(c.open(), data, 256 * MIB)
            c.reset()

    check("100 declared frames of 16 MiB take no memory", lambda: grows(pid, 4 * MIB, promises))
    check("backpressure on a client that never reads", lambda: grows(pid, 32 * MIB, lambda: never_reads(frame(BINARY, bytes(65535)))))
    check("backpressure on a client that sends small messages and never reads",
          lambda: grows(pid, 32 * MIB, lambda: never_reads(frame(TEXT, b"x" * 16) * 1000)))
    check("a flood of pings without reading pongs takes no memory", lambda: grows(pid, 16 * MIB, lambda: never_reads(frame(PING, b"p" * 125) * 100)))


def resets(url: str) -> None:
    big = frame(BINARY, bytes(MIB))
    stages: dict[str, Callable[[Connection], object]] = {
        "after the connect": lambda c: None,
        "inside the head": lambda c: c.send(request()[:40]),
        "before the answer is read": lambda c: c.send(request()),
        "after the handshake": lambda c: c.open(),
        "inside a frame's head": lambda c: c.open().send(big[:5]),
        "inside a payload": lambda c: c.open().send(big[:70000]),
        "inside a fragmented message": lambda c: c.open().send(frame(TEXT, b"abc", fin=False)),
        "during an echo": lambda c: c.open().send(big),
        "during 100 echoes": lambda c: c.open().send(frame(TEXT, b"x" * 5000) * 100),
        "after a close": lambda c: c.open().send(frame(CLOSE, close_payload(1000))),
        "after a fault": lambda c: c.open().send(frame(3)),
        "after a rejection": lambda c: c.send(request("/nowhere")),
    }

    def twenty(stage: Callable[[Connection], object]) -> None:
        for _ in range(20):
            c = Connection(url)
            stage(c)
            c.reset()
        with Connection(url) as c:
            c.open().send(frame(TEXT, b"next"))
            want(c.frame() == (TEXT, b"next"), "the next client gets no echo")

    for name, stage in stages.items():
        check(f"reset {name}, 20 times", lambda s=stage: twenty(s))  # type: ignore[misc]


def main(url: str, pid: int) -> None:
    with attack.in_parallel(attack.GoodClient(url), pid, MEMORY_LIMIT):
        slow = slow_heads(url)
        handshakes(url)
        frames(url)
        hixie(url)
        hixie_75(url)
        memory_bounds(url, pid)
        resets(url)
        for thread in slow:
            thread.join()


main(sys.argv[1], int(sys.argv[2]))
attack.finish()
