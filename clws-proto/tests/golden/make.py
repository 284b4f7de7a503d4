#!/usr/bin/env python3
"""Writes raw DEFLATE streams made by Python's zlib, as a peer with permessage-deflate sends them.

    python3 make.py > zlib.txt

The first line has the messages, in hex. Each other line is one connection: the window bits,
`takeover` or `alone`, then the payloads of these messages.
"""

import random
import zlib

TAIL = b"\x00\x00\xff\xff"


def compressor(bits, level, memory, strategy):
    return zlib.compressobj(level, zlib.DEFLATED, -bits, memory, strategy)


def payload(deflate, message):
    out = deflate.compress(message) + deflate.flush(zlib.Z_SYNC_FLUSH)
    assert out.endswith(TAIL)
    return out[: -len(TAIL)]


def messages(source):
    words = ["".join(source.choices("etaoinshrdlu", k=source.randint(2, 9))) for _ in range(40)]
    yield b"Hello"
    yield "Ελλάδα, 日本, 😀".encode()
    for length in (3, 12, 60, 150):
        yield " ".join(source.choices(words, k=length)).encode()
    yield b'{"type":"tick","bid":1.2345,"ask":1.2347}' * 6
    yield b"a" * 700


def main():
    source = random.Random(7692)
    sent = list(messages(source))
    print(*(message.hex() for message in sent))
    for bits in range(9, 16):
        for takeover in (True, False):
            level = source.choice((0, 1, 6, 9))
            memory = source.randint(1, 9)
            strategy = source.choice((zlib.Z_DEFAULT_STRATEGY, zlib.Z_HUFFMAN_ONLY, zlib.Z_FIXED, zlib.Z_RLE))
            deflate, payloads = None, []
            for message in sent:
                if deflate is None or not takeover:
                    deflate = compressor(bits, level, memory, strategy)
                payloads.append(payload(deflate, message).hex())
            print(bits, "takeover" if takeover else "alone", *payloads)


main()
