#!/usr/bin/env python3
"""Hostile compressed bytes over real sockets: bad_deflate.py ws://HOST:PORT PID none|takeover MAX_MESSAGE

The server is echo with `--deflate` or `--deflate-takeover`, and with `--max-message MAX_MESSAGE` unless that is the
default of 16 MiB. In parallel with all attacks a good client with compression must not notice anything. The server's
resident memory is bounded for each bomb and over the whole run.
"""

import random
import sys
import zlib
from collections.abc import Callable, Iterable

import attack
from attack import blocked, check, want
from deflated import COMPRESSED, NAME, TAIL, Inflater, close, deflate, fragments, json_of, message, zeros
from wire import BINARY, CLOSE, PING, PONG, TEXT, Connection, close_payload, frame

MIB = 1 << 20
DEFAULT_MAX = 16 * MIB
OTHERS = 32 * MIB  # memory in addition to three times the largest message: buffers, codecs, allocator overhead
BOMBS = 8
EMPTY_BLOCK = b"\x00" + TAIL  # an empty stored block, after which the next block starts at a byte boundary


class Attacked:
    """The server, and connections with permessage-deflate."""

    def __init__(self, url: str, pid: int, takeover: bool, most: int) -> None:
        self.url, self.pid, self.takeover, self.most = url, pid, takeover, most
        self.bound = 3 * most + OTHERS

    def open(self) -> tuple[Connection, Inflater]:
        c = Connection(self.url).open(offer=NAME)
        want(c.extensions is not None and c.extensions.startswith(NAME), f"negotiated {c.extensions}")
        want(("client_no_context_takeover" in str(c.extensions)) != self.takeover, f"negotiated {c.extensions}")
        return c, Inflater(15, self.takeover)

    def closes(self, name: str, data: bytes | Iterable[bytes], codes: Iterable[int]) -> None:
        def body() -> None:
            c, _ = self.open()
            with c:
                attack.closed_with(c, data, codes)

        check(f"{name}: {'/'.join(map(str, codes))}", body)

    def echoes(self, name: str, data: bytes, *wanted: tuple[int, bytes]) -> None:
        """Expects these messages and control frames in answer to `data`, on a connection that still works afterwards."""

        def body() -> None:
            c, inflater = self.open()
            with c:
                c.send(data)
                for each in wanted:
                    got = inflater.read(c)[:2]
                    want(got == each, f"got {got[0]} {got[1][:60]!r} ({len(got[1])} bytes), want {each[0]} {each[1][:60]!r}")
                want(close(c, close_payload(1000)), "the close is not answered")

        check(name, body)


class Compressing(attack.GoodClient):
    """Compresses each message by itself, which is always allowed, and reads with the negotiated parameters."""

    inflaters: dict[Connection, Inflater]

    def __init__(self, server: Attacked) -> None:
        super().__init__(server.url)
        self.server = server
        self.inflaters = {}

    def opened(self) -> Connection:
        self.inflaters = {c: i for c, i in self.inflaters.items() if c.socket.fileno() >= 0}
        c, self.inflaters[c] = self.server.open()
        return c

    def round_trip(self, connection: Connection, text: bytes) -> None:
        connection.send(message(text))
        got = self.inflaters[connection].read(connection)[:2]
        want(got == (TEXT, text), f"echo differs: {got!r}"[:200])


