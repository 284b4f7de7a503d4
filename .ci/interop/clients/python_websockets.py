#!/usr/bin/env python3
"""The `websockets` client against an echo server: python_websockets.py ws://HOST:PORT   (no path, no final slash).

Prints a line for each check. The last line is `N passed, N failed`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

TEXTS = {
    "empty": "",
    "ascii": "Hello, WebSocket! ~@#",
    "emoji": "naïve 日本語 😀👩‍👩‍👧‍👦 𝄞",
    "64 KiB": "k" * 65536,
    "64 KiB of emoji": "😀" * 16384,
    "1 MiB": "m" * (1 << 20),
}
BINARY_SIZES = (0, 1, 125, 126, 127, 65535, 65536, 1 << 20)
CLOSES = ((1000, ""), (1000, "done"), (1001, "going"), (3000, ""), (4999, "grüße 😀"), (1000, "r" * 123))
MANY = 100

passed = failed = 0


async def check(name: str, body: Callable[[], Awaitable[None]]) -> None:
    global passed, failed
    try:
        await asyncio.wait_for(body(), 30)
        passed += 1
        print("ok  ", name)
    except Exception as error:  # any error fails this check only
        failed += 1
        print("FAIL", name, "-", type(error).__name__, str(error)[:300])


def same(got: object, want: object) -> None:
    if type(got) is not type(want) or got != want:
        raise AssertionError(f"got {str(got)[:80]!r} ({type(got).__name__}), want {str(want)[:80]!r}")


def pattern(size: int) -> bytes:
    """Bytes with a period that is no power of two, so that swapped or shifted pieces differ."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


async def round_trip(ws: ClientConnection, message: str | bytes) -> None:
    await ws.send(message)
    same(await ws.recv(), message)


async def fragments(ws: ClientConnection, pieces: Iterable[str] | Iterable[bytes], whole: str | bytes) -> None:
    await ws.send(pieces)
    same(await ws.recv(), whole)


async def main(url: str) -> None:
    for path in ("/", "/echo"):
        for name, text in TEXTS.items():

            async def one_text(text: str = text, path: str = path) -> None:
                async with connect(url + path, max_size=None) as ws:
                    await round_trip(ws, text)
                    await round_trip(ws, "and again")

            await check(f"text {name} on {path}", one_text)

    for size in BINARY_SIZES:

        async def one_binary(size: int = size) -> None:
            async with connect(url + "/echo", max_size=None) as ws:
                await round_trip(ws, pattern(size))

        await check(f"binary {size}", one_binary)

    async def plain() -> None:
        async with connect(url + "/echo", max_size=None, compression=None) as ws:
            for text in TEXTS.values():
                await round_trip(ws, text)

    await check("texts without compression", plain)

    async def in_flight() -> None:
        async with connect(url + "/echo", max_size=None, max_queue=None) as ws:
            for n in range(1000):
                await ws.send(f"message {n}")
            for n in range(1000):
                same(await ws.recv(), f"message {n}")

    await check("1000 messages in flight come back in order", in_flight)

    async def ping() -> None:
        async with connect(url + "/echo") as ws:
            for data in (b"", b"ping me", bytes(range(125))):
                await (await ws.ping(data))  # awaits a pong with the same data
            await ws.pong(b"unsolicited")  # allowed, and must not be answered
            await round_trip(ws, "still here")

    await check("ping, and an unsolicited pong", ping)

    async def text_fragments() -> None:
        async with connect(url + "/echo", compression=None) as ws:
            await fragments(ws, ["frag", "", "mented ", "😀"], "fragmented 😀")
            await fragments(ws, ["x"] * 500, "x" * 500)

    await check("fragments of text", text_fragments)

    async def binary_fragments() -> None:
        async with connect(url + "/echo", compression=None, max_size=None) as ws:
            pieces = [pattern(size) for size in (0, 1, 126, 65536, 7)]
            await fragments(ws, pieces, b"".join(pieces))

    await check("fragments of binary", binary_fragments)

    for code, reason in CLOSES:

        async def close(code: int = code, reason: str = reason) -> None:
            ws = await connect(url + "/echo")
            await ws.close(code, reason)
            answer = ws.protocol.close_rcvd
            # RFC 6455 section 5.5.1: the code is echoed. A reason is optional, but must equal the sent
            # reason.
            same(answer.code if answer else None, code)
            same(answer.reason if answer and answer.reason else reason, reason)

        await check(f"the code of close {code} {reason[:12]!r} is echoed", close)

    async def no_subprotocol() -> None:
        async with connect(url + "/echo", subprotocols=["chat.v1", "chat.v2"]) as ws:  # type: ignore[list-item]
            same(ws.subprotocol, None)
            await round_trip(ws, "without a subprotocol")

    await check("no subprotocol when the application chose none", no_subprotocol)

    async def query() -> None:
        async with connect(url + "/echo?a=1&b=%20") as ws:
            await round_trip(ws, "the query is not part of the resource name")

    await check("query string", query)

    async def wrong_path() -> None:
        try:
            await connect(url + "/no/such/resource")
        except InvalidStatus as error:
            same(error.response.status_code, 404)
        else:
            raise AssertionError("accepted")

    await check("unknown path is 404", wrong_path)

    async def many() -> None:
        sockets = await asyncio.gather(*(connect(url + "/echo") for _ in range(MANY)))
        await asyncio.gather(*(round_trip(ws, f"client {n} " + "x" * n) for n, ws in enumerate(sockets)))
        await asyncio.gather(*(ws.close(3000 + n) for n, ws in enumerate(sockets)))
        same([ws.protocol.close_code for ws in sockets], list(range(3000, 3000 + MANY)))

    await check(f"{MANY} connections at once", many)

    async def closed() -> None:
        ws = await connect(url + "/echo")
        await ws.close(1000)
        try:
            await ws.send("late")
        except ConnectionClosed:
            return
        raise AssertionError("sent after close")

    await check("no message after the close", closed)


asyncio.run(main(sys.argv[1]))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
