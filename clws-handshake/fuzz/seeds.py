#!/usr/bin/env python3
"""Makes the seeds of the targets, mostly from recorded traffic of real clients and servers.

The seeds are committed. Files whose names begin with `found-` are kept: they are inputs that once
broke something.
"""

from pathlib import Path

here = Path(__file__).parent
captures = here.parent / "tests" / "captures"
# The newest comes first, as in the target of clients.
VERSIONS = {"rfc6455": 0, "hybi-08": 1, "hybi-07": 2, "hybi-00": 3}


def seed(target: str, name: str, data: bytes) -> None:
    folder = here / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


for capture in sorted(captures.glob("*.bin")):
    if "hixie-75" in capture.name:
        continue  # the seeds of hixie-75 are written by hand below
    data = capture.read_bytes()
    version = next(number for name, number in VERSIONS.items() if name in capture.name)
    end = data.index(b"\r\n\r\n") + 4
    name = capture.name.removesuffix(".bin").removesuffix(".c2s").removesuffix(".s2c")
    if ".c2s" in capture.name:
        # Enables draft 0, and configures permessage-deflate.
        seed("server_handshake", name, bytes([0x41, 0]) + data[: end + 8])
    else:
        seed("client_handshake", name, bytes([version, 0]) + data[: end + 16])

REQUEST = (
    b"GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n"
    b"Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, permessage-deflate\r\n\r\n"
)


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


seed("server_handshake", "all", bytes([0x47, 0]) + text(b"chat") + text(b"Set-Cookie") + text(b"id=1") + REQUEST)
seed("server_handshake", "injection", bytes([0x46, 0]) + text(b"chat\r\nX: y") + text(b"A") + text(b"b\r\nc: d") + REQUEST)
seed("server_handshake", "refusal", bytes([0x80, 0, 134]) + text(b"why") + text(b"Retry-After") + text(b"5") + REQUEST)
for name, request in {
    "page": b"GET /?a HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "head": b"HEAD http://a.example/b HTTP/1.1\r\nHost: b\r\n\r\n",
    "old": b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
    "options": b"OPTIONS * HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    "connect": b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nExpect: 100-continue\r\n\r\n",
    "absolute": REQUEST.replace(b"GET /chat", b"GET ws://other.example:81/chat?b"),
    "empty-line": b"\r\n" + REQUEST,
    "empty-protocol": REQUEST.replace(b"chat, superchat", b""),
    "post": REQUEST.replace(b"GET", b"POST").replace(b"Origin", b"Content-Length"),
    "plain": b"\r\n".join(line for line in REQUEST.split(b"\r\n") if b"Protocol:" not in line and b"Extensions" not in line),
    "continue": REQUEST.replace(b"Origin", b"Expect: 100-continue\r\nOrigin"),
    "hixie-75": b"GET /demo HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: example.com\r\n"
    b"Origin: http://example.com\r\nWebSocket-Protocol: sample\r\n\r\n\x00a\xff",
    "small": b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x, websocket\r\nConnection: keep-alive,upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n",
}.items():
    seed("server_handshake", name, bytes([0x41, 0]) + request)

# Requests without one of the headers, or with a header twice.
LINES = REQUEST.split(b"\r\n")[1:-2]
for at, line in enumerate(LINES):
    name = line.split(b":")[0].decode().lower()
    seed("server_handshake", f"without-{name}", bytes([0x41, 0]) + REQUEST.replace(line + b"\r\n", b""))
    seed("server_handshake", f"twice-{name}", bytes([0x41, 0]) + REQUEST.replace(line, line + b"\r\n" + line))
for name, old, new in (
    ("key-unpadded", b"ZQ==", b"ZQ"),
    ("key-long", b"ZQ==", b"ZQAA"),
    ("key-15", b"ZQ==", b""),
    ("version-8", b"Version: 13", b"Version: 8"),
    ("version-14", b"Version: 13", b"Version: 14"),
    ("version-list", b"Version: 13", b"Version: 13, 8"),
    ("fold", b"Origin: ", b"Origin:\r\n "),
    ("blank-before-colon", b"Origin:", b"Origin :"),
    ("bare-lf", b"\r\nOrigin", b"\nOrigin"),
    ("two-blanks", b"GET /", b"GET  /"),
    ("host-port", b"example.com\r\nU", b"example.com:99999\r\nU"),
    ("host-user", b"Host: ", b"Host: a@"),
    ("length", b"Origin: ", b"Content-Length: 5\r\nOrigin: "),
    ("chunked", b"Origin: ", b"Transfer-Encoding: chunked\r\nOrigin: "),
    ("protocol-twice", b"chat, superchat", b"chat, chat"),
    ("extension-malformed", b"permessage-deflate; client_max_window_bits", b"permessage-deflate; client_max_window_bits=\"1"),
):
    assert old in REQUEST, old
    seed("server_handshake", name, bytes([0x41, 0]) + REQUEST.replace(old, new, 1))

ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
)
for name, flags, answer in (
    ("plain", 0x00, ANSWER + b"\r\n\x81\x00"),
    ("protocol", 0x20, ANSWER + b"Sec-WebSocket-Protocol: superchat\r\n\r\n"),
    ("deflate", 0x40, ANSWER + b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10\r\n\r\n"),
    ("continue", 0x00, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" + ANSWER + b"\r\n"),
    ("refused", 0x00, b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"),
    ("redirect", 0x00, b"HTTP/1.1 302 \r\nLocation: /\r\n\r\n"),
):
    seed("client_handshake", name, bytes([flags, 0]) + answer)
for version in range(5):
    for choice in (0x00, 0x07, 0x43, 0xC5):
        edits = bytes([90, 0, 9]) + b"\r\nX-Y: z\r" + bytes([200, 1, 1]) + b"X" + bytes([40, 2, 0])
        seed("client_handshake", f"changed-{version}-{choice}", bytes([0xD0 | version, 0x10, choice]) + edits + b"\x81\x00")

ADDRESSES = bytes([203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xBB])
V2 = b"\r\n\r\n\0\r\nQUIT\n"
for name, header in {
    "v1-tcp4": b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET /",
    "v1-tcp6": b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n",
    "v1-unknown": b"PROXY UNKNOWN anything\r\n",
    "v2-local": V2 + b"\x20\x00\0\0",
    "v2-tcp4": V2 + b"\x21\x11\0\x0c" + ADDRESSES,
    "v2-tcp6": V2 + b"\x21\x21\0\x24" + bytes(36),
    "v2-extension": V2 + b"\x21\x11\0\x10" + ADDRESSES + b"\x04\0\x01a",
    "v2-unix": V2 + b"\x21\x31\0\xd8" + bytes(216),
    "v2-long": V2 + b"\x21\x11\xff\xff" + ADDRESSES,
}.items():
    seed("proxy_reports", name, b"\0" + header)
for name, forged in {
    "address": b"for=198.51.100.1",
    "port": b'for="[2001:db8::9]:4711";by=_hidden;host=a;proto=http',
    "unknown": b"for=unknown, For=_x",
    "open-quote": b'for="198.51.100.1, for=1.2.3.4',
    "escape": b'for="198.51.100.1\\"',
    "empty": b", ,",
}.items():
    seed("proxy_reports", f"forwarded-{name}", b"\1" + forged)
for name, forged in {"list": b"198.51.100.1, 127.0.0.1", "garbage": b"?, [::1", "trusted": b"127.0.0.1"}.items():
    seed("proxy_reports", f"for-{name}", b"\2" + forged)
