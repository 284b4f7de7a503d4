#!/usr/bin/env python3
"""The `websockets` client with every permessage-deflate offer that it can make, against an echo server that accepts it:

    python_deflate.py ws://HOST:PORT none|takeover WINDOW THRESHOLD     as in the server's flags

The negotiated parameters must comply with RFC 7692 and match the server's configuration. Echoes must equal the sent
messages, and be smaller on the wire where expected. The last line is `N passed, N failed`.
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Literal

from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Offer

sys.path.insert(0, str(Path(__file__).parents[2] / "checks"))
from deflated import NAME, Agreed, agreed, json_of

Bits = int | Literal[True] | None
SERVER_BITS: tuple[int | None, ...] = (None, *range(9, 16))
CLIENT_BITS: tuple[Bits, ...] = (None, True, *range(9, 16))
MIB = 1 << 20
NOISE = random.Random(7692).randbytes(MIB)
JSON = json_of(4000).decode()
# Parameters for the whole set of messages: server and client without takeover, and their windows.
WHOLE: tuple[tuple[bool, bool, int | None, Bits], ...] = (
    (False, False, None, True), (False, False, None, None), (True, True, 15, 15), (True, False, 9, 9),
    (False, True, 12, 10), (False, False, 9, 15), (False, False, 15, 9),
)

passed = failed = 0


async def check(name: str, body: Callable[[], Awaitable[None]]) -> None:
    global passed, failed
    try:
        await asyncio.wait_for(body(), 60)
        passed += 1
        print("ok  ", name)
    except Exception as error:  # any error fails this check only
        failed += 1
        print("FAIL", name, "-", type(error).__name__, str(error)[:300])


def want(good: bool, what: object) -> None:
    if not good:
        raise AssertionError(what)


class Counting(ClientConnection):
    """Counts the received bytes."""

    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


def opened(url: str, offers: Sequence[Offer] | None) -> connect:
    return connect(url + "/echo", max_size=None, compression=None, extensions=offers, create_connection=Counting, ping_interval=None)


def text_of(offer: Offer) -> str:
    return "; ".join([NAME, *(name if value is None else f"{name}={value}" for name, value in offer.get_request_params())])


class Server:
    def __init__(self, url: str, takeover: bool, window: int, threshold: int) -> None:
        self.url, self.takeover, self.window, self.threshold = url, takeover, window, threshold

    def negotiated(self, ws: ClientConnection, offer: Offer) -> Agreed:
        """The negotiated parameters, checked against the RFC, the configuration and the client's own view."""
        answer = ws.response.headers["Sec-WebSocket-Extensions"] if ws.response else ""
        got = agreed(text_of(offer), answer)
        asked = offer.client_max_window_bits
        wanted = Agreed(
            server_takeover=self.takeover and not offer.server_no_context_takeover,
            client_takeover=self.takeover and not offer.client_no_context_takeover,
            server_bits=15 if offer.server_max_window_bits is None else min(self.window, offer.server_max_window_bits),
            client_bits=15 if asked is None else min(self.window, 15 if asked is True else asked),
        )
        want(got == wanted, f"{answer!r} to {text_of(offer)!r}: want {wanted}")
        (used,) = ws.protocol.extensions
        want(repr(used) == f"PerMessageDeflate(remote_no_context_takeover={not got.server_takeover}, "
             f"local_no_context_takeover={not got.client_takeover}, remote_max_window_bits={got.server_bits}, "
             f"local_max_window_bits={got.client_bits})", f"{used!r} after {answer!r}")
        return got


async def echo(ws: ClientConnection, message: str | bytes) -> int:
    """A round trip. Returns the number of bytes received for it."""
    before = ws.received if isinstance(ws, Counting) else 0
    await ws.send(message)
    got = await ws.recv()
    want(type(got) is type(message) and got == message, f"{str(got)[:60]!r} ({len(got)}), want {str(message)[:60]!r} ({len(message)})")
    return (ws.received if isinstance(ws, Counting) else 0) - before


def smaller(size_on_wire: int, size: int, most: float, what: str) -> None:
    want(size_on_wire < size * most, f"{what}: {size_on_wire} bytes on the wire for {size}")


