#!/usr/bin/env python3
"""Python's `websockets` against an echo server: python_websockets.py ws://HOST:PORT/PATH OFFER [EXPECTED]

OFFER: none, default, alone (no context takeover), small (windows of 2^9) or two (only the second is acceptable).
EXPECTED: plain, compressed or context (compressed with context takeover).
"""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory as Offer

OFFERS = {
    "none": [],
    "default": [Offer(client_max_window_bits=True)],
    "alone": [Offer(server_no_context_takeover=True, client_no_context_takeover=True)],
    "small": [Offer(server_max_window_bits=9, client_max_window_bits=9)],
    # No zlib compresses with a window of 2^8.
    "two": [Offer(server_max_window_bits=8), Offer(server_max_window_bits=11, client_max_window_bits=True)],
}
# One message of this size compresses badly. With context, a repetition is a reference to the previous one.
NOISE = random.Random(7692).randbytes(3000)


def want(good: bool, what: object) -> None:
    if not good:
        raise AssertionError(what)


class Counting(ClientConnection):
    """Counts the received bytes."""

    received = 0

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        super().data_received(data)


async def echo(ws: ClientConnection, name: str, message: str | bytes) -> int:
    """A round trip. Returns the number of bytes received for it."""
    assert isinstance(ws, Counting)
    before = ws.received
    await ws.send(message)
    got = await ws.recv()
    want(type(got) is type(message) and got == message, f"{name}: {len(got)} {type(got)} differ from {len(message)} {type(message)}")
    return ws.received - before


async def cases(ws: ClientConnection, expected: str) -> None:
    for line in Path(__file__).with_name("cases.tsv").read_text().splitlines()[1:]:
        name, kind, unit, times = line.split("\t")
        data = bytes.fromhex(unit.strip("-")) * int(times)
        if kind == "ping":
            await (await ws.ping(data))  # a pong with the same data
            continue
        size = await echo(ws, name, data.decode() if kind == "text" else data)
        want(len(data) != 65536 or (size < 40000) == (expected != "plain"), f"{name}: {size} bytes on the wire for {len(data)}")
    await echo(ws, "noise", NOISE)
    again = await echo(ws, "the same noise", NOISE)
    want((again < len(NOISE) / 2) == (expected == "context"), f"{again} bytes on the wire for the same noise")


async def fragments(ws: ClientConnection) -> None:
    async def with_pings() -> AsyncIterator[str]:
        for n in range(5):
            yield f"{n} " * 500
            await (await ws.ping(f"between {n}"))  # answered before the message is complete

    await ws.send(with_pings())
    want(await ws.recv() == "".join(f"{n} " * 500 for n in range(5)), "fragments with pings between them differ")
    await ws.pong(b"unsolicited")  # must not be answered


async def main(url: str, offer: str, expected: str = "plain") -> None:
    try:
        await connect(f"{url}/no/such/resource")
    except InvalidStatus as error:
        want(error.response.status_code == 404, error)
    else:
        raise AssertionError("an unknown path is accepted")
    ws = await connect(url, max_size=None, compression=None, extensions=OFFERS[offer], create_connection=Counting)
    want(bool(ws.protocol.extensions) == (expected != "plain"), ws.protocol.extensions)
    await cases(ws, expected)
    await fragments(ws)
    await ws.close(4999, "grüße 😀")
    answer = ws.protocol.close_rcvd
    # RFC 6455 section 5.5.1: the server echoes the code. Its reason is optional.
    want(answer is not None and answer.code == 4999 and answer.reason in ("", "grüße 😀"), answer)


asyncio.run(main(*sys.argv[1:]))