def framing(server: Attacked) -> None:
    hello = deflate(b"hello")

    def not_negotiated() -> None:
        with Connection(server.url) as c:
            attack.closed_with(c.open(), message(b"hello"), [1002])

    check("RSV1 without negotiation: 1002", not_negotiated)
    first = frame(TEXT, hello[:3], fin=False, rsv=COMPRESSED)
    plain = frame(TEXT, b"hel", fin=False)
    server.closes("RSV1 on a ping", frame(PING, b"p", rsv=COMPRESSED), [1002])
    server.closes("RSV1 on a pong", frame(PONG, b"p", rsv=COMPRESSED), [1002])
    server.closes("RSV1 on a close", frame(CLOSE, close_payload(1000), rsv=COMPRESSED), [1002])
    server.closes("RSV1 on a ping between fragments", first + frame(PING, b"p", rsv=COMPRESSED), [1002])
    server.closes("RSV1 on a continuation of a compressed message", first + frame(0, hello[3:], rsv=COMPRESSED), [1002])
    server.closes("RSV1 on a continuation of a plain message", plain + frame(0, hello, rsv=COMPRESSED), [1002])
    server.closes("RSV1 on a continuation without a message", frame(0, hello, rsv=COMPRESSED), [1002])
    server.closes("RSV1 and RSV2", frame(TEXT, hello, rsv=6), [1002])
    server.closes("RSV3 alone", frame(TEXT, b"x", rsv=1), [1002])
    server.closes("RSV1 with opcode 3", frame(3, hello, rsv=COMPRESSED), [1002])
    server.closes("an unmasked compressed frame", frame(TEXT, hello, rsv=COMPRESSED, mask=None), [1002])
    server.echoes("a plain message on a connection with compression", frame(TEXT, b"plain") + message(b"not"),
                  (TEXT, b"plain"), (TEXT, b"not"))
    server.echoes("a ping between the fragments of a compressed message", first + frame(PING, b"p") + frame(0, hello[3:]),
                  (PONG, b"p"), (TEXT, b"hello"))


