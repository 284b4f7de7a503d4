#!/usr/bin/env python3
"""Makes the seeds of the targets, mostly from recorded traffic of real clients.

The seeds are committed. Files whose names begin with `found-` are kept: they are inputs that once
broke something.
"""

from pathlib import Path

here = Path(__file__).parent
captures = here.parent.parent / "clws-handshake" / "tests" / "captures"
# The newest comes first, as in `version` of src/lib.rs.
VERSIONS = {"rfc6455": 0, "hybi-08": 1, "hybi-07": 2, "hybi-00": 3}
HIXIE_75 = 4


def seed(target: str, name: str, data: bytes) -> None:
    folder = here / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def frames(capture: Path) -> bytes:
    """The bytes after the head, and after the 8 or 16 bytes of draft 0."""
    data = capture.read_bytes()
    end = data.index(b"\r\n\r\n") + 4
    if "hybi-00" in capture.name:
        end += 8 if ".c2s" in capture.name else 16
    return data[end:]


def mask(payload: bytes, key: bytes = bytes([1, 2, 3, 4])) -> bytes:
    return key + bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))


for capture in sorted(captures.glob("*.bin")):
    if "hixie-75" in capture.name:
        continue  # the seeds of hixie-75 are written by hand below
    version = next(number for name, number in VERSIONS.items() if name in capture.name)
    role = 0x00 if ".c2s" in capture.name else 0x80
    name = capture.name.removesuffix(".bin")
    wire = frames(capture)
    seed("receiver", name, bytes([version | role, 0, 0, 7, 0]) + wire)
    if version == 0:
        seed("differential_tungstenite", name, bytes([role, 0]) + wire)

# RFC 6455 §5.7 and RFC 7692 §7.2.3, for a client and for a server.
EXAMPLES = {
    "text": b"\x81\x05Hello",
    "fragments": b"\x01\x03Hel\x89\x05Hello\x80\x02lo",
    "ping": b"\x89\x05Hello\x8a\x05Hello",
    "length-16": b"\x82\x7e\x01\x00" + bytes(256),
    "length-64": b"\x82\x7f" + (65536).to_bytes(8, "big") + bytes(300),
    "close": b"\x88\x05\x03\xe8bye\x81\x01x",
    "cut-character": b"\x01\x02\xc3\xa9\x00\x01\xe6\x80\x02\xb0\xb4",
    "binary-fragments": b"\x02\x02ab\x00\x00\x80\x02cd\x88\x00",
}
DEFLATED = {
    "hello": [(0xC1, "f248cdc9c90700")],
    "fragments": [(0x41, "f248cd"), (0x89, "61"), (0x80, "c9c90700")],
    "takeover": [(0xC1, "f248cdc9c90700"), (0xC1, "f200110000")],
    "stored": [(0xC1, "000500faff48656c6c6f00")],
    "final-block": [(0xC1, "f348cdc9c9070000")],
    "two-blocks": [(0xC1, "f24805000000ffffcac9c90700")],
    "empty": [(0xC1, "00"), (0x81, "6162")],
}


def split(wire: bytes) -> list[tuple[int, bytes]]:
    parts = []
    while wire:
        size, at = wire[1], 2
        if size == 126:
            size, at = int.from_bytes(wire[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(wire[2:10], "big"), 10
        parts.append((wire[0], wire[at : at + size]))
        wire = wire[at + size :]
    return parts


def to_server(parts: list[tuple[int, bytes]]) -> bytes:
    out = b""
    for first, payload in parts:
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        out += bytes([first]) + length + mask(payload)
    return out


for name, wire in EXAMPLES.items():
    for version in (0, 1, 2):
        seed("receiver", f"{name}-{version}-client", bytes([0x80 | version, 0, 0, 7, 0]) + wire)
    seed("receiver", f"{name}-server", bytes([0, 0x24, 0, 7, 0]) + to_server(split(wire)))
    seed("differential_tungstenite", f"{name}-client", bytes([0x80, 0]) + wire)
    seed("differential_tungstenite", f"{name}-server", bytes([0x00, 3]) + to_server(split(wire)))
for name, parts in DEFLATED.items():
    raw = [(first, bytes.fromhex(payload)) for first, payload in parts]
    wire = b"".join(bytes([first, len(payload)]) + payload for first, payload in raw)
    seed("receiver", f"deflate-{name}-client", bytes([0xC0, 0, 0, 7, 0]) + wire)
    seed("receiver", f"deflate-{name}-server", bytes([0x40, 0, 0xC0, 7, 0]) + to_server(raw))
    # Mode 0: parameters, limits, cuts, then for each message its kind, length and payload.
    messages = b"".join(bytes([first & 0x0F, len(payload)]) + payload for first, payload in raw if first & 0x08 == 0)
    seed("deflate", f"inflate-{name}", bytes([0, 0, 0, 7, 0]) + messages)
    seed("deflate", f"inflate-{name}-small", bytes([0, 0x3F, 5, 7, 0]) + messages)

# Text frames, discarded frames, and the closing handshake of draft 76.
for name, wire in {
    "texts": b"\x00Hello\xff\x00\xff\x00\xc3\xa9\xff",
    "discarded": b"\x01abc\xff\x80\x03abc\x81\x81\x00" + bytes(128) + b"\x00x\xff",
    "replaced": b"\x00a\xfe\x80b\xff",
    "close": b"\x00a\xff\xff\x00\x00b\xff",
}.items():
    for version in (3, HIXIE_75):
        seed("receiver", f"hixie-{name}-{version}", bytes([version, 0, 0, 7, 0]) + wire)
        seed("receiver", f"hixie-{name}-{version}-client", bytes([0x80 | version, 4, 0, 7, 0]) + wire)

# Mode 1: parameters, level, memory, threshold, then for each message a kind, length, fill and
# content.
for bits in range(8):
    config = bytes([1, bits | bits << 3, bits, 0, 7])
    seed("deflate", f"compress-{15 - bits}", config + b"".join(bytes([kind, 200, kind, 9]) + b"some text" for kind in range(6)))

# Commands for a sender: a byte for the kind, and its parameters.
ops = b"".join(bytes([op, 0, 20 + op, op]) for op in range(16)) * 2
for version in range(5):
    for role in (0, 0x80):
        seed("roundtrip", f"ops-{version}-{role >> 7}", bytes([version | role, 0, 0, 9, 0]) + ops)
        seed("roundtrip", f"ops-deflate-{version}-{role >> 7}", bytes([version | role | 0x40, 0, 1, 9, 0]) + ops[::-1])
