#!/usr/bin/env python3
"""Makes the seeds of the target from recorded traffic of real clients, and from scripts.

The seeds are committed. Files whose names begin with `found-` are kept: they are inputs that once
broke something.
"""

from pathlib import Path

here = Path(__file__).parent
captures = here.parent.parent / "clws-handshake" / "tests" / "captures"
folder = here / "seeds" / "connection"
folder.mkdir(parents=True, exist_ok=True)


def seed(name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


def step(what: int, more: int = 0, *rest: int) -> bytes:
    return bytes([what | more << 5, *rest])


def length(count: int) -> tuple[int, int]:
    assert count < 128 or count < 8192
    return (0, count) if count < 128 else (0xC0 | count >> 8, count & 255)


# The recorded bytes of a real client, in place of a generated request.
for capture in sorted(captures.glob("*.c2s.bin")):
    data = capture.read_bytes()[:2000].replace(b" /echo ", b" / ").replace(b"GET /echo", b"GET /")
    raw = b"".join(step(8, 0, *length(len(part))) + part for part in (data[:100], data[100:]))
    seed("capture-" + capture.name.removesuffix(".c2s.bin"), bytes([0, 0x20, 8, 0]) + raw + step(10) + step(14, 4))

MESSAGE = {what: step(2, 0, index, 0, 10) for index, what in ((0, "echo"), (4, "big"), (5, "pause"), (6, "close"), (7, "abort"), (8, "slow"), (10, "queue"), (12, "none"))}
ARRIVE, READ, STALL, END = step(10), step(16), step(17), step(18)
SCRIPTS = {
    "echo": MESSAGE["echo"] * 5 + ARRIVE + step(7, 0, 10) + ARRIVE + step(9, 1) + ARRIVE,
    "frames": step(2, 3, 12, 0xC1, 0) + step(2, 6, 0, 0xC2, 0) + step(10, 7, 0, 50) + ARRIVE,
    "large": step(3, 1, 12, 0xE8, 0) + step(10, 7, 0xE4, 0) + ARRIVE + MESSAGE["none"] + ARRIVE + END,
    "pause": MESSAGE["pause"] + MESSAGE["echo"] * 3 + ARRIVE + step(14, 5) + step(24) + ARRIVE + END,
    "pause-end": MESSAGE["pause"] + MESSAGE["echo"] * 3 + ARRIVE + END + step(14, 6),
    "close": MESSAGE["echo"] + MESSAGE["close"] + MESSAGE["echo"] * 3 + ARRIVE + step(15),
    "close-late": step(25) + step(15, 1) + step(9, 1) + ARRIVE,
    "abort": MESSAGE["echo"] + MESSAGE["abort"] + MESSAGE["echo"] + ARRIVE,
    "slow": MESSAGE["slow"] * 40 + MESSAGE["echo"] * 40 + ARRIVE + ARRIVE,
    "stall": STALL + step(21, 0, 0xE8, 0) + MESSAGE["echo"] * 3 + ARRIVE + step(15) + step(16, 7, 0, 20) + step(14, 6),
    "big": STALL + MESSAGE["big"] * 3 + MESSAGE["none"] * 3 + ARRIVE + READ + END,
    "stop": MESSAGE["echo"] + ARRIVE + step(28) + MESSAGE["echo"] + step(9, 1) + ARRIVE,
    "stop-paused": MESSAGE["pause"] + MESSAGE["echo"] * 2 + ARRIVE + step(28) + step(14, 4),
    "reset": MESSAGE["pause"] + MESSAGE["echo"] * 2 + ARRIVE + step(19) + step(24),
    "broken": MESSAGE["pause"] + MESSAGE["echo"] * 2 + ARRIVE + step(20) + step(21, 0, 0, 9) + step(15) + step(24),
    "garbage": MESSAGE["echo"] + step(8, 0, 0, 4) + b"\xff\xff\xff\xff" + MESSAGE["echo"] + ARRIVE + step(15),
    "sends": b"".join(step(21, how, 0, 60) for how in range(8)) + step(9, 1) + ARRIVE,
    "queue": MESSAGE["queue"] + step(23) + MESSAGE["none"] * 3 + ARRIVE + step(29, 7),
    "kill": MESSAGE["pause"] + MESSAGE["none"] * 3 + ARRIVE + step(30, 7),
}
for name, script in SCRIPTS.items():
    for version in range(5):
        seed(f"{name}-{version}", bytes([version, 0x10, 0, 0]) + script)
    seed(f"{name}-deflate", bytes([0x80, 0x18, 0, 1]) + script)
    seed(f"{name}-small", bytes([0, 0x06, 4, 0x87]) + script)
for query in range(6):
    decide = step(27, query & 3)
    seed(f"query-{query}", bytes([0, 0xE0, query, 0]) + MESSAGE["echo"] + ARRIVE + decide + ARRIVE + step(15))
    seed(f"query-{query}-stop", bytes([0, 0x00, query, 0]) + step(28) + decide + bytes([1]))
for how in range(5, 8):
    seed(f"request-{how}", bytes([0, 0xC0, 8, 0]) + step(0, how) + ARRIVE + step(15) + step(14, 4))