def content(server: Attacked) -> None:
    noise = random.Random(7692)
    compressed = deflate(json_of(8000))
    one = message(b"the context of the next message")
    server.closes("a reserved block type", frame(TEXT, b"\x06", rsv=COMPRESSED), [1007])
    server.closes("a stored block whose lengths differ", frame(TEXT, b"\x00\x05\x00\x00\x00hello", rsv=COMPRESSED), [1007])
    server.closes("noise", frame(BINARY, b"\xff" + noise.randbytes(3000), rsv=COMPRESSED), [1007])
    server.closes("plain text in a compressed frame", frame(TEXT, b"hello, world", rsv=COMPRESSED), [1007])
    server.closes("a zlib header", frame(TEXT, zlib.compress(json_of(1000)), rsv=COMPRESSED), [1007])
    server.closes("a reference before the first message", message(b"abcdefgh" * 8, before=b"abcdefgh" * 8), [1007])
    for n in range(8):
        cut = noise.randrange(1, len(compressed) - 8)
        server.closes(f"a message cut off at byte {cut} of {len(compressed)}", frame(TEXT, compressed[:cut], rsv=COMPRESSED), [1007])
    server.closes("a fragmented message cut off", b"".join(fragments(compressed[: len(compressed) // 2], 100)), [1007])
    server.closes("corrupt data after a good message", one + frame(TEXT, b"\x06", rsv=COMPRESSED), [1007])
    server.closes("corrupt data in the first fragment of an unfinished message",
                  frame(TEXT, b"\x06" * 10, fin=False, rsv=COMPRESSED), [1007])

    server.closes("text that is not UTF-8", message(b"ok \xff"), [1007])
    server.closes("text that ends inside a character", message("é".encode()[:1]), [1007])
    server.closes("a surrogate in UTF-8", message(b"\xed\xa0\x80"), [1007])
    bad = deflate(b"\xff" + noise.randbytes(60000))
    server.closes("bad UTF-8 in the first fragment of an unfinished message",
                  frame(TEXT, bad[:30000], fin=False, rsv=COMPRESSED), [1007])
    binary = b"\xff\xfe\xed\xa0\x80"
    server.echoes("the same bytes as binary are valid", message(binary, BINARY), (BINARY, binary))
    text = ("naïve 日本語 😀" * 30).encode()
    server.echoes("characters cut by every fragment", b"".join(fragments(deflate(text), 1)), (TEXT, text))

    # RFC 7692 sections 7.2.3.3 to 7.2.3.6: no compression, a final block, two blocks, nothing
    final = zlib.compressobj(6, zlib.DEFLATED, -15)
    finished = final.compress(b"Hello") + final.flush(zlib.Z_FINISH)
    server.echoes("a stored block", frame(TEXT, b"\x00\x05\x00\xfa\xffHello\x00", rsv=COMPRESSED), (TEXT, b"Hello"))
    server.echoes("BFINAL=1 and one more byte", frame(TEXT, finished + b"\x00", rsv=COMPRESSED), (TEXT, b"Hello"))
    server.echoes("BFINAL=1 twice, then a normal message", frame(TEXT, finished + b"\x00", rsv=COMPRESSED) * 2 + message(b"on"),
                  (TEXT, b"Hello"), (TEXT, b"Hello"), (TEXT, b"on"))
    server.echoes("two streams with BFINAL=1 in one message", frame(TEXT, finished * 2 + b"\x00", rsv=COMPRESSED), (TEXT, b"HelloHello"))
    server.echoes("BFINAL=1 in the first fragment",
                  frame(TEXT, finished, fin=False, rsv=COMPRESSED) + frame(0, b"\x00"), (TEXT, b"Hello"))
    server.closes("BFINAL=1 and noise after it", frame(TEXT, finished + b"\xff" * 20, rsv=COMPRESSED), [1007])
    server.echoes("two blocks", frame(TEXT, bytes.fromhex("f248050000 00ffffcac9c90700"), rsv=COMPRESSED), (TEXT, b"Hello"))
    server.echoes("an empty message", frame(TEXT, b"\x00", rsv=COMPRESSED), (TEXT, b""))
    server.echoes("an empty compressed payload", frame(TEXT, b"", rsv=COMPRESSED) + message(b"on"), (TEXT, b""), (TEXT, b"on"))
    server.echoes("empty fragments around a full one",
                  frame(TEXT, b"", fin=False, rsv=COMPRESSED) + frame(0, deflate(b"hello"), fin=False) + frame(0, b""), (TEXT, b"hello"))
    server.echoes("10,000 empty blocks", frame(TEXT, EMPTY_BLOCK * 10000 + b"\x00", rsv=COMPRESSED), (TEXT, b""))
    first = frame(TEXT, EMPTY_BLOCK, fin=False, rsv=COMPRESSED)
    server.echoes("empty blocks in 1,000 fragments", first + frame(0, EMPTY_BLOCK, fin=False) * 998 + frame(0, b"\x00"), (TEXT, b""))
    # The context: 32 KiB, or nothing.
    before = json_of(2000, 1)
    later = message(before[:1500] + b"!", before=before)
    if server.takeover:
        server.echoes("a reference to the previous message", message(before) + later, (TEXT, before), (TEXT, before[:1500] + b"!"))
        between = frame(BINARY, bytes(40000))
        server.echoes("plain messages do not enter the context", message(before) + between + later,
                      (TEXT, before), (BINARY, bytes(40000)), (TEXT, before[:1500] + b"!"))
        final = zlib.compressobj(6, zlib.DEFLATED, -15, zdict=before)
        finished = final.compress(before) + final.flush(zlib.Z_FINISH)
        server.echoes("BFINAL=1 keeps the context", message(before) + frame(TEXT, finished + b"\x00", rsv=COMPRESSED) + later,
                      (TEXT, before), (TEXT, before), (TEXT, before[:1500] + b"!"))
        server.closes("a reference beyond the window", message(before) + message(noise.randbytes(40000), BINARY) + later, [1007])
    else:
        server.closes("a reference to the previous message without context takeover", message(before) + later, [1007])


def bombs(server: Attacked) -> None:
    gib = zeros(1024)
    highest: list[int] = [0]

    def bounded(name: str, data: Callable[[], bytes | Iterable[bytes]]) -> None:
        def body() -> None:
            c, _ = server.open()
            with c:
                grown = attack.growth(server.pid, lambda: attack.closed_with(c, data(), [1009]))
            want(grown < server.bound, f"resident memory grew by {grown >> 10} KiB, {server.bound >> 10} KiB allowed")
            highest.append(grown)

        check(f"{name}: 1009, and memory is bounded", body)

    bounded("1 GiB of zeros in one frame", lambda: frame(BINARY, gib, rsv=COMPRESSED))
    bounded("1 GiB of zeros as text", lambda: frame(TEXT, gib, rsv=COMPRESSED))
    bounded("1 GiB of zeros in fragments of 100 bytes", lambda: fragments(gib, 100, BINARY))
    bounded("1 GiB of zeros after 1,000 empty blocks", lambda: frame(BINARY, EMPTY_BLOCK * 1000 + gib, rsv=COMPRESSED))

    print(f"note: 1 GiB of zeros in {len(gib)} bytes, message limit {server.most}, {'with' if server.takeover else 'no'} context: "
          f"the server's memory grew by at most {max(highest) >> 10} KiB")

    def several() -> None:
        data = frame(BINARY, gib, rsv=COMPRESSED)
        within = len(data) * server.most // (4 << 30) * 3  # bytes that inflate to three quarters of the limit
        connections = [server.open()[0] for _ in range(BOMBS)]
        for c in connections:
            c.send(data[:within])
        for c in connections:
            with c:
                attack.closed_with(c, data[within:], [1009])

    # Each may hold the inflated part of its message, and no more.
    check(f"{BOMBS} of these bombs at once", lambda: attack.grows(server.pid, server.bound + BOMBS * server.most, several))
    exact = bytes(server.most)
    server.echoes("a message of exactly the limit is echoed", message(exact, BINARY), (BINARY, exact))
    server.closes("one byte more", message(bytes(server.most + 1), BINARY), [1009])
    server.closes("200,000 empty fragments",
                  frame(TEXT, rsv=COMPRESSED, fin=False) + frame(0, fin=False) * 200_000, [1002, 1008, 1009])


def floods(server: Attacked) -> None:
    tiny = message(b"x")

    def answered() -> None:
        c, inflater = server.open()
        with c:
            for _ in range(20):
                c.send(tiny * 500)
                want(all(inflater.read(c)[:2] == (TEXT, b"x") for _ in range(500)), "an echo differs")
            want(close(c, close_payload(1000)), "the close is not answered")

    def unread(data: bytes) -> None:
        c, _ = server.open()
        blocked(c, data, 64 * MIB)
        c.reset()

    def busy() -> None:
        """15 MB that inflate to nothing: they cost time, but no memory."""
        c, inflater = server.open()
        with c:
            c.send(frame(TEXT, EMPTY_BLOCK * 3_000_000 + b"\x00", rsv=COMPRESSED))
            want(inflater.read(c)[:2] == (TEXT, b""), "an echo differs")

    def cut_off() -> None:
        whole = message(json_of(8000))
        for n in range(50):
            c, _ = server.open()
            c.send(whole[: len(whole) * n // 50])
            c.reset()
        c, inflater = server.open()
        with c:
            want(inflater.read(c.send(whole))[:2] == (TEXT, json_of(8000)), "the next client gets no echo")

    check("10,000 tiny compressed messages are echoed", lambda: attack.grows(server.pid, OTHERS, answered))
    check("backpressure on a flood of tiny compressed messages without reading",
          lambda: attack.grows(server.pid, OTHERS, lambda: unread(tiny * 2000)))
    check("backpressure on bombs that inflate to 1,000 times their size, without reading",
          lambda: attack.grows(server.pid, server.bound, lambda: unread(message(bytes(min(server.most, MIB)), BINARY) * 20)))
    check("15 MB of empty blocks", lambda: attack.grows(server.pid, server.bound, busy))
    check("50 connections that end inside a compressed message", cut_off)


def main(url: str, pid: int, takeover: bool, most: int) -> None:
    server = Attacked(url, pid, takeover, most)
    with attack.in_parallel(Compressing(server), pid, server.bound + BOMBS * most):
        framing(server)
        content(server)
        bombs(server)
        floods(server)


main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "takeover", int(sys.argv[4]))
attack.finish()
