"""permessage-deflate (RFC 7692) on Python's zlib: client messages, and checks of negotiated parameters."""

import random
import zlib
from dataclasses import dataclass

from wire import CLOSE, TEXT, Connection, frame

NAME = "permessage-deflate"
TAIL = b"\x00\x00\xff\xff"
COMPRESSED = 4  # RSV1 among the three bits that wire.frame() takes


def deflate(data: bytes, bits: int = 15, level: int = 6, before: bytes = b"") -> bytes:
    """The payload of a message. `before` is earlier content that it may refer to."""
    # Python cannot pass an empty dictionary, so the keyword is omitted.
    c = zlib.compressobj(level, zlib.DEFLATED, -bits, zdict=before) if before else zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def message(data: bytes, opcode: int = TEXT, bits: int = 15, before: bytes = b"") -> bytes:
    return frame(opcode, deflate(data, bits, before=before), rsv=COMPRESSED)


def zeros(mib: int) -> bytes:
    """The payload of a message of `mib` MiB of zeros: about 1 KiB per MiB."""
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    each = c.compress(bytes(1 << 20)) + c.flush(zlib.Z_FULL_FLUSH)  # without back references, so it can be repeated
    return (each * mib).removesuffix(TAIL)


def fragments(payload: bytes, size: int, opcode: int = TEXT) -> list[bytes]:
    pieces = [payload[at : at + size] for at in range(0, len(payload), size)]
    last = len(pieces) - 1
    return [frame(0 if n else opcode, piece, fin=n == last, rsv=0 if n else COMPRESSED) for n, piece in enumerate(pieces)]


class Inflater:
    """Reads a server's messages strictly: references beyond the negotiated window fail."""

    def __init__(self, bits: int, takeover: bool) -> None:
        self.bits = bits
        self.takeover = takeover
        self.stream = zlib.decompressobj(-bits)

    def message(self, payload: bytes) -> bytes:
        if not self.takeover:
            self.stream = zlib.decompressobj(-self.bits)
        # zlib looks into its window only for data from earlier output pieces, so pieces have one
        # byte each.
        return b"".join(self.stream.decompress(bytes([byte])) for byte in payload + TAIL)

    def read(self, c: Connection) -> tuple[int, bytes, bool]:
        """The next message or control frame: its opcode, its payload, and whether it was compressed."""
        first, payload = c.any_frame()
        if first & 0x08 or not first & 0x80:
            if first & 0xF0 != 0x80:
                raise AssertionError(f"frame begins {first:02x}")
            return first & 0x0F, payload, False
        if first & 0x30:
            raise AssertionError(f"frame begins {first:02x}")
        compressed = bool(first & 0x40)
        return first & 0x0F, self.message(payload) if compressed else payload, compressed


@dataclass
class Agreed:
    server_takeover: bool = True
    client_takeover: bool = True
    server_bits: int = 15
    client_bits: int = 15


def params(extension: str) -> dict[str, int | None]:
    """The parameters of one element. Unknown and duplicate parameters fail."""
    name, *rest = (part.strip() for part in extension.split(";"))
    if name != NAME:
        raise AssertionError(f"{name} in {extension!r}")
    said: dict[str, int | None] = {}
    for part in rest:
        key, _, value = part.partition("=")
        if key in said or key not in ("server_no_context_takeover", "client_no_context_takeover", "server_max_window_bits",
                                      "client_max_window_bits"):
            raise AssertionError(f"{part} in {extension!r}")
        said[key] = int(value.strip('"')) if value else None
    return said


def agreed(offer: str, answer: str) -> Agreed:
    """The parameters after `answer` to `offer` (one element). The answer must comply with RFC 7692 section 7.1."""
    asked, said = params(offer), params(answer)
    if "server_no_context_takeover" in asked and "server_no_context_takeover" not in said:
        raise AssertionError(f"{answer!r} to {offer!r}: server_no_context_takeover is missing")
    for key in ("server_no_context_takeover", "client_no_context_takeover"):
        if said.get(key) is not None:
            raise AssertionError(f"{answer!r}: {key} has a value")
    for key in ("server_max_window_bits", "client_max_window_bits"):
        if key not in said:
            continue
        # For the server's window, the RFC allows an exception. This server does not use it, because
        # some browsers reject it.
        bits, most = said[key], asked.get(key) or 15
        if key not in asked or bits is None or not 8 <= bits <= most:
            raise AssertionError(f"{answer!r} to {offer!r}: {key}")
    if asked.get("server_max_window_bits") is not None and "server_max_window_bits" not in said:
        raise AssertionError(f"{answer!r} to {offer!r}: no server_max_window_bits")
    return Agreed("server_no_context_takeover" not in said, "client_no_context_takeover" not in said,
                  said.get("server_max_window_bits") or 15, said.get("client_max_window_bits") or 15)


def json_of(size: int, seed: int = 7692) -> bytes:
    """Typical JSON of an application, of about `size` bytes."""
    noise = random.Random(seed)
    rows: list[str] = []
    while sum(map(len, rows)) + len(rows) < size - 60:
        user = noise.choice(("ada", "bob", "cleo", "dan"))
        rows.append(f'{{"id":{noise.randrange(10**6)},"user":"{user}","seen":{noise.random():.6f},"ok":true}}')
    return ("[" + ",".join(rows) + "]").encode()


def close(c: Connection, payload: bytes) -> bool:
    """The closing handshake. Returns whether the answer has the same payload."""
    return c.send(frame(CLOSE, payload)).frame() == (CLOSE, payload)