async def whole_set(server: Server, offer: Offer) -> None:
    async with opened(server.url, [offer]) as ws:
        got = server.negotiated(ws, offer)
        for text in ("", "ascii ~@#", "naïve 日本語 😀👩‍👩‍👧‍👦 𝄞", "😀" * 16384, "m" * MIB, "", JSON * 250):
            received, size = await echo(ws, text), len(text.encode())
            if size > 1000:
                smaller(received, size, 0.5, "text")
        for size in (0, 1, 125, 126, 127, 511, 512, 65535, 65536, MIB):
            await echo(ws, (bytes(range(251)) * (size // 251 + 1))[:size])
        smaller(await echo(ws, bytes(MIB)), MIB, 0.01, "zeros")
        smaller(await echo(ws, NOISE), MIB, 1.01, "noise")  # not larger than stored blocks
        # Messages below the threshold are sent uncompressed.
        received = await echo(ws, "t" * 200)
        want((received > 200) == (server.threshold > 200), f"{received} bytes on the wire for 200, the threshold is {server.threshold}")

        fragments: list[str] = ["frag", "", "mented ", "😀", JSON, "x" * 100_000]
        await ws.send(fragments)
        want(await ws.recv() == "".join(fragments), "fragments of text differ")
        await ws.send([NOISE[:1000], b"", NOISE[:70_000]])
        want(await ws.recv() == NOISE[:1000] + NOISE[:70_000], "fragments of binary differ")

        async def with_pings() -> AsyncIterator[str]:
            for n in range(5):
                yield f"{n} " * 500
                await (await ws.ping(f"between {n}"))  # answered before the message is complete

        await ws.send(with_pings())
        want(await ws.recv() == "".join(f"{n} " * 500 for n in range(5)), "fragments with pings between them differ")

        # Many similar messages in a row: a context makes them smaller.
        sizes = [await echo(ws, f'{{"n":{n},{JSON[2:900]}') for n in range(200)]
        first, later = sizes[0], sum(sizes[100:]) / 100
        if server.threshold <= 900:
            smaller(int(later), 900, 0.7, "JSON of 900 bytes")
            # A window of 2^9 reaches no further back than this message.
            context = got.server_takeover and min(server.window, got.server_bits) > 10
            want((later < first * 0.5 or later < 60) == context, f"{later:.0f} bytes on the wire for each, context: {context}")
        await asyncio.gather(*(ws.send(f"in flight {n} {JSON[:n]}") for n in range(300)))
        want(sorted([str(await ws.recv()) for _ in range(300)]) == sorted(f"in flight {n} {JSON[:n]}" for n in range(300)), "in flight")


async def main(server: Server) -> None:
    for server_alone, client_alone, server_bits in product((False, True), (False, True), SERVER_BITS):

        async def combinations(s: bool = server_alone, c: bool = client_alone, bits: int | None = server_bits) -> None:
            for client_bits in CLIENT_BITS:
                offer = Offer(s, c, bits, client_bits)
                async with opened(server.url, [offer]) as ws:
                    server.negotiated(ws, offer)
                    for _ in range(3):
                        smaller(await echo(ws, JSON), len(JSON), 0.8, text_of(offer))
                    await echo(ws, NOISE[:3000])
                    await echo(ws, JSON)

        alone = ("server_no_context_takeover, " if server_alone else "") + ("client_no_context_takeover, " if client_alone else "")
        await check(f"offers with {alone}server_max_window_bits {server_bits}, client_max_window_bits any of {len(CLIENT_BITS)}",
                    combinations)
    for which in WHOLE:
        offer = Offer(*which)
        await check(f"all messages with {text_of(offer)}", lambda offer=offer: whole_set(server, offer))  # type: ignore[misc]

    async def several() -> None:
        # The first offer is not acceptable, because no zlib compresses with a window of 2^8.
        offers = [Offer(server_max_window_bits=8), Offer(server_max_window_bits=11, client_max_window_bits=None)]
        async with opened(server.url, offers) as ws:
            server.negotiated(ws, offers[1])
            smaller(await echo(ws, JSON), len(JSON), 0.8, "JSON")

    await check("the first acceptable one of two offers", several)

    async def none() -> None:
        for offers in (None, [Offer(server_max_window_bits=8)]):
            async with opened(server.url, offers) as ws:
                want(ws.response is not None and "Sec-WebSocket-Extensions" not in ws.response.headers, "an answer to no offer")
                want(await echo(ws, JSON) > len(JSON), "compressed without negotiation")

    await check("no acceptable offer: no extension, no compression", none)

    async def many() -> None:
        await asyncio.gather(*(one(n) for n in range(50)))

    async def one(n: int) -> None:
        offer = Offer(n % 2 == 0, n % 3 == 0, SERVER_BITS[n % 8], CLIENT_BITS[n % 9])
        async with opened(server.url, [offer]) as ws:
            for m in range(20):
                await echo(ws, f"client {n} message {m} {JSON}")

    await check("50 connections at once with different offers", many)


async def run(url: str, takeover: str, window: str, threshold: str) -> None:
    await main(Server(url, takeover == "takeover", int(window), int(threshold)))


asyncio.run(run(*sys.argv[1:5]))
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
